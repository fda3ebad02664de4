"""Tuning: up to the wanted recall and not much further, on one half of the queries; the other half says what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np
import pytest
from index_material import TOWER, vector_set

from mella_retrieval.cli.index_curve import draw_curve
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.auto.build import Tuned, auto_build, tune_index
from mella_retrieval.indexes.auto.choose import choose
from mella_retrieval.indexes.auto.curve import Curve
from mella_retrieval.indexes.auto.needs import AutoConfig
from mella_retrieval.indexes.auto.truth import Truth, exact_neighbours
from mella_retrieval.indexes.auto.tune import tune
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe

DIM, ROWS = 16, 3000


def unit(count: int, seed: int, dim: int = DIM) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Parts:
    """A made-up index that answers exactly from the first `width` of 64 items, and with whole numbers below `fine` 4."""

    def __init__(self) -> None:
        self.items, self.queries = unit(64, seed=0), unit(60, seed=1)
        self.truth = exact_neighbours([self.items], self.queries, 5)
        self.asked: list[Mapping[str, int]] = []

    def search(self, queries: np.ndarray, k: int, parameters: Mapping[str, int]) -> np.ndarray:
        if not self.asked or self.asked[-1] != parameters:
            self.asked.append(dict(parameters))
        scores = queries @ self.items[: parameters.get("width", 64)].T
        scores = np.round(scores * 2) if parameters.get("fine", 4) < 4 else scores
        found = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.pad(found, ((0, 0), (0, k - found.shape[1])), constant_values=-1)

    def tune(self, wanted: float, start: Mapping[str, int], most: Mapping[str, int]) -> Curve:
        return tune(self.search, self.queries, self.truth, wanted=wanted, start=start, most=most)


def test_tune__stops_where_the_recall_is_reached() -> None:
    parts = Parts()
    curve = parts.tune(0.6, {"width": 1}, {"width": 64})
    assert curve.met and 0.6 <= recall_at(curve) < 0.75
    assert max(point.parameters["width"] for point in curve.points) == 64  # doubled once too far, then halved
    assert curve.chosen["width"] < 64


def test_tune__one_point_a_step__recall_and_cost_rise_together() -> None:
    parts = Parts()
    curve = parts.tune(0.9, {"width": 1, "fine": 1}, {"width": 64, "fine": 4})
    settings = [tuple(point.parameters.values()) for point in curve.points]
    assert settings == sorted(settings) and len(set(settings)) == len(settings)
    assert all(left[1] <= right[1] for left, right in pairwise(settings))
    recalls = [point.recall for point in curve.points]
    assert recalls[-1] >= 0.9 > recalls[0]
    assert all(point.ms_per_query > 0 and point.queries_per_second > 0 for point in curve.points)


def test_tune__a_parameter_that_does_not_help_rests_and_another_is_raised() -> None:
    curve = Parts().tune(1.0, {"width": 64, "fine": 1}, {"width": 64, "fine": 4})
    assert curve.met and curve.chosen == {"width": 64, "fine": 4}


def test_tune__nothing_to_tune__one_point() -> None:
    curve = Parts().tune(1.0, {}, {})
    assert curve.met and curve.chosen == {} and len(curve.points) == 1 and curve.recall == 1.0


def test_tune__not_reached__says_so() -> None:
    curve = Parts().tune(0.99, {"width": 1}, {"width": 16})
    assert not curve.met and curve.chosen == {"width": 16} and curve.recall < 0.99


def test_tune__the_figure_is_of_queries_that_chose_nothing() -> None:
    parts = Parts()
    # The held-out half has other right answers: the tuned half cannot see that they are never found.
    wrong = tuple(np.array([-2]) if number % 2 else right for number, right in enumerate(parts.truth.right))
    curve = tune(parts.search, parts.queries, Truth(5, wrong), wanted=0.9, start={"width": 1}, most={"width": 64})
    assert curve.met and curve.recall == 0.0 and curve.tuned_on == curve.held_out == 30


def test_tune__too_few_queries() -> None:
    parts = Parts()
    with pytest.raises(ConfigError, match=r"at least 50 queries.*text vectors.*--queries"):
        tune(parts.search, parts.queries[:49], parts.truth.part(slice(49)), wanted=0.9, start={}, most={})


def recall_at(curve: Curve) -> float:
    return next(point.recall for point in curve.points if point.parameters == curve.chosen)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingSet:
    return vector_set(tmp_path_factory.mktemp("set") / "set", unit(ROWS, seed=5), [str(row) for row in range(ROWS)], TOWER)


def truth_of(items: EmbeddingSet, queries: np.ndarray) -> Truth:
    return exact_neighbours((block for _, block in items.blocks()), queries, 10)


@pytest.mark.parametrize(
    "recipe",
    [
        IndexRecipe(factory="IVF50,Flat"),
        IndexRecipe(factory="HNSW8"),
        IndexRecipe(factory="IVF50,PQ8x4fs", rerank=1),
        IndexRecipe(factory="SQ4", rerank=1),
        IndexRecipe(factory="RR16,IVF50,RaBitQ", rerank=1),
        IndexRecipe(),
    ],
    ids=lambda recipe: recipe.factory,
)
def test_tune_index__every_kind_reaches_it(items: EmbeddingSet, tmp_path: Path, recipe: IndexRecipe) -> None:
    index = build_index(items, tmp_path / "index", recipe)
    queries = unit(80, seed=6)
    truth = truth_of(items, queries)
    curve = tune_index(index, recipe, DIM, queries, truth, AutoConfig(recall=0.9))
    assert curve.met and curve.items == ROWS and curve.factory == recipe.factory
    held = slice(1, None, 2)
    found = index.search(queries[held], 10, parameters=curve.chosen)
    assert truth.part(held).recall(found.rows) == curve.recall > 0.8


def test_tune_index__several_segments(items: EmbeddingSet, tmp_path: Path) -> None:
    queries = unit(80, seed=6)
    recipe = IndexRecipe(factory="IVF20,Flat")
    index = build_index(items, tmp_path / "index", recipe)
    split = Split(index, items, tmp_path)
    curve = tune_index(split.index, recipe, DIM, queries, truth_of(items, queries), AutoConfig(recall=0.95))
    assert len(split.index.segments) == 2 and curve.met


class Split:
    """The items in two segments, in their order."""

    def __init__(self, index: Index, items: EmbeddingSet, folder: Path) -> None:
        from mella_retrieval.indexes.update import add_to_index

        vectors, ids = items.vectors(), items.ids
        first = vector_set(folder / "first", vectors[:1000], ids[:1000], TOWER)
        second = vector_set(folder / "second", vectors[1000:], ids[1000:], TOWER)
        build_index(first, folder / "split", index.manifest.recipe)
        self.index = add_to_index(folder / "split", second)


def built(items: EmbeddingSet, folder: Path, config: AutoConfig, said: list[str], queries: int = 80) -> Tuned:
    return auto_build(
        len(items),
        DIM,
        config,
        unit(queries, seed=6),
        blocks=lambda: (block for _, block in items.blocks()),
        build=lambda recipe: build_index(items, folder / "index", recipe, overwrite=True),
        say=said.append,
    )


def test_auto_build__small_budget__compressed_and_tuned(items: EmbeddingSet, tmp_path: Path) -> None:
    said: list[str] = []
    made = built(items, tmp_path, AutoConfig(memory="120KB", recall=0.95), said)
    assert made.recipe.factory == "SQ8" and made.recipe.rerank >= 1 and made.curve.met
    assert made.curve.recall > 0.9 and made.index.manifest.recipe.factory == "SQ8"
    assert said[0] == "chosen: SQ8" and any(line.startswith("not Flat: it needs") for line in said)
    assert said[-1].startswith("tuned: rerank=")
    assert Curve.model_validate_json(made.curve.model_dump_json()) == made.curve


def test_auto_build__falls_short__an_exact_kind_that_fits(
    items: EmbeddingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mella_retrieval.indexes.auto.build.MOST_RERANK", 1)
    first = replace(choose(len(items), DIM, AutoConfig(memory="120KB")), fallback=[IndexRecipe()])
    monkeypatch.setattr("mella_retrieval.indexes.auto.build.choose", lambda *_: first)
    said: list[str] = []
    made = built(items, tmp_path, AutoConfig(recall=0.9999), said)
    assert first.recipe.factory == "SQ8" and "recall 0.9999 is not reached: Flat is built instead" in said
    assert made.recipe.factory == "Flat" == made.index.manifest.recipe.factory and made.curve.recall == 1.0


def test_auto_build__out_of_reach__names_what_was_reached(
    items: EmbeddingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mella_retrieval.indexes.auto.build.MOST_RERANK", 1)
    with pytest.raises(ConfigError, match=r"0\.9999 was not reached within memory=120KB: SQ8 reached 0\.9.*Allow 165,\d+ bytes"):
        built(items, tmp_path, AutoConfig(memory="120KB", recall=0.9999), [])


def test_auto_build__too_few_queries__before_anything_is_built(items: EmbeddingSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 50 queries"):
        built(items, tmp_path, AutoConfig(), [], queries=20)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("name", ["curve.png", "curve.svg"])
def test_draw_curve(tmp_path: Path, name: str) -> None:
    curve = Parts().tune(0.9, {"width": 1, "fine": 1}, {"width": 64, "fine": 4})
    draw_curve(curve, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"\x89PNG") or b"recall@5" in content


def test_draw_curve__another_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        draw_curve(Parts().tune(1.0, {}, {}), tmp_path / "curve.gif")


def test_faiss_threads_are_left_as_they_were() -> None:
    from mella_retrieval.indexes.auto.machine import short_seconds

    before = faiss.omp_get_max_threads()
    short_seconds.cache_clear()
    assert short_seconds() > 0 and faiss.omp_get_max_threads() == before
