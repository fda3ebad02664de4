"""Exact neighbours of queries among vectors that are streamed: what a search is measured against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import DataError

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

TOLERANCE = 1e-6
"""Items whose scores differ by less tie: sums of float32 products depend on their order."""

MOST_TIES = 10_000
"""Kept per query; where still more items are equal, the first of them."""


@dataclass(frozen=True)
class Truth:
    """The items that count as right for each query.

    Attributes:
        k: how many neighbours were asked for; fewer where there are fewer items.
        right: per query the row numbers of all items that score at least what the k-th neighbour scores.
    """

    k: int
    right: tuple[Rows, ...]

    def __len__(self) -> int:
        return len(self.right)

    def part(self, queries: slice) -> Truth:
        """Some of the queries."""
        return Truth(self.k, self.right[queries])

    def recall(self, found: Rows) -> float:
        """Recall@k: the mean share of the k places that hold right items.

        Args:
            found: (q, >= k) row numbers as they were found, best first; -1 for empty places.

        Raises:
            DataError: another number of queries.
        """
        if len(found) != len(self.right):
            raise DataError(f"{len(found)} queries were answered, but the neighbours of {len(self.right)} are known.")
        hits = [np.isin(rows[: self.k], right).sum() for rows, right in zip(found, self.right, strict=True)]
        return float(np.mean(hits) / self.k) if self.k else 1.0


def exact_neighbours(blocks: Iterable[Array], queries: Array, k: int) -> Truth:
    """The exact neighbours by inner product; row numbers count on through the blocks.

    Memory: the scores of one block, and what ties with the k-th neighbour.

    Args:
        blocks: unit vectors, (b, d) each.
        queries: (q, d).
        k: how many.
    """
    scores: list[Array] = [np.empty(0, np.float32) for _ in queries]
    rows: list[Rows] = [np.empty(0, np.int64) for _ in queries]
    first = 0
    for block in blocks:
        among = queries @ np.asarray(block, np.float32).T
        for query, values in enumerate(among):
            least = np.float32(_kth(scores[query], k) - TOLERANCE)
            near = np.flatnonzero(values >= least)
            if len(near) > k:
                near = near[values[near] >= _kth(values[near], k) - TOLERANCE]
            if len(near):
                joined = np.concatenate([scores[query], values[near]])
                keep = np.flatnonzero(joined >= np.float32(_kth(joined, k) - TOLERANCE))
                if len(keep) > k + MOST_TIES:
                    keep = keep[np.argsort(-joined[keep], kind="stable")[: k + MOST_TIES]]
                scores[query], rows[query] = joined[keep], np.concatenate([rows[query], near + first])[keep]
        first += len(block)
    return Truth(min(k, first), tuple(rows))


def _kth(values: Array, k: int) -> float:
    """The k-th largest; minus infinity where there are fewer."""
    return float(np.partition(values, len(values) - k)[len(values) - k]) if len(values) >= k else -np.inf
