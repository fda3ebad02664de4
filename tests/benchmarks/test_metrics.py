from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.metrics import METRICS, both_directions, chance, summarise
from mella_retrieval.errors import DataError


def test_summarise__known_ranks():
    found = summarise([1, 2, 5, 10, 11, 100])
    assert tuple(found) == METRICS
    assert found["R@1"] == pytest.approx(1 / 6)
    assert found["R@5"] == pytest.approx(3 / 6)
    assert found["R@10"] == pytest.approx(4 / 6)
    assert found["mean R"] == pytest.approx(8 / 18)
    assert found["median rank"] == 7.5
    assert found["MRR"] == pytest.approx((1 + 1 / 2 + 1 / 5 + 1 / 10 + 1 / 11 + 1 / 100) / 6)


def test_summarise__no_query_is_an_error():
    with pytest.raises(DataError, match="no query"):
        summarise([])


def test_both_directions__mean_of_six_recalls():
    found = both_directions(summarise([1, 1]), summarise([6, 6]))
    assert found["mean R"] == pytest.approx((1 + 1 + 1 + 0 + 0 + 1) / 6)
    assert "median rank" not in found


@pytest.mark.parametrize(("relevant", "gallery"), [([1] * 3, 7), ([1, 2, 5, 2], 30), ([3, 1], 12), ([4], 4)])
def test_chance__agrees_with_simulation(relevant, gallery):
    rng = np.random.default_rng(0)
    draws = 20_000
    ranks = []
    for r in relevant:
        order = rng.permuted(np.tile(np.arange(gallery), (draws, 1)), axis=1)
        best = (order < r).argmax(
            axis=1
        )  # items 0 ... r-1 are the relevant ones; no irrelevant one stands before the best but these
        ranks.append(1 + best)
    simulated, computed = summarise(np.concatenate(ranks)), chance(relevant, gallery)
    for metric in METRICS:
        assert computed[metric] == pytest.approx(simulated[metric], abs=0.5 if metric == "median rank" else 0.012), metric


def test_chance__one_relevant_item():
    found = chance(np.ones(3600, int), 3600)
    assert found["R@10"] == pytest.approx(10 / 3600)
    assert found["median rank"] == 1800
    assert found["MRR"] == pytest.approx(np.sum(1 / np.arange(1, 3601)) / 3600)


def test_chance__gallery_smaller_than_the_cutoff():
    found = chance([1], 3)
    assert found["R@5"] == found["R@10"] == pytest.approx(1)


@pytest.mark.parametrize(("relevant", "gallery"), [([], 3), ([0], 3), ([4], 3)])
def test_chance__impossible_numbers(relevant, gallery):
    with pytest.raises(DataError):
        chance(relevant, gallery)
