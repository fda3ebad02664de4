"""Ranks of the best relevant item in both directions, from one pass over the score matrix in blocks.

Definition (pessimistic ties): the rank of a query's best relevant item is 1 + the number of *irrelevant* items whose
score is equal to or higher than its own. Ranks are counted, nothing is sorted, and the matrix of all scores never
exists.

Each block is a float32 product. Scores within `TOLERANCE` of the relevant item's are beyond what float32 can order;
they are scored again in float64 (`similarity.exact_scores`), so that the ranks do not depend on block size, number of
threads or BLAS.
"""

from __future__ import annotations

import math
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mella_retrieval.benchmarks.flags import Flags
from mella_retrieval.benchmarks.similarity import (
    Doubles,
    Floats,
    Ints,
    UnitVectors,
    exact_scores,
    exact_scores_of_many,
)
from mella_retrieval.benchmarks.threads import one_blas_thread, processors
from mella_retrieval.errors import DataError

TOLERANCE = 1e-5

_STRIP = 255  # rows counted at a time: their scores and flags stay in the second-level cache
_MANY = 4096  # near ties of one strip from which on equal vectors are looked for


@dataclass(frozen=True)
class Ranks:
    """Ranks (1 = first) of the best relevant item of every query, in both directions.

    Attributes:
        text: (M,) text -> image, one per caption.
        image: (Q,) image -> text, one per image that has a caption.
        image_index: (Q,) the row of each of those images in the gallery, ascending.
        text_relevant: (M,) number of relevant images of each caption.
        image_relevant: (Q,) number of relevant captions of each of those images.
        texts: M, the gallery of image -> text.
        images: N, the gallery of text -> image.
    """

    text: Ints
    image: Ints
    image_index: Ints
    text_relevant: Ints
    image_relevant: Ints
    texts: int
    images: int


def rank(
    texts: ArrayLike | UnitVectors,
    images: ArrayLike | UnitVectors,
    text_index: ArrayLike,
    image_index: ArrayLike,
    *,
    block: tuple[int, int] = (1024, 4080),
    threads: int | None = None,
) -> Ranks:
    """Rank every caption's best image and every image's best caption.

    Args:
        texts: (M, d) caption vectors; normalised here. Pass `UnitVectors` to reuse what was normalised before.
        images: (N, d) image vectors: the whole gallery, images without a caption included.
        text_index: (P,) rows of `texts`; with `image_index` the pairs that are relevant to each other.
        image_index: (P,) rows of `images`.
        block: most captions and images that one thread scores at a time; the memory needed is 4 bytes per entry and thread.
        threads: by default one per processor, at most 16.

    Raises:
        DataError: NaN or infinite vectors, different dimensions, an index out of range, or a caption without a relevant
        image.
    """
    text_units = texts if isinstance(texts, UnitVectors) else UnitVectors(texts, "text vectors")
    image_units = images if isinstance(images, UnitVectors) else UnitVectors(images, "image vectors")
    if text_units.dim != image_units.dim:
        raise DataError(
            f"{text_units.name} have {text_units.dim} dimensions, {image_units.name} {image_units.dim}: "
            "they do not lie in one space."
        )
    if min(block) < 1:
        raise ValueError(f"a block needs at least one row and one column, not {block}")
    pairs = _pairs(text_units, image_units, text_index, image_index)
    return _Ranking(text_units, image_units, *pairs).ranks(block, threads or processors())


def _pairs(texts: UnitVectors, images: UnitVectors, text_index: ArrayLike, image_index: ArrayLike) -> tuple[Ints, Ints]:
    """The pairs, checked, without repeats, ordered by caption and then by image."""
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
    codes = np.unique(sides[0] * np.int64(max(len(images), 1)) + sides[1])
    text_rows, image_rows = np.divmod(codes, np.int64(max(len(images), 1)))
    missing = np.flatnonzero(np.bincount(text_rows, minlength=len(texts)) == 0)
    if missing.size:
        raise DataError(f"{missing.size} captions have no relevant image (first: row {missing[0]} of the {texts.name}).")
    return text_rows, image_rows


class _Thresholds:
    """The score of every query's best relevant item, which an irrelevant item must reach to stand before it.

    Infinite where there is no query: nothing reaches it.
    """

    def __init__(self, queries: int, rows: Ints, scores: Doubles) -> None:
        best = np.full(queries, -np.inf)
        np.maximum.at(best, rows, scores)
        self.exact: Doubles = np.where(np.isneginf(best), np.inf, best)
        self.low: Floats = (self.exact - TOLERANCE).astype(np.float32)
        self.high: Floats = (self.exact + TOLERANCE).astype(np.float32)


