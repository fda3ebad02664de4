"""Top-1, top-5 and macro-F1 of classified pictures, with bootstrap intervals over pictures, and what guessing gets.

Definitions. The rank of a picture's class is 1 + the classes that score at least as high (pessimistic, `ranking.rank`); top-k
is the share of pictures whose class has a rank of at most k. The predicted class is the best one; where the picture's own class
is best, but not alone, the prediction is the other. F1 of a class is 2 TP / (pictures of it + pictures predicted as it), and
macro-F1 the mean over the classes that have pictures. In a resample it is the mean over the classes that were drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.metrics import IMAGE_TO_TEXT
from mella_retrieval.benchmarks.ranking import rank
from mella_retrieval.benchmarks.relevance import TOLERANCE
from mella_retrieval.benchmarks.scores import CHANCE, Scope, Score
from mella_retrieval.benchmarks.similarity import UnitVectors, exact_scores
from mella_retrieval.benchmarks.statistics import Bootstrap, estimate, resampled_means
from mella_retrieval.errors import DataError

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

TOP_1, TOP_5, MACRO_F1 = "top-1", "top-5", "macro-F1"
METRICS = (TOP_1, TOP_5, MACRO_F1)

_ROWS = 4096  # pictures scored at a time
_VALUES = 1 << 24  # values resampled at a time: 128 MB


@dataclass(frozen=True)
class Answers:
    """What one system says in one language.

    Attributes:
        rank: (N,) of each picture's class, from 1.
        predicted: (N,) the number of the predicted class.
    """

    system: str
    language: str
    rank: Ints
    predicted: Ints


def answer(classes: UnitVectors, images: UnitVectors, labels: Ints, device: str = "cpu") -> tuple[Ints, Ints]:
    """Rank and prediction (N,) of each picture.

    Args:
        classes: (C, d), one vector per class.
        images: (N, d).
        labels: (N,) the class of each picture, 0 ... C - 1.
        device: where to rank; the answers are the same.

    Raises:
        DataError: what `ranking.rank` refuses.
    """
    rows, gallery = np.arange(len(images)), images
    text_index, image_index = labels, rows
    empty = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if empty.size:
        # ranking wants a picture for every text: the empty classes get one more, whose own rank is not looked at
        gallery = UnitVectors(np.concatenate([images.values, images.values[:1]]), images.name)
        text_index = np.concatenate([labels, empty])
        image_index = np.concatenate([rows, np.full(len(empty), len(images))])
    ranks = rank(classes, gallery, text_index, image_index, device=device).image[: len(images)]
    predicted = labels.copy()
    wrong = np.flatnonzero(ranks > 1)
    for start in range(0, len(wrong), _ROWS):
        part = wrong[start : start + _ROWS]
        predicted[part] = _best_other(classes, images, part, labels[part])
    return ranks, predicted


def _best_other(classes: UnitVectors, images: UnitVectors, rows: Ints, labels: Ints) -> Ints:
    """The best class of each picture but its own; among equals the first. What float32 cannot order is scored in float64."""
    scores = images.values[rows] @ classes.values.T
    scores[np.arange(len(rows)), labels] = -np.inf
    near, columns = np.nonzero(scores >= scores.max(axis=1, keepdims=True) - np.float32(2 * TOLERANCE))
    exact = exact_scores(images, classes, rows[near], columns.astype(np.int64))
    order = np.lexsort((columns, -exact, near))
    return columns[order][np.unique(near[order], return_index=True)[1]].astype(np.int64)


def f1_per_class(labels: Ints, predicted: Ints, classes: int) -> Doubles:
    """(C,) F1 of each class; NaN for a class without pictures."""
    right = np.bincount(labels[labels == predicted], minlength=classes)
    return _f1(right, np.bincount(labels, minlength=classes), np.bincount(predicted, minlength=classes))


def _f1(right: NDArray[np.generic], true: NDArray[np.generic], predicted: NDArray[np.generic]) -> Doubles:
    """F1 from counts of any shape; the counts may share a factor."""
    there = np.where(np.asarray(true) > 0, true, np.nan).astype(np.float64)
    return np.asarray(2 * np.asarray(right) / (there + np.asarray(predicted)))


def summarise(answers: Answers, labels: Ints, classes: int) -> dict[str, float]:
    """Top-1, top-5 and macro-F1."""
    return {
        TOP_1: float(np.mean(answers.rank <= 1)),
        TOP_5: float(np.mean(answers.rank <= 5)),
        MACRO_F1: float(np.nanmean(f1_per_class(labels, answers.predicted, classes))),
    }


def chance(labels: Ints, classes: int) -> dict[str, float]:
    """Expected values of guessing: a random order of the classes for top-k, for macro-F1 a class by lot for each picture.

    Of P pictures guessed to be a class, n P / N are expected to be right, n being those of it among all N: so E[F1] is the
    mean of 2 n P / N / (n + P) over the binomial distribution of P. Computed, not drawn.
    """
    total = len(labels)
    counts = np.bincount(labels, minlength=classes)
    sizes, shares = np.unique(counts[counts > 0], return_counts=True)
    guessed = np.arange(total + 1)
    chances = _binomial(total, 1 / classes)
    expected = [float(chances @ (2 * size * guessed / total / (size + guessed))) for size in sizes]
    return {
        TOP_1: 1 / classes,
        TOP_5: min(5 / classes, 1.0),
        MACRO_F1: float(np.average(expected, weights=shares)),
    }


def _binomial(n: int, p: float) -> Doubles:
    """(n + 1,) probabilities of 0 ... n successes."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    found = np.exp(logs[n] - logs[k] - logs[n - k] + k * np.log(p) + (n - k) * np.log1p(-p))
    return np.asarray(found / found.sum())


