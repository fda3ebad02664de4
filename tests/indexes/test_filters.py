"""Filters keep exactly the rows that Python would keep, and say in words what they cannot do."""

from __future__ import annotations

import math
import operator
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.indexes import filters
from mella_retrieval.indexes.filters import Filter

Row = dict[str, Any]
Keeps = Callable[[Row], bool]


def kept(text: str, table: pa.Table) -> list[int]:
    return np.flatnonzero(Filter.parse(text).mask(table)).tolist()


# Beside Python ----------------------------------------------------------------------------------------------------------

TYPES = {
    "year": (pa.int64(), pa.int16(), pa.uint64(), pa.float64()),
    "width": (pa.float64(), pa.float32(), pa.float16()),
    "lang": (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())),
    "public": (pa.bool_(),),
}
NUMBERS = (0, 1, 2, 300, 2**53 + 1, 10**400, 0.0, 0.5, 1.0, 1.5, 0.1, 1e30, math.inf)
TEXTS = ("", "h", "hu", "hun", "de", "ü", "日本", "𝄞", "a'b\"c\n\\", "None")
LITERALS = {
    "year": st.sampled_from([*NUMBERS, *(-number for number in NUMBERS)]),
    "width": st.sampled_from([*NUMBERS, *(-number for number in NUMBERS)]),
    "lang": st.sampled_from(TEXTS),
    "public": st.booleans(),
}
VALUES = {
    "year": st.integers(0, 3),
    "width": st.sampled_from([0.0, -0.0, 0.5, 1.0, 1.5, math.inf, math.nan]),
    "lang": st.sampled_from(TEXTS),
    "public": st.booleans(),
}
COMPARISONS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def written(value: Any) -> str:
    return repr(value).replace("inf", "1e999")


def compares(name: str, left: Any, right: Any) -> bool:
    """Python's comparison, but a missing value equals nothing and is in no order."""
    if left is None or right is None:
        return name == "!="
    return bool(COMPARISONS[name](left, right))


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, Keeps]:
    """A condition on one column as it is written, and what it means."""
    column = draw(st.sampled_from(list(TYPES)))
    place = draw(st.sampled_from([column, f'column("{column}")']))
    form = draw(st.sampled_from(["compare", "mirrored", "chain", "in", "not in", "none", "text"]))
    first, second = draw(LITERALS[column]), draw(LITERALS[column])
    one, two = draw(st.sampled_from(list(COMPARISONS))), draw(st.sampled_from(list(COMPARISONS)))
    if form == "compare":
        return f"{place} {one} {written(first)}", lambda row: compares(one, row[column], first)
    if form == "mirrored":
        return f"{written(first)} {one} {place}", lambda row: compares(one, first, row[column])
    if form == "chain":
        text = f"{written(first)} {one} {place} {two} {written(second)}"
        return text, lambda row: compares(one, first, row[column]) and compares(two, row[column], second)
    if form in ("in", "not in"):
        wanted = [*draw(st.lists(LITERALS[column], max_size=3)), *draw(st.lists(st.none(), max_size=1))]
        text = f"{place} {form} [{', '.join(map(written, wanted))}]"
        return text, lambda row: (row[column] in wanted) == (form == "in")
    if form == "none":
        sign, keeps_missing = draw(st.sampled_from([("==", True), ("!=", False), ("is", True), ("is not", False)]))
        return f"{place} {sign} None", lambda row: (row[column] is None) == keeps_missing
    part, name = draw(st.sampled_from(TEXTS)), draw(st.sampled_from(["startswith", "contains"]))
    method = str.startswith if name == "startswith" else str.__contains__
    return f"{name}(lang, {part!r})", lambda row: row["lang"] is not None and method(row["lang"], part)


