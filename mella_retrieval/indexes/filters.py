"""Filters: which rows of an index count for a search.

A filter is a text in a small language that is read with Python's own parser and never run as code:

    lang == "hu" and 2010 <= year < 2020 and source in ["know", "ling"] and not (width < 300)

A row without a value is not equal to anything, not less than, not greater than, and in no list: only `== None` finds it. `!=`,
`not in` and `not` are plain opposites, as in pandas and unlike in SQL: `lang != "hu"` and `not (lang == "hu")` keep the rows
without a language, and no row is outside both a filter and its opposite.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import StringIO
from itertools import pairwise
from tokenize import COMMENT, NL, STRING, TokenError, generate_tokens
from typing import NoReturn

import numpy as np
import pyarrow as pa

from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.indexes.conditions import IN_TEXT, AllOf, AnyOf, Condition, Literal, Mask, Node, Not
from mella_retrieval.recipes import suggest

BATCH = 1 << 20
"""Rows looked at in one step: what a filter needs beyond its mask does not grow with the table."""

FORMS = (
    'lang == "hu", 2010 <= year < 2020, source in ["know", "ling"], text != None, startswith(id, "000"), contains(text, "tea"), '
    'column("file name") == "a.jpg"; joined by and, or, not and parentheses'
)
DEPTH = 50
"""How deeply brackets and `not` may be nested."""

_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in", ast.NotIn: "not in",
    ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
_BESIDE = (COMMENT, NL)
_OPPOSITE = {"!=": "==", "not in": "in", "is not": "is"}
_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_CONSTANTS = {"true": "True", "false": "False", "null": "None", "none": "None"}


@dataclass(frozen=True)
class Filter:
    """Which rows count.

    Attributes:
        text: how it was written.
        columns: the columns that it looks at.
        root: what it asks, read.
    """

    text: str
    columns: frozenset[str]
    root: Node = field(hash=False)  # a hundred thousand ids are not hashed whenever an answer is looked up

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Read a filter.

        Comparisons of one column with literals (`==`, `!=`, `<`, `<=`, `>`, `>=`, also in a chain), `in` and `not in` with a
        list, `startswith` and `contains`; `and`, `or`, `not`. `column("file name")` names a column that is no Python name.

        Raises:
            ConfigError: anything else; names the piece and shows what can be written.
        """
        text = text.strip()
        try:
            root = _read(_parse(text), 0)
        except (SyntaxError, TokenError, ValueError, MemoryError, RecursionError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
            raise ConfigError(f"the filter {_short(text)!r} is not valid: {reason}. Filters look like: {FORMS}.") from None
        return cls(text, frozenset(condition.column for condition in _conditions(root)), root)

    @classmethod
    def ids(cls, ids: Collection[str]) -> Filter:
        """Only these ids. As many as you like: each row is looked up once, however many there are.

        Raises:
            ConfigError: something else than a collection of texts.
        """
        if isinstance(ids, str) or not all(isinstance(key, str) for key in ids):
            raise ConfigError("a filter of ids takes a list or set of texts.")
        wanted = tuple(sorted(map(_valid, set(ids))))
        text = f"id in [{', '.join(map(repr, wanted))}]" if len(wanted) <= 5 else f"id in [{len(wanted)} ids]"
        return cls(text, frozenset({"id"}), Condition("id", "in", wanted, text))

    def __and__(self, other: Filter) -> Filter:
        """Only rows that satisfy both."""
        parts = [part for one in (self, other) for part in (one.root.parts if isinstance(one.root, AllOf) else (one.root,))]
        return Filter(f"({self.text}) and ({other.text})", self.columns | other.columns, AllOf(tuple(parts)))

    def __str__(self) -> str:
        return self.text

    def mask(self, table: pa.Table, *, elsewhere: Collection[str] = ()) -> Mask:
        """Which rows of a table satisfy the filter, shape (n,). Looks at the needed columns alone, `BATCH` rows at a time.

        Args:
            table: the rows, memory-mapped or not.
            elsewhere: columns that belong to the same index though this table lacks them: its rows have no value there.

        Raises:
            DataError: there is no such column, or it does not hold what it is compared with.
        """
        known = [*table.column_names, *elsewhere]
        for column in sorted(self.columns):
            if column not in known:
                raise DataError(
                    f"the filter {_short(self.text)!r} asks for the column {column!r}, but there is none."
                    f"{suggest(column, known)} Columns: {', '.join(dict.fromkeys(known))}."
                )
        test = self.root.bind(table.schema)
        found = np.empty(len(table), np.bool_)
        for start in range(0, len(table), BATCH):
            found[start : start + BATCH] = test(table.slice(start, BATCH))
        return found


def _conditions(node: Node) -> Iterator[Condition]:
    if isinstance(node, Condition):
        yield node
        return
    for part in (node.part,) if isinstance(node, Not) else node.parts:
        yield from _conditions(part)


# Reading ----------------------------------------------------------------------------------------------------------------


def _parse(text: str) -> ast.expr:
    """One expression, on any number of lines and with comments, which end with their line.

    Raises:
        ConfigError: two texts side by side, which Python takes for one.
    """
    lines = f"({text}\n)" if "\n" in text else text
    found = ast.parse(lines, mode="eval").body
    kinds = [token.type for token in generate_tokens(StringIO(lines).readline) if token.type not in _BESIDE]
    if (STRING, STRING) in pairwise(kinds):
        raise ConfigError(f"the filter {_short(text)!r} has two texts side by side: a comma or an operator is missing.")
    return found


def _read(node: ast.expr, depth: int) -> Node:
    if depth > DEPTH:
        raise ConfigError(f"the filter is nested more than {DEPTH} deep: write it with fewer brackets.")
    match node:
        case ast.BoolOp(op=operator, values=values):
            parts = tuple(_read(value, depth + 1) for value in values)
            return AllOf(parts) if isinstance(operator, ast.And) else AnyOf(parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Not(_read(operand, depth + 1))
        case ast.Compare(left=left, ops=operators, comparators=others):
            sides = [left, *others]
            pairs = tuple(_comparison(*pair) for pair in zip(sides, operators, others, strict=False))
            return pairs[0] if len(pairs) == 1 else AllOf(pairs)
        case ast.Call(func=ast.Name(id=name), args=[place, part], keywords=[]) if name in IN_TEXT:
            return _in_text(name, place, part)
    _refuse(node, f"write `{ast.unparse(node)} == True`" if _column(node) is not None else "it is no condition")


def _comparison(left: ast.expr, operation: ast.cmpop, right: ast.expr) -> Node:
    """A column beside a literal, in either order."""
    whole = ast.Compare(left, [operation], [right])
    operator = _OPERATORS[type(operation)]
    if operator in _MIRRORED and _column(left) is None:
        left, right, operator = right, left, _MIRRORED[operator]
    column = _column(left)
    if column is None:
        _literal(right if operator in _MIRRORED else left)
        hint = f": contains({name}, ...) looks into texts" if (name := _column(right)) else ""
        _refuse(whole, f"one side has to be a column{hint}" if operator in _MIRRORED else f"left of `in` stands a column{hint}")
    if _column(right) is not None:
        hint = f"write {_CONSTANTS[name]}" if (name := ast.unparse(right)) in _CONSTANTS else "texts stand in quotes"
        _refuse(whole, f"two columns cannot be compared ({hint})")
    positive = _OPPOSITE.get(operator, operator)
    value = _literals(right) if positive == "in" else _literal(right)
    if (positive == "is" and value is not None) or (value is None and positive not in ("is", "==")):
        _refuse(whole, "only == and != go with None, and `is` with nothing else")
    condition = Condition(column, "==" if positive == "is" else positive, value, _short(ast.unparse(whole)))
    return condition if positive == operator else Not(condition)


def _in_text(name: str, place: ast.expr, part: ast.expr) -> Condition:
    """`startswith(column, "text")` and `contains(column, "text")`."""
    whole = f"{name}({ast.unparse(place)}, {ast.unparse(part)})"
    column, value = _column(place), _literal(part)
    if column is None or not isinstance(value, str):
        raise ConfigError(
            f'the filter cannot be read at `{_short(whole)}`: it needs a column and a text, as in {name}(id, "000").'
        )
    return Condition(column, name, value, _short(whole))


def _column(node: ast.expr) -> str | None:
    """The name of a column: `lang`, or `column("file name")`."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str(name))], keywords=[]):
            return name
    return None


def _literals(node: ast.expr) -> tuple[Literal, ...]:
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        _refuse(node, 'after `in` stands a list: ["know", "ling"]')
    return tuple(_literal(entry) for entry in node.elts)


def _literal(node: ast.expr) -> Literal:
    match node:
        case ast.Constant(value=str(text)):
            return _valid(text)
        case ast.Constant(value=bool() | int() | float() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if not isinstance(number, bool):
            return -number
    _refuse(node, "it is neither a column nor a text in quotes, a number, True, False or None")


def _valid(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"the text {text!r} in the filter is not valid Unicode.") from None
    return text


def _refuse(node: ast.expr, reason: str) -> NoReturn:
    if isinstance(node, ast.Call):
        reason = f"nothing but {', '.join(IN_TEXT)} and column can be called, with just what they need"
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
        reason = "write `and` and `or`"
    raise ConfigError(f"the filter cannot be read at `{_short(ast.unparse(node))}`: {reason}. Filters look like: {FORMS}.")


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:150]} ... {text[-45:]}"
