"""Compare two results of one task and protocol: paired differences over the images they share, with intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.benchmarks.evaluation import RankedQueries
from mella_retrieval.benchmarks.metrics import DIRECTIONS, LONG_METRICS, MEDIAN_RANK, METRICS, summarise
from mella_retrieval.benchmarks.results import Result, SystemInfo
from mella_retrieval.benchmarks.scores import MEAN, image_rows
from mella_retrieval.benchmarks.statistics import Bootstrap, Queries, paired_difference, resampled_metrics
from mella_retrieval.errors import DataError, MismatchError
from mella_retrieval.recipes import Strict, suggest
from mella_retrieval.resampling import holm

Doubles = NDArray[np.float64]

_USUAL = tuple(metric for metric in METRICS if metric != MEDIAN_RANK)
COMPARED = (*_USUAL, *LONG_METRICS)


class ComparisonRow(Strict):
    """The difference second - first of one metric.

    `p` is two-sided; `p_holm` holds for all languages of this direction and metric at once; the mean over languages is
    one test and has none.
    """

    language: str
    direction: str
    metric: str
    queries: int
    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    p_holm: float | None = None


class Comparison(Strict):
    """Two systems on one task and protocol; `subset` is "" for the whole test set."""

    task: str
    protocol: str
    subset: str = ""
    first: str
    second: str
    images: int
    bootstrap: Bootstrap
    rows: tuple[ComparisonRow, ...]


def compare(
    first: Result,
    second: Result,
    *,
    first_system: str | None = None,
    second_system: str | None = None,
    metrics: Sequence[str] = _USUAL,
    subset: str = "",
    settings: Bootstrap | None = None,
) -> Comparison:
    """Test the second result against the first, over the languages and images that both have.

    Args:
        first: the result to start from.
        second: the result to judge.
        first_system: which of its systems; by default the one with the role `system`.
        second_system: the same of the second.
        metrics: of `COMPARED`.
        subset: the part of the test set to compare over, such as `source=know`; all of it by default.
        settings: of the bootstrap; by default 10,000 resamples, so that p can be small enough for many languages.

    Raises:
        MismatchError: another task, protocol, gallery or other captions; both sides are named.
        DataError: no such system, or nothing that both have ranked.
    """
    settings = settings or Bootstrap(resamples=10_000)
    names = _system(first, first_system), _system(second, second_system)
    _check_same_question(first, second)
    pairs = _paired(_cells(first, names[0], subset), _cells(second, names[1], subset))
    if not pairs:
        raise DataError(f"{names[0]!r} and {names[1]!r} have no language in common.")
    flat = [cell for pair in pairs for cell in pair]
    images = image_rows(flat)
    queries = [Queries(cell.positions, np.array([images[image] for image in cell.image_id], np.int64)) for cell in flat]
    draws = resampled_metrics(queries, len(images), settings, metrics)
    rows = []
    for direction in DIRECTIONS:
        chosen = [at for at, (left, _) in enumerate(pairs) if left.direction == direction]
        for metric in metrics if chosen else ():  # a classification asks in one direction
            rows += _rows(direction, metric, [pairs[at] for at in chosen], draws[metric], chosen, settings)
    return Comparison(
        task=first.record.task.name,
        protocol=first.record.protocol,
        subset=subset,
        first=names[0],
        second=names[1],
        images=len(images),
        bootstrap=settings,
        rows=tuple(rows),
    )


Pair = tuple[RankedQueries, RankedQueries]


def _rows(
    direction: str, metric: str, pairs: Sequence[Pair], draws: Doubles, columns: Sequence[int], settings: Bootstrap
) -> list[ComparisonRow]:
    values = [(_value(left, metric), _value(right, metric)) for left, right in pairs]
    gaps = np.stack([draws[:, 2 * at + 1] - draws[:, 2 * at] for at in columns])
    found = [paired_difference(b - a, gap, settings) for (a, b), gap in zip(values, gaps, strict=True)]
    adjusted = holm([difference.p for difference in found])
    rows = [
        _row(left.language, direction, metric, len(left.positions), value, asdict(difference), float(p))
        for (left, _), value, difference, p in zip(pairs, values, found, adjusted, strict=True)
    ]
    mean = (float(np.mean([a for a, _ in values])), float(np.mean([b for _, b in values])))
    overall = paired_difference(mean[1] - mean[0], gaps.mean(axis=0), settings)
    return [*rows, _row(MEAN, direction, metric, sum(row.queries for row in rows), mean, asdict(overall), None)]


def _value(cell: RankedQueries, metric: str) -> float:
    return summarise(cell.positions, [metric])[metric]


def _row(
    language: str,
    direction: str,
    metric: str,
    queries: int,
    values: tuple[float, float],
    found: dict[str, float],
    p_holm: float | None,
) -> ComparisonRow:
    difference = found.pop("value")
    return ComparisonRow(
        language=language,
        direction=direction,
        metric=metric,
        queries=queries,
        first=values[0],
        second=values[1],
        difference=difference,
        p_holm=p_holm,
        **found,
    )


def _system(result: Result, name: str | None) -> str:
    systems: dict[str, SystemInfo] = {system.name: system for system in result.record.systems}
    if name is None:
        return next((system.name for system in systems.values() if system.role == "system"), next(iter(systems)))
    if name not in systems:
        raise DataError(f"the result has no system {name!r}.{suggest(name, systems)} It has: {', '.join(systems)}.")
    return name


def _cells(result: Result, system: str, subset: str) -> dict[tuple[str, str], RankedQueries]:
    mine = [cell for cell in result.ranks if cell.system == system]
    cells = {(cell.language, cell.direction): cell for cell in mine if cell.subset == subset}
    if mine and not cells:
        known = sorted({cell.subset for cell in mine} - {""})
        raise DataError(f"the result has no subset {subset!r}.{suggest(subset, known)} It has: {', '.join(known) or 'none'}.")
    if not cells:
        raise DataError(f"the system {system!r} has no ranks to compare; chance, for one, is computed and not ranked.")
    return cells


def _check_same_question(first: Result, second: Result) -> None:
    a, b = first.record, second.record
    for what, left, right in (
        ("task", a.task.name, b.task.name),
        ("protocol", a.protocol, b.protocol),
        ("tie rule", a.tie_rule, b.tie_rule),
        ("gallery", _gallery(first), _gallery(second)),
    ):
        if left != right:
            raise MismatchError(f"the results do not compare: the {what} of the first is {left!r}, of the second {right!r}.")
    for language in set(a.data.languages) & set(b.data.languages):
        ours, theirs = a.data.fingerprints.get(language), b.data.fingerprints.get(language)
        if ours != theirs:
            raise MismatchError(
                f"the results do not compare: the captions in {language} of the first are {ours}, of the second {theirs}."
            )


def _gallery(result: Result) -> str:
    data = result.record.data
    return f"{data.images} images, {data.fingerprints.get('images')}"


def _paired(first: dict[tuple[str, str], RankedQueries], second: dict[tuple[str, str], RankedQueries]) -> list[Pair]:
    """Cells that both have, reduced to the queries that both have, in the same order."""
    pairs = []
    for key, left in first.items():
        if key not in second:
            continue
        right = second[key]
        at = {query: row for row, query in enumerate(right.query_id)}
        kept = [row for row, query in enumerate(left.query_id) if query in at]
        if kept:
            pairs.append((left.take(kept), right.take([at[left.query_id[row]] for row in kept])))
    return pairs
