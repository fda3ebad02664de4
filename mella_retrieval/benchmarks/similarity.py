"""Unit vectors and the score that ranking is defined by: the float64 inner product of float32 unit vectors.

A float32 matrix product differs in its last bits from one block shape, library or device to the next. The *exact score*
does not: the product of two float32 numbers is exact in float64, and the sums are always taken over one row, in an
order that depends on the dimension alone.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.threads import processors
from mella_retrieval.errors import DataError

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROWS = 512  # rows converted to float64 at a time: they stay in the cache


class UnitVectors:
    """Vectors scaled to unit length, row by row, in float64, then rounded to float32.

    Rows of zeros stay zeros: they score 0 with everything, which by the pessimistic tie rule finds nothing.

    Args:
        vectors: (n, d) real numbers.
        name: what the vectors are, for messages ("text vectors").

    Attributes:
        values: (n, d) float32.
        scratch: memory for products with these vectors, which goes from one ranking to the next and goes away with them.

    Raises:
        DataError: not a matrix of numbers, or a row holds NaN or infinity; its number is named.
    """

    def __init__(self, vectors: Any, name: str = "vectors") -> None:
        array = np.asarray(vectors)
        if array.ndim != 2 or array.dtype.kind not in "fiu" or array.shape[1] == 0:
            raise DataError(f"{name} must be a matrix of real numbers, one row each, not {array.dtype} of shape {array.shape}.")
        self.name = name
        self.scratch: list[Floats] = []
        self.values: Floats = np.empty(array.shape, np.float32)
        with ThreadPoolExecutor(processors()) as pool:
            zeros = sum(pool.map(lambda start: self._scale(array[start : start + _ROWS], start), range(0, len(array), _ROWS)))
        if zeros:
            logger.warning("%d of %d %s are zero: they score 0 with everything and find nothing.", zeros, len(array), name)

    def _scale(self, rows: NDArray[Any], start: int) -> int:
        """Scale the rows from `start` on; returns how many are zero."""
        block = rows.astype(np.float64)
        if rows.dtype.itemsize > 4:  # squares of float64 can overflow or vanish; those of float32 cannot
            largest = np.abs(block).max(axis=1, keepdims=True)
            block /= np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
        norms = np.sqrt(np.add.reduce(block * block, axis=1))
        if not np.isfinite(norms).all():
            row = start + int(np.flatnonzero(~np.isfinite(norms))[0])
            raise DataError(f"row {row} of the {self.name} holds NaN or infinity: nothing can be ranked by it.")
        zero = norms == 0
        norms[zero] = 1.0
        np.divide(block, norms[:, None], out=self.values[start : start + len(block)], casting="same_kind")
        return int(zero.sum())

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Ints) -> UnitVectors:
        """Some of the vectors, in that order."""
        taken = object.__new__(UnitVectors)
        taken.name, taken.values, taken.scratch = self.name, self.values[rows], []
        return taken

    @property
    def dim(self) -> int:
        """The dimension d."""
        return int(self.values.shape[1])

    @cached_property
    def classes(self) -> Ints:
        """(n,) a number for each row, equal for rows that are equal bit by bit."""
        rows = self.values + np.float32(0)  # -0 becomes 0
        keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * self.dim))).ravel()
        return np.unique(keys, return_inverse=True)[1].astype(np.int64).ravel()


def exact_scores(left: UnitVectors, right: UnitVectors, left_rows: Ints, right_rows: Ints) -> Doubles:
    """Exact scores of the given pairs of rows, (n,) float64; every pair on its own, so chunks and threads do not change them."""
    scores: Doubles = np.empty(len(left_rows), np.float64)

    def score(start: int) -> None:
        part = slice(start, start + _ROWS)
        products = np.multiply(left.values[left_rows[part]], right.values[right_rows[part]], dtype=np.float64)
        np.add.reduce(products, axis=1, out=scores[part])

    starts = range(0, len(scores), _ROWS)
    if len(starts) < 8:
        for start in starts:
            score(start)
    else:
        with ThreadPoolExecutor(processors()) as pool:
            list(pool.map(score, starts))
    return scores


def exact_scores_of_many(left: UnitVectors, right: UnitVectors, left_rows: Ints, right_rows: Ints) -> Doubles:
    """As `exact_scores`, scoring equal pairs of vectors once: scorers that tie often do so because vectors are equal."""
    kinds = left.classes[left_rows] * np.int64(len(right)) + right.classes[right_rows]
    _, first, inverse = np.unique(kinds, return_index=True, return_inverse=True)
    return np.asarray(exact_scores(left, right, left_rows[first], right_rows[first])[inverse.ravel()])
