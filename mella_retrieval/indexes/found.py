"""What a search returns: arrays at once; ids and records when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from mella_retrieval.indexes.segment import Segment

Scores = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """One found item: its id, its score and where its record stands."""

    id: str
    score: float
    segment: int
    row: int


@dataclass(frozen=True)
class Found(Sequence[list[Match]]):
    """The hits of some queries, best first; a sequence of lists of `Match`.

    k is what was asked for, or the number of living items where that is less (at least 1).

    Attributes:
        scores: (q, k) inner products; -inf where a query has fewer hits.
        segments: (q, k) number of the segment; -1 where there is none.
        rows: (q, k) row in the segment; -1 where there is none.
        opened: the segments that were searched.
        full: whether every place holds a hit of the only segment.
    """

    scores: Scores
    segments: Numbers
    rows: Numbers
    opened: Sequence[Segment]
    full: bool = False

    @cached_property
    def ids(self) -> list[list[str]]:
        """The ids of each query's hits."""
        width = self.rows.shape[1]
        if self.full or (len(self.opened) == 1 and self.rows.size and self.rows.min() >= 0):
            flat = self.opened[0].ids(self.rows.ravel().tolist())
            return [flat[start : start + width] for start in range(0, len(flat), width)]
        return [
            [self.opened[segment].ids((row,))[0] for segment, row in zip(*places, strict=True) if row >= 0]
            for places in zip(self.segments.tolist(), self.rows.tolist(), strict=True)
        ]

    def records(self, query: int) -> list[dict[str, Any]]:
        """The record columns of one query's hits, in their order."""
        rows = self.rows[query]
        result: list[dict[str, Any]] = [{} for row in rows if row >= 0]
        for number, segment in enumerate(self.opened):
            inside = np.flatnonzero((self.segments[query] == number) & (rows >= 0))
            for place, record in zip(inside.tolist(), segment.records(rows[inside]), strict=True):
                result[place] = record
        return result

    def __len__(self) -> int:
        return len(self.scores)

    @overload
    def __getitem__(self, query: int) -> list[Match]: ...

    @overload
    def __getitem__(self, query: slice) -> list[list[Match]]: ...

    def __getitem__(self, query: int | slice) -> list[Match] | list[list[Match]]:
        if isinstance(query, slice):
            return [self[number] for number in range(*query.indices(len(self)))]
        places = zip(self.scores[query].tolist(), self.segments[query].tolist(), self.rows[query].tolist(), strict=True)
        return [Match(key, *place) for key, place in zip(self.ids[query], places, strict=False)]

    def __iter__(self) -> Iterator[list[Match]]:
        return (self[number] for number in range(len(self)))
