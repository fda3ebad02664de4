"""Plots of a result: per-language bars with intervals, for a page (colours from its style sheet) and for files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mella_retrieval import languages
from mella_retrieval.benchmarks.results import Record, SystemInfo
from mella_retrieval.benchmarks.scores import Score

INK, GRID = "#1f2328", "#d0d7de"
COLOURS = ("#0969da", "#bc4c00", "#8250df", "#1a7f37", "#bf3989", "#9a6700")
_MARKERS = ("D", "s", "^", "v", "P", "X")
_STYLE = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "axes.linewidth": 0.6}

DIRECTION_TITLES = {"t2i": "Text → image", "i2t": "Image → text", "both": "Both directions"}


@dataclass(frozen=True)
class Plot:
    """A drawn plot: `name` for its file, `page` as SVG that takes its colours from CSS variables, `svg` and `png` as files."""

    name: str
    title: str
    page: str
    svg: bytes
    png: bytes


def system_colours(systems: Sequence[SystemInfo]) -> dict[str, int]:
    """The number of each system's colour; chance is drawn in the colour of text and has none."""
    return {system.name: at % len(COLOURS) for at, system in enumerate(s for s in systems if s.role != "chance")}


def main_system(record: Record) -> SystemInfo:
    """The system that the result is about: the first with the role `system`, else the first of all."""
    return next((system for system in record.systems if system.role == "system"), record.systems[0])


def row_name(row: str) -> str:
    """A language's English name, or the name of a group."""
    if row == "mean":
        return "Mean"
    return languages.get(row).name if row in _codes() else f"Mean: {row}"


def _codes() -> frozenset[str]:
    return frozenset(language.code for language in languages.known())


def bars(record: Record, direction: str, metric: str) -> Plot:
    """One bar per language for the main system, sorted, with its interval; the other systems as marks, chance as a line."""
    main = main_system(record)
    scores = {(s.system, s.language): s for s in record.scores if (s.direction, s.metric) == (direction, metric)}
    asked = [language for language in record.data.languages if (main.name, language) in scores]
    order = sorted(asked, key=lambda language: scores[main.name, language].value or 0.0)
    title = f"{DIRECTION_TITLES[direction]}, {metric}"
    with rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(4.7, 1.2 + 0.27 * len(order)), layout="constrained")
        axes = figure.add_subplot()
        _draw(axes, record, main, order, scores)
        axes.set_title(title, fontsize=10, loc="left", color=INK, fontweight="bold")
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None}, transparent=True)
        figure.savefig(png, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    name = f"{direction}-{re.sub(r'[^a-z0-9]+', '-', metric.lower())}"
    return Plot(name, title, _for_page(svg.getvalue(), title), svg.getvalue().encode(), png.getvalue())


def _draw(axes: Axes, record: Record, main: SystemInfo, order: Sequence[str], scores: dict[tuple[str, str], Score]) -> None:
    colours = system_colours(record.systems)
    for system in record.systems:
        found = [(at, scores[system.name, language]) for at, language in enumerate(order) if (system.name, language) in scores]
        found = [(at, score) for at, score in found if score.value is not None]
        if not found:
            continue
        at = [y for y, _ in found]
        values = [100 * (score.value or 0.0) for _, score in found]
        if system.role == "chance":
            axes.vlines(values, [y - 0.4 for y in at], [y + 0.4 for y in at], colors=INK, linewidth=1.4, label=system.name)
            continue
        colour = COLOURS[colours[system.name]]
        errors = [[v - 100 * _or(s.low, s.value) for v, (_, s) in zip(values, found, strict=True)],
                  [100 * _or(s.high, s.value) - v for v, (_, s) in zip(values, found, strict=True)]]  # fmt: skip
        if system.name == main.name:
            axes.barh(at, values, height=0.66, color=colour, alpha=0.45, label=system.name)
            axes.errorbar(values, at, xerr=errors, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        else:
            marker = _MARKERS[colours[system.name] % len(_MARKERS)]
            axes.errorbar(
                values, at, xerr=errors, fmt=marker, color=colour, markersize=4, elinewidth=0.8, clip_on=False, label=system.name
            )
    axes.set_yticks(range(len(order)), [row_name(language) for language in order], color=INK)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of queries", color=INK)
    axes.tick_params(colors=INK, length=0)
    axes.xaxis.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _or(value: float | None, other: float | None) -> float:
    return value if value is not None else other if other is not None else 0.0


def _for_page(svg: str, title: str) -> str:
    """The SVG element alone, its colours and its font left to the page."""
    svg = svg[svg.index("<svg") :]
    for colour, variable in ((INK, "ink"), (GRID, "line"), *((c, f"c{at}") for at, c in enumerate(COLOURS))):
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)
