"""Published numbers beside the main system's: each over the languages that both have, one protocol at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from mella_retrieval.benchmarks.metrics import BOTH, DIRECTIONS, SUM_RECALL, TEXT_TO_IMAGE
from mella_retrieval.benchmarks.published import Published
from mella_retrieval.benchmarks.report.drawing import (
    COLOURS,
    SOFT,
    WIDTH,
    Margins,
    Plot,
    beside,
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
from mella_retrieval.benchmarks.report.naming import directions, main_system, shorten, slug
from mella_retrieval.benchmarks.results import Record

SHOWN = 36  # models in a plot

_MEAN = re.compile(r"mean\(([^)]*)\)")


@dataclass(frozen=True)
class Standing:
    """A published model beside the main system, over the same languages.

    Attributes:
        about: its name, protocol, source and whether it compares.
        languages: those that both have.
        theirs: by direction and metric the mean over these languages.
        ours: the same of the main system.
    """

    about: Published
    languages: tuple[str, ...]
    theirs: Mapping[tuple[str, str], float]
    ours: Mapping[tuple[str, str], float]


def standings(record: Record, published: Sequence[Published], metrics: Sequence[str]) -> list[Standing]:
    """Every published model that shares a language with the result; comparable ones first, best first.

    Besides the metrics of the plots, sumR is looked at, because some papers print nothing else. A mean published without its
    parts counts where the result has all of its languages; a model's mean needs its number in every one of the languages.
    """
    main, wanted = main_system(record).name, {*metrics, SUM_RECALL}
    ours = {(s.language, s.direction, s.metric): s.value for s in record.scores if (s.system, s.subset) == (main, "")}
    measured = {code for (code, _, metric), value in ours.items() if metric in wanted and value is not None}
    asked = [code for code in record.data.languages if code in measured]
    rows: dict[tuple[str, str], list[Published]] = {}
    for row in published:
        if row.metric in wanted:
            rows.setdefault((row.protocol, row.model), []).append(row)
    found = []
    for model in rows.values():
        single = [code for code in asked if any(row.language == code for row in model)]
        means = {row.language: part.group(1).split(",") for row in model if (part := _MEAN.fullmatch(row.language))}
        whole = [(codes, name) for name, codes in means.items() if set(codes) <= set(asked)]
        choices = [(single, None)] if single else whole
        for codes, name in choices:
            theirs = _theirs(model, codes, name)
            means_of_ours = {key: _mean([ours.get((code, *key)) for code in codes]) for key in theirs}
            mine = {key: value for key, value in means_of_ours.items() if value is not None}
            found.append(Standing(model[0], tuple(codes), theirs, mine))
    return sorted((one for one in found if one.theirs), key=lambda one: (not one.about.comparable, -_order(one), one.about.model))


def _theirs(model: Sequence[Published], codes: Sequence[str], name: str | None) -> dict[tuple[str, str], float]:
    values = {(row.direction, row.metric, row.language): row.value for row in model}
    keys = dict.fromkeys((row.direction, row.metric) for row in model)
    wanted = [name] if name else codes
    found = {key: _mean([values.get((*key, str(row))) for row in wanted]) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _order(one: Standing) -> float:
    return max((value for (direction, _), value in one.theirs.items() if direction in (TEXT_TO_IMAGE, BOTH)), default=0.0)


def columns(found: Sequence[Standing]) -> list[tuple[str, str]]:
    """The directions and metrics that any of the models has, in the order of a table."""
    there = {key for one in found for key in one.theirs}
    order = {direction: at for at, direction in enumerate((*DIRECTIONS, BOTH))}
    return sorted(there, key=lambda key: (order[key[0]], len(key[1]), key[1]))


def standing_plots(record: Record, found: Sequence[Standing], metrics: Sequence[str]) -> list[Plot]:
    """A dot per comparable model with ours over the same languages beside it, one plot per metric and direction."""
    same = [one for one in found if one.about.comparable]
    titles = directions(record)
    plots = []
    for metric in metrics:
        for direction in (way for way in DIRECTIONS if way in titles):
            rows = [one for one in same if (direction, metric) in one.theirs and (direction, metric) in one.ours]
            if rows:
                plots.append(_plot(record, rows, (direction, metric), titles[direction]))
    return plots


def chosen(rows: Sequence[Standing], key: tuple[str, str]) -> list[Standing]:
    """What a plot shows, best first: all, or the best and those nearest to the main system."""
    ordered = sorted(rows, key=lambda one: (-one.theirs[key], one.about.model))
    if len(ordered) <= SHOWN:
        return ordered
    best = ordered[: SHOWN // 2]
    near = sorted(ordered[SHOWN // 2 :], key=lambda one: abs(one.theirs[key] - one.ours[key]))[: SHOWN - len(best)]
    return [one for one in ordered if one in best or one in near]


def _plot(record: Record, rows: Sequence[Standing], key: tuple[str, str], direction: str) -> Plot:
    shown = chosen(rows, key)
    name, title = slug(f"published {' '.join(key)}"), f"{direction}, {key[1]}, protocol {record.protocol}"
    labels = [shorten(one.about.model, 36) for one in shown] + [shorten(main_system(record).name, 36)]
    margins, height = Margins(label_width(labels, 7.5)), 0.185 * (len(shown) + 1)
    with figure(name, WIDTH, margins.top + height + margins.bottom) as drawn:
        axes = panel(drawn, margins, height)
        _draw(axes, shown, key, main_system(record).name)
        heading(axes, title)
        content = svg(drawn)
        return Plot(name, title, (for_page(content, title),), content.encode(), png(drawn), (key[1],))


def _draw(axes: Axes, shown: Sequence[Standing], key: tuple[str, str], main: str) -> None:
    theirs, ours = [100 * one.theirs[key] for one in shown], [100 * one.ours[key] for one in shown]
    same = len({one.languages for one in shown}) == 1
    place = sum(value >= ours[0] for value in theirs) if same else len(shown)
    at = [float(y if y < place else y + 1) for y in range(len(shown))]
    axes.hlines(at, theirs, ours, color=COLOURS[1], linewidth=0.7, alpha=0.5)
    axes.plot(theirs, at, "o", color=COLOURS[1], markersize=5, markeredgewidth=0, zorder=3)
    for y, value in zip(at, theirs, strict=True):
        beside(axes, y, f"{value:.1f}", fontsize=7.5, color=SOFT)
    row_labels(axes, {y: shorten(one.about.model, 36) for y, one in zip(at, shown, strict=True)}, 7.5)
    if same:  # then the main system has a row of its own among them
        axes.axhspan(place - 0.5, place + 0.5, color=COLOURS[0], alpha=0.12, linewidth=0)
        axes.vlines(ours[0], -0.6, len(shown) + 0.6, color=COLOURS[0], linewidth=0.8)
        axes.plot([ours[0]], [place], "D", color=COLOURS[0], markersize=6, markeredgewidth=0, zorder=4)
        for left, text in ((True, shorten(main, 36)), (False, f"{ours[0]:.1f}")):
            beside(axes, place, text, left=left, fontsize=7.5, color=COLOURS[0], fontweight="bold")
    else:
        axes.plot(ours, at, "D", color=COLOURS[0], markersize=4, markeredgewidth=0, zorder=4)
    plain_axes(axes, "%, mean over the languages that both have")
    axes.set_ylim(len(shown) + (0.6 if same else -0.4), -0.6)
    axes.set_xlim(0, 100 * ceiling([max(*theirs, *ours) / 100]))
