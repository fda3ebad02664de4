"""What a filter asks of rows: conditions on single columns, joined by and, or and not.

Conditions are true or false for every row, never unknown, and compare exactly as Python would: no rounding where whole numbers
meet fractions, no overflow where a literal lies beyond what the column can hold. A NaN is a number that differs from all others.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.errors import DataError

_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]|$)")
"""How dates begin. Python alone takes any sign between date and time: it reads 2010-05-31+02:00 as two o'clock."""

Mask: TypeAlias = npt.NDArray[np.bool_]
Values: TypeAlias = Any
"""A pa.ChunkedArray."""
Test: TypeAlias = Callable[[pa.Table], Mask]
Literal: TypeAlias = str | int | float | bool | None

IN_TEXT = {"startswith": pc.starts_with, "contains": pc.match_substring}
_COMPARE = {"==": pc.equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}


@dataclass(frozen=True)
class AllOf:
    """`and`."""

    parts: tuple[Node, ...]

    def bind(self, schema: pa.Schema) -> Test:
        """The test for tables of this schema."""
        tests = [part.bind(schema) for part in self.parts]
        return lambda table: np.logical_and.reduce([test(table) for test in tests])


@dataclass(frozen=True)
class AnyOf:
    """`or`."""

    parts: tuple[Node, ...]

    def bind(self, schema: pa.Schema) -> Test:
        """The test for tables of this schema."""
        tests = [part.bind(schema) for part in self.parts]
        return lambda table: np.logical_or.reduce([test(table) for test in tests])


@dataclass(frozen=True)
class Not:
    """`not`: what satisfies one of a condition and its opposite does not satisfy the other."""

    part: Node

    def bind(self, schema: pa.Schema) -> Test:
        """The test for tables of this schema."""
        test = self.part.bind(schema)
        return lambda table: ~test(table)


