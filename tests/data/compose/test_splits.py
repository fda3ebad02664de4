"""Splits: sizes, strata, groups that stay together, the same from the same seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sets import OFF, composed, folder, numbered, removed, row

from mella_retrieval.artifacts import MANIFEST
from mella_retrieval.data.compose.splits import assign
from mella_retrieval.data.near.shingles import normal_form
from mella_retrieval.data.records import Records
from mella_retrieval.errors import ConfigError, DataError


def test_every_stratum_is_spread_as_asked():
    strata = np.repeat([0, 1, 2], [1000, 200, 20])
    split = assign(np.arange(1220), strata, [976, 122, 122], np.random.default_rng(0))
    assert np.bincount(split).tolist() == [976, 122, 122]
    assert [np.bincount(split[strata == stratum]).tolist() for stratum in range(3)] == [
        [800, 100, 100],
        [160, 20, 20],
        [16, 2, 2],
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=4, max_size=60), st.integers(0, 5))
def test_groups_are_never_divided_and_no_small_split_is_overfull(records: list[tuple[int, int]], seed: int):
    groups, strata = (np.array(column) for column in zip(*records, strict=True))
    sizes = [len(records) - 2 * (len(records) // 4), len(records) // 4, len(records) // 4]
    split = assign(groups, strata, sizes, np.random.default_rng(seed))
    assert all(len(set(split[groups == group].tolist())) == 1 for group in set(groups.tolist()))
    counts = np.bincount(split, minlength=3)
    assert (counts[1:] <= sizes[1:]).all()


def test_sizes_by_number_and_by_share(tmp_path: Path):
    source = {"know": str(folder(tmp_path / "know", numbered(90) + numbered(10, "th", 90)))}
    rows, result = composed(tmp_path / "out", source, splits={"validation": 0.2, "test": 30}, duplicates=OFF)
    assert Counter(r["split"] for r in rows) == {"train": 50, "validation": 20, "test": 30}
    assert Counter(r["split"] for r in rows if r["lang"] == "th") == {"train": 5, "validation": 2, "test": 3}
    assert result.report["splits"]["test"] == {"asked": 30, "got": 30}


def test_a_group_too_large_for_a_split_is_said(tmp_path: Path):
    rows = [row("one", f"text {number}") for number in range(40)] + numbered(10)
    _, result = composed(tmp_path / "out", {"know": str(folder(tmp_path / "know", rows))}, splits={"test": 20}, duplicates=OFF)
    assert result.report["groups"] == {"number": 11, "of_several_records": 1, "largest": 40}
    assert result.report["splits"]["test"]["got"] < 20
    assert any(note.startswith("test has ") for note in result.report["notes"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"splits": {"test": 1000}}, DataError, "leave none for train"),
        ({"splits": {"validation": 0.5, "test": 0.5}}, ConfigError, "nothing for train"),
        ({"splits": {"test": 1.5}}, ConfigError, "whole number"),
        ({"splits": {"dev": 0.1}}, ConfigError, "splits.dev"),
        ({"duplicates": {"images": 40}}, ConfigError, "duplicates.images"),
    ],
)
def test_impossible_wishes_are_refused(tmp_path: Path, options: dict[str, object], error: type[Exception], words: str):
    source = {"know": str(folder(tmp_path / "know", numbered(10)))}
    with pytest.raises(error, match=words):
        composed(tmp_path / "out", source, **{"duplicates": OFF, **options})
    assert not (tmp_path / "out").exists()


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_another_set(tmp_path: Path):
    source = {"know": str(folder(tmp_path / "know", numbered(60)))}

    def files(name: str, seed: int) -> tuple[list[bytes], bytes]:
        composed(tmp_path / name, source, size=40, splits={"test": 0.3}, seed=seed)
        parts = [path.read_bytes() for path in Records.load(tmp_path / name).parts]
        return parts, (tmp_path / name / MANIFEST).read_bytes()

    first, again, other = files("a", 1), files("b", 1), files("c", 2)
    assert first == again
    assert first[0] != other[0]


TEXTS = ("red boat by the old pier", "Red  boat by the old pier", "green tree", "a woman reads", "night", "Night", "x")
LANGS = ("hu", "th", "ko")


@st.composite
def record_lists(draw: st.DrawFn) -> list[tuple[str, str | None, str]]:
    """Pictures with texts, pictures alone and texts alone."""
    one = st.tuples(st.sampled_from(["", *"abcdefgh"]), st.sampled_from([None, *TEXTS]), st.sampled_from(LANGS))
    return [entry for entry in draw(st.lists(one, min_size=6, max_size=30)) if entry[0] or entry[1]]


@settings(max_examples=20, deadline=None)
@given(record_lists(), record_lists(), st.integers(0, 3), st.sampled_from([None, 8]), st.integers(1, 4))
def test_every_record_is_in_one_split_or_listed_and_no_group_in_two(
    tmp_path_factory: pytest.TempPathFactory, know: list, ling: list, seed: int, size: int | None, stock: int
):
    place = tmp_path_factory.mktemp("set")
    try:
        sources = {
            name: str(folder(place / name, [row(i, t, lang, text_id=f"{name}{n}") for n, (i, t, lang) in enumerate(rows)]))
            for name, rows in (("know", know), ("ling", ling))
        }
    except DataError:  # not one record
        return
    options = {"seed": seed, "size": size, "splits": {"validation": 0.2, "test": 0.2}, "duplicates": {"stock": stock}}
    try:
        rows, result = composed(place / "out", sources, **options)
    except DataError:  # pictures alone
        return
    stood = [text_id for source in sources.values() for text_id in Records.load(source).table()["text_id"].to_pylist()]
    listed = [entry["where"].partition(": ")[2] for entry in removed(place / "out")]
    assert sorted([r["text_id"] for r in rows] + listed) == sorted(stood)
    assert result.report["records"] == result.written.kept == len(rows)
    assert sum(result.report["removed"].values()) == len(listed)
    together = defaultdict(set)
    pictures = defaultdict(set)
    for r in rows:
        pictures[normal_form(r["text"])].add(r["image_id"])
    for r in rows:
        if r["image_id"]:
            together["image", r["image_id"]].add(r["split"])
        if r["text"] and len(pictures[normal_form(r["text"])] - {""}) <= stock:
            together["text", normal_form(r["text"])].add(r["split"])
    assert all(len(splits) == 1 for splits in together.values())
