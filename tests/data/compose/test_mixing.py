"""How many of each source and language are taken: the arithmetic, and what comes out of it in a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sets import OFF, composed, folder, numbered, row

from mella_retrieval.data.compose.mixing import draw, targets
from mella_retrieval.data.compose.recipe import Balance, ComposeRecipe
from mella_retrieval.data.compose.rounding import apportion
from mella_retrieval.recipes import load_recipe


def given_to(total: int, shares: list[float], limits: list[int]) -> list[int]:
    return apportion(total, np.array(shares, dtype=float), np.array(limits)).tolist()


def test_who_has_less_gives_all_and_the_others_share_the_rest():
    assert given_to(10, [1, 1], [99, 99]) == [5, 5]
    assert given_to(10, [1, 1, 1], [1, 99, 99]) == [1, 5, 4]
    assert given_to(10, [3, 1], [4, 99]) == [4, 6]
    assert given_to(10, [1, 0], [4, 99]) == [4, 0]
    assert given_to(10, [1, 1], [2, 3]) == [2, 3]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 9)), min_size=1, max_size=8), st.integers(0, 200))
def test_parts_add_up_and_stay_within_limits(parts: list[tuple[int, float]], total: int):
    limits, shares = [limit for limit, _ in parts], [share if share > 1e-6 else 0 for _, share in parts]
    found = given_to(total, shares, limits)
    assert sum(found) == min(total, sum(limit for limit, share in zip(limits, shares, strict=True) if share))
    assert all(0 <= part <= limit for part, limit in zip(found, limits, strict=True))


def taken(available: list[list[int]], weights: list[float] | None = None, size: int | None = None, **balance: float):
    return targets(np.array(available), weights, Balance(**balance), size).taken.tolist()


def test_targets_of_weights_and_languages():
    assert taken([[30, 10], [5, 5]]) == [[30, 10], [5, 5]]
    assert taken([[30, 10], [5, 5]], [1, 1]) == [[8, 2], [5, 5]]  # the small source decides
    assert taken([[30, 10], [5, 5]], [1, 1], size=30) == [[15, 5], [5, 5]]  # it gives all, the other the rest
    assert taken([[64, 4]], alpha=0.5) == [[16, 4]]
    assert taken([[64, 4]], alpha=0) == [[4, 4]]
    assert taken([[64, 4]], size=20, alpha=0) == [[16, 4]]
    assert taken([[64, 4]], cap=10) == [[10, 4]]
    assert taken([[64, 0], [0, 0]], [1, 1]) == [[64, 0], [0, 0]]


def test_two_languages_are_given_the_same_pictures():
    images = np.tile(np.arange(100), 2)
    cells = np.repeat([0, 1], 100)
    chosen = draw(cells, images, np.array([[20, 30]]), False, np.random.default_rng(0))
    first, second = set(images[chosen & (cells == 0)].tolist()), set(images[chosen & (cells == 1)].tolist())
    assert (len(first), len(second)) == (20, 30)
    assert first < second


def test_pictures_are_counted_once_with_all_their_texts():
    images = np.array([0, 0, 0, 1, 2, 2, -1])
    chosen = draw(np.zeros(7, dtype=int), images, np.array([[2]]), True, np.random.default_rng(1))
    units = {int(image) for image in images[chosen]}
    assert len(units) == 2
    assert all((images[~chosen] != unit).all() for unit in units)


def test_the_recipe_that_comes_with_the_package_holds_the_defaults():
    recipe = load_recipe(ComposeRecipe, "data", "compose", ["sources.know=some/folder"])
    assert recipe == ComposeRecipe.model_validate({"sources": {"know": "some/folder"}})


@pytest.fixture
def two(tmp_path: Path) -> dict[str, str]:
    """know: 60 hu and 20 th; ling: 40 pictures, each in hu and th."""
    know = folder(tmp_path / "know", numbered(60) + numbered(20, "th", 60))
    both = numbered(40, "hu", kind="ling") + numbered(40, "th", kind="ling")
    return {"know": str(know), "ling": str(folder(tmp_path / "ling", both))}


def weighted(two: dict[str, str], **weights: float) -> dict[str, dict[str, object]]:
    return {name: {"path": two[name], "weight": weight} for name, weight in weights.items()}


def test_everything_is_taken_by_default(tmp_path: Path, two: dict[str, str]):
    rows, result = composed(tmp_path / "out", two, duplicates=OFF)
    assert Counter(r["source"] for r in rows) == {"know": 80, "ling": 80}
    assert result.report["removed"] == {}
    assert result.report["sources"]["know"]["languages"]["th"]["got"] == 20


def test_weights_are_met_exactly_without_a_size(tmp_path: Path, two: dict[str, str]):
    rows, result = composed(tmp_path / "out", weighted(two, know=1, ling=4), duplicates=OFF)
    assert Counter(r["source"] for r in rows) == {"know": 20, "ling": 80}
    assert Counter(r["lang"] for r in rows if r["source"] == "know") == {"hu": 15, "th": 5}
    assert result.report["removed"] == {"not drawn": 60}
    assert not any("asked" in note for note in result.report["notes"])


def test_what_cannot_be_reached_is_said_with_what_was_reached(tmp_path: Path, two: dict[str, str]):
    rows, result = composed(tmp_path / "out", weighted(two, know=3, ling=1), size=140, languages={"alpha": 0}, duplicates=OFF)
    assert Counter(r["source"] for r in rows) == {"know": 80, "ling": 60}
    assert "know: 105 records were asked for, 80 could be taken." in result.report["notes"]
    assert "know, th: 52 records were asked for, 20 could be taken." in result.report["notes"]
    assert result.report["sources"]["know"]["got_share"] == round(80 / 140, 4)


def test_pictures_can_be_counted_instead_of_records(tmp_path: Path):
    rows = [row(f"p{picture}", f"text {picture} {number}") for picture in range(20) for number in range(1 + picture % 3)]
    source = {"know": str(folder(tmp_path / "know", rows))}
    found, result = composed(tmp_path / "out", source, count="pictures", size=10, duplicates=OFF)
    assert len({r["image_id"] for r in found}) == 10
    whole = Counter(r.image_id for r in rows)
    assert all(count == whole[image_id] for image_id, count in Counter(r["image_id"] for r in found).items())
    assert result.report["sources"]["know"]["got"] == 10