@dataclass(frozen=True)
class Condition:
    """What is asked of one column.

    Attributes:
        column: its name.
        operator: `==`, `<`, `<=`, `>`, `>=`, `in`, `startswith` or `contains`.
        value: a literal, or a tuple of literals for `in`.
        text: how it was written, for messages.
    """

    column: str
    operator: str
    value: Literal | tuple[Literal, ...]
    text: str

    def bind(self, schema: pa.Schema) -> Test:
        """The test for tables of this schema; a column that it lacks has no values.

        Raises:
            DataError: the column does not hold what it is compared with.
        """
        if self.column not in schema.names or pa.types.is_null(schema.field(self.column).type):
            missing = self.value is None or (isinstance(self.value, tuple) and None in self.value)
            return lambda table: np.full(len(table), missing)
        kind = schema.field(self.column).type
        coded = pa.types.is_dictionary(kind)
        test = self._test(kind.value_type if coded else kind)

        def run(table: pa.Table) -> Mask:
            values = table[self.column]
            found = test(values.cast(kind.value_type) if coded else values)
            return np.asarray(pc.fill_null(found, False).to_numpy(), np.bool_)

        return run

    def _test(self, kind: pa.DataType) -> Callable[[Values], Values]:
        if self.value is None:
            return pc.is_null  # type: ignore[no-any-return]
        wanted = self.value if isinstance(self.value, tuple) else (self.value,)
        literals = [self._literal(value, kind) for value in wanted if value is not None]
        plain = _plain(kind)
        if self.operator in IN_TEXT:
            return lambda values: IN_TEXT[self.operator](values.cast(plain), pattern=self.value)
        if self.operator != "in":
            return lambda values: _compare(values.cast(plain), self.operator, literals[0])
        values_wanted = _value_set(literals, plain)
        if None not in wanted:
            return lambda values: pc.is_in(values.cast(plain), value_set=values_wanted)
        return lambda values: pc.or_(pc.is_in(values.cast(plain), value_set=values_wanted), pc.is_null(values))

    def _literal(self, value: Literal, kind: pa.DataType) -> Any:
        """A literal as something to compare the plain values of the column with.

        Raises:
            DataError: the column holds something else.
        """
        holds, types = _holds(kind)
        if not types:
            raise DataError(
                f"the filter {self.text!r} asks for the column {self.column!r}, which holds {holds}: only texts, numbers, True "
                "and False, dates and times can be compared; any column with None."
            )
        if type(value) not in types or (self.operator in IN_TEXT and holds != "texts"):
            shown = f"the text {value!r}" if isinstance(value, str) else f"{value!r}"
            raise DataError(f"the filter {self.text!r} compares the column {self.column!r}, which holds {holds}, with {shown}.")
        return self._moment(str(value), kind) if holds == "dates and times" else value

    def _moment(self, text: str, kind: pa.DataType) -> Fraction:
        """An ISO date or time in the unit of the column, exactly."""
        zone = getattr(kind, "tz", None)
        try:
            moment = dt.datetime.fromisoformat(text if _DATE.match(text) else "")
        except ValueError:
            raise DataError(
                f"the filter {self.text!r} compares the column {self.column!r}, which holds dates and times, with {text!r}: "
                'write them like "2010-05-31" or "2010-05-31T14:30:00".'
            ) from None
        if moment.tzinfo and not zone:
            raise DataError(
                f"the filter {self.text!r} names a time zone, but the column {self.column!r} has none: leave it away."
            )
        since = moment.replace(tzinfo=moment.tzinfo or dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return Fraction(since // dt.timedelta(microseconds=1), 1_000_000) * _per_second(kind)


Node: TypeAlias = AllOf | AnyOf | Not | Condition


# Columns and literals ---------------------------------------------------------------------------------------------------


def _holds(kind: pa.DataType) -> tuple[str, tuple[type, ...]]:
    """What a column holds, in words, and the literals that go with it."""
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "texts", (str,)
    if types.is_integer(kind) or types.is_floating(kind):
        return "numbers", (int, float)
    if types.is_boolean(kind):
        return "True and False", (bool,)
    if types.is_timestamp(kind) or types.is_date(kind):
        return "dates and times", (str,)
    return f"{kind}", ()


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type in which values are compared: as they are where Arrow can, otherwise one that holds every value exactly."""
    types = pa.types
    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_floating(kind):
        return pa.float64()
    if types.is_date32(kind):
        return pa.int32()
    if types.is_timestamp(kind) or types.is_date64(kind):
        return pa.int64()
    return kind


def _per_second(kind: pa.DataType) -> Fraction:
    """Units of a date or time column in a second."""
    if pa.types.is_date32(kind):
        return Fraction(1, 86_400)
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    return Fraction({"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit])


def _compare(values: Values, operator: str, value: Any) -> Values:
    """Exact for numbers too: Python's rules, without Arrow's rounding and overflows."""
    kind = values.type
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        return _COMPARE[operator](values, pa.scalar(value, kind))
    low, high = _neighbours(value, kind)
    if low is not None and low == high:
        return _COMPARE[operator](values, pa.scalar(low, kind))
    # The literal lies between two values that the column can hold, or beyond all of them.
    bound = {"<": low, ">": high}.get(operator[0])
    if bound is None:
        return pc.less(values, values)  # no row, not even one with a NaN
    return _COMPARE[f"{operator[0]}="](values, pa.scalar(bound, kind))


def _neighbours(value: Any, kind: pa.DataType) -> tuple[Any, Any]:
    """The greatest number up to `value` and the least from `value` on that a column of this type can hold, or None.

    They are equal where the column can hold `value` itself.
    """
    if pa.types.is_integer(kind):
        limits = np.iinfo(kind.to_pandas_dtype())
        least, greatest = int(limits.min), int(limits.max)
        low = None if value < least else greatest if value > greatest else math.floor(value)
        high = None if value > greatest else least if value < least else math.ceil(value)
        return low, high
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    low = near if near <= value else math.nextafter(near, -math.inf)
    high = near if near >= value else math.nextafter(near, math.inf)
    return low, high


def _value_set(literals: list[Any], kind: pa.DataType) -> pa.Array:
    """Those of the literals that a column of this type can hold."""
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        bounds = [_neighbours(value, kind) for value in literals]
        literals = [low for low, high in bounds if low is not None and low == high]
        if pa.types.is_floating(kind):
            literals += [-value for value in literals if value == 0]  # equal numbers, but not to Arrow's hashes
    return pa.array(literals, kind)