def combined(parts: st.SearchStrategy[tuple[str, Keeps]]) -> st.SearchStrategy[tuple[str, Keeps]]:
    many = st.lists(parts, min_size=2, max_size=3)
    return st.one_of(
        parts.map(lambda part: (f"not ({part[0]})", lambda row: not part[1](row))),
        many.map(lambda some: (" and ".join(f"({text})" for text, _ in some), lambda row: all(keeps(row) for _, keeps in some))),
        many.map(lambda some: (" or ".join(f"({text})" for text, _ in some), lambda row: any(keeps(row) for _, keeps in some))),
    )


@st.composite
def tables(draw: st.DrawFn) -> tuple[pa.Table, list[Row]]:
    """A table in pieces, and its rows."""
    rows = draw(st.lists(st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), max_size=12))
    kinds = {name: draw(st.sampled_from(options)) for name, options in TYPES.items()}
    schema = pa.schema(list(kinds.items()))
    cut = draw(st.integers(0, len(rows)))
    return pa.concat_tables([pa.Table.from_pylist(part, schema) for part in (rows[:cut], rows[cut:])]), rows


@settings(max_examples=300, deadline=None)
@given(tables(), st.recursive(conditions(), combined, max_leaves=5))
def test_a_filter_keeps_what_python_keeps(material: tuple[pa.Table, list[Row]], condition: tuple[str, Keeps]):
    table, rows = material
    text, keeps = condition
    mask = Filter.parse(text).mask(table)
    assert mask.dtype == np.bool_ and mask.tolist() == [keeps(row) for row in rows]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "lang": ["hu", None, "de", "hu"],
            "year": [1999, 2010, None, 2**62 + 1],
            "score": [0.5, math.nan, None, 2.0],
            "public": [True, False, None, True],
            "tags": [["x"], [], None, ["y"]],
            "size": [{"w": 1}, None, {"w": 2}, {"w": 3}],
            "file name": ["a.jpg", "b.jpg", None, "class.jpg"],
            "empty": pa.nulls(4),
        }
    )


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('lang == "hu"', [0, 3]),
        ('lang != "hu"', [1, 2]),  # a row without a language is not Hungarian
        ('not (lang == "hu")', [1, 2]),
        ("year < 2000", [0]),
        ("not (year < 2000)", [1, 2, 3]),
        ("2000 <= year < 2020", [1]),
        (f"year == {2**62 + 1}", [3]),
        (f"year == {2**62}.0 or year == {2**62}", []),  # no rounding
        ("score != 0.5", [1, 2, 3]),
        ("score == None", [2]),  # a NaN is a number
        ("public == True", [0, 3]),
        ("public in [False, None]", [1, 2]),
        ("tags == None or size is None", [1, 2]),
        ('column("file name") == "class.jpg"', [3]),
        ('empty == "x" or empty < 3 or startswith(empty, "x")', []),
        ("empty == None", [0, 1, 2, 3]),
        ("year in []", []),
        ("year not in ()", [0, 1, 2, 3]),
        ("lang == 'hu'\n  and year > -5\n", [0, 3]),
    ],
)
def test_which_rows_are_kept(table: pa.Table, text: str, rows: list[int]):
    assert kept(text, table) == rows
    assert kept(f"not ({text})", table) == sorted(set(range(4)) - set(rows))


def test_a_comment_ends_with_its_line(table: pa.Table):
    plain = Filter.parse('lang == "hu" and year >= 2010').mask(table)
    assert plain.any() and not plain.all()
    for text in (
        'lang == "hu"  # only the Hungarian ones\nand year >= 2010',
        '\n  lang == "hu"\r\n  and year >= 2010  # not old',
        '# first\n(lang == "hu"\n) and # "and"\nyear >= 2010\n# last',
    ):
        assert Filter.parse(text).mask(table).tolist() == plain.tolist()


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64(), *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))])
def test_dates_and_times_are_compared_with_iso_texts(kind: pa.DataType):
    table = pa.table({"taken": pa.array([date(1969, 5, 31), date(2010, 5, 31), date(2010, 6, 1), None]).cast(kind)})
    assert kept('taken == "2010-05-31"', table) == kept('taken == "2010-05-31T00:00:00"', table) == [1]
    assert kept('"2010-05-31 00:00:00.000001" <= taken', table) == [2]
    assert kept('taken < "2010-05-31T23:59"', table) == [0, 1]
    assert kept('taken < "0001-01-01" or taken > "9999-12-31"', table) == []
    assert kept('taken not in ["2010-06-01", "1969-05-31"]', table) == [1, 3]


