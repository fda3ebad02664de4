"""What all plots share: colours, which systems are named, and a figure as SVG for a page and as SVG and PNG files."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mella_retrieval.benchmarks.report.naming import main_system
from mella_retrieval.benchmarks.results import Record, SystemInfo
from mella_retrieval.benchmarks.scores import Score

INK, SOFT, GRID, FURTHER = "#1f2328", "#59636e", "#d0d7de", "#8c959f"
COLOURS = ("#0969da", "#bc4c00", "#8250df", "#1a7f37", "#bf3989", "#9a6700")
MARKERS = ("o", "D", "s", "^", "v", "P")
MARKER_SIGNS = ("●", "◆", "■", "▲", "▼", "✚")

WIDTH = 4.7  # inches of a figure that stands beside another one on a page

_VARIABLES = {INK: "ink", SOFT: "soft", GRID: "line", FURTHER: "further", **{c: f"c{at}" for at, c in enumerate(COLOURS)}}
_STYLE = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "axes.linewidth": 0.6}


@dataclass(frozen=True)
class Plot:
    """A drawn plot.

    Attributes:
        name: of its files.
        title: what it shows, one line.
        pages: SVG elements that take their colours from CSS variables; a long plot comes in several.
        svg: the whole plot as a file of its own.
        png: the same.
        choice: the metric and grouping that it stands for, where a reader can choose.
        systems: names of those that are drawn, where its legend lists no others.
    """

    name: str
    title: str
    pages: tuple[str, ...]
    svg: bytes
    png: bytes
    choice: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()

    @property
    def long(self) -> bool:
        """Whether it comes in several parts."""
        return len(self.pages) > 1


@dataclass(frozen=True)
class Cast:
    """The systems of a plot: `main`, `others` with a colour and a mark each, and `further` ones in grey.

    The others are the English dual encoder, systems through an index, shuffled pairs and, while there are colours left,
    baselines in the order of the result.
    """

    main: SystemInfo
    others: tuple[SystemInfo, ...]
    further: tuple[SystemInfo, ...]
    chance: SystemInfo | None

    @property
    def named(self) -> tuple[SystemInfo, ...]:
        """Those with a colour, the main one first."""
        return (self.main, *self.others)

    def number(self, name: str) -> int:
        """The number of a named system's colour and mark."""
        return [system.name for system in self.named].index(name)

    def colour(self, name: str) -> str:
        """Its colour in files."""
        return COLOURS[self.number(name)]

    def mark(self, name: str) -> str:
        """Its mark in files."""
        return MARKERS[self.number(name)]


def cast(record: Record) -> Cast:
    """Which systems the plots of a record name."""
    main = main_system(record)
    rest = [system for system in record.systems if system.name != main.name and system.role != "chance"]
    rank = {"english": 0, "index": 1, "shuffled": 2}
    chosen = sorted(rest, key=lambda system: rank.get(system.role, 3))[: len(COLOURS) - 1]
    return Cast(
        main,
        tuple(system for system in rest if system in chosen),
        tuple(system for system in rest if system not in chosen),
        next((system for system in record.systems if system.role == "chance" and system.name != main.name), None),
    )


@dataclass(frozen=True)
class Margins:
    """Inches around the axes. Set by hand: measuring every text to find them takes longer than drawing the plot."""

    left: float
    right: float = 0.42
    top: float = 0.32
    bottom: float = 0.46


@contextmanager
def figure(salt: str, width: float, height: float) -> Iterator[Figure]:
    """A figure in the style of the report; `salt` makes its inner names its own and the same every time."""
    with rc_context({**_STYLE, "svg.hashsalt": salt}):
        yield Figure(figsize=(width, height))


def panel(drawn: Figure, margins: Margins, height: float, column: int = 0, columns: int = 1) -> Axes:
    """Axes of a height in inches at the top of one of the figure's columns."""
    width, whole = drawn.get_size_inches()
    own = width / columns
    left, bottom = (column * own + margins.left) / width, (whole - margins.top - height) / whole
    return drawn.add_axes((left, bottom, (own - margins.left - margins.right) / width, height / whole))


def label_width(labels: Iterable[str], size: float = 9) -> float:
    """Inches that labels left of the axes take."""
    return 0.12 + 0.0079 * size * max((len(label) for label in labels), default=0)


def row_labels(axes: Axes, labels: Mapping[float, str], size: float = 9, **style: Any) -> None:
    """Names of rows left of the axes."""
    axes.set_yticks([])
    for y, label in labels.items():
        beside(axes, y, label, left=True, fontsize=size, color=INK, **style)


def beside(axes: Axes, y: float, text: str, *, left: bool = False, **style: Any) -> None:
    """A text at the height of a row, left or right of the axes."""
    place, align = (-4, "right") if left else (4, "left")
    coordinates = ("axes fraction", "data")
    axes.annotate(
        text,
        (0 if left else 1, y),
        (place, 0),
        xycoords=coordinates,
        textcoords="offset points",
        ha=align,
        va="center_baseline",
        **style,
    )


def svg(drawn: Figure) -> str:
    """A figure as an SVG file."""
    content = io.StringIO()
    drawn.savefig(content, format="svg", metadata={"Date": None}, transparent=True)
    return content.getvalue()


def png(drawn: Figure) -> bytes:
    """A figure as a PNG file on white."""
    content = io.BytesIO()
    drawn.savefig(content, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return content.getvalue()


def for_page(text: str, title: str) -> str:
    """The SVG element alone, its colours and its font left to the page, without what a page does not need."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r' (d|x|y|width|height|transform)="[^"]*"', lambda found: re.sub(r"(\d\.\d)\d+", r"\1", found[0]), text)
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"\s*\n\s*", " ", text)
    text = re.sub(r"> <", "><", text)
    for _ in range(3):  # groups of groups that hold nothing
        text = text.replace("<g/>", "").replace("<g></g>", "")
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


def dots(axes: Axes, shown: Cast, rows: Sequence[Mapping[str, Score]], scale: float) -> None:
    """The scores of all systems, by name, as marks with intervals in one line per row, times `scale`; chance as a stroke."""
    for y, row in enumerate(rows):
        for name, score in row.items():
            if score.value is None:
                continue
            value = scale * score.value
            if shown.chance and name == shown.chance.name:
                axes.vlines(value, y - 0.4, y + 0.4, color=INK, linewidth=1.2)
            elif name not in {system.name for system in shown.named}:
                axes.plot([value], [y], "|", color=FURTHER, markersize=5, markeredgewidth=0.7, zorder=1.5)
            else:
                front = 3 if name == shown.main.name else 2
                size = 6.5 if name == shown.main.name else 4
                mark, colour = shown.mark(name), shown.colour(name)
                axes.plot([value], [y], mark, color=colour, markersize=size, markeredgewidth=0, clip_on=False, zorder=front)
                if score.low is not None and score.high is not None:
                    axes.hlines(y, scale * score.low, scale * score.high, color=colour, linewidth=1.2, zorder=front)


def plain_axes(axes: Axes, label: str) -> None:
    """Ink, a grid for values along x, and no box."""
    axes.set_xlabel(label, color=INK)
    axes.tick_params(colors=INK, length=0)
    axes.xaxis.grid(True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def heading(axes: Axes, title: str) -> None:
    """The title of a figure, above its top left corner."""
    axes.set_title(title, fontsize=10, loc="left", color=INK, fontweight="bold")


def ceiling(values: Sequence[float]) -> float:
    """A round number not below the fractions, for the end of a scale."""
    top = max(values, default=1.0)
    return next((step for step in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8) if top <= step), 1.0)
