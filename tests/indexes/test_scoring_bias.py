"""Biases folded into vectors: the same order from plain inner products, from unit vectors, and from a real index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from index_material import TOWER, vector_set

from mella_retrieval.errors import DataError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.manifest import IndexRecipe
from mella_retrieval.indexes.scoring.bias import fold_items, fold_queries, fold_unit_items, fold_unit_queries


def unit(count: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


ITEMS, QUERIES = unit(60, 8, 0), unit(20, 8, 1)
BIAS = np.random.default_rng(2).normal(size=60).astype(np.float32)
WANTED = QUERIES.astype(np.float64) @ ITEMS.T + BIAS


def test_inner_products_are_the_corrected_scores():
    found = fold_queries(QUERIES) @ fold_items(ITEMS, BIAS).T
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, WANTED, atol=1e-6)


def test_unit_vectors_have_the_same_order_and_the_stated_cosine():
    items, queries = fold_unit_items(ITEMS, BIAS), fold_unit_queries(QUERIES)
    for vectors in (items.vectors, queries):
        assert vectors.shape[1] == 10
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    found = queries @ items.vectors.T
    np.testing.assert_allclose(found, items.scale * WANTED / np.sqrt(2), atol=1e-6)
    np.testing.assert_array_equal(np.argsort(-found, axis=1), np.argsort(-WANTED, axis=1))


def test_several_biases_serve_several_kinds_of_queries_and_weight_zero_is_the_plain_order():
    biases = np.stack([BIAS, -2 * BIAS], axis=1)
    weights = np.zeros((20, 2), np.float32)
    weights[:7, 0], weights[7:14, 1] = 1, 1
    wanted = QUERIES.astype(np.float64) @ ITEMS.T + weights @ biases.T
    found = fold_unit_queries(QUERIES, weights) @ fold_unit_items(ITEMS, biases).vectors.T
    np.testing.assert_array_equal(np.argsort(-found, axis=1), np.argsort(-wanted, axis=1))
    np.testing.assert_array_equal(np.argsort(-found[14:], axis=1), np.argsort(-(QUERIES[14:] @ ITEMS.T), axis=1))


@pytest.mark.parametrize("factory", ["Flat", "HNSW32"])
def test_an_index_of_folded_vectors_returns_the_corrected_order(tmp_path: Path, factory: str):
    ids = [f"i{row:02d}" for row in range(60)]
    folded = vector_set(tmp_path / "set", fold_unit_items(ITEMS, BIAS).vectors, ids)
    index = build_index(
        folded, tmp_path / "index", IndexRecipe(factory=factory, search={"efSearch": 60} if factory != "Flat" else {})
    )
    found = [[match.id for match in matches] for matches in index.search(fold_unit_queries(QUERIES), 10)]
    assert found == [[ids[row] for row in order[:10]] for order in np.argsort(-WANTED, axis=1)]
    assert found != [[ids[row] for row in order[:10]] for order in np.argsort(-(QUERIES @ ITEMS.T), axis=1)]


def test_items_added_later_share_the_scale_of_the_first():
    first = fold_unit_items(ITEMS[:30], BIAS[:30], bound=4.0)
    later = fold_unit_items(ITEMS[30:], BIAS[30:], bound=4.0)
    found = fold_unit_queries(QUERIES) @ np.concatenate([first.vectors, later.vectors]).T
    np.testing.assert_array_equal(np.argsort(-found, axis=1), np.argsort(-WANTED, axis=1))
    with pytest.raises(DataError, match=r"longer than the bound 0\.1"):
        fold_unit_items(ITEMS, BIAS, bound=0.1)


def test_what_does_not_fit_is_refused():
    assert TOWER.dim == ITEMS.shape[1]
    with pytest.raises(DataError, match=r"biases have shape \(59,\), but there are 60 vectors"):
        fold_items(ITEMS, BIAS[:-1])
    with pytest.raises(DataError, match="biases hold NaN"):
        fold_unit_items(ITEMS, np.where(np.arange(60) == 4, np.nan, BIAS))
    with pytest.raises(DataError, match="weights have shape"):
        fold_queries(QUERIES, np.ones(3))
    with pytest.raises(DataError, match="the queries: row 0 is a zero vector"):
        fold_unit_queries(np.zeros((2, 8), np.float32))
