"""Raise search parameters until the wanted recall is reached, measured on queries like those that will be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.auto.curve import Curve, Point
from mella_retrieval.indexes.auto.machine import cores
from mella_retrieval.indexes.auto.truth import Truth

Array = npt.NDArray[np.float32]
Search = Callable[[Array, int, Mapping[str, int]], npt.NDArray[np.int64]]
"""Queries (q, d), k and search parameters -> row numbers (q, k), best first, -1 for empty places."""

FEWEST_QUERIES = 50
_STALLED = 0.005
"""A parameter that was doubled for less recall than this rests, and the next one is raised."""

_REFINED = 2
"""How often the last step is halved once the recall is reached."""

_ALONE = 50
_BATCH = 64
_SECONDS = 0.5
"""Each setting's times are measured for about so long."""


def tune(
    search: Search,
    queries: Array,
    truth: Truth,
    *,
    wanted: float,
    start: Mapping[str, int],
    most: Mapping[str, int],
    factory: str = "",
    items: int = 0,
) -> Curve:
    """Tune on one half of the queries and measure what came of it on the other half.

    The parameters are doubled one at a time, the first one first, until the wanted recall is reached or all are at their
    most; then the last step is halved while the recall stays. The costlier setting never has a smaller parameter.

    Args:
        search: the index.
        queries: (q, d); every other one is held out.
        truth: their exact neighbours.
        wanted: recall@k.
        start: the parameters to begin with, in the order in which they are raised; none for a kind that has none.
        most: their largest sensible values.
        factory, items: of the index, for the record.

    Raises:
        ConfigError: too few queries.
    """
    require_queries(len(queries))
    mine, held = slice(0, None, 2), slice(1, None, 2)
    tuning = _Tuning(search, queries[mine], truth.part(mine), most)
    point = tuning.measure(dict(start))
    while point.recall < wanted and (following := tuning.next(point)) is not None:
        point = following
    if point.recall >= wanted:
        point = tuning.refined(point, wanted)
    else:  # nothing sufficed: the best is kept, the cheapest of equals
        point = max(tuning.points, key=lambda found: (found.recall, -sum(found.parameters.values())))
    return Curve(
        factory=factory,
        items=items,
        k=truth.k,
        wanted=wanted,
        points=tuple(sorted(tuning.points, key=lambda found: tuple(found.parameters.values()))),
        chosen=point.parameters,
        recall=truth.part(held).recall(search(queries[held], truth.k, point.parameters)),
        met=point.recall >= wanted,
        tuned_on=len(queries[mine]),
        held_out=len(queries[held]),
        cores=cores(),
    )


def require_queries(count: int) -> None:
    """Refuse to tune on too few queries.

    Raises:
        ConfigError: says how many there must be and what kind.
    """
    if count < FEWEST_QUERIES:
        raise ConfigError(
            f"auto needs at least {FEWEST_QUERIES} queries to tune with, and {count} were given. They must be text vectors (an "
            "embedding set of texts like those that will be asked: --queries TEXTS), because texts lie elsewhere than pictures: "
            "what finds the neighbours of pictures misses those of texts."
        )


class _Tuning:
    """Points that were measured on the first half, and which parameter is raised next."""

    def __init__(self, search: Search, queries: Array, truth: Truth, most: Mapping[str, int]) -> None:
        self._search, self._queries, self._truth, self._most = search, queries, truth, most
        self._raised = next(iter(most), "")
        self.points: list[Point] = []

    def measure(self, parameters: dict[str, int]) -> Point:
        """Recall and times of one setting."""
        found = self._search(self._queries, self._truth.k, parameters)
        alone, batched = self._times(parameters)
        point = Point(
            parameters=parameters,
            recall=self._truth.recall(found),
            ms_per_query=1000 * alone,
            queries_per_second=1 / batched,
        )
        self.points.append(point)
        return point

    def _times(self, parameters: dict[str, int]) -> tuple[float, float]:
        """Seconds of a query that is asked alone, and of one in a batch."""
        alone, end = [], perf_counter() + _SECONDS
        for number in range(min(_ALONE, len(self._queries))):
            alone.append(self._seconds(self._queries[number : number + 1], parameters))
            if perf_counter() > end:
                break
        batch = self._queries[np.arange(_BATCH) % len(self._queries)]
        seconds = [self._seconds(batch, parameters)]
        while sum(seconds) < _SECONDS / 4 and len(seconds) < 3:
            seconds.append(self._seconds(batch, parameters))
        return median(alone), min(seconds) / _BATCH

    def _seconds(self, queries: Array, parameters: dict[str, int]) -> float:
        begin = perf_counter()
        self._search(queries, self._truth.k, parameters)
        return max(perf_counter() - begin, 1e-9)

    def next(self, last: Point) -> Point | None:
        """The next costlier setting, measured; None where every parameter is at its most."""
        gained = last.recall - self.points[-2].recall if len(self.points) > 1 else 1.0
        names = list(self._most)
        open_names = [name for name in names if last.parameters[name] < self._most[name]]
        if not open_names:
            return None
        if gained < _STALLED or self._raised not in open_names:
            after = names[names.index(self._raised) + 1 :] + names[: names.index(self._raised) + 1]
            self._raised = next(name for name in after if name in open_names)
        value = min(2 * last.parameters[self._raised], self._most[self._raised])
        return self.measure(last.parameters | {self._raised: value})

    def refined(self, reached: Point, wanted: float) -> Point:
        """The cheapest setting between the last two that still reaches the wanted recall, to a quarter of the step."""
        if len(self.points) < 2:
            return reached
        low, high = self.points[-2].parameters[self._raised], reached.parameters[self._raised]
        for _ in range(_REFINED):
            if high - low < 2:
                break
            point = self.measure(reached.parameters | {self._raised: (low + high) // 2})
            low, high = (low, (low + high) // 2) if point.recall >= wanted else ((low + high) // 2, high)
            reached = point if point.recall >= wanted else reached
        return reached
