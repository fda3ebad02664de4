"""The heatmap of languages x systems: as cells for the page, whose colours the style sheet decides, and as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from mella_retrieval.benchmarks.report.drawing import (
    INK,
    SOFT,
    Margins,
    ceiling,
    figure,
    label_width,
    panel,
    png,
    row_labels,
    svg,
)
from mella_retrieval.benchmarks.report.groups import Block, block, by_resource, fold
from mella_retrieval.benchmarks.report.naming import directions, main_system, row_name, shorten, slug, write
from mella_retrieval.benchmarks.results import Record
from mella_retrieval.benchmarks.scores import MEAN, Score

PART = 44  # rows of a part
_ROW = 0.185  # inches
DARK = 0.58  # above this level the text of a cell turns

_RAMP = LinearSegmentedColormap.from_list("report", ["#f6f8fa", "#023b95"])  # lighter is less, in grey print too


@dataclass(frozen=True)
class Cell:
    """One number: its text, its level between 0 and 1 (none: no number), and what a pointer is told."""

    text: str
    level: float | None
    title: str


@dataclass(frozen=True)
class Row:
    """A row of cells, or the heading of a block (no cells)."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Heatmap:
    """One direction and metric.

    Attributes:
        name: of its files.
        title: what it shows.
        metric: what it shows.
        columns: names at the head.
        parts: rows in parts that stand beside each other.
        top: the value of level 1.
        svg: as a file.
        png: the same.
    """

    name: str
    title: str
    metric: str
    columns: tuple[str, ...]
    parts: tuple[tuple[Row, ...], ...]
    top: float
    svg: bytes
    png: bytes


def heatmap(record: Record, direction: str, metric: str) -> Heatmap:
    """The heatmap of one direction and metric.

    Languages are rows, in blocks of resource level and sorted by the main system's mean over the directions, so that both
    directions have the same order; where there are more systems than languages, systems are the rows.
    """
    scores = {(s.system, s.language): s for s in record.scores if (s.direction, s.metric, s.subset) == (direction, metric, "")}
    top = ceiling([s.value for s in record.scores if (s.metric, s.subset) == (metric, "") and s.value is not None])
    systems = [system.name for system in record.systems]
    blocks = _blocks(record, metric)
    turned = len(systems) > max(8, len(record.data.languages))
    if turned:
        columns = tuple(row for found in blocks for row in found.rows)
        blocks = [Block("", tuple(systems), tuple(systems))]
        rows = [tuple(_rows(part, columns, scores, top, turned)) for part in fold(blocks, PART)]
        heads = tuple(row_name(row) for row in columns)
    else:
        rows = [tuple(_rows(part, tuple(systems), scores, top, turned)) for part in fold(blocks, PART)]
        heads = tuple(systems)
    title, name = f"{directions(record)[direction]}, {metric}", slug(f"heatmap {direction} {metric}")
    drawn_svg, drawn_png = _files(name, title, heads, rows)
    return Heatmap(name, title, metric, heads, tuple(rows), top, drawn_svg, drawn_png)


def _blocks(record: Record, metric: str) -> list[Block]:
    main = main_system(record).name
    found: dict[str, list[float]] = {}
    for score in record.scores:
        if (score.system, score.metric, score.subset) == (main, metric, "") and score.value is not None:
            found.setdefault(score.language, []).append(score.value)
    means = {row: float(np.mean(values)) for row, values in found.items()}
    return [
        block("", [MEAN]),
        *(part.ordered(lambda row: means.get(row, 0.0)) for part in by_resource(record.data.languages)),
    ]


def _rows(
    part: Sequence[Block], columns: Sequence[str], scores: dict[tuple[str, str], Score], top: float, turned: bool
) -> list[Row]:
    rows = []
    for found in part:
        if found.title:
            rows.append(Row(found.title, ()))
        for row, label in zip(found.rows, found.labels, strict=True):
            keys = [(row, column) if turned else (column, row) for column in columns]
            rows.append(Row(label, tuple(_cell(key, scores.get(key), top) for key in keys)))
    return rows


def _cell(key: tuple[str, str], score: Score | None, top: float) -> Cell:
    where = f"{row_name(key[1])}, {key[0]}"
    if score is None or score.value is None:
        return Cell("", None, f"{where}: {score.reason if score and score.reason else 'not measured'}")
    interval = "" if score.low is None else f" ({write(score.low, score.metric)} – {write(score.high, score.metric)})"
    return Cell(
        write(score.value, score.metric), min(score.value / top, 1.0), f"{where}: {write(score.value, score.metric)} %{interval}"
    )


def _files(name: str, title: str, heads: Sequence[str], parts: Sequence[Sequence[Row]]) -> tuple[bytes, bytes]:
    left = label_width((shorten(row.label, 40) for part in parts for row in part), 7.5)
    above = 0.5 + 0.8 * label_width((shorten(head, 30) for head in heads), 7.5)
    margins = Margins(left, right=0.75, top=above, bottom=0.15)  # heads lean to the right
    width, height = left + 0.36 * len(heads) + margins.right, max(len(part) for part in parts) * _ROW
    with figure(name, width * len(parts), above + height + margins.bottom) as drawn:
        for number, part in enumerate(parts):
            _draw(panel(drawn, margins, len(part) * _ROW, number, len(parts)), heads, part)
        drawn.text(
            0.1 / (width * len(parts)),
            1 - 0.1 / (above + height),
            f"{title}, %",
            fontsize=10,
            color=INK,
            fontweight="bold",
            va="top",
        )
        return svg(drawn).encode(), png(drawn)


def _draw(axes: Axes, heads: Sequence[str], part: Sequence[Row]) -> None:
    levels = np.full((len(part), len(heads)), np.nan)
    for y, row in enumerate(part):
        if not row.cells:
            axes.text(-0.5, y + 0.1, row.label, fontsize=7.5, fontweight="bold", color=INK, va="center")
        for x, cell in enumerate(row.cells):
            if cell.level is None:
                axes.fill_between(
                    [x - 0.46, x + 0.46], y - 0.46, y + 0.46, facecolor="none", edgecolor="#afb8c1", hatch="////", linewidth=0
                )
            else:
                levels[y, x] = cell.level
                axes.text(x, y, cell.text, fontsize=6.5, ha="center", va="center", color="white" if cell.level > DARK else INK)
    edges = np.arange(len(heads) + 1) - 0.5, np.arange(len(part) + 1) - 0.5
    axes.pcolormesh(*edges, np.ma.masked_invalid(levels), cmap=_RAMP, vmin=0, vmax=1, edgecolors="white", linewidth=0.6)
    row_labels(axes, {float(y): shorten(row.label, 40) for y, row in enumerate(part) if row.cells}, 7.5)
    for x, head in enumerate(heads):
        lean: dict[str, Any] = {"rotation": 55, "rotation_mode": "anchor", "ha": "left", "va": "bottom"}
        axes.text(x, -0.65, shorten(head, 30), fontsize=7.5, color=SOFT, **lean)
    axes.set_xticks([])
    axes.set_ylim(len(part) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
