from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.chance import chance, rank_distribution
from mella_retrieval.benchmarks.metrics import LONG_METRICS, METRICS, summarise
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.errors import DataError

ALL = (*METRICS, *LONG_METRICS)


@pytest.mark.parametrize(
    ("relevant", "gallery"), [([1] * 3, 7), ([1, 2, 5, 2], 30), ([3, 1], 12), ([4], 4), ([1, 2, 2], [30, 30, 9])]
)
def test_chance__agrees_with_simulation(relevant, gallery):
    rng = np.random.default_rng(0)
    draws = 20_000
    values = []
    for r, n in zip(relevant, np.broadcast_to(gallery, len(relevant)), strict=True):
        order = rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
        values.append(1 + np.sort(order[:, :r], axis=1))  # items 0 ... r-1 are the relevant ones
    counts = np.repeat(relevant, draws)
    simulated = summarise(Positions(np.concatenate([v.ravel() for v in values]), counts), ALL)
    computed = chance(relevant, gallery, ALL)
    assert tuple(computed) == ALL
    for metric in ALL:
        slack = {"median rank": 0.5, "sumR": 0.04}.get(metric, 0.013)
        assert computed[metric] == pytest.approx(simulated[metric], abs=slack), metric


def test_chance__one_relevant_item():
    found = chance(np.ones(3600, int), 3600)
    assert found["MRR"] == pytest.approx(found["mAP"])
    assert found["R@10"] == pytest.approx(10 / 3600)
    assert found["median rank"] == 1800
    assert found["mAP"] == pytest.approx(np.sum(1 / np.arange(1, 3601)) / 3600)


def test_chance__gallery_smaller_than_the_cutoff():
    found = chance([1], 3, ALL)
    assert found["R@5"] == found["R@10"] == found["recall@1000"] == pytest.approx(1)


@pytest.mark.parametrize(("relevant", "gallery"), [([], 3), ([0], 3), ([4], 3), ([2, 2], [3, 1])])
def test_chance__impossible_numbers(relevant, gallery):
    with pytest.raises(DataError):
        chance(relevant, gallery)


def test_rank_distribution__sums_to_one_and_has_the_known_mean():
    chances = rank_distribution(3, 20)
    assert chances.sum() == pytest.approx(1)
    assert chances @ np.arange(1, 21) == pytest.approx(21 / 4)  # (n + 1) / (r + 1)
