"""What the templates of the report ask for."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from mella_retrieval import languages
from mella_retrieval.benchmarks.metrics import RANK_VARIANCE
from mella_retrieval.benchmarks.report.breakdown import Breakdown
from mella_retrieval.benchmarks.report.drawing import MARKER_SIGNS, Plot, cast
from mella_retrieval.benchmarks.report.groups import GROUPINGS
from mella_retrieval.benchmarks.report.heatmap import DARK, Heatmap
from mella_retrieval.benchmarks.report.naming import (
    counted,
    directions,
    group_name,
    main_system,
    row_name,
    unit,
    whole_gallery,
    write,
)
from mella_retrieval.benchmarks.report.sheet import FAILURE, SUCCESS, Examples
from mella_retrieval.benchmarks.report.spread import SPREAD
from mella_retrieval.benchmarks.report.standing import Standing, columns
from mella_retrieval.benchmarks.report.through import Through, through_indexes
from mella_retrieval.benchmarks.results import Record, SystemInfo
from mella_retrieval.benchmarks.scores import CHANCE, Score
from mella_retrieval.errors import DataError

_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True)
class Drawn:
    """All plots of a page by what they show; empty where there is nothing to show."""

    bars: Sequence[Plot]
    heatmaps: Sequence[Heatmap]
    spread: Sequence[Plot]
    standing: Sequence[Plot]
    breakdowns: Sequence[Breakdown]


class Page:
    """The numbers of a record as the templates want them; only whole test sets, parts stand in `drawn.breakdowns`."""

    def __init__(
        self, record: Record, metrics: Sequence[str], drawn: Drawn, standings: Sequence[Standing], examples: Examples | None
    ) -> None:
        self.record, self.metrics, self.drawn, self.examples = record, tuple(metrics), drawn, examples
        self.main, self.cast = main_system(record), cast(record)
        self.titles = directions(record)
        self.directions = {name: title for name, title in self.titles.items() if name != "both"}
        self.groupings = {name: label for name, (label, _) in GROUPINGS.items()}
        self.same = [one for one in standings if one.about.comparable]
        self.others = [one for one in standings if not one.about.comparable]
        self.columns = columns
        self.spread_words, self.dark, self.success, self.failure = SPREAD, DARK, SUCCESS, FAILURE
        whole = [score for score in record.scores if not score.subset]
        self._scores = {(s.system, s.language, s.direction, s.metric): s for s in whole}
        self._rows = tuple(dict.fromkeys(score.language for score in whole))

    def html(self) -> str:
        """The page."""
        environment = Environment(
            loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters.update(
            data_uri=_data_uri, row=row_name, group=group_name, pretty=_pretty, write=write, unit=unit, counted=counted
        )
        return environment.get_template("report.html").render(page=self, record=self.record, main=self.main)

    def score(self, system: str, row: str, direction: str, metric: str) -> Score | None:
        """One score of the whole test set."""
        return self._scores.get((system, row, direction, metric))

    def chance(self, direction: str, metric: str) -> Score | None:
        """Chance, mean over the languages."""
        return self.score(CHANCE, "mean", direction, metric)

    @cached_property
    def rows(self) -> list[str]:
        """Means first, then the languages by name."""
        means = [row for row in self._rows if row not in self.record.data.languages]
        return means + sorted((row for row in self._rows if row not in means), key=row_name)

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The named groups that have a mean of their own, and the names of their languages."""
        return {
            name: sorted(row_name(code) for code in codes)
            for name, codes in self.record.task.groups.items()
            if name in self._rows
        }

    @cached_property
    def full(self) -> list[str]:
        """What to know of shown metrics that cannot fail, because the gallery is no longer than the list that counts."""
        return [note for metric in self.metrics for way in self.directions if (note := whole_gallery(self.record, way, metric))]

    @cached_property
    def spread(self) -> list[tuple[tuple[str, ...], list[Plot]]]:
        """The plots of the spread over languages, those that show the same systems together, and these systems."""
        return [(systems, list(plots)) for systems, plots in groupby(self.drawn.spread, lambda plot: plot.systems)]

    def is_mean(self, row: str) -> bool:
        """Whether a row is a mean over languages."""
        return row not in self.record.data.languages

    def all_metrics(self, direction: str) -> list[str]:
        """Every metric that the main system has in a direction, those of every protocol first."""
        found = {metric for system, _, way, metric in self._scores if (system, way) == (self.main.name, direction)}
        order = {metric: at for at, metric in enumerate(dict.fromkeys(key[3] for key in self._scores))}
        return sorted(found, key=lambda metric: (metric == RANK_VARIANCE, order[metric]))

    @cached_property
    def table_systems(self) -> list[SystemInfo]:
        """The systems of the tables with intervals: the named ones and chance."""
        return [*self.cast.named, *((self.cast.chance,) if self.cast.chance else ())]

    def sign(self, system: SystemInfo) -> str:
        """The mark of a named system, as it stands in the plots."""
        return MARKER_SIGNS[self.cast.number(system.name)]

    def number(self, system: SystemInfo) -> int:
        """The number of a named system's colour."""
        return self.cast.number(system.name)

    @cached_property
    def queries(self) -> dict[str, int]:
        """Queries per direction, all languages together."""
        counts = self.record.data.queries.values()
        return {direction: sum(count.get(direction, 0) for count in counts) for direction in self.directions}

    @cached_property
    def through(self) -> list[Through]:
        """Systems that answer through an index."""
        return through_indexes(self.record, tuple(self.directions), self.metrics)

    @cached_property
    def gaps(self) -> list[tuple[str, str, int]]:
        """Why there are no numbers: system, reason, and in how many languages."""
        found: dict[tuple[str, str], set[str]] = {}
        for score in self._scores.values():
            if score.reason and score.language in self.record.data.languages:
                found.setdefault((score.system, score.reason), set()).add(score.language)
        return [(system, reason, len(rows)) for (system, reason), rows in found.items()]

    @cached_property
    def truncated(self) -> list[tuple[str, str, float]]:
        """Where a text tower cut captions: system, language, share; the largest shares first."""
        found = [(s.name, code, share) for s in self.record.systems for code, share in s.truncated.items() if share > 0]
        return sorted(found, key=lambda one: -one[2])

    def identity(self, system: SystemInfo) -> dict[str, Any]:
        """What is known of a system beyond its name: towers, preparation, fingerprints."""
        return system.model_dump(exclude={"name", "description", "missing"}, exclude_unset=True)

    @cached_property
    def task(self) -> dict[str, Any]:
        """The task as its recipe says."""
        return self.record.task.model_dump(mode="json", exclude_defaults=True)

    def svg(self, text: str) -> Markup:
        """A drawn plot inside the page."""
        return Markup(text)

    def tag(self, code: str) -> str:
        """The language tag for HTML."""
        return languages.get(code).code

    def way(self, code: str) -> str:
        """The direction of writing for HTML."""
        return "rtl" if languages.get(code).rtl else "ltr"

    def choice(self, values: Sequence[str]) -> str:
        """Classes of something that stands for one choice of the reader: metric `m0`, `m1`, grouping `g-resource` ..."""
        names = {metric: f"m{at}" for at, metric in enumerate(self.metrics)} | {name: f"g-{name}" for name in self.groupings}
        return " ".join(names[value] for value in values if value in names)


def _template(name: str) -> str:
    return (files("mella_retrieval.benchmarks.report") / "templates" / name).read_text(encoding="utf-8")


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def _data_uri(image: bytes) -> str:
    for signature, kind in _SIGNATURES.items():
        if image.startswith(signature):
            return f"data:{kind};base64,{base64.b64encode(image).decode()}"
    raise DataError("a picture of the report is neither PNG nor JPEG.")
