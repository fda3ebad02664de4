"""Means over pictures with intervals, paired differences between models, and Holm's correction over languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mella_retrieval.mllm.score.answers import SIGNS, ArmAnswers
from mella_retrieval.mllm.score.bootstrap import (
    Bootstrap,
    Difference,
    Interval,
    difference,
    interval,
    mean,
    resampled_means,
)
from mella_retrieval.mllm.score.forgetting import CHANCE, Sign, read_signs
from mella_retrieval.mllm.score.results import ALL, Cell, Row
from mella_retrieval.resampling import Doubles, holm

Column = tuple[str, str]
"""Model and metric."""


@dataclass(frozen=True)
class Scores:
    """The scores of one kind and language.

    Attributes:
        image_ids: of the pictures.
        values: (model, metric) -> (pictures,) scores, NaN where there is none.
        chance: (model, metric) -> mean of the shuffles; without those that look at no reference.
    """

    kind: str
    lang: str
    image_ids: Sequence[str]
    values: Mapping[Column, Doubles]
    chance: Mapping[Column, float | None]


def rows_of(scores: Sequence[Scores], arms: Sequence[str], settings: Bootstrap) -> list[Row]:
    """The rows of all kinds; pictures are drawn once for all languages and models of a kind, so that they stay paired."""
    rows: list[Row] = []
    for kind in dict.fromkeys(one.kind for one in scores):
        rows += _of_kind(kind, [one for one in scores if one.kind == kind], arms, settings)
    return rows


def _of_kind(kind: str, scores: Sequence[Scores], arms: Sequence[str], settings: Bootstrap) -> list[Row]:
    places = {name: place for place, name in enumerate(dict.fromkeys(name for one in scores for name in one.image_ids))}
    columns = [(one.lang, *column) for one in scores for column in one.values]
    matrix = np.full((len(places), len(columns)), np.nan)
    for number, (lang, arm, metric) in enumerate(columns):
        own = next(one for one in scores if one.lang == lang)
        matrix[[places[name] for name in own.image_ids], number] = own.values[arm, metric]
    if not matrix.size:
        return []
    drawn = resampled_means(matrix, settings)
    draws = {column: drawn[:, number] for number, column in enumerate(columns)}
    means = {column: mean(matrix[:, number]) for number, column in enumerate(columns)}
    chances = {(one.lang, *column): value for one in scores for column, value in one.chance.items()}
    rows: list[Row] = []
    for metric in dict.fromkeys(metric for _, _, metric in columns):
        langs = [one.lang for one in scores if means.get((one.lang, arms[0], metric)) is not None]
        found = []
        for lang in langs:
            pictures = int(np.isfinite(matrix[:, columns.index((lang, arms[0], metric))]).sum())
            of_arm = {
                arm: _Column(means[lang, arm, metric], draws[lang, arm, metric], chances.get((lang, arm, metric))) for arm in arms
            }
            found.append(_row((kind, metric, lang), pictures, of_arm, settings, drawn=pictures > 1))
        rows += _with_holm(found)
        if len(langs) > 1:
            pictures = sum(row.pictures for row in found)
            of_arm = {arm: _over_languages([(lang, arm, metric) for lang in langs], means, draws, chances) for arm in arms}
            several = all(row.pictures > 1 for row in found)
            rows.append(_row((kind, metric, ALL), pictures, of_arm, settings, drawn=several))
    return rows


@dataclass(frozen=True)
class _Column:
    value: float | None
    draws: Doubles
    chance: float | None


def _over_languages(
    columns: Sequence[tuple[str, str, str]],
    means: Mapping[tuple[str, str, str], float | None],
    draws: Mapping[tuple[str, str, str], Doubles],
    chances: Mapping[tuple[str, str, str], float | None],
) -> _Column:
    """The mean of languages, each counting as much as another."""
    values = [means[column] or 0.0 for column in columns]
    found = [chance for column in columns if (chance := chances.get(column)) is not None]
    return _Column(
        sum(values) / len(values),
        np.mean([draws[column] for column in columns], axis=0),
        sum(found) / len(found) if len(found) == len(columns) else None,
    )


def _row(
    name: tuple[str, str, str], pictures: int, arms: Mapping[str, _Column], settings: Bootstrap, *, drawn: bool = True
) -> Row:
    """A row; without intervals where a single picture would be drawn again and again."""
    (_, own), *others = arms.items()
    cells = {
        arm: Cell(interval(of.value or 0.0, of.draws, settings) if drawn else Interval(of.value or 0.0), of.chance)
        for arm, of in arms.items()
    }
    differences: dict[str, Difference] = {}
    for arm, of in others:
        value = (of.value or 0.0) - (own.value or 0.0)
        differences[arm] = difference(value, of.draws - own.draws, settings) if drawn else Difference(value)
    return Row(*name, pictures, cells, differences)


def _with_holm(rows: Sequence[Row]) -> list[Row]:
    """Each model's p-values corrected over the languages."""
    found = [dict(row.differences) for row in rows]
    for arm in {arm for one in found for arm in one}:
        tested = [one for one in found if one[arm].p is not None]
        for one, p in zip(tested, holm([one[arm].p or 0.0 for one in tested]).tolist(), strict=True):
            one[arm] = replace(one[arm], p_holm=p)
    return [replace(row, differences=one) for row, one in zip(rows, found, strict=True)]


def compare_signs(signs: Sequence[Sign], arms: Mapping[str, ArmAnswers], settings: Bootstrap) -> tuple[list[Row], dict[str, int]]:
    """The rows of the measure of forgetting, over pairs of pictures, and how many answers of each model are unclear."""
    readings = {name: read_signs(signs, {place: one.text for place, one in given.signs.items()}) for name, given in arms.items()}
    drawn = resampled_means(np.concatenate([one.scores for one in readings.values()], axis=1), settings)
    rows = []
    for place, metric in enumerate(CHANCE):
        of_arm = {
            name: _Column(float(one.scores[:, place].mean()), drawn[:, 2 * number + place], CHANCE[metric])
            for number, (name, one) in enumerate(readings.items())
        }
        rows.append(_row((SIGNS, metric, "en"), len(signs), of_arm, settings))
    return rows, {name: one.unclear for name, one in readings.items()}