def test_times_with_a_zone():
    moments = [datetime(2010, 5, 31, hour, tzinfo=UTC) for hour in (0, 12)]
    table = pa.table({"taken": pa.array(moments, pa.timestamp("ms", "Europe/Budapest"))})
    assert kept('taken == "2010-05-31T14:00+02:00"', table) == kept('taken == "2010-05-31T12:00"', table) == [1]


# Sets of ids, combined filters, memory ----------------------------------------------------------------------------------


def test_sets_of_ids():
    table = pa.table({"id": [f"{row:06}" for row in range(200_000)], "even": [row % 2 == 0 for row in range(200_000)]})
    wanted = {f"{row:06}" for row in range(0, 300_000, 3)}
    found = Filter.ids(wanted)
    assert np.flatnonzero(found.mask(table)).tolist() == list(range(0, 200_000, 3))
    both = found & Filter.parse("even == True and id < '000013'")
    assert np.flatnonzero(both.mask(table)).tolist() == [0, 6, 12]
    assert both.columns == {"id", "even"} and str(both) == "(id in [100000 ids]) and (even == True and id < '000013')"
    assert not Filter.ids([]).mask(table).any()
    assert str(Filter.ids(("b", "a", "b"))) == "id in ['a', 'b']"
    for wrong in ("000003", [3], ["\ud800"]):
        with pytest.raises(ConfigError):
            Filter.ids(wrong)  # type: ignore[arg-type]


