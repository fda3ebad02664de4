"""Bootstrap over images: intervals, standard errors and paired tests.

Captions of one image are not independent of each other, images are. So images are drawn with replacement, the queries
of a drawn image travel together (both directions, all languages, all systems), and the gallery stays as it is. A metric
that is a mean over queries is then a ratio of two matrix products: weights of the resamples times sums per image, over
weights times counts per image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.metrics import MEDIAN_RANK, METRICS, query_scores
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.threads import one_blas_thread
from mella_retrieval.recipes import Strict
from mella_retrieval.resampling import Doubles, percentile_interval, shifted_p

Ints = NDArray[np.int64]

_CHUNK = 128  # resamples held at a time; fixed, so that the same seed gives the same draws


class Bootstrap(Strict):
    """How intervals and tests were drawn; stands in every result."""

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A value, its percentile interval and standard error (None where nothing was drawn)."""

    value: float
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True)
class Difference:
    """A difference b - a with its interval and two-sided p."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Queries:
    """The ranks of one system, language and direction.

    Attributes:
        ranks: of n queries: positions of their relevant items, or (n,) ranks from 1 of one each.
        image: (n,) which of the resampled images each query belongs to.
    """

    ranks: Ints | Positions
    image: Ints


def resampled_metrics(
    cells: Sequence[Queries], images: int, settings: Bootstrap, metrics: Sequence[str] = METRICS
) -> dict[str, Doubles]:
    """Each metric of every cell in every resample; the cells share the drawn images.

    Args:
        cells: C lists of queries.
        images: number of images to draw from.
        settings: resamples and seed.
        metrics: those wanted: names of `metrics.PER_QUERY`, or the median rank.

    Returns:
        For each metric (resamples, C); NaN where a resample drew no image with a query of that cell.
    """
    means = [metric for metric in metrics if metric != MEDIAN_RANK]
    counts = _image_sums(cells, [np.ones(len(cell.image)) for cell in cells], images)
    contributions = [query_scores(cell.ranks, means) for cell in cells]
    sums = {metric: _image_sums(cells, [scores[metric] for scores in contributions], images) for metric in means}
    medians = [_Median(cell, images) for cell in cells] if MEDIAN_RANK in metrics else []
    chunks: dict[str, list[Doubles]] = {metric: [] for metric in metrics}
    with one_blas_thread():
        for drawn in _weights(images, settings):
            asked = drawn @ counts
            asked[asked == 0] = np.nan
            for metric in means:
                chunks[metric].append((drawn @ sums[metric]) / asked)
            if medians:
                chunks[MEDIAN_RANK].append(np.stack([median.of(drawn) for median in medians], axis=1))
    return {metric: np.concatenate(parts) for metric, parts in chunks.items()}


def resampled_means(values: Doubles, settings: Bootstrap) -> Doubles:
    """Means over resampled images (resamples, C) of one value per image and column (images, C)."""
    with one_blas_thread():
        parts = [drawn @ values / len(values) for drawn in _weights(len(values), settings)]
    return np.concatenate(parts)


def _weights(images: int, settings: Bootstrap) -> Iterator[Doubles]:
    """Chunks (c, images) of how often each resample draws each image."""
    rng = np.random.default_rng(settings.seed)
    for start in range(0, settings.resamples, _CHUNK):
        drawn = rng.integers(0, images, size=(_CHUNK, images))[: settings.resamples - start]
        flat = (drawn + np.arange(len(drawn))[:, None] * images).ravel()
        yield np.bincount(flat, minlength=len(drawn) * images).reshape(len(drawn), images).astype(np.float64)


def _image_sums(cells: Sequence[Queries], scores: Sequence[Doubles], images: int) -> Doubles:
    """(images, C) sum of the scores of each image's queries, one column per cell."""
    columns = [np.bincount(cell.image, weights=values, minlength=images) for cell, values in zip(cells, scores, strict=True)]
    return np.stack(columns, axis=1)


class _Median:
    """The median rank of a cell under weights per image, from how many queries of each image stand at or above each rank.

    Only ranks near the median are looked at: a resample's median lies within six standard errors of one half of the
    distribution, a standard error being at most 0.5 / sqrt(images) where the queries of an image agree entirely.
    """

    def __init__(self, cell: Queries, images: int) -> None:
        ranks = Positions.of(cell.ranks).best
        reach = 3 / np.sqrt(max(len(np.unique(cell.image)), 1))
        low, high = np.quantile(ranks, [max(0.5 - reach, 0), min(0.5 + reach, 1)], method="inverted_cdf")
        near = np.unique(ranks[(ranks >= low) & (ranks <= high)])
        at_or_above = np.zeros((images, len(near) + 1))
        np.add.at(at_or_above, (cell.image, np.searchsorted(near, ranks)), 1)
        self.ranks = near.astype(np.float64)
        self.at_or_above: Doubles = np.cumsum(at_or_above, axis=1)  # the last column counts all queries of an image

    def of(self, drawn: Doubles) -> Doubles:
        """(c,) medians for weights (c, images); NaN where they leave no query."""
        passed = drawn @ self.at_or_above
        total = passed[:, -1:]
        middle = [(passed[:, :-1] < np.floor((total + step) / 2)).sum(axis=1) for step in (1, 2)]  # two for an even number
        values = np.mean([self.ranks[np.minimum(at, len(self.ranks) - 1)] for at in middle], axis=0)
        return np.where(total[:, 0] > 0, values, np.nan)


def estimate(value: float, draws: Doubles, settings: Bootstrap) -> Estimate:
    """The percentile interval and standard error of bootstrap draws (r,)."""
    found = percentile_interval(draws, settings.level)
    if found is None:
        return Estimate(value)
    return Estimate(value, *found, float(draws[np.isfinite(draws)].std(ddof=1)))


def paired_difference(value: float, draws: Doubles, settings: Bootstrap) -> Difference:
    """Interval and p of a difference from its bootstrap draws (r,), see `resampling.shifted_p`."""
    low, high = percentile_interval(draws, settings.level) or (value, value)
    return Difference(value, low, high, shifted_p(value, draws, 1e-12))
