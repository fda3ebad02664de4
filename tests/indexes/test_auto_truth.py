"""Exact neighbours over blocks, and what counts as found."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.errors import DataError
from mella_retrieval.indexes.auto.truth import TOLERANCE, exact_neighbours


def unit(count: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "copies"), [(1, 1), (7, 1), (300, 1), (11, 5)])
def test_exact_neighbours__any_blocks__every_item_that_ties(height: int, copies: int) -> None:
    items, queries = np.repeat(unit(60, 6, seed=0), copies, axis=0), unit(20, 6, seed=1)
    items = items[np.random.default_rng(2).permutation(len(items))]
    truth = exact_neighbours((items[start : start + height] for start in range(0, len(items), height)), queries, 4)
    for query, right in zip(queries, truth.right, strict=True):
        scores = items.astype(np.float64) @ query
        least = np.sort(scores)[-4]
        assert set(np.flatnonzero(scores >= least - TOLERANCE / 2)) <= set(right.tolist())
        assert set(right.tolist()) <= set(np.flatnonzero(scores >= least - 2 * TOLERANCE))


def test_recall__ties_are_right_and_misses_are_not() -> None:
    items = np.eye(4, dtype=np.float32)[[0, 1, 1, 1, 2]]
    truth = exact_neighbours([items], np.array([[0.8, 0.6, 0, 0]], np.float32), 2)
    assert truth.recall(np.array([[0, 3]])) == 1.0
    assert truth.recall(np.array([[0, 4]])) == 0.5
    assert truth.recall(np.array([[4, -1]])) == 0.0
    assert truth.recall(np.array([[4, 0, 1]])) == 0.5  # only the first two places count


def test_recall__fewer_items_than_places() -> None:
    items, queries = unit(3, 5, seed=0), unit(2, 5, seed=1)
    truth = exact_neighbours([items], queries, 10)
    assert truth.k == 3
    assert truth.recall(np.tile([2, 0, 1, -1], (2, 1))) == 1.0


def test_recall__another_number_of_queries() -> None:
    truth = exact_neighbours([unit(3, 5, seed=0)], unit(2, 5, seed=1), 1)
    with pytest.raises(DataError, match="3 queries were answered"):
        truth.recall(np.zeros((3, 1), np.int64))
