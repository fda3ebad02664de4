from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.errors import DataError


def test_from_ahead__relevant_items_stand_behind_one_another():
    """Query 0 has relevant items with 4, 0 and 4 irrelevant ones ahead: positions 1, 4 + 2 and 4 + 3."""
    found = Positions.from_ahead(np.array([0, 1, 0, 0]), np.array([4, 2, 0, 4]))
    assert found.values.tolist() == [1, 6, 7, 3]
    assert found.counts.tolist() == [3, 1]
    assert found.best.tolist() == [1, 3]
    assert found.places.tolist() == [1, 2, 3, 1]


def test_take__queries_in_another_order():
    found = Positions(np.array([1, 6, 7, 3, 9, 11]), np.array([3, 1, 2])).take([2, 0])
    assert found.values.tolist() == [9, 11, 1, 6, 7]
    assert found.counts.tolist() == [2, 3]


def test_of__ranks_are_one_relevant_item_each():
    found = Positions.of([4, 1])
    assert (found.values.tolist(), found.counts.tolist()) == ([4, 1], [1, 1])
    assert Positions.of(found) is found


def test_sums__per_query():
    found = Positions(np.array([1, 6, 7, 3]), np.array([3, 1]))
    assert found.sums(found.values).tolist() == [14, 3]
    assert Positions.of([]).sums(np.zeros(0)).size == 0


def test_positions__that_do_not_fit_together():
    with pytest.raises(DataError, match="3 positions"):
        Positions(np.array([1, 2, 3]), np.array([2]))
    with pytest.raises(DataError, match="no rank"):
        Positions(np.array([1]), np.array([1, 0]))
