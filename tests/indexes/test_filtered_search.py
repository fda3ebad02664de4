"""Filters over indexes that look at a part of their items only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from index_material import TOWER, vector_set

from mella_retrieval.indexes import segment
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe

COUNT, DIM = 4000, 16
RECIPES = {
    "IVF32,Flat": IndexRecipe(factory="IVF32,Flat", search={"nprobe": 2}),
    "HNSW8": IndexRecipe(factory="HNSW8", search={"efSearch": 16}),
}


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module", params=sorted(RECIPES))
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder: Path = tmp_path_factory.mktemp("filtered")
    tower = TOWER.model_copy(update={"dim": DIM})
    vectors = vector_set(folder / "set", unit(COUNT, 0), [f"v{row:04d}" for row in range(COUNT)], tower, n=list(range(COUNT)))
    return build_index(vectors, folder / "index", RECIPES[request.param])


def recall(index: Index, queries: np.ndarray, allowed: np.ndarray, where: str | None) -> float:
    scores = np.where(allowed, queries @ unit(COUNT, 0).T, -np.inf)
    truth = np.argsort(-scores, axis=1)[:, :10]
    found = index.search(queries, 10, where=where).rows
    assert (found >= 0).all() and allowed[found].all()
    return float(np.mean([len(set(one) & set(other)) / 10 for one, other in zip(found.tolist(), truth.tolist(), strict=True)]))


def test_few_allowed_items_are_all_compared(index: Index):
    queries, allowed = unit(40, 1), np.arange(COUNT) >= COUNT - 300
    assert recall(index, queries, np.ones(COUNT, bool), None) < 0.9  # a search of its own would miss some
    assert recall(index, queries, allowed, f"n >= {COUNT - 300}") == 1.0


def test_of_many_allowed_items_as_much_is_looked_at_as_without_a_filter(index: Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segment, "SCANNED", 0)
    queries, allowed = unit(60, 1), np.arange(COUNT) % 8 == 0
    plain = recall(index, queries, np.ones(COUNT, bool), None)
    ids = [f"v{row:04d}" for row in np.flatnonzero(allowed)]
    where = f"id in {ids!r}"
    assert recall(index, queries, allowed, where) >= plain - 0.05


def test_a_filter_that_leaves_few_fills_every_place(index: Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(segment, "SCANNED", 0)
    monkeypatch.setattr(segment, "_MOST_EFFORT", 1.0)
    queries, allowed = unit(40, 1), np.arange(COUNT) >= COUNT - 12
    assert recall(index, queries, allowed, f"n >= {COUNT - 12}") >= 0.95
