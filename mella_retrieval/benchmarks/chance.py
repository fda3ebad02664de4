"""What a random order of the gallery gets: computed, not drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mella_retrieval.benchmarks.metrics import CUTOFFS, IDEAL_DCG, MAP, MEAN_RECALL, MEDIAN_RANK, METRICS, MRR, NDCG, SUM_RECALL
from mella_retrieval.errors import DataError

Doubles = NDArray[np.float64]


def chance(relevant: ArrayLike, gallery: ArrayLike, metrics: Sequence[str] = METRICS) -> dict[str, float]:
    """Expected value of each metric under a random order (for the median rank: the median of the ranks of all queries).

    Args:
        relevant: (n,) number of relevant items of each query, 1 ... gallery.
        gallery: number of items ranked, one for all queries or (n,).
        metrics: names of `metrics.PER_QUERY`, or the median rank.

    Raises:
        DataError: no query, or a number of relevant items outside 1 ... gallery.
    """
    counts = np.atleast_1d(np.asarray(relevant))
    sizes = np.broadcast_to(np.asarray(gallery), counts.shape)
    if counts.size == 0 or counts.min() < 1 or (counts > sizes).any():
        raise DataError(f"every query needs between 1 and {sizes.min(initial=0)} relevant items.")
    kinds, weights = np.unique(np.stack([counts, sizes]), axis=1, return_counts=True)
    curves = [_Random(int(r), int(n)) for r, n in kinds.T]
    shares = weights / counts.size
    values = {name: float(shares @ [curve.expected(name) for curve in curves]) for name in metrics if name != MEDIAN_RANK}
    if MEDIAN_RANK in metrics:
        values[MEDIAN_RANK] = _median(curves, shares)
    return {name: values[name] for name in metrics}


def rank_distribution(relevant: int, gallery: int) -> Doubles:
    """(gallery,) probability that the best of the relevant items stands at rank 1, 2 ... of a random order."""
    below = _Random(relevant, gallery).below
    return np.asarray(below[:-1] - below[1:])


class _Random:
    """A query with r relevant items among n, in a random order.

    The best one stands below rank k with the hypergeometric probability C(n-r, k) / C(n, k), here as a product over the
    relevant items.
    """

    def __init__(self, relevant: int, gallery: int) -> None:
        self.r, self.n = relevant, gallery
        k = np.arange(gallery + 1, dtype=np.float64)
        self.below: Doubles = np.ones(gallery + 1)
        for i in range(relevant):
            self.below *= np.clip((gallery - k - i) / (gallery - i), 0, None)

    def expected(self, metric: str) -> float:
        name, _, cutoff = metric.partition("@")
        if name in ("R", "hit rate"):
            return self._hit(int(cutoff))
        if name == "recall":
            return min(int(cutoff), self.n) / self.n
        if metric == SUM_RECALL:
            return sum(self._hit(k) for k in CUTOFFS)
        if metric == MEAN_RECALL:
            return sum(self._hit(k) for k in CUTOFFS) / len(CUTOFFS)
        return {MRR: self._mrr, NDCG: self._ndcg, MAP: self._map}[metric]()

    def _hit(self, k: int) -> float:
        return float(1 - self.below[min(k, self.n)])

    def _mrr(self) -> float:
        return float(((self.below[:-1] - self.below[1:]) / np.arange(1, self.n + 1)).sum())

    def _ndcg(self) -> float:
        return float(self.r / self.n * IDEAL_DCG[min(10, self.n)] / IDEAL_DCG[min(10, self.r)])

    def _map(self) -> float:
        # position k holds a relevant item with probability r/n, and then (k-1)(r-1)/(n-1) others are expected ahead of it
        k = np.arange(1, self.n + 1)
        ahead = (k - 1) * (self.r - 1) / max(self.n - 1, 1)
        return float(((1 + ahead) / k).sum() / self.n)


def _median(curves: Sequence[_Random], shares: Doubles) -> float:
    longest = max(curve.n for curve in curves)
    below = np.zeros(longest + 1)
    for curve, share in zip(curves, shares, strict=True):
        below[: curve.n + 1] += share * curve.below
    return float(np.flatnonzero(below <= 0.5)[0])
