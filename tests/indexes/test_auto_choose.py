"""What is chosen for which needs, and the error that names the smallest budget."""

from __future__ import annotations

import re

import pytest

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.auto.choose import candidates, choose, list_count
from mella_retrieval.indexes.auto.estimate import estimate
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.recipes import build_config
from mella_retrieval.sizes import parse_size, size_text

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("500 mb", 5 * 10**8),
        ("1.5GiB", 3 * 2**29),
        ("64KiB", 65536),
        ("12", 12),
        (12, 12),
        ("1,000", 1000),
        ("0", 0),
        ("3B", 3),
        ("2T", 2 * 10**12),
    ],
)
def test_parse_size(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1", "4 elephants", "1e9", "GB", "NaN", True])
def test_parse_size__refuses(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 99_999, 123_456, 999_999, 1_234_567, 12_345_678_901])
def test_size_text__typed_in_again_suffices(size: int) -> None:
    text = size_text(size).replace("bytes", "").strip()
    assert size <= parse_size(text) <= max(size * 1.011, size)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"memory": "much"}, "not a size"),
        ({"recall": 0}, "recall"),
        ({"recall": 1.1}, "recall"),
        ({"memry": "4GB"}, "Did you mean 'memory'"),
    ],
)
def test_config__refuses(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(AutoConfig, values, "auto.yaml")


def chosen(rows: int, dim: int, memory: str | int, **needs: object) -> str:
    return choose(rows, dim, AutoConfig.model_validate({"memory": memory, **needs})).recipe.factory


@pytest.mark.parametrize(("rows", "dim"), [(0, 512), (1, 3), (9, 512), (500, 8), (10_000, 512), (3_000, 3)])
def test_choose__few_vectors__are_all_compared(rows: int, dim: int) -> None:
    assert chosen(rows, dim, "4GB") == "Flat"


def test_choose__a_million__kinds_by_budget() -> None:
    kinds = [chosen(MILLION, 512, memory) for memory in ("8GB", "1.5GB", "700MB", "400MB", "220MB", "120MB", "60MB")]
    assert kinds == [
        "IVF4000,Flat",
        "IVF4000,SQfp16",
        "IVF4000,SQ8",
        "RR512,IVF4000,RaBitQ4",
        "RR512,IVF4000,RaBitQ2",
        "OPQ128,IVF4000,PQ128x4fs",
        "OPQ32,IVF4000,PQ32x4fs",
    ]


def test_choose__deletes__room_for_what_is_not_compacted_yet() -> None:
    assert chosen(MILLION, 512, "2.2GB", deletes=False) == "IVF4000,Flat"
    assert chosen(MILLION, 512, "2.2GB", deletes=True) == "IVF4000,SQfp16"
    dead = int(1.1 * MILLION)  # the room suffices for as many items
    cost = estimate(choose(MILLION, 512, AutoConfig(memory="2.2GB")).recipe, dead, 512)
    assert cost.memory_bytes < 2_200_000_000


def test_choose__recall_one__exact_search_or_an_error() -> None:
    assert chosen(MILLION, 512, "8GB", recall=1.0) == "Flat"
    with pytest.raises(ConfigError, match=r"only exact search promises.*2\.28 GB.*with Flat"):
        choose(MILLION, 512, AutoConfig(memory="1GB", recall=1))


def test_choose__says_why_and_why_not() -> None:
    config = AutoConfig(memory="700MB")
    choice = choose(MILLION, 512, config)
    text = "\n".join(choice.sentences(config))
    assert "not IVF4000,Flat: it needs 2.29 GB of memory with room" in text and "of 700 MB allowed" in text
    assert "not HNSW32: text queries lie far from all pictures" in text
    assert [factory for factory, _ in choice.rejected] == ["Flat", "IVF4000,Flat", "IVF4000,SQfp16", "HNSW32"]


@pytest.mark.parametrize(
    ("rows", "dim", "recall"),
    [
        (0, 512, 0.9),
        (1, 3, 0.9),
        (100, 512, 0.9),
        (5_000, 3, 0.95),
        (MILLION, 512, 0.95),
        (MILLION, 3, 0.9),
        (MILLION, 100, 0.9),
        (2_000, 64, 1.0),
    ],
)
def test_choose__the_named_smallest_budget_is_true(rows: int, dim: int, recall: float) -> None:
    with pytest.raises(ConfigError) as refused:
        choose(rows, dim, AutoConfig(memory=0, recall=recall))
    named = re.search(r"is ([\d,]+) bytes \((.*)\), with (\S+)\.$", str(refused.value))
    assert named
    least = int(named[1].replace(",", ""))
    assert chosen(rows, dim, least, recall=recall) == named[3]
    assert chosen(rows, dim, named[2].replace(" bytes", ""), recall=recall)  # as it is written for people
    with pytest.raises(ConfigError, match="smallest budget"):
        choose(rows, dim, AutoConfig(memory=least - 1, recall=recall))


@pytest.mark.parametrize(("rows", "dim"), [(0, 4), (100, 64), (25_000, 32), (MILLION, 512), (50 * MILLION, 768), (MILLION, 31)])
def test_candidates__lists_can_be_trained(rows: int, dim: int) -> None:
    for candidate in candidates(rows, dim, AutoConfig()):
        recipe = candidate.recipe
        assert isinstance(recipe, IndexRecipe)
        found = re.search(r"IVF(\d+)", recipe.factory)
        assert not found or 39 * int(found[1]) <= min(rows, recipe.train_rows)


def test_fallback__exact_kinds_that_fit__and_the_next_budget() -> None:
    small = choose(MILLION, 512, AutoConfig(memory="120MB"))
    assert small.fallback == [] and small.next_budget is not None
    assert chosen(MILLION, 512, small.next_budget) != small.recipe.factory
    large = choose(MILLION, 512, AutoConfig(memory="8GB"))
    assert large.fallback == [IndexRecipe()] and large.next_budget is None


@pytest.mark.parametrize(("rows", "dim"), [(600, 512), (3000, 16), (MILLION, 20), (MILLION, 512)])
def test_candidates__coarser_codes_take_less(rows: int, dim: int) -> None:
    kinds = [candidate.recipe for candidate in candidates(rows, dim, AutoConfig()) if "Flat" not in candidate.recipe.factory]
    sizes = [estimate(recipe, rows, dim).memory_bytes for recipe in kinds]
    assert sizes == sorted(set(sizes), reverse=True)


def test_list_count__grows_with_the_root() -> None:
    assert [list_count(rows) for rows in (0, 39, 20_000, MILLION, 100 * MILLION)] == [1, 1, 512, 4000, 6721]