def score_answers(
    answers: Sequence[Answers],
    labels: Ints,
    classes: int,
    scope: Scope,
    settings: Bootstrap,
    missing: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Score]:
    """Score classified pictures, image -> text. All systems and languages share the resampled pictures.

    Args:
        answers: at most one per system and language, their pictures in an order that does not hang on the gallery's.
        labels: (N,) the pictures' classes.
        classes: C.
        scope: languages and groups.
        settings: of the bootstrap.
        missing: by system and language the reason why there are no answers.

    Raises:
        DataError: a system has neither answers nor a reason in one of the languages.
    """
    missing = missing or {}
    values = {(one.system, one.language): summarise(one, labels, classes) for one in answers}
    drawn = dict(_draws(answers, labels, classes, settings))
    scores: list[Score] = []
    for system in dict.fromkeys([*(one.system for one in answers), *missing]):
        reasons = missing.get(system, {})
        for row, members in scope.rows().items():
            absent = [code for code in members if (system, code) not in values]
            if silent := [code for code in absent if code not in reasons]:
                raise DataError(f"{system} has neither answers nor a reason for their absence in {', '.join(silent)}.")
            reason = None
            if absent:
                reason = reasons[row] if absent == [row] else f"no value in {len(absent)} of {len(members)} languages"
            parts = [] if reason else [(values[system, code], drawn[system, code]) for code in members]
            scores += _row(system, row, classes, parts, settings, reason)
    return scores


def chance_scores(labels: Ints, classes: int, scope: Scope) -> list[Score]:
    """What guessing gets, the same in every language; without intervals."""
    values = chance(labels, classes)
    return [score for row in scope.rows() for score in _row(CHANCE, row, classes, [(values, {})], Bootstrap(), None)]


Part = tuple[dict[str, float], dict[str, Doubles]]


def _row(system: str, row: str, classes: int, parts: Sequence[Part], settings: Bootstrap, reason: str | None) -> Iterator[Score]:
    for metric in METRICS:
        why = reason or (f"there are only {classes} classes" if metric == TOP_5 and classes <= 5 else None)
        found = {}
        if why is None:
            draws = [drawn[metric] for _, drawn in parts if metric in drawn]
            value = float(np.mean([value[metric] for value, _ in parts]))
            found = asdict(estimate(value, np.mean(draws, axis=0) if draws else np.empty(0), settings))
        yield Score(system=system, language=row, direction=IMAGE_TO_TEXT, metric=metric, reason=why, **found)


def _draws(
    answers: Sequence[Answers], labels: Ints, classes: int, settings: Bootstrap
) -> Iterator[tuple[tuple[str, str], dict[str, Doubles]]]:
    """Every metric in every resample (r,), from one product of the resamples' weights with values per picture.

    The values are hits at 1 and 5 and, class by class, whether the picture is of it, is rightly and is at all predicted as it.
    """
    if not answers:
        return
    true = _one_hot(labels, classes)
    shares = resampled_means(true, settings)
    together = max(1, _VALUES // (len(labels) * (2 * classes + 2)))
    for start in range(0, len(answers), together):
        group = answers[start : start + together]
        columns = [
            np.concatenate(
                [
                    np.stack([one.rank <= 1, one.rank <= 5], axis=1),
                    true * (one.predicted == labels)[:, None],
                    _one_hot(one.predicted, classes),
                ],
                axis=1,
            )
            for one in group
        ]
        means = resampled_means(np.concatenate(columns, axis=1), settings)
        for one, part in zip(group, np.split(means, len(group), axis=1), strict=True):
            f1 = _f1(part[:, 2 : 2 + classes], shares, part[:, 2 + classes :])
            yield (one.system, one.language), {TOP_1: part[:, 0], TOP_5: part[:, 1], MACRO_F1: np.nanmean(f1, axis=1)}


def _one_hot(numbers: Ints, classes: int) -> Doubles:
    return np.asarray(numbers[:, None] == np.arange(classes), np.float64)
