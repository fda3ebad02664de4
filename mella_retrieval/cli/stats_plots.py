"""Plots of `mella data stats`: records per language and source, lengths per language, what towers cut."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from mella_retrieval.artifacts import Json, atomic_write
from mella_retrieval.benchmarks.report.drawing import (
    COLOURS,
    FURTHER,
    INK,
    MARKERS,
    SOFT,
    Margins,
    beside,
    figure,
    heading,
    label_width,
    panel,
    plain_axes,
    png,
    row_labels,
    svg,
)

_WIDTH, _ROW, _RIDGE, _LINE = 6.4, 0.2, 0.3, 0.15  # inches
_OTHERS = "others"


def draw_stats(found: Json, folder: Path) -> list[Path]:
    """Draw what `describe_records` found (and `towers`, if it has them), each plot as SVG and PNG.

    Returns:
        The files; none where there is no text.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    if not found["by_language"]:
        return []
    plots = {"records": _records, "lengths": _lengths}
    if found.get("towers"):
        plots["truncation"] = _truncation
    return [path for name, draw in plots.items() for path in draw(found, folder / name)]


def _records(found: Json, path: Path) -> list[Path]:
    """Bars per language, stacked by source."""
    languages = _sorted(found)
    sources = sorted(found["by_source"], key=lambda source: -found["by_source"][source]["records"])
    if len(sources) > len(COLOURS):
        sources = [*sources[: len(COLOURS) - 1], _OTHERS]
    colours = dict(zip(sources, COLOURS, strict=False))
    legend = [Patch(color=colour, label=_shortened(source or "source unknown")) for source, colour in colours.items()]
    with _plot(path, found, languages, _ROW, legend) as (axes, written):
        for y, code in enumerate(languages):
            entry = found["by_language"][code]
            left = 0
            counts = {source: entry["by_source"].get(source, 0) for source in sources}
            counts[_OTHERS] = entry["records"] - sum(count for source, count in counts.items() if source != _OTHERS)
            for source, colour in colours.items():
                axes.barh(y, counts[source], 0.7, left, color=colour, linewidth=0)
                left += counts[source]
            beside(axes, y, f"{entry['records']:,}", fontsize=7.5, color=SOFT)
        axes.set_xlim(0, max(found["by_language"][code]["records"] for code in languages))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        plain_axes(axes, "records")
        heading(axes, "Records per language and source")
    return written


def _lengths(found: Json, path: Path) -> list[Path]:
    """The shape of each language's lengths on one logarithmic axis."""
    languages = _sorted(found)
    edges: list[int] = found["length_edges"]
    with _plot(path, found, languages, _RIDGE, [Line2D([], [], color=INK, label="median")]) as (axes, written):
        for y, code in enumerate(languages):
            entry = found["by_language"][code]
            counts: list[int] = entry["lengths"]
            # Bins are halves of octaves, but whole characters below 4: equal areas need a height per octave.
            density = [count / math.log2(b / a) for count, a, b in zip(counts, edges, edges[1:], strict=False)]
            top = max(density)
            heights = [y + 0.4 - 0.85 * value / top for value in density]
            axes.stairs(heights, edges, baseline=y + 0.4, fill=True, color=COLOURS[0], alpha=0.75, linewidth=0)
            median = entry["characters"]["median"]
            axes.vlines(median, y - 0.45, y + 0.4, color=INK, linewidth=1.2)
            beside(axes, y, f"{median:,.0f}", fontsize=7.5, color=SOFT)
        axes.set_xscale("log")
        axes.set_xlim(*_occupied(found, languages))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        plain_axes(axes, "characters, logarithmic")
        heading(axes, "Length of texts")
    return written


def _occupied(found: Json, languages: Sequence[str]) -> tuple[int, int]:
    """From the first to the last bin that holds a text."""
    edges = found["length_edges"]
    counts = [sum(bins) for bins in zip(*(found["by_language"][code]["lengths"] for code in languages), strict=True)]
    filled = [place for place, count in enumerate(counts) if count]
    return edges[filled[0]], edges[filled[-1] + 1]


def _truncation(found: Json, path: Path) -> list[Path]:
    """The share of texts that each tower cuts, in per cent."""
    languages = _sorted(found)
    towers = found["towers"]
    styles = [(COLOURS[n % len(COLOURS)], MARKERS[n // len(COLOURS) % len(MARKERS)]) for n in range(len(towers))]
    legend = [
        Line2D([], [], color=colour, marker=mark, linewidth=0, label=_limit(tower))
        for tower, (colour, mark) in zip(towers, styles, strict=True)
    ]
    with _plot(path, found, languages, _ROW, legend) as (axes, written):
        for tower, (colour, mark) in zip(towers, styles, strict=True):
            shares = [(y, tower["by_language"][code]["share"]) for y, code in enumerate(languages)]
            known = [(y, 100 * share) for y, share in shares if share is not None]
            axes.plot([x for _, x in known], [y for y, _ in known], mark, color=colour, markersize=5, clip_on=False)
        axes.set_xlim(0, 100)
        plain_axes(axes, "% of texts")
        axes.hlines(range(len(languages)), 0, 100, color=FURTHER, linewidth=0.3, zorder=0)
        heading(axes, "Texts longer than the text tower reads")
    return written


def _limit(tower: Json) -> str:
    limit = f"{tower['max_tokens']:,} tokens" if tower["max_tokens"] else "no limit"
    return f"{_shortened(tower['spec'])} ({limit})"


@contextmanager
def _plot(
    path: Path, found: Json, languages: Sequence[str], row: float, legend: Sequence[Artist]
) -> Iterator[tuple[Axes, list[Path]]]:
    """Axes with one row a language and a legend below; drawn into `path` as SVG and PNG when the block ends."""
    labels = {float(y): found["by_language"][code]["name"] for y, code in enumerate(languages)}
    margins = Margins(label_width(labels.values()) + 0.06, right=0.62, bottom=0.5 + _LINE * len(legend))
    height = row * (len(languages) + 0.5)
    written: list[Path] = []
    # A `$` in the name of a source is no formula, and a letter that the font lacks is no reason to warn.
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        with figure(path.name, _WIDTH, margins.top + height + margins.bottom) as drawn:
            axes = panel(drawn, margins, height)
            yield axes, written
            axes.set_ylim(len(languages) - 0.4, -0.6)
            row_labels(axes, labels)
            drawn.legend(
                handles=legend,
                loc="lower left",
                bbox_to_anchor=(0, 0),
                frameon=False,
                fontsize=8,
                borderaxespad=0.3,
                labelspacing=0.25,
            )
            written += _write(drawn, path)


def _write(drawn: Figure, path: Path) -> list[Path]:
    written = []
    for suffix, content in (("svg", svg(drawn).encode()), ("png", png(drawn))):
        target = path.with_suffix(f".{suffix}")
        with atomic_write(target) as file:
            file.write(content)
        written.append(target)
    return written


def _sorted(found: Json) -> list[str]:
    """Languages, those with most records first."""
    return sorted(found["by_language"], key=lambda code: (-found["by_language"][code]["records"], code))


def _shortened(name: str, length: int = 60) -> str:
    """A long name (a tower in a folder) without its middle."""
    plain = " ".join(name.split())
    half = length // 2
    return plain if len(plain) <= length else f"{plain[: half - 1]}…{plain[-half:]}"
