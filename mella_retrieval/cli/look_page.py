"""The contact sheet of `mella data look`: what was kept, and what each filter removed, as one page that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from mella_retrieval import languages
from mella_retrieval.data.collect.addresses import is_web
from mella_retrieval.data.collect.judging import FilterCount
from mella_retrieval.data.collect.samples import Sample
from mella_retrieval.errors import DataError

_PLACES = {
    "look.html": ("cli", "templates", "look.html"),
    "look.css": ("cli", "templates", "look.css"),
    "style.css": ("benchmarks", "report", "templates", "style.css"),
}


@dataclass(frozen=True)
class Section:
    """Some samples under one title; `total` is how many there are of the kind, None where nobody counted."""

    name: str
    title: str
    samples: Sequence[Sample]
    total: int | None = None


@dataclass(frozen=True)
class Sheet:
    """What the page shows.

    Attributes:
        title: name of the records folder.
        facts: (number, what it counts).
        sections: in order.
        steps: what the filters did, none where nothing was collected.
    """

    title: str
    facts: Sequence[tuple[int, str]]
    sections: Sequence[Section]
    steps: Sequence[FilterCount] = ()

    @property
    def languages(self) -> list[str]:
        """Codes of the samples' languages, sorted by name."""
        codes = {sample.lang for section in self.sections for sample in section.samples if sample.lang}
        return sorted(codes, key=language_name)

    def html(self) -> str:
        """The page."""
        environment = Environment(
            loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters.update(language=language_name, picture=_data_uri, score=_score, web=is_web)
        return environment.get_template("look.html").render(sheet=self)


def by_language_and_source(samples: Sequence[Sample]) -> list[Section]:
    """Sections of samples that are sorted by language and source."""
    sections: list[Section] = []
    for (lang, source), group in groupby(samples, key=lambda sample: (sample.lang, sample.source)):
        words = [language_name(lang) if lang else "pictures without a text", *([source] if source else [])]
        sections.append(Section(f"group-{len(sections)}", ", ".join(words), list(group)))
    return sections


def language_name(code: str) -> str:
    """The English name of a language; the code itself where it is not known."""
    try:
        return languages.get(code).name
    except DataError:
        return code


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _score(value: Any) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _template(name: str) -> str:
    return files("mella_retrieval").joinpath(*_PLACES[name]).read_text(encoding="utf-8")
