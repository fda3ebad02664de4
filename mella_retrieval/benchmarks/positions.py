"""Where relevant items stand in a ranking: what every metric is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mella_retrieval.errors import DataError

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Positions:
    """The positions of all relevant items of every query.

    The position of a relevant item is 1 + the irrelevant items that score at least as high as it (pessimistic) + the
    relevant items ahead of it. How ties between relevant items are broken does not change the set of positions.

    Attributes:
        values: (P,) from 1, query by query, ascending within a query.
        counts: (n,) relevant items of each query, at least 1; their sum is P.
    """

    values: Ints
    counts: Ints

    def __post_init__(self) -> None:
        if self.counts.size and self.counts.min() < 1:
            raise DataError("a query without a relevant item has no rank.")
        if int(self.counts.sum()) != len(self.values):
            raise DataError(f"{len(self.values)} positions do not belong to {int(self.counts.sum())} relevant items.")

    @classmethod
    def of(cls, ranks: ArrayLike | Positions) -> Positions:
        """Positions as they are, or ranks (n,) of queries with one relevant item each."""
        if isinstance(ranks, Positions):
            return ranks
        values = np.asarray(ranks, np.int64)
        return cls(values, np.ones(len(values), np.int64))

    @classmethod
    def from_ahead(cls, owner: Ints, ahead: Ints) -> Positions:
        """From the irrelevant items ahead of each relevant one.

        Args:
            owner: (P,) the query of each relevant item; every query from 0 to the last occurs.
            ahead: (P,) irrelevant items that score at least as high.
        """
        order = np.lexsort((ahead, owner))
        counts = np.bincount(owner).astype(np.int64)
        return cls(1 + ahead[order] + _places(counts) - 1, counts)

    def __len__(self) -> int:
        """Queries."""
        return len(self.counts)

    @cached_property
    def starts(self) -> Ints:
        """(n,) where each query's positions begin."""
        return np.asarray(np.cumsum(self.counts) - self.counts)

    @cached_property
    def best(self) -> Ints:
        """(n,) rank of the best relevant item."""
        return self.values[self.starts]

    @cached_property
    def places(self) -> Ints:
        """(P,) 1 for the best relevant item of a query, 2 for the next ..."""
        return _places(self.counts)

    def sums(self, values: NDArray[np.floating]) -> Doubles:
        """(n,) sums over the relevant items of each query of something (P,)."""
        if not len(self):
            return np.zeros(0)
        return np.asarray(np.add.reduceat(np.asarray(values, np.float64), self.starts))

    def take(self, queries: Sequence[int] | Ints) -> Positions:
        """The positions of some queries, in that order."""
        rows = np.asarray(queries, np.int64)
        counts = self.counts[rows]
        return Positions(self.values[np.repeat(self.starts[rows], counts) + _places(counts) - 1], counts)


def _places(counts: Ints) -> Ints:
    return np.arange(1, int(counts.sum()) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
