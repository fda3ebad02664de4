"""What a filter is: a named step with typed parameters that looks at a candidate and says whether it stays, and why not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Generic, TypeVar

from mella_retrieval.data.collect.candidates import Candidate
from mella_retrieval.recipes import Strict

Score = bool | int | float | str

LOOKED_AT = 5000
"""Characters of a text, from the beginning."""


class Stage(IntEnum):
    """What a filter needs; a recipe names the filters in this order, so that only what is left is fetched."""

    TEXT = 1
    """The candidate as it stands on its page, and counts over its site."""
    PICTURE = 2
    """The picture itself."""
    KEPT = 3
    """What was kept before: near-duplicates."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the filters see it.

    Attributes:
        digest: SHA-256 of its file, hexadecimal; "" where there is none.
        width, height: pixels, upright; 0 if it cannot be read.
        hash: perceptual, 64 bits (`data.near.images`).
        failure: why there is no picture.
    """

    digest: str = ""
    width: int = 0
    height: int = 0
    hash: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a filter looks at.

    Attributes:
        candidate: picture address, text and where they stand.
        repeats: different pictures of the site that have this very text.
        lang: language of the text, as the page declares it until the filter `language` has looked; "" if nobody knows.
        picture: from the stage `PICTURE` on.
    """

    candidate: Candidate
    repeats: int = 1
    lang: str = ""
    picture: Picture | None = None

    @property
    def text(self) -> str:
        """The text as far as filters look at it: patterns on a text of a million letters could take hours."""
        return self.candidate.text[:LOOKED_AT]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter says.

    Attributes:
        ok: whether the candidate stays.
        detail: why not, for people.
        scores: what was measured; stored with the record, one column each.
        lang: the language that was found, "" if the filter did not look for it.
    """

    ok: bool
    detail: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)
    lang: str = ""


KEEP = Verdict(True)


def remove(detail: str, **scores: Score) -> Verdict:
    """The verdict that a candidate goes."""
    return Verdict(False, detail, scores)


class Nothing(Strict):
    """The parameters of a filter that has none."""


Options = TypeVar("Options", bound=Strict)


class Filter(ABC, Generic[Options]):
    """Base of all filters; one is made for a whole job."""

    options_type: ClassVar[type[Strict]] = Nothing
    stage: ClassVar[Stage] = Stage.TEXT

    def __init__(self, options: Options, languages: Sequence[str] = ()) -> None:
        """
        Args:
            options: of `options_type`.
            languages: canonical codes of the languages that are collected; none stands for all.
        """
        self.options, self.languages = options, tuple(languages)

    @abstractmethod
    def judge(self, subject: Subject) -> Verdict:
        """Whether a candidate stays."""

    def remember(self, subject: Subject) -> None:
        """Called for each candidate that is kept, before the next is judged (`Stage.KEPT` only)."""


def shown(text: str, length: int = 60) -> str:
    """The beginning of something for a verdict's detail."""
    return text if len(text) <= length else text[: length - 1] + "…"
