"""Scores: every metric of every system, language or group of languages, and direction, with its interval.

A number that does not exist stands as an empty score with the reason.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.chance import chance
from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries, relevant_counts
from mella_retrieval.benchmarks.metrics import (
    BOTH,
    DIRECTIONS,
    IMAGE_TO_TEXT,
    MEDIAN_RANK,
    METRICS,
    RANK_VARIANCE,
    TEXT_TO_IMAGE,
    combine,
    summarise,
)
from mella_retrieval.benchmarks.protocols import Protocol
from mella_retrieval.benchmarks.rank_variance import chance_variance, variance_of
from mella_retrieval.benchmarks.statistics import Bootstrap, Queries, estimate, resampled_metrics
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

MEAN = "mean"  # the group of all languages
CHANCE = "chance"

_NO_IMAGE = "no image has captions in all of these languages"

Doubles = NDArray[np.float64]


class Score(Strict):
    """One number; `value` is empty where there is a `reason`, `low` and `high` where nothing was drawn.

    `subset` is "" for the whole test set, or the part of it that was asked, such as `source=know`.
    """

    system: str
    language: str
    direction: str
    metric: str
    subset: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Scope:
    """What is scored: the languages that were asked (together the group `mean`) and further groups of them."""

    languages: tuple[str, ...]
    groups: Mapping[str, Sequence[str]]

    def rows(self) -> dict[str, tuple[str, ...]]:
        """The rows of a table of scores and the languages each is a mean of; groups with other languages are left out."""
        inside = {name: tuple(group) for name, group in self.groups.items() if set(group) <= set(self.languages)}
        return {**{language: (language,) for language in self.languages}, MEAN: self.languages, **inside}

    def within(self, languages: Container[str]) -> Scope:
        """The same for some of the languages."""
        return Scope(tuple(code for code in self.languages if code in languages), self.groups)


def score_systems(
    cells: Sequence[RankedQueries],
    scope: Scope,
    settings: Bootstrap,
    missing: Mapping[str, Mapping[str, str]] | None = None,
    metrics: Sequence[str] = METRICS,
) -> list[Score]:
    """Score what was ranked. All systems and languages share the resampled images.

    Args:
        cells: ranks, at most one per system, language, direction and subset.
        scope: languages and groups. A subset is scored over the languages that have it.
        settings: of the bootstrap.
        missing: by system and language the reason why there are no ranks.
        metrics: names of `metrics.PER_QUERY`, or the median rank.

    Raises:
        DataError: a system has neither ranks nor a reason in one of the languages.
    """
    missing = missing or {}
    scores = []
    for subset in dict.fromkeys(["", *(cell.subset for cell in cells)]):
        asked = [cell for cell in cells if cell.subset == subset]
        inside = {cell.language for cell in asked} if subset else set(scope.languages)
        part = scope.within(inside)
        drawn = _draw(asked, settings, metrics) if asked else {}
        for system in dict.fromkeys([*(cell.system for cell in asked), *missing]):
            mine = [cell for cell in asked if cell.system == system]
            table = _Table(system, subset, part, settings, tuple(metrics), missing.get(system, {}))
            values = {(cell.language, cell.direction): summarise(cell.positions, metrics) for cell in mine}
            scores += table.scores(values, drawn.get(system, {}))
            if not subset:
                scores += _variance(table, mine)
    return scores


def chance_scores(evaluation: EvaluationSet, scope: Scope, protocol: Protocol) -> list[Score]:
    """What a random order gets under the protocol, computed; the system `chance`, without intervals."""
    counts = {language: relevant_counts(evaluation, language, protocol) for language in scope.languages}
    scores = []
    for subset in dict.fromkeys(name for parts in counts.values() for name in parts):
        part = scope.within({code for code, parts in counts.items() if subset in parts})
        table = _Table(CHANCE, subset, part, Bootstrap(), protocol.metrics)
        values = {
            (language, direction): chance(relevant, galleries, protocol.metrics)
            for language in part.languages
            for direction, (relevant, galleries) in counts[language][subset].items()
        }
        scores += table.scores(values, {})
        if not subset:
            for row, members in table.wide_rows().items():
                for direction in DIRECTIONS:
                    value = chance_variance(evaluation, members, direction, protocol)
                    reason = None if value is not None else _NO_IMAGE
                    scores.append(table.score(row, direction, RANK_VARIANCE, value, reason=reason))
    return scores


def _variance(table: _Table, cells: Sequence[RankedQueries]) -> list[Score]:
    """Mean Rank Variance on every row that is a mean over several languages."""
    scores = []
    for row, members in table.wide_rows().items():
        absent = [code for code in members if code not in {cell.language for cell in cells}]
        for direction in DIRECTIONS:
            if absent:
                scores.append(table.score(row, direction, RANK_VARIANCE, None, reason=_gap(absent, members)))
                continue
            mine = [cell for cell in cells if cell.direction == direction and cell.language in members]
            value, draws = variance_of(mine, table.settings)
            scores.append(table.score(row, direction, RANK_VARIANCE, value, draws, None if value is not None else _NO_IMAGE))
    return scores


def _draw(
    cells: Sequence[RankedQueries], settings: Bootstrap, metrics: Sequence[str]
) -> dict[str, dict[tuple[str, str], dict[str, Doubles]]]:
    """Draws of every metric by system, and by language and direction."""
    rows = image_rows(cells)
    queries = [Queries(cell.positions, np.array([rows[image] for image in cell.image_id], np.int64)) for cell in cells]
    draws = resampled_metrics(queries, len(rows), settings, metrics)
    found: dict[str, dict[tuple[str, str], dict[str, Doubles]]] = {}
    for column, cell in enumerate(cells):
        mine = {metric: draws[metric][:, column] for metric in metrics}
        found.setdefault(cell.system, {})[cell.language, cell.direction] = mine
    return found


def image_rows(cells: Sequence[RankedQueries]) -> dict[str, int]:
    """A number for every image that has a query; sorted, so that the order of the gallery changes no interval."""
    return {image: row for row, image in enumerate(sorted({image for cell in cells for image in cell.image_id}))}


Values = Mapping[tuple[str, str], Mapping[str, float]]  # by language and direction, and metric
Draws = Mapping[tuple[str, str], Mapping[str, Doubles]]


@dataclass(frozen=True)
class _Table:
    """The scores of one system on one subset: rows are languages and groups of them."""

    system: str
    subset: str
    scope: Scope
    settings: Bootstrap
    metrics: tuple[str, ...]
    missing: Mapping[str, str] = field(default_factory=dict)

    def scores(self, values: Values, draws: Draws) -> list[Score]:
        found = []
        for row, members in self.scope.rows().items():
            absent = [code for code in members if not {(code, TEXT_TO_IMAGE), (code, IMAGE_TO_TEXT)} <= values.keys()]
            if absent and not set(absent) <= set(self.missing):
                silent = ", ".join(sorted(set(absent) - set(self.missing)))
                raise DataError(f"{self.system} has neither ranks nor a reason for their absence in {silent}.")
            if absent:
                reason = self.missing[row] if absent == [row] else _gap(absent, members)
                for way in (*DIRECTIONS, BOTH):
                    found += [self.score(row, way, metric, None, reason=reason) for metric in self._metrics(way)]
                continue
            for way in DIRECTIONS:
                for metric in self._metrics(way):
                    value, drawn = self._mean([(code, way) for code in members], metric, values, draws)
                    found.append(self.score(row, way, metric, value, drawn))
            found += self._both(row, members, values, draws)
        return found

    def _metrics(self, direction: str) -> list[str]:
        return [metric for metric in self.metrics if (direction, metric) != (BOTH, MEDIAN_RANK)]

    def _both(self, row: str, members: Sequence[str], values: Values, draws: Draws) -> list[Score]:
        found = []
        for metric in self._metrics(BOTH):
            parts = [self._mean([(code, way) for code in members], metric, values, draws) for way in DIRECTIONS]
            drawn = None if parts[0][1] is None or parts[1][1] is None else combine(metric, parts[0][1], parts[1][1])
            found.append(self.score(row, BOTH, metric, combine(metric, parts[0][0], parts[1][0]), drawn))
        return found

    def _mean(self, keys: Sequence[tuple[str, str]], metric: str, values: Values, draws: Draws) -> tuple[float, Doubles | None]:
        value = float(np.mean([values[key][metric] for key in keys]))
        return value, np.mean([draws[key][metric] for key in keys], axis=0) if draws else None

    def score(
        self, row: str, direction: str, metric: str, value: float | None, draws: Doubles | None = None, reason: str | None = None
    ) -> Score:
        numbers = {} if value is None else asdict(estimate(value, np.empty(0) if draws is None else draws, self.settings))
        return Score(
            system=self.system,
            language=row,
            direction=direction,
            metric=metric,
            subset=self.subset,
            reason=reason,
            **numbers,
        )

    def wide_rows(self) -> dict[str, tuple[str, ...]]:
        """Rows that are means over at least two languages."""
        return {row: members for row, members in self.scope.rows().items() if len(members) > 1}


def _gap(absent: Sequence[str], members: Sequence[str]) -> str:
    named = ", ".join(absent) if len(absent) <= 4 else f"{len(absent)} of {len(members)} languages"
    return f"no value in {named}"
