from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from mella_retrieval.benchmarks.metrics import LONG_METRICS, METRICS, PER_QUERY, both_directions, query_scores, summarise
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.errors import DataError


def test_summarise__known_ranks():
    found = summarise([1, 2, 5, 10, 11, 100])
    assert tuple(found) == METRICS
    assert found["R@1"] == pytest.approx(1 / 6)
    assert found["R@5"] == pytest.approx(3 / 6)
    assert found["R@10"] == pytest.approx(4 / 6)
    assert found["mean R"] == pytest.approx(8 / 18)
    assert found["sumR"] == pytest.approx(8 / 6)
    assert found["median rank"] == 7.5
    assert found["MRR"] == found["mAP"] == pytest.approx((1 + 1 / 2 + 1 / 5 + 1 / 10 + 1 / 11 + 1 / 100) / 6)
    assert found["nDCG@10"] == pytest.approx((1 + 1 / np.log2(3) + 1 / np.log2(6) + 1 / np.log2(11)) / 6)


def test_summarise__several_relevant_items():
    """By hand: the first query's three stand at 1, 4 and 30, the second's one at 2."""
    found = summarise(Positions(np.array([1, 4, 30, 2]), np.array([3, 1])), (*METRICS, *LONG_METRICS))
    assert found["R@1"] == found["hit rate@1"] == 0.5
    assert found["recall@1"] == pytest.approx((1 / 3 + 0) / 2)
    assert found["recall@5"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["recall@100"] == 1
    assert found["mAP"] == pytest.approx(((1 + 2 / 4 + 3 / 30) / 3 + 1 / 2) / 2)
    assert found["MRR"] == pytest.approx(0.75)
    ideal = 1 + 1 / np.log2(3) + 1 / np.log2(4)
    assert found["nDCG@10"] == pytest.approx(((1 + 1 / np.log2(5)) / ideal + 1 / np.log2(3)) / 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.data())
def test_query_scores__agree_with_scikit_learn(gallery, data):
    relevant = data.draw(st.lists(st.integers(1, gallery), min_size=1, max_size=min(gallery - 1, 14), unique=True).map(sorted))
    truth = np.isin(np.arange(1, gallery + 1), relevant)
    scores = -np.arange(gallery, dtype=float)  # the item at position p has the p-th highest score
    found = query_scores(Positions(np.array(relevant), np.array([len(relevant)])))
    assert found["nDCG@10"][0] == pytest.approx(ndcg_score([truth], [scores], k=10))
    assert found["mAP"][0] == pytest.approx(average_precision_score(truth, scores))


def test_summarise__one_relevant_item_makes_recall_hit_rate_and_r_the_same():
    ranks = np.random.default_rng(0).integers(1, 50, 200)
    found = summarise(ranks, (*METRICS, *LONG_METRICS))
    for k in (1, 5, 10):
        assert found[f"R@{k}"] == found[f"recall@{k}"] == found[f"hit rate@{k}"]
    assert found["MRR"] == found["mAP"]


def test_summarise__more_than_ten_relevant_items_can_reach_a_full_ndcg():
    assert summarise(Positions(np.arange(1, 16), np.array([15])))["nDCG@10"] == pytest.approx(1)


def test_summarise__no_query_is_an_error():
    with pytest.raises(DataError, match="no query"):
        summarise([])


def test_both_directions__mean_of_six_recalls_and_their_sum():
    found = both_directions(summarise([1, 1]), summarise([6, 6]))
    assert found["mean R"] == pytest.approx((1 + 1 + 1 + 0 + 0 + 1) / 6)
    assert found["sumR"] == pytest.approx(4)
    assert "median rank" not in found


def test_registry__holds_every_metric_but_the_median_rank():
    assert set(METRICS) | set(LONG_METRICS) == set(PER_QUERY) | {"median rank"}
