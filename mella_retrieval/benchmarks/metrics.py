"""Metrics of rankings, and what a random ranking would get.

A metric is one line in `PER_QUERY` (a number per query, whose mean it is) or the median rank. Recalls, nDCG, mAP and MRR
are fractions between 0 and 1; ranks start at 1. With one relevant item per query R@k, recall@k and hit rate@k are the
same number, and mAP is MRR.

Sources: R@k, mean R and sumR as in Faghri et al., VSE++ (2018) and its successors; nDCG, recall, hit rate and mAP as in
trec_eval and mteb (nDCG@10: gain 1, discount log2(1 + position), ideal over all relevant items).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.errors import DataError

Doubles = NDArray[np.float64]

CUTOFFS = (1, 5, 10)
LONG_CUTOFFS = (1, 3, 5, 10, 20, 100, 1000)
MEAN_RECALL = "mean R"
SUM_RECALL = "sumR"
MEDIAN_RANK = "median rank"
MRR = "MRR"
NDCG = "nDCG@10"
MAP = "mAP"
RANK_VARIANCE = "rank variance"
"""Mean Rank Variance: of a system over several languages, not of one; see `rank_variance.py`."""
SEARCH_RECALL = "search recall@10"
"""Share of the ten best items by exact scores that an index finds among its first ten; see `through_index.py`."""

TEXT_TO_IMAGE = "t2i"
IMAGE_TO_TEXT = "i2t"
BOTH = "both"
DIRECTIONS = (TEXT_TO_IMAGE, IMAGE_TO_TEXT)

Number = TypeVar("Number", float, Doubles)
PerQuery = Callable[[Positions], Doubles]


def _hit(k: int) -> PerQuery:
    return lambda found: (found.best <= k).astype(np.float64)


def _recall(k: int) -> PerQuery:
    return lambda found: found.sums((found.values <= k).astype(np.float64)) / found.counts


def _sum_recall(found: Positions) -> Doubles:
    return sum((_hit(k)(found) for k in CUTOFFS), np.zeros(len(found)))


def _ndcg(found: Positions) -> Doubles:
    gains = np.where(found.values <= 10, 1 / np.log2(1 + found.values), 0.0)
    return found.sums(gains) / IDEAL_DCG[np.minimum(found.counts, 10)]


def _average_precision(found: Positions) -> Doubles:
    return found.sums(found.places / found.values) / found.counts


IDEAL_DCG: Doubles = np.concatenate([[0.0], np.cumsum(1 / np.log2(1 + np.arange(1, 11)))])
"""By the number of relevant items, 0 to 10."""

PER_QUERY: dict[str, PerQuery] = {
    **{f"R@{k}": _hit(k) for k in CUTOFFS},
    MEAN_RECALL: lambda found: _sum_recall(found) / len(CUTOFFS),
    SUM_RECALL: _sum_recall,
    NDCG: _ndcg,
    MAP: _average_precision,
    MRR: lambda found: 1.0 / found.best,
    **{f"recall@{k}": _recall(k) for k in LONG_CUTOFFS},
    **{f"hit rate@{k}": _hit(k) for k in LONG_CUTOFFS},
}

METRICS = (*(f"R@{k}" for k in CUTOFFS), MEAN_RECALL, SUM_RECALL, MEDIAN_RANK, MRR, NDCG, MAP)
"""What every protocol reports."""

LONG_METRICS = (*(f"recall@{k}" for k in LONG_CUTOFFS), *(f"hit rate@{k}" for k in LONG_CUTOFFS))
"""What `all` reports besides, as mteb does."""


def query_scores(ranks: ArrayLike | Positions, metrics: Sequence[str] = METRICS) -> dict[str, Doubles]:
    """What every query contributes (n,) to each metric that is a mean over queries: all but the median rank."""
    found = Positions.of(ranks)
    return {name: PER_QUERY[name](found) for name in metrics if name != MEDIAN_RANK}


def summarise(ranks: ArrayLike | Positions, metrics: Sequence[str] = METRICS) -> dict[str, float]:
    """The metrics over all queries, in that order.

    Args:
        ranks: positions of the relevant items, or ranks (n,) of queries with one relevant item each.
        metrics: names of `PER_QUERY`, or the median rank.

    Raises:
        DataError: there is no query.
    """
    found = Positions.of(ranks)
    if not len(found):
        raise DataError("there is no query to take a mean over.")
    values = {name: float(scores.mean()) for name, scores in query_scores(found, metrics).items()}
    return {name: float(np.median(found.best)) if name == MEDIAN_RANK else values[name] for name in metrics}


def both_directions(t2i: Mapping[str, float], i2t: Mapping[str, float]) -> dict[str, float]:
    """The mean over the two directions of each metric but the median rank; sumR is the sum of the six recalls."""
    return {name: combine(name, t2i[name], i2t[name]) for name in t2i if name != MEDIAN_RANK}


def combine(name: str, t2i: Number, i2t: Number) -> Number:
    """Both directions of one metric together."""
    return t2i + i2t if name == SUM_RECALL else (t2i + i2t) / 2
