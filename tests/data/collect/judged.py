"""One candidate before one filter, with as little around it as a test can do with."""

from __future__ import annotations

from functools import cache
from typing import Any

from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.data.collect.filters import FILTERS
from mella_retrieval.data.collect.filters.step import Filter, Picture, Subject, Verdict


def subject(
    text: str = "Két ember áll a hídon",
    lang: str = "hu",
    *,
    image: str = "https://www.pelda.example/kepek/hid.jpg",
    page: str = "https://www.pelda.example/cikk.html",
    size: tuple[int, int] | None = None,
    repeats: int = 1,
    picture: Picture | None = None,
) -> Subject:
    site = page.split("/")[2]
    candidate = Candidate(page, site, image, text, ("alt",), lang, declared_size=size)
    return Subject(candidate, repeats, lang, picture)


def step(name: str, languages: tuple[str, ...] = (), **options: Any) -> Filter[Any]:
    kind = FILTERS[name]
    return kind(kind.options_type.model_validate(options), languages)


@cache
def plain_step(name: str, languages: tuple[str, ...] = ()) -> Filter[Any]:
    return step(name, languages)


def verdict(name: str, text: str, lang: str = "hu", languages: tuple[str, ...] = ()) -> Verdict:
    """What a filter with its default parameters says of a text."""
    return plain_step(name, languages).judge(subject(text, lang))
