"""Count the irrelevant items ahead of every relevant one, in blocks, on the processor.

Each block is a float32 product, counted strip by strip while it lies in the cache. Scores within `TOLERANCE` of a
relevant item's are beyond what float32 can order; they are scored again in float64 (`similarity.exact_scores`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mella_retrieval.benchmarks.flags import Flags
from mella_retrieval.benchmarks.relevance import TOLERANCE, Direction, Slot
from mella_retrieval.benchmarks.similarity import Doubles, Floats, Ints, UnitVectors, exact_scores, exact_scores_of_many
from mella_retrieval.benchmarks.threads import one_blas_thread, processors

_STRIP = 255  # rows counted at a time: their scores and flags stay in the second-level cache
_MANY = 4096  # near ties of one strip from which on equal vectors are looked for
_FEW = 0.01  # share of scores that may stand before a relevant item for them to be looked at one by one
_AGAIN = 8  # strips after which it is looked again whether there are few
_SUBSET = 0.25  # share of queries below which their scores are copied out


@dataclass(frozen=True)
class Problem:
    """What is to be counted: unit vectors, the relevant pairs (P,) by row, and the two directions over them."""

    texts: UnitVectors
    images: UnitVectors
    text_rows: Ints
    image_rows: Ints
    by_text: Direction
    by_image: Direction

    def exact(self, text_rows: Ints, image_rows: Ints) -> Doubles:
        """Exact scores of pairs of rows."""
        score = exact_scores_of_many if len(text_rows) >= _MANY else exact_scores
        return score(self.texts, self.images, text_rows, image_rows)


Ahead = tuple[Ints, Ints]


def count_ahead(problem: Problem, block: tuple[int, int], threads: int | None = None) -> Ahead:
    """Irrelevant images ahead of the image of each pair, and irrelevant captions ahead of its caption: (P,) and (P,).

    Args:
        problem: vectors and pairs.
        block: most captions and images that one thread scores at a time.
        threads: by default one per processor, at most 16.
    """
    threads = threads or processors()
    texts, images = len(problem.texts), len(problem.images)
    rounds = threads * max(1, math.ceil(texts / (threads * block[0])))  # every thread gets as many blocks as the others
    height, width = max(1, math.ceil(texts / rounds)), max(1, min(block[1], images))
    tops = deque(range(0, texts, height))
    # every thread multiplies and counts blocks of its own: more even, and faster, than a product spread over all of them
    with one_blas_thread(), ThreadPoolExecutor(max(min(threads, len(tops)), 1)) as pool:
        workers = [pool.submit(_Worker(problem, height, width).run, tops) for _ in range(min(threads, len(tops)))]
        found = [worker.result() for worker in workers]
    nothing = np.zeros(len(problem.text_rows), np.int64)
    return sum((ahead for ahead, _ in found), nothing), sum((ahead for _, ahead in found), nothing)


class _Worker:
    """One thread: takes blocks of captions until none is left."""

    def __init__(self, problem: Problem, height: int, width: int) -> None:
        self.problem = problem
        self.height, self.width = height, width
        self.by_text = _Side(problem.by_text, 0, problem.exact)
        self.by_image = _Side(problem.by_image, 1, lambda queries, others: problem.exact(others, queries))

    def run(self, tops: deque[int]) -> Ahead:
        scratch = self.problem.images.scratch
        buffer = scratch.pop() if scratch else np.empty(0, np.float32)
        if buffer.size < self.height * self.width:
            buffer = np.empty(self.height * self.width, np.float32)
        while True:
            try:
                top = tops.popleft()
            except IndexError:
                scratch.append(buffer)
                return self.by_text.ahead, self.by_image.ahead
            for left in range(0, len(self.problem.images), self.width):
                scores = self._block(slice(top, top + self.height), slice(left, left + self.width), buffer)
                for start in range(0, len(scores), _STRIP):
                    strip = scores[start : start + _STRIP]
                    self.by_text.count(strip, top + start, left)
                    self.by_image.count(strip, left, top + start)

    def _block(self, rows: slice, columns: slice, buffer: Floats) -> Floats:
        """Scores of a block; relevant pairs are set to minus infinity, they never stand before one another."""
        problem = self.problem
        texts, images = problem.texts.values[rows], problem.images.values[columns]
        scores = buffer[: len(texts) * len(images)].reshape(len(texts), len(images))
        np.matmul(texts, images.T, out=scores)
        first, last = np.searchsorted(problem.text_rows, (rows.start, rows.stop))
        at_row, at_column = problem.text_rows[first:last] - rows.start, problem.image_rows[first:last] - columns.start
        inside = (at_column >= 0) & (at_column < len(images))
        scores[at_row[inside], at_column[inside]] = -np.inf
        return scores


class _Side:
    """One direction of a strip: its queries are the rows (axis 0) or the columns (axis 1) of the scores."""

    def __init__(self, direction: Direction, axis: int, exact: Callable[[Ints, Ints], Doubles]) -> None:
        self.direction, self.axis, self.exact = direction, axis, exact
        self.ahead: Ints = np.zeros(len(direction.pairs), np.int64)
        self._in_bulk = 0  # strips to count in bulk before looking again whether few scores matter

    def count(self, scores: Floats, first_query: int, first_other: int) -> None:
        """Count what stands in `scores`, whose queries and other items begin at these rows."""
        queries = slice(first_query, first_query + scores.shape[self.axis])
        if not self._in_bulk:
            possible = Flags(*scores.shape)
            possible.reach(scores, self._across(self.direction.lowest[queries]))
            if possible.total() <= _FEW * scores.size:
                self._one_by_one(scores, possible, first_query, first_other)
                return
            self._in_bulk = _AGAIN
        self._in_bulk -= 1
        for slot in self.direction.slots:
            self._slot(scores, slot, queries, first_other)

    def _across(self, thresholds: Floats) -> Floats:
        return thresholds[:, None] if self.axis == 0 else thresholds[None, :]

    def _one_by_one(self, scores: Floats, possible: Flags, first_query: int, first_other: int) -> None:
        """Compare each flagged score with all relevant items of its query."""
        places = possible.places()
        values = scores[places].astype(np.float64)
        queries, others = places[self.axis] + first_query, places[1 - self.axis] + first_other
        counts = self.direction.counts[queries]
        if len(counts) and counts.max() > 1:
            which = np.repeat(np.arange(len(counts)), counts)
            within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
            values, queries, others = values[which], queries[which], others[which]
            at = self.direction.starts[queries] + within
        else:
            at = self.direction.starts[queries]
        exact = self.direction.exact[at]
        counted = values >= exact + TOLERANCE
        near = np.flatnonzero(~counted & (values >= exact - TOLERANCE))
        counted[near] = self.exact(queries[near], others[near]) >= exact[near]
        self.ahead += np.bincount(self.direction.pairs[at[counted]], minlength=len(self.ahead))

    def _slot(self, scores: Floats, slot: Slot, queries: slice, first_other: int) -> None:
        """Count for the s-th relevant item of every query."""
        asked = np.flatnonzero(slot.pair[queries] >= 0)
        if not len(asked):
            return
        if len(asked) < _SUBSET * scores.shape[self.axis]:
            scores = np.ascontiguousarray(scores.take(asked, axis=self.axis))
        else:
            asked = np.arange(scores.shape[self.axis])
        rows = asked + queries.start
        sure, possible = Flags(*scores.shape), Flags(*scores.shape)
        sure.reach(scores, self._across(slot.high[rows]))
        possible.reach(scores, self._across(slot.low[rows]))
        differing = sure.differing(possible)
        near, others = rows[differing[self.axis]], differing[1 - self.axis] + first_other
        tied = near[self.exact(near, others) >= slot.exact[near]]
        pair = slot.pair[rows]
        counts = sure.rows() if self.axis == 0 else sure.columns()
        self.ahead[pair[pair >= 0]] += counts[pair >= 0]
        self.ahead += np.bincount(slot.pair[tied], minlength=len(self.ahead))
