"""What every method hands back: a bias per item, and for QB-Norm the items that switch it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import DataError
from mella_retrieval.indexes.scoring.bank import Array
from mella_retrieval.indexes.scoring.similarities import Flags
from mella_retrieval.recipes import Strict

Scores = npt.NDArray[np.floating[Any]]


class ScoringConfig(Strict):
    """Options of a method; each method has its own class."""


@dataclass(frozen=True)
class Rescoring:
    """A fitted correction of the cosines between queries and the items of one gallery.

    Attributes:
        method: name of the method.
        bias: (n,) what is added to the cosine of each item, float32.
        transductive: whether the bank were the test queries themselves.
        hubs: (n,) QB-Norm's gate: only queries whose first hit is one of these are corrected. None: all are.
    """

    method: str
    bias: Array
    transductive: bool = False
    hubs: Flags | None = None

    @property
    def name(self) -> str:
        """For results: the method, and whether it saw the test queries."""
        return f"{self.method}, transductive" if self.transductive else self.method

    @property
    def folds(self) -> bool:
        """Whether the bias can be stored in the index for good; a gate looks at each query first."""
        return self.hubs is None

    def weights(self, first: npt.NDArray[np.int64]) -> Array:
        """(q,) 1 for queries that are corrected and 0 for the others, from each one's first item under plain cosines."""
        return np.ones(len(first), np.float32) if self.hubs is None else self.hubs[first].astype(np.float32)

    def rescore(self, scores: Scores) -> Scores:
        """Corrected scores of some queries against the whole gallery.

        Args:
            scores: (q, n) cosines; a block of queries at a time keeps memory bounded. Equal best items: the first row counts.

        Raises:
            DataError: another gallery size, or NaN.
        """
        if scores.ndim != 2 or scores.shape[1] != len(self.bias):
            raise DataError(f"{self.method} was fitted to {len(self.bias)} items, but the scores have shape {scores.shape}.")
        if np.isnan(scores).any():
            raise DataError("a score is NaN: nothing can be ranked by it.")
        return np.asarray(scores + self.weights(scores.argmax(axis=1))[:, None] * self.bias)
