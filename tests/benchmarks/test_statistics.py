from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.benchmarks.metrics import METRICS, summarise
from mella_retrieval.benchmarks.statistics import Bootstrap, Queries, estimate, paired_difference, resampled_metrics


def cell(rng, images, per_image=2, top=40):
    owner = np.repeat(np.arange(images), per_image)
    return Queries(rng.integers(1, top, len(owner)), owner)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 3), st.sampled_from([2, 5, 400]), st.integers(0, 1000))
def test_resampled_metrics__equal_metrics_of_the_drawn_queries(images, per_image, top, seed):
    """Every resample, drawn again the plain way: an image's queries repeated as often as the image was drawn."""
    rng = np.random.default_rng(seed)
    found_cell = cell(rng, images, per_image, top)
    bootstrap = Bootstrap(resamples=5, seed=seed)
    found = resampled_metrics([found_cell], images, bootstrap)
    drawn = np.random.default_rng(seed).integers(0, images, size=(128, images))[:5]
    for at, row in enumerate(drawn):
        ranks = np.concatenate([found_cell.ranks[found_cell.image == image] for image in row])
        for metric, value in summarise(ranks).items():
            assert found[metric][at, 0] == pytest.approx(value), metric


def test_resampled_metrics__cells_share_the_drawn_images():
    rng = np.random.default_rng(0)
    one = cell(rng, 50)
    found = resampled_metrics([one, one], 50, Bootstrap(resamples=30))
    for metric in METRICS:
        np.testing.assert_array_equal(found[metric][:, 0], found[metric][:, 1])


def test_resampled_metrics__fewer_resamples_are_the_first_of_more():
    one = cell(np.random.default_rng(0), 40)
    few, many = (resampled_metrics([one], 40, Bootstrap(resamples=count, seed=3)) for count in (130, 300))
    np.testing.assert_allclose(few["R@5"], many["R@5"][:130], rtol=1e-12)


def test_resampled_metrics__image_without_queries():
    lonely = Queries(np.array([1, 2]), np.array([0, 0]))
    found = resampled_metrics([lonely], 2, Bootstrap(resamples=200))
    assert np.isnan(found["R@1"]).any()
    assert np.isnan(found["median rank"]).any()
    kept = estimate(0.5, found["R@1"][:, 0], Bootstrap())
    assert (kept.low, kept.high) == (0.5, 0.5)


def test_interval__covers_the_truth_about_as_often_as_it_says():
    """400 test sets of 120 images with three captions that succeed together: intervals must respect the images."""
    rng = np.random.default_rng(1)
    truth, covered, naive_width, width = 0.4, 0, 0.0, 0.0
    for seed in range(400):
        hit = np.repeat(rng.random(120) < truth, 3)
        queries = Queries(np.where(hit, 1, 50), np.repeat(np.arange(120), 3))
        bootstrap = Bootstrap(resamples=300, seed=seed)
        draws = resampled_metrics([queries], 120, bootstrap, ["R@1"])["R@1"][:, 0]
        found = estimate(float(hit.mean()), draws, bootstrap)
        covered += found.low <= truth <= found.high
        width += found.standard_error
        naive_width += np.sqrt(hit.mean() * (1 - hit.mean()) / 360)
    assert 0.90 <= covered / 400 <= 0.98
    assert width / naive_width == pytest.approx(np.sqrt(3), rel=0.05)


def test_paired_difference__identical_systems():
    found = paired_difference(0.0, np.zeros(1000), Bootstrap())
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_paired_difference__is_calibrated_under_no_difference():
    rng = np.random.default_rng(2)
    bootstrap = Bootstrap(resamples=400)
    small = 0
    for _ in range(300):
        a, b = (Queries(np.where(rng.random(150) < 0.5, 1, 9), np.arange(150)) for _ in range(2))
        draws = resampled_metrics([a, b], 150, bootstrap, ["R@1"])["R@1"]
        gap = float((b.ranks == 1).mean() - (a.ranks == 1).mean())
        small += paired_difference(gap, draws[:, 1] - draws[:, 0], bootstrap).p <= 0.05
    assert 0.02 <= small / 300 <= 0.09


def test_paired_difference__clear_difference():
    rng = np.random.default_rng(3)
    found = paired_difference(0.3, 0.3 + 0.02 * rng.standard_normal(2000), Bootstrap())
    assert found.p == pytest.approx(1 / 2001)
    assert 0.24 < found.low < 0.28
    assert 0.32 < found.high < 0.36
