"""Metrics of a list of ranks, and what a random ranking would get.

Recalls and MRR are fractions between 0 and 1; ranks start at 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mella_retrieval.errors import DataError

Doubles = NDArray[np.float64]

CUTOFFS = (1, 5, 10)
MEAN_RECALL = "mean R"
MEDIAN_RANK = "median rank"
MRR = "MRR"
METRICS = (*(f"R@{k}" for k in CUTOFFS), MEAN_RECALL, MEDIAN_RANK, MRR)

TEXT_TO_IMAGE = "t2i"
IMAGE_TO_TEXT = "i2t"
BOTH = "both"
DIRECTIONS = (TEXT_TO_IMAGE, IMAGE_TO_TEXT)


def query_scores(ranks: ArrayLike) -> dict[str, Doubles]:
    """What every query contributes to each metric that is a mean over queries: all but the median rank. Values are (n,)."""
    ranks = np.asarray(ranks)
    hits = {f"R@{k}": (ranks <= k).astype(np.float64) for k in CUTOFFS}
    return {**hits, MEAN_RECALL: sum(hits.values(), np.zeros(ranks.shape)) / len(CUTOFFS), MRR: 1.0 / ranks}


def summarise(ranks: ArrayLike) -> dict[str, float]:
    """Every metric of `METRICS` over the queries.

    Raises:
        DataError: there is no query.
    """
    ranks = np.asarray(ranks)
    if ranks.size == 0:
        raise DataError("there is no query to take a mean over.")
    values = {name: float(scores.mean()) for name, scores in query_scores(ranks).items()}
    return {name: float(np.median(ranks)) if name == MEDIAN_RANK else values[name] for name in METRICS}


def both_directions(t2i: Mapping[str, float], i2t: Mapping[str, float]) -> dict[str, float]:
    """The mean over the two directions of each recall and of MRR; `mean R` becomes the mean of the six recalls."""
    return {name: (t2i[name] + i2t[name]) / 2 for name in METRICS if name != MEDIAN_RANK}


def chance(relevant: ArrayLike, gallery: int) -> dict[str, float]:
    """What a random order of the gallery gets, computed, not drawn.

    A query with r relevant items among n has its best one below rank k with the hypergeometric probability C(n-r, k) /
    C(n, k).

    Args:
        relevant: (Q,) number of relevant items of each query, 1 ... gallery.
        gallery: n, number of items ranked.

    Raises:
        DataError: no query, or a number of relevant items outside 1 ... gallery.
    """
    counts = np.asarray(relevant)
    if counts.size == 0 or counts.min() < 1 or counts.max() > gallery:
        raise DataError(f"every query needs between 1 and {gallery} relevant items.")
    below = _below(counts, gallery)
    recalls = {f"R@{k}": float(1 - below[min(k, gallery)]) for k in CUTOFFS}
    steps = below[:-1] - below[1:]  # probability of rank 1 ... n
    values = {
        **recalls,
        MEAN_RECALL: sum(recalls.values()) / len(CUTOFFS),
        MEDIAN_RANK: float(np.flatnonzero(below <= 0.5)[0]),
        MRR: float((steps / np.arange(1, gallery + 1)).sum()),
    }
    return {name: values[name] for name in METRICS}


def _below(counts: NDArray[np.int64], gallery: int) -> Doubles:
    """(gallery + 1,) probability that the best relevant item stands below rank k = 0, 1 ..., mean over the queries."""
    k = np.arange(gallery + 1, dtype=np.float64)
    total = np.zeros(gallery + 1)
    for r, queries in zip(*np.unique(counts, return_counts=True), strict=True):
        # C(n-r, k) / C(n, k) as a product over the r relevant items: each stands below k
        below = np.ones(gallery + 1)
        for i in range(int(r)):
            below *= np.clip((gallery - k - i) / (gallery - i), 0, None)
        total += queries * below
    return np.asarray(total / counts.size)
