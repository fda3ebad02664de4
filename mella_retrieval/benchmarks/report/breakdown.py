"""Scores of parts of the test set: native captions apart from described ones, and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from mella_retrieval.benchmarks.report.drawing import (
    SOFT,
    WIDTH,
    Cast,
    Margins,
    Plot,
    beside,
    cast,
    ceiling,
    dots,
    figure,
    for_page,
    heading,
    label_width,
    panel,
    plain_axes,
    png,
    row_labels,
    svg,
)
from mella_retrieval.benchmarks.report.naming import directions, shorten, slug
from mella_retrieval.benchmarks.results import Record
from mella_retrieval.benchmarks.scores import MEAN, Score


@dataclass(frozen=True)
class Breakdown:
    """The parts that one column of the records divides the test set into.

    Attributes:
        column: its name, such as `category`.
        values: of the column, in the order of the result.
        rows: means and languages that have a score in some part.
        scores: of the main system by value, row, direction and metric.
        plots: one per metric and direction.
    """

    column: str
    values: tuple[str, ...]
    rows: tuple[str, ...]
    scores: Mapping[tuple[str, str, str, str], Score]
    plots: tuple[Plot, ...]


def breakdowns(record: Record, metrics: Sequence[str]) -> list[Breakdown]:
    """One for each column that subsets were scored by; none where there are no subsets."""
    columns: dict[str, dict[str, list[Score]]] = {}
    for score in record.scores:
        if score.subset:
            column, _, value = score.subset.partition("=")
            columns.setdefault(column, {}).setdefault(value, []).append(score)
    shown = cast(record)
    found = []
    for column, parts in columns.items():
        own = {
            (value, s.language, s.direction, s.metric): s
            for value, part in parts.items()
            for s in part
            if s.system == shown.main.name
        }
        rows = tuple(dict.fromkeys(row for _, row, _, _ in own))
        means = tuple(row for row in rows if row not in record.data.languages)
        languages = tuple(row for row in record.data.languages if row in rows)
        plots = [
            _plot(record, shown, (column, direction, metric), parts)
            for metric in metrics
            for direction in directions(record)
            if direction != "both"
        ]
        found.append(Breakdown(column, tuple(parts), means + languages, own, tuple(plot for plot in plots if plot)))
    return found


def _plot(record: Record, shown: Cast, key: tuple[str, str, str], parts: Mapping[str, Sequence[Score]]) -> Plot | None:
    column, direction, metric = key
    scores = {
        (s.system, value): s
        for value, part in parts.items()
        for s in part
        if (s.language, s.direction, s.metric) == (MEAN, direction, metric) and s.value is not None
    }
    if not scores:
        return None
    whole = {s.system: s for s in record.scores if (s.language, s.direction, s.metric, s.subset) == (MEAN, direction, metric, "")}
    main = shown.main.name
    order = sorted(parts, key=lambda value: -((s.value or 0.0) if (s := scores.get((main, value))) else 0.0))
    name, title = slug(f"by {column} {direction} {metric}"), f"{directions(record)[direction]}, {metric}, by {column}"
    rows: dict[str, dict[str, Score]] = {"the whole test set": whole}
    rows |= {value: {system: s for (system, part), s in scores.items() if part == value} for value in order}
    margins, height = Margins(label_width(shorten(row, 34) for row in rows)), 0.22 * len(rows)
    with figure(name, WIDTH, margins.top + height + margins.bottom) as drawn:
        axes = panel(drawn, margins, height)
        _draw(axes, shown, rows)
        heading(axes, title)
        content = svg(drawn)
        return Plot(name, title, (for_page(content, title),), content.encode(), png(drawn), (metric,))


def _draw(axes: Axes, shown: Cast, rows: Mapping[str, Mapping[str, Score]]) -> None:
    ends = [s.high or s.value or 0.0 for row in rows.values() for s in row.values()]
    dots(axes, shown, list(rows.values()), 100)
    for y, row in enumerate(rows.values()):
        value = row[shown.main.name].value if shown.main.name in row else None
        beside(axes, y, "–" if value is None else f"{100 * value:.1f}", fontsize=7.5, color=SOFT)
    row_labels(axes, {float(y): shorten(value, 34) for y, value in enumerate(rows)})
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 100 * ceiling(ends))
    axes.axhline(0.5, color=SOFT, linewidth=0.5)
    plain_axes(axes, "%, mean over languages")
