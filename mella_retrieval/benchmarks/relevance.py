"""Relevant pairs of captions and images, and the scores that irrelevant items must reach to stand before them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mella_retrieval.benchmarks.similarity import Doubles, Floats, Ints, UnitVectors
from mella_retrieval.errors import DataError

TOLERANCE = 1e-5


def checked_pairs(texts: UnitVectors, images: UnitVectors, text_index: ArrayLike, image_index: ArrayLike) -> tuple[Ints, Ints]:
    """The pairs without repeats, ordered by caption and then by image.

    Raises:
        DataError: an index out of range, lists of different lengths, or a caption without a relevant image.
    """
    sides = []
    for index, units in ((text_index, texts), (image_index, images)):
        rows = np.asarray(index)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise DataError(f"the relevant rows of {units.name} must be a list of integers.")
        if rows.size and not 0 <= rows.min() <= rows.max() < len(units):
            outside = rows.min() if rows.min() < 0 else rows.max()
            raise DataError(f"a relevant pair names row {outside}, but there are {len(units)} {units.name}.")
        sides.append(rows.astype(np.int64))
    if len(sides[0]) != len(sides[1]):
        raise DataError(f"relevant pairs need two rows each, but there are {len(sides[0])} and {len(sides[1])}.")
    codes = sides[0] * np.int64(max(len(images), 1)) + sides[1]
    if not (codes[1:] > codes[:-1]).all():
        codes = np.unique(codes)
    text_rows, image_rows = np.divmod(codes, np.int64(max(len(images), 1)))
    missing = np.flatnonzero(np.bincount(text_rows, minlength=len(texts)) == 0)
    if missing.size:
        raise DataError(f"{missing.size} captions have no relevant image (first: row {missing[0]} of the {texts.name}).")
    return text_rows, image_rows


@dataclass(frozen=True)
class Slot:
    """The s-th best relevant item of every query that has so many.

    Attributes:
        exact: (n,) its exact score; infinite for queries without one, which nothing reaches.
        low, high: (n,) float32 bounds: a float32 score below `low` is surely lower, one from `high` on surely as high.
        pair: (n,) the number of the pair; -1 for queries without one.
    """

    exact: Doubles
    low: Floats
    high: Floats
    pair: Ints


class Direction:
    """The relevant items of every query of one direction.

    Attributes:
        starts, counts: (n,) where a query's pairs stand in `pairs`, and how many there are.
        pairs: (P,) numbers of the pairs, query by query, best first.
        exact: (P,) exact scores in the order of `pairs`.
        slots: one for every rank among the relevant items of one query.
        lowest: (n,) float32 bound under which a score is surely lower than those of all relevant items of the query.
    """

    def __init__(self, queries: int, rows: Ints, exact: Doubles) -> None:
        """Take the query (P,) of each pair, from 0 to `queries` - 1, and its exact score."""
        one_each = bool((rows[1:] > rows[:-1]).all())
        self.pairs: Ints = np.arange(len(rows)) if one_each else np.lexsort((-exact, rows))
        self.exact = exact[self.pairs]
        self.counts: Ints = np.bincount(rows, minlength=queries).astype(np.int64)
        self.starts: Ints = np.cumsum(self.counts) - self.counts
        self.slots = [self._slot(number) for number in range(int(self.counts.max(initial=0)))]
        ends = np.where(self.counts > 0, self.starts + self.counts - 1, 0)
        worst = np.where(self.counts > 0, self.exact[ends] if len(self.exact) else np.inf, np.inf)
        self.lowest: Floats = (worst - TOLERANCE).astype(np.float32)

    def _slot(self, number: int) -> Slot:
        has = self.counts > number
        at = np.where(has, self.starts + number, 0)
        exact = np.where(has, self.exact[at], np.inf)
        return Slot(
            exact,
            (exact - TOLERANCE).astype(np.float32),
            (exact + TOLERANCE).astype(np.float32),
            np.where(has, self.pairs[at], -1),
        )
