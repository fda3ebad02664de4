"""Bars per language with intervals, sorted within blocks of languages, the other systems as marks, chance as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mella_retrieval.benchmarks.report.drawing import (
    FURTHER,
    INK,
    SOFT,
    WIDTH,
    Cast,
    Margins,
    Plot,
    beside,
    cast,
    ceiling,
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
from mella_retrieval.benchmarks.report.groups import GROUPINGS, Block, block, fold
from mella_retrieval.benchmarks.report.naming import counted, directions, shorten, slug
from mella_retrieval.benchmarks.results import Record
from mella_retrieval.benchmarks.scores import Score

MEANS = "Means over languages"
PART = 48  # rows of a part: what fits on a sheet of paper beside another part
_ROW, _LEGEND = 0.185, 0.75  # inches

Scores = Mapping[tuple[str, str], Score]  # by system and row


def bars(record: Record, direction: str, metric: str, grouping: str) -> Plot:
    """The bars of one direction and metric, in the blocks of one of `GROUPINGS`; means stand in a block before them."""
    shown = cast(record)
    scores = {(s.system, s.language): s for s in record.scores if (s.direction, s.metric, s.subset) == (direction, metric, "")}
    top = _top(record, metric)
    label, split = GROUPINGS[grouping]
    means = [row for row in dict.fromkeys(row for _, row in scores) if row not in record.data.languages]
    values = {row: score.value or 0.0 for (system, row), score in scores.items() if system == shown.main.name}
    blocks = [block(MEANS, means)] if means else []
    blocks += [found.ordered(lambda row: values.get(row, 0.0)) for found in split(record.data.languages)]
    parts = fold(blocks, PART)
    title = f"{directions(record)[direction]}, {metric}"
    name = slug(f"{direction} {metric} by {grouping}")
    margins = Margins(label_width(label for part in parts for found in part for label in found.labels))
    pages = []
    for number, part in enumerate(parts, start=1):
        with figure(f"{name} {number}", WIDTH, margins.top + _height(part) + margins.bottom) as drawn:
            axes = panel(drawn, margins, _height(part))
            _draw(axes, shown, part, scores, top)
            heading(axes, f"{title} ({number} of {len(parts)})" if len(parts) > 1 else title)
            pages.append(for_page(svg(drawn), f"{title}, by {label.lower()}"))
    with figure(name, WIDTH * len(parts), margins.top + max(_height(part) for part in parts) + margins.bottom + _LEGEND) as drawn:
        for number, part in enumerate(parts):
            axes = panel(drawn, margins, _height(part), number, len(parts))
            _draw(axes, shown, part, scores, top)
            if number == 0:
                heading(axes, title)
        _legend(drawn, shown)
        return Plot(name, f"{title}, by {label.lower()}", tuple(pages), svg(drawn).encode(), png(drawn), (metric, grouping))


def _height(part: Sequence[Block]) -> float:
    return _ROW * sum(len(found.rows) + 1.5 for found in part)


def _top(record: Record, metric: str) -> float:
    """Where the scale ends, the same for both directions."""
    ends = [s.high if s.high is not None else s.value for s in record.scores if (s.metric, s.subset) == (metric, "")]
    return ceiling([end for end in ends if end is not None])


def _draw(axes: Axes, shown: Cast, part: Sequence[Block], scores: Scores, top: float) -> None:
    places: dict[str, float] = {}
    labels: dict[float, str] = {}
    at = 0.0
    for found in part:
        at += 1.5
        values = [scores[shown.main.name, row].value for row in found.whole if (shown.main.name, row) in scores]
        known = [value for value in values if value is not None]
        mean = f"{len(found.whole)}, mean {100 * sum(known) / len(known):.1f}" if known and found.title != MEANS else ""
        axes.text(0, at - 0.1, found.title, fontsize=8, fontweight="bold", color=INK, va="center")
        axes.text(100 * top, at - 0.1, mean, fontsize=7.5, color=SOFT, va="center", ha="right")
        for row, label in zip(found.rows, found.labels, strict=True):
            at += 1
            places[row] = at
            labels[at] = label
    _further(axes, shown, places, scores)
    if shown.chance:
        chance = [
            (y, s.value) for row, y in places.items() if (s := scores.get((shown.chance.name, row))) and s.value is not None
        ]
        axes.vlines(
            [100 * v for _, v in chance], [y - 0.5 for y, _ in chance], [y + 0.5 for y, _ in chance], colors=INK, linewidth=1.2
        )
    for system in reversed(shown.named):
        _system(axes, shown, system.name, places, scores)
    for row, y in places.items():
        score = scores.get((shown.main.name, row))
        text = "–" if score is None or score.value is None else f"{100 * score.value:.1f}"
        beside(axes, y, text, fontsize=7.5, color=SOFT)
    row_labels(axes, labels)
    axes.set_ylim(at + 0.75, 0.75)
    axes.set_xlim(0, 100 * top)
    plain_axes(axes, "%")


def _system(axes: Axes, shown: Cast, name: str, places: Mapping[str, float], scores: Scores) -> None:
    found = [(y, s, 100 * s.value) for row, y in places.items() if (s := scores.get((name, row))) and s.value is not None]
    if not found:
        return
    at, values = [y for y, _, _ in found], [value for _, _, value in found]
    errors = [
        [max(value - 100 * s.low, 0.0) if s.low is not None else 0.0 for _, s, value in found],
        [max(100 * s.high - value, 0.0) if s.high is not None else 0.0 for _, s, value in found],
    ]
    colour = shown.colour(name)
    if name == shown.main.name:
        axes.barh(at, values, height=0.74, color=colour, alpha=0.45, linewidth=0)
        axes.errorbar(values, at, xerr=errors, fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.8, capthick=0.9)
    else:
        style: dict[str, Any] = {"markersize": 3.6, "elinewidth": 0.7, "markeredgewidth": 0, "clip_on": False}
        axes.errorbar(values, at, xerr=errors, fmt=shown.mark(name), color=colour, **style)


def _further(axes: Axes, shown: Cast, places: Mapping[str, float], scores: Scores) -> None:
    found = [
        (100 * s.value, y)
        for system in shown.further
        for row, y in places.items()
        if (s := scores.get((system.name, row))) and s.value is not None
    ]
    if found:
        axes.plot(*zip(*found, strict=True), "|", color=FURTHER, markersize=5, markeredgewidth=0.7, alpha=0.7)


def _legend(drawn: Figure, shown: Cast) -> None:
    handles: list[Patch | Line2D] = [Patch(color=shown.colour(shown.main.name), alpha=0.45, linewidth=0, label=shown.main.name)]
    for system in shown.others:
        mark: dict[str, Any] = {
            "marker": shown.mark(system.name),
            "color": shown.colour(system.name),
            "linestyle": "none",
            "markersize": 4,
        }
        handles.append(Line2D([], [], label=system.name, **mark))
    if shown.further:
        grey: dict[str, Any] = {"marker": "|", "color": FURTHER, "linestyle": "none", "markersize": 6}
        handles.append(Line2D([], [], label=counted(len(shown.further), "further system"), **grey))
    if shown.chance:
        handles.append(Line2D([], [], marker="|", color=INK, linestyle="none", markersize=7, label=shown.chance.name))
    for handle in handles:
        handle.set_label(shorten(str(handle.get_label()), 44))
    drawn.legend(handles=handles, loc="lower left", ncols=2, fontsize=7, frameon=False, labelcolor=INK)