def test_steps_do_not_change_the_answer(table: pa.Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(filters, "BATCH", 3)
    many = pa.concat_tables([table, table.slice(1, 2), table])
    assert kept('lang == "hu" or year == None', many) == [0, 2, 3, 5, 6, 8, 9]


def test_a_mapped_table_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    schema = pa.schema([("id", pa.string()), ("year", pa.int32()), ("text", pa.string())])
    with pa.OSFile(str(tmp_path / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for start in range(0, 200_000, 10_000):
            ids = [str(row) for row in range(start, start + 10_000)]
            years = np.arange(10_000, dtype=np.int32) % 100
            writer.write_batch(pa.record_batch([ids, years, ["x" * 100] * 10_000], schema=schema))
    table = pa.ipc.open_file(pa.memory_map(str(tmp_path / "rows.arrow"))).read_all()
    monkeypatch.setattr(filters, "BATCH", 10_000)
    usual = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(usual)  # counts from here
    pa.set_memory_pool(counting)
    try:
        mask = Filter.parse('10 <= year < 20 and contains(text, "x") and id != "17"').mask(table)
    finally:
        pa.set_memory_pool(usual)
    assert mask.sum() == 20_000 - 1
    assert 0 < counting.max_memory() < 20_000  # a mask of one step has 10,000 bytes, the texts have 20 million


def test_columns_of_other_segments_have_no_values_here(table: pa.Table):
    found = Filter.parse("source == None and year > 0").mask(table, elsewhere=["source"])
    assert np.flatnonzero(found).tolist() == [0, 1, 3]
    assert Filter.parse('source == "know"').mask(table, elsewhere=["source"]).tolist() == [False] * 4
    with pytest.raises(DataError, match="Did you mean 'source'"):
        Filter.parse('sorce == "know"').mask(table, elsewhere=["source"])


def test_a_filter_keeps_its_text_and_travels(table: pa.Table):
    found = Filter.parse('  lang == "hu" and column("file name") != None ')
    assert str(found) == 'lang == "hu" and column("file name") != None' and found.columns == {"lang", "file name"}
    again = pickle.loads(pickle.dumps(found))
    assert again == found and again.mask(table).tolist() == [True, False, False, True]


# Refusals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid"),
        ('lang = "hu"', "not valid"),
        ('(lang == "hu"', "never closed"),
        ('class == "x"', r"not valid.*column\("),
        ("lang", "`lang`: write `lang == True`"),
        ("lang == hu", "`lang == hu`.*quotes"),
        ("public == true", "write True"),
        ("1 < 2", "`1 < 2`: one side has to be a column"),
        ("year + 1 > 3", r"`year \+ 1`"),
        ("year < 10 ** 3", r"`10 \*\* 3`"),
        ("-year == 3", "`-year`"),
        ('lang.upper() == "HU"', r"`lang\.upper\(\)`"),
        ("len(lang) > 3", r"`len\(lang\)`"),
        ('__import__("os").system("true") == 0', "`__import__"),
        ('lang.x == "hu"', r"`lang\.x`"),
        ('lang[0] == "h"', r"`lang\[0\]`"),
        ('lang == f"{id}"', "`f"),
        ('lang == b"hu"', "`b'hu'`"),
        ("year == 2j", "`2j`"),
        ("[row for row in id]", "`.row for row in id.`"),
        ("lambda: True", "`lambda: True`"),
        ("public == True if True else False", "it is no condition"),
        ("(x := 3) == year", "x := 3"),
        ('lang == "hu" & year > 3', "write `and` and `or`"),
        ('"h" in lang', r"contains\(lang"),
        ('lang in "hu"', "stands a list"),
        ("lang in [hu]", "`hu`.*in quotes"),
        ("year < None", "only == and !="),
        ('lang is "hu"', "only == and !="),
        ("startswith(lang)", "just what they need"),
        ("startswith(lang, 3)", "a column and a text"),
        ('startswith("hu", "h")', "a column and a text"),
        ('contains(lang, part="h")', "just what they need"),
        ('column("a", "b") == 3', "just what they need"),
        ('lang in ["hu" "cs"]', "two texts side by side"),
        ('lang in ["hu"  # Hungarian\n"cs"]', "two texts side by side"),
        ('lang == "h\nu"', "not valid"),
        ('lang == "\\ud800"', "not valid Unicode"),
        ("not " * 60 + "public == True", "nested more than"),
        ("(" * 500 + "year == 1" + ")" * 500, "not valid"),
        ("1 + " * 20_000 + "1 == year", "cannot be read"),
    ],
)
def test_what_is_no_filter_is_refused(text: str, words: str):
    with pytest.raises(ConfigError, match=words) as caught:
        Filter.parse(text)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('lng == "hu"', "'lng', but there is none. Did you mean 'lang'.* Columns: id, lang"),
        ("nowhere == None", "'nowhere', but there is none"),
        ('year == "1999"', "'year', which holds numbers, with the text '1999'"),
        ("year == True", "'year', which holds numbers, with True"),
        ("lang < 3", "'lang', which holds texts, with 3"),
        ('lang in ["hu", 3]', "'lang', which holds texts, with 3"),
        ("public == 1", "'public', which holds True and False, with 1"),
        ('contains(year, "9")', "'year', which holds numbers, with the text '9'"),
        ('tags == "x"', "'tags', which holds list"),
        ('"x" == size', "'size', which holds struct"),
        ('public == False or tags in ["x"]', "'tags', which holds list"),
    ],
)
def test_columns_that_do_not_go_with_a_filter(table: pa.Table, text: str, words: str):
    for rows in (table, table.slice(0, 0)):
        with pytest.raises(DataError, match=words):
            Filter.parse(text).mask(rows)


@pytest.mark.parametrize("value", ["x", "2010", "2010-13-01", "2010-05-31+02:00", "2010-05-31T12:00+02:00"])
def test_what_is_no_time(value: str):
    table = pa.table({"taken": pa.array([datetime(2010, 5, 31)], pa.timestamp("us"))})
    for text in (f'taken < "{value}"', "taken < 2010", 'contains(taken, "2010")'):
        with pytest.raises(DataError, match="'taken'"):
            Filter.parse(text).mask(table)