class _Ranking:
    def __init__(self, texts: UnitVectors, images: UnitVectors, text_rows: Ints, image_rows: Ints) -> None:
        self.texts, self.images = texts, images
        self.text_rows, self.image_rows = text_rows, image_rows
        relevant = exact_scores(texts, images, text_rows, image_rows)
        self.by_text = _Thresholds(len(texts), text_rows, relevant)
        self.by_image = _Thresholds(len(images), image_rows, relevant)

    def ranks(self, block: tuple[int, int], threads: int) -> Ranks:
        texts, images = len(self.texts), len(self.images)
        rounds = threads * max(1, math.ceil(texts / (threads * block[0])))  # every thread gets as many blocks as the others
        height, width = max(1, math.ceil(texts / rounds)), max(1, min(block[1], images))
        before_text = np.zeros(texts, np.int64)
        tops = deque(range(0, texts, height))
        workers = min(threads, len(tops))
        # every thread multiplies and counts blocks of its own: more even, and faster, than a product spread over all of them
        with one_blas_thread(), ThreadPoolExecutor(max(workers, 1)) as pool:
            running = [pool.submit(self._work, tops, height, width, before_text) for _ in range(workers)]
            before_image = sum((worker.result() for worker in running), np.zeros(images, np.int64))
        queries = np.unique(self.image_rows)
        return Ranks(
            text=1 + before_text,
            image=1 + before_image[queries],
            image_index=queries,
            text_relevant=np.bincount(self.text_rows, minlength=texts).astype(np.int64),
            image_relevant=np.bincount(self.image_rows, minlength=images).astype(np.int64)[queries],
            texts=texts,
            images=images,
        )

    def _work(self, tops: deque[int], height: int, width: int, before_text: Ints) -> Ints:
        """Take blocks of captions until none is left; returns what was counted per image."""
        before_image = np.zeros(len(self.images), np.int64)
        buffer = np.empty(height * width, np.float32)
        while True:
            try:
                top = tops.popleft()
            except IndexError:
                return before_image
            for left in range(0, len(self.images), width):
                scores = self._block(slice(top, top + height), slice(left, left + width), buffer)
                columns = slice(left, left + scores.shape[1])
                for start in range(0, len(scores), _STRIP):
                    strip = scores[start : start + _STRIP]
                    rows = slice(top + start, top + start + len(strip))
                    in_rows, in_columns = self._count(strip, rows, columns)
                    before_text[rows] += in_rows  # no other thread has these rows
                    before_image[columns] += in_columns

    def _block(self, rows: slice, columns: slice, buffer: Floats) -> Floats:
        """Scores of a block; relevant pairs are set to minus infinity, they never stand before one another."""
        texts, images = self.texts.values[rows], self.images.values[columns]
        scores = buffer[: len(texts) * len(images)].reshape(len(texts), len(images))
        np.matmul(texts, images.T, out=scores)
        first, last = np.searchsorted(self.text_rows, (rows.start, rows.stop))
        at_row, at_column = self.text_rows[first:last] - rows.start, self.image_rows[first:last] - columns.start
        inside = (at_column >= 0) & (at_column < len(images))
        scores[at_row[inside], at_column[inside]] = -np.inf
        return scores

    def _count(self, scores: Floats, rows: slice, columns: slice) -> tuple[Ints, Ints]:
        """Irrelevant items in a strip of scores that stand before each caption's and each image's best relevant item."""
        sure, possible = Flags(*scores.shape), Flags(*scores.shape)

        sure.reach(scores, self.by_text.high[rows, None])
        possible.reach(scores, self.by_text.low[rows, None])
        near, others = sure.differing(possible)
        tied = near[self._exact(near + rows.start, others + columns.start) >= self.by_text.exact[near + rows.start]]
        in_rows = sure.rows() + np.bincount(tied, minlength=scores.shape[0])

        sure.reach(scores, self.by_image.high[None, columns])
        possible.reach(scores, self.by_image.low[None, columns])
        others, near = sure.differing(possible)
        tied = near[self._exact(others + rows.start, near + columns.start) >= self.by_image.exact[near + columns.start]]
        in_columns = sure.columns() + np.bincount(tied, minlength=scores.shape[1])
        return in_rows, in_columns

    def _exact(self, text_rows: Ints, image_rows: Ints) -> Doubles:
        score = exact_scores_of_many if len(text_rows) >= _MANY else exact_scores
        return score(self.texts, self.images, text_rows, image_rows)
