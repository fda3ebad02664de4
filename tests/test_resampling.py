"""Intervals, p and Holm's correction by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.resampling import holm, percentile_interval, shifted_p


def test_holm__known_example():
    # Holm's procedure by hand: 4 x .005, 3 x .01, max(.03, 2 x .03), max(.06, 1 x .04)
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_holm__never_above_one_and_nothing_to_adjust():
    np.testing.assert_allclose(holm([0.6, 0.9]), [1, 1])
    assert holm([]).size == 0


def test_percentile_interval__leaves_what_is_no_number_out():
    draws = np.array([np.nan, *np.arange(101.0)])
    assert percentile_interval(draws, 0.9) == pytest.approx((5, 95))
    assert percentile_interval(np.array([1.0, np.nan]), 0.9) is None


def test_shifted_p__counts_the_observation_and_both_sides():
    draws = np.array([np.nan, 1.0, 2.0, 3.0, 5.0])  # away from 2 by 1, 0, 1 and 3
    assert shifted_p(2.0, draws, 1e-9) == pytest.approx(2 / 5)
    assert shifted_p(1.0, draws, 1e-9) == pytest.approx(4 / 5)
    assert shifted_p(0.0, np.zeros(9), 1e-9) == 1
