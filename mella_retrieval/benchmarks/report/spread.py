"""How differently the languages of one picture rank it: Mean Rank Variance, and the distribution behind it over pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from mella_retrieval.benchmarks.evaluation import RankedQueries
from mella_retrieval.benchmarks.metrics import RANK_VARIANCE
from mella_retrieval.benchmarks.report.drawing import (
    FURTHER,
    GRID,
    INK,
    SOFT,
    WIDTH,
    Cast,
    Margins,
    Plot,
    beside,
    cast,
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
from mella_retrieval.benchmarks.report.naming import directions, row_name, slug
from mella_retrieval.benchmarks.results import Record, Result
from mella_retrieval.benchmarks.scores import Score

SPREAD = (
    "The spread of a picture is the standard deviation over languages of the log2 of its rank (averaged over its captions in a "
    "language): at 0 all languages rank it alike, at 1 they typically lie a factor of two apart."
)

Doubles = NDArray[np.float64]

_NOTHING = 1e-9  # what rounding leaves of no difference


def spread_of_ranks(cells: Iterable[RankedQueries]) -> Doubles:
    """The spread of every picture that has queries in two languages or more, ascending; see `SPREAD`.

    Args:
        cells: of one system and direction, one per language.
    """
    by_image: dict[str, list[float]] = {}
    for cell in cells:
        logs: dict[str, list[float]] = {}
        for image, rank in zip(cell.image_id, np.log2(cell.rank).tolist(), strict=True):
            logs.setdefault(image, []).append(rank)
        for image, ranks in logs.items():
            by_image.setdefault(image, []).append(sum(ranks) / len(ranks))
    spread = np.sort(np.array([np.std(logs) for logs in by_image.values() if len(logs) > 1]))
    return np.where(spread < _NOTHING, 0.0, spread)


def spread_plots(result: Result) -> list[Plot]:
    """Mean Rank Variance per system where it was scored, and the spread of ranks where several languages were ranked."""
    titles = directions(result.record)
    plots = [_variance(result.record, direction, title) for direction, title in titles.items()]
    plots += [_spread(result, direction, title) for direction, title in titles.items()]
    return [plot for plot in plots if plot is not None]


def _variance(record: Record, direction: str, title: str) -> Plot | None:
    chosen = (direction, RANK_VARIANCE, "")
    scores = [s for s in record.scores if (s.direction, s.metric, s.subset) == chosen and s.value is not None]
    if not scores:
        return None
    shown, name, title = cast(record), slug(f"rank variance {direction}"), f"{title}, Mean Rank Variance"
    rows: dict[str, dict[str, Score]] = {}
    for score in scores:
        rows.setdefault(row_name(score.language), {})[score.system] = score
    margins, height = Margins(label_width(rows), right=0.6), 0.22 * len(rows)
    with figure(name, WIDTH, margins.top + height + margins.bottom) as drawn:
        axes = panel(drawn, margins, height)
        _draw_variance(axes, shown, rows)
        heading(axes, title)
        content, systems = svg(drawn), _listed(record, {score.system for score in scores})
        return Plot(name, title, (for_page(content, title),), content.encode(), png(drawn), systems=systems)


def _draw_variance(axes: Axes, shown: Cast, rows: Mapping[str, Mapping[str, Score]]) -> None:
    dots(axes, shown, list(rows.values()), 1)
    row_labels(axes, {float(y): row for y, row in enumerate(rows)})
    for y, row in enumerate(rows.values()):
        value = row[shown.main.name].value if shown.main.name in row else None
        beside(axes, y, "–" if value is None else f"{value:,.1f}", fontsize=7.5, color=SOFT)
    ends = [end for row in rows.values() for s in row.values() for end in (s.value, s.low, s.high) if end is not None]
    if min(ends) > _NOTHING:
        axes.set_xscale("log")
        axes.set_xlim(min(ends) / 1.8, max(ends) * 1.8)
    else:  # a variance of zero: every language ranks alike
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, max(*ends, 1) * 1.8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(len(rows) - 0.4, -0.6)
    plain_axes(axes, "variance of the rank over languages (logarithmic)")


def _spread(result: Result, direction: str, title: str) -> Plot | None:
    shown = cast(result.record)
    curves = {}
    for system in (*shown.named, *shown.further):
        cells = [c for c in result.ranks if (c.system, c.direction, c.subset) == (system.name, direction, "")]
        values = spread_of_ranks(cells)
        if values.size:
            curves[system.name] = values
    if not curves:
        return None
    name, title = slug(f"rank spread {direction}"), f"{title}, spread of ranks over languages"
    margins = Margins(0.55, right=0.12)
    with figure(name, WIDTH, 3.1) as drawn:
        axes = panel(drawn, margins, 3.1 - margins.top - margins.bottom)
        _draw_spread(axes, shown, curves)
        heading(axes, title)
        content, systems = svg(drawn), _listed(result.record, curves)
        return Plot(name, title, (for_page(content, title),), content.encode(), png(drawn), systems=systems)


def _listed(record: Record, drawn: Collection[str]) -> tuple[str, ...]:
    """The systems that are drawn, in the order of the result."""
    return tuple(system.name for system in record.systems if system.name in drawn)


def _draw_spread(axes: Axes, shown: Cast, curves: dict[str, Doubles]) -> None:
    named = [system.name for system in shown.named if system.name in curves]
    for system in [name for name in curves if name not in named] + named[::-1]:
        values = curves[system]
        share = 100 * (np.arange(len(values)) + 0.5) / len(values)
        thin = np.unique(np.linspace(0, len(values) - 1, 200).astype(int))  # enough for the eye
        width = 2.2 if system == shown.main.name else 1.3 if system in named else 0.6
        axes.plot(share[thin], values[thin], color=shown.colour(system) if system in named else FURTHER, linewidth=width)
        if system in named:
            at = thin[[len(thin) // 2]]
            axes.plot(share[at], values[at], shown.mark(system), color=shown.colour(system), markersize=5, markeredgewidth=0)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0, top=None if max(values[-1] for values in curves.values()) > 0 else 1)
    axes.set_ylabel("spread (standard deviation of log2 rank)", color=INK, fontsize=8)
    plain_axes(axes, "% of pictures, from the most even to the most uneven")
    axes.yaxis.grid(True, color=GRID, linewidth=0.6)
