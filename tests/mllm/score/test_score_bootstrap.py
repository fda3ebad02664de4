"""Intervals and tests against what they should be."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.mllm.score.bootstrap import Bootstrap, difference, interval, mean, resampled_means

SETTINGS = Bootstrap(resamples=4000)


def test_an_interval_is_what_the_normal_one_is():
    """Of 400 draws of 0 or 100 with mean 30: 1.96 * sqrt(.3 * .7 / 400) * 100 = 4.5 to either side."""
    scores = np.repeat([100.0, 0.0], [120, 280])[:, None]
    found = interval(30.0, resampled_means(scores, SETTINGS)[:, 0], SETTINGS)
    assert found.low == pytest.approx(25.5, abs=0.5) and found.high == pytest.approx(34.5, abs=0.5)


def test_the_same_seed_gives_the_same_draws_and_columns_share_them():
    scores = np.random.default_rng(0).normal(size=(50, 1))
    both = resampled_means(np.concatenate([scores, scores + 1], axis=1), SETTINGS)
    assert np.allclose(both[:, 1] - both[:, 0], 1)
    assert np.array_equal(both, resampled_means(np.concatenate([scores, scores + 1], axis=1), SETTINGS))
    assert not np.allclose(both[:, :1], resampled_means(scores, Bootstrap(resamples=4000, seed=1)))


def test_pictures_without_a_score_count_for_nothing():
    scores = np.array([[1.0], [np.nan], [3.0]])
    assert mean(scores[:, 0]) == 2
    assert mean(np.array([np.nan])) is None
    drawn = resampled_means(scores, SETTINGS)[:, 0]
    assert set(np.round(drawn[np.isfinite(drawn)], 6)) <= {1.0, 1.5, 2.0, 2.5, 3.0, round(5 / 3, 6), round(7 / 3, 6)}
    assert np.isnan(drawn).any()  # resamples of the middle one alone


def test_paired_differences():
    generator = np.random.default_rng(1)
    hard = generator.normal(50, 20, 300)  # pictures differ more than models do
    better = hard + generator.normal(2, 5, 300)
    draws = resampled_means(np.stack([hard, better], axis=1), SETTINGS)
    found = difference(float((better - hard).mean()), draws[:, 1] - draws[:, 0], SETTINGS)
    assert found.low is not None and found.low > 0.8 and found.p is not None and found.p < 0.001
    same = difference(0.0, draws[:, 0] - draws[:, 0], SETTINGS)
    assert (same.low, same.high, same.p) == (0, 0, 1)


def test_the_test_holds_its_level():
    """Under the null hypothesis p is below .1 for about a tenth."""
    settings = Bootstrap(resamples=200)
    generator = np.random.default_rng(2)
    below = 0
    for _ in range(200):
        scores = generator.normal(size=(60, 2))
        draws = resampled_means(scores, settings)
        p = difference(float((scores[:, 1] - scores[:, 0]).mean()), draws[:, 1] - draws[:, 0], settings).p
        below += p is not None and p < 0.1
    assert 10 <= below <= 36
