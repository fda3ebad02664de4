"""The report of a result: one HTML file that needs nothing else, and its plots as SVG and PNG files.

It reads well in light and dark, on a desktop, a phone and paper; texts of every script stand in their own direction.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mella_retrieval import languages
from mella_retrieval.artifacts import atomic_write
from mella_retrieval.benchmarks.metrics import DIRECTIONS, METRICS
from mella_retrieval.benchmarks.published import Published
from mella_retrieval.benchmarks.report_plots import DIRECTION_TITLES, Plot, bars, main_system, row_name, system_colours
from mella_retrieval.benchmarks.results import Result, SystemInfo
from mella_retrieval.benchmarks.scores import CHANCE, Score
from mella_retrieval.errors import DataError

REPORT, PLOTS = "report.html", "plots"

_SHOWN_METRICS = ("R@1", "R@10")  # in the tables; the rest stands in results.csv and under "All metrics"
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True)
class Hit:
    """A found image: the bytes of a PNG or JPEG thumbnail, a caption or id, its score, and whether it is the right answer."""

    image: bytes
    label: str
    score: float
    correct: bool


@dataclass(frozen=True)
class Example:
    """A query and what was found, best first.

    Attributes:
        query: the text as it was asked.
        language: its code.
        hits: what was found.
        rank: rank of the right answer, where it is known.
        target: thumbnail of the right answer, shown where it is not among the hits.
    """

    query: str
    language: str
    hits: Sequence[Hit]
    rank: int | None = None
    target: bytes | None = None


def write_report(
    folder: Path | str, result: Result, *, examples: Sequence[Example] = (), published: Iterable[Published] = ()
) -> Path:
    """Write `report.html` and `plots/` into the folder of a result.

    Args:
        folder: where to; the files of the result itself are not touched.
        result: what to show.
        examples: queries with pictures.
        published: numbers to stand beside it (`published.read_published`).

    Returns:
        The path of `report.html`.

    Raises:
        DataError: a picture is neither PNG nor JPEG.
    """
    folder = Path(folder)
    plots = [bars(result.record, direction, metric) for metric in _SHOWN_METRICS for direction in DIRECTIONS]
    page = _Page(result, examples, list(published), plots).html()
    for plot in plots:
        for suffix, content in (("svg", plot.svg), ("png", plot.png)):
            with atomic_write(folder / PLOTS / f"{plot.name}.{suffix}") as file:
                file.write(content)
    with atomic_write(folder / REPORT) as file:
        file.write(page.encode())
    return folder / REPORT


class _Page:
    """What the template asks for."""

    def __init__(
        self, result: Result, examples: Sequence[Example], published: Sequence[Published], plots: Sequence[Plot]
    ) -> None:
        self.record = result.record
        self.examples, self.published, self.plots = examples, published, plots
        self.main = main_system(self.record)
        self.metrics, self.all_metrics = _SHOWN_METRICS, METRICS
        self.directions = {direction: DIRECTION_TITLES[direction] for direction in DIRECTIONS}
        self.colours = system_colours(self.record.systems)
        self._scores = {(s.system, s.language, s.direction, s.metric): s for s in self.record.scores}

    def html(self) -> str:
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        environment.filters.update(percent=_percent, data_uri=_data_uri, language=row_name, pretty=_pretty)
        template = (files("mella_retrieval.benchmarks") / "report.html").read_text(encoding="utf-8")
        return environment.from_string(template).render(page=self, record=self.record, main=self.main)

    def score(self, system: str, row: str, direction: str, metric: str) -> Score | None:
        return self._scores.get((system, row, direction, metric))

    def chance(self, row: str, direction: str, metric: str) -> Score | None:
        return self.score(CHANCE, row, direction, metric)

    @cached_property
    def rows(self) -> list[str]:
        """Means first, then the languages by name."""
        found = list(dict.fromkeys(score.language for score in self.record.scores))
        means = [row for row in found if row not in self.record.data.languages]
        return means + sorted((row for row in found if row not in means), key=row_name)

    def is_mean(self, row: str) -> bool:
        return row not in self.record.data.languages

    @cached_property
    def queries(self) -> dict[str, int]:
        """Queries per direction, all languages together."""
        return {direction: sum(counts[direction] for counts in self.record.data.queries.values()) for direction in DIRECTIONS}

    def identity(self, system: SystemInfo) -> dict[str, Any]:
        """What is known of a system beyond its name: towers, preparation, fingerprints."""
        return system.model_dump(exclude={"name", "description", "missing"}, exclude_unset=True)

    def svg(self, plot: Plot) -> Markup:
        return Markup(plot.page)

    def tag(self, code: str) -> str:
        """The language tag for HTML."""
        return languages.get(code).code

    def direction_of(self, code: str) -> str:
        return "rtl" if languages.get(code).rtl else "ltr"

    @cached_property
    def published_models(self) -> list[dict[str, Any]]:
        """Published models with every language of the result: mean R@10 per direction; comparable ones first, best first."""
        wanted = set(self.record.data.languages)
        found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
        first: dict[tuple[str, str], Published] = {}
        for row in self.published:
            if row.metric == "R@10" and row.language in wanted:
                key = row.protocol, row.model
                first.setdefault(key, row)
                found.setdefault(key, {}).setdefault(row.direction, {})[row.language] = row.value
        models = [
            {
                "about": first[key],
                "means": {d: float(np.mean(list(v.values()))) for d, v in by_direction.items() if set(v) == wanted},
            }
            for key, by_direction in found.items()
        ]
        models = [model for model in models if model["means"]]
        return sorted(models, key=lambda m: (not m["about"].comparable, -m["means"].get("t2i", 0.0), m["about"].model))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)


def _data_uri(image: bytes) -> str:
    for signature, kind in _SIGNATURES.items():
        if image.startswith(signature):
            return f"data:{kind};base64,{base64.b64encode(image).decode()}"
    raise DataError("a picture of the report is neither PNG nor JPEG.")
