"""Scores: every metric of every system, language or group of languages, and direction, with its interval.

A number that does not exist stands as an empty score with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries, relevant_counts
from mella_retrieval.benchmarks.metrics import (
    BOTH,
    DIRECTIONS,
    IMAGE_TO_TEXT,
    MEDIAN_RANK,
    METRICS,
    TEXT_TO_IMAGE,
    both_directions,
    chance,
    summarise,
)
from mella_retrieval.benchmarks.protocols import Protocol
from mella_retrieval.benchmarks.statistics import Bootstrap, Queries, estimate, resampled_metrics
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

MEAN = "mean"  # the group of all languages
CHANCE = "chance"

Doubles = NDArray[np.float64]
Key = tuple[str, str, str]  # system, language or group, direction


class Score(Strict):
    """One number; `value` is empty where there is a `reason`, `low` and `high` where nothing was drawn."""

    system: str
    language: str
    direction: str
    metric: str
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


def score_systems(
    cells: Sequence[RankedQueries], scope: Scope, settings: Bootstrap, missing: Mapping[str, Mapping[str, str]] | None = None
) -> list[Score]:
    """Score what was ranked. All systems and languages share the resampled images.

    Args:
        cells: ranks, at most one per system, language and direction.
        scope: languages and groups.
        settings: of the bootstrap.
        missing: by system and language the reason why there are no ranks.

    Raises:
        DataError: a system has neither ranks nor a reason in one of the languages.
    """
    missing = missing or {}
    values = {(cell.system, cell.language, cell.direction): summarise(cell.rank) for cell in cells}
    drawn = _draw(cells, settings) if cells else {}
    scores = []
    for system in dict.fromkeys([*(cell.system for cell in cells), *missing]):
        scores += _score_system(system, _with_both(system, values, drawn), scope, settings, missing.get(system, {}))
    return scores


def chance_scores(evaluation: EvaluationSet, scope: Scope, protocol: Protocol) -> list[Score]:
    """What a random order gets under the protocol, computed; the system `chance`, without intervals."""
    values, nothing = {}, dict.fromkeys(METRICS, np.empty(0))
    for language in scope.languages:
        counts = relevant_counts(evaluation.captions[language], len(evaluation.image_ids), protocol)
        for direction, (relevant, gallery) in counts.items():
            values[CHANCE, language, direction] = chance(relevant, gallery)
    complete = _with_both(CHANCE, values, dict.fromkeys(values, nothing))
    return _score_system(CHANCE, complete, scope, Bootstrap(), {})


def _draw(cells: Sequence[RankedQueries], settings: Bootstrap) -> dict[Key, dict[str, Doubles]]:
    rows = image_rows(cells)
    queries = [Queries(cell.rank, np.array([rows[image] for image in cell.image_id], np.int64)) for cell in cells]
    draws = resampled_metrics(queries, len(rows), settings)
    return {
        (cell.system, cell.language, cell.direction): {metric: draws[metric][:, column] for metric in METRICS}
        for column, cell in enumerate(cells)
    }


def image_rows(cells: Sequence[RankedQueries]) -> dict[str, int]:
    """A number for every image that has a query; sorted, so that the order of the gallery changes no interval."""
    return {image: row for row, image in enumerate(sorted({image for cell in cells for image in cell.image_id}))}


Complete = dict[tuple[str, str], tuple[dict[str, float], dict[str, Doubles]]]


def _with_both(system: str, values: Mapping[Key, dict[str, float]], drawn: Mapping[Key, dict[str, Doubles]]) -> Complete:
    """Values and draws of one system by language and direction, the mean of both directions added."""
    found: Complete = {(key[1], key[2]): (values[key], drawn[key]) for key in values if key[0] == system}
    for language in {language for language, _ in found}:
        if (language, TEXT_TO_IMAGE) in found and (language, IMAGE_TO_TEXT) in found:
            t2i, i2t = found[language, TEXT_TO_IMAGE], found[language, IMAGE_TO_TEXT]
            mean = both_directions(t2i[0], i2t[0])
            found[language, BOTH] = mean, {metric: (t2i[1][metric] + i2t[1][metric]) / 2 for metric in mean}
    return found


def _score_system(system: str, complete: Complete, scope: Scope, settings: Bootstrap, missing: Mapping[str, str]) -> list[Score]:
    scores = []
    for row, members in scope.rows().items():
        absent = [language for language in members if (language, BOTH) not in complete]
        if absent and not set(absent) <= set(missing):
            silent = ", ".join(sorted(set(absent) - set(missing)))
            raise DataError(f"{system} has neither ranks nor a reason for their absence in {silent}.")
        reason = missing[row] if absent == [row] else _gap(absent, members) if absent else None
        for direction in (*DIRECTIONS, BOTH):
            parts = [] if reason else [complete[language, direction] for language in members]
            for metric in METRICS:
                if metric == MEDIAN_RANK and direction == BOTH:
                    continue
                if reason:
                    scores.append(Score(system=system, language=row, direction=direction, metric=metric, reason=reason))
                    continue
                draws = np.mean([draw[metric] for _, draw in parts], axis=0)
                found = estimate(float(np.mean([value[metric] for value, _ in parts])), draws, settings)
                scores.append(Score(system=system, language=row, direction=direction, metric=metric, **asdict(found)))
    return scores


def _gap(absent: Sequence[str], members: Sequence[str]) -> str:
    named = ", ".join(absent) if len(absent) <= 4 else f"{len(absent)} of {len(members)} languages"
    return f"no value in {named}"
