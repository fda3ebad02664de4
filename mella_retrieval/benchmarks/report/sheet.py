"""What the sheet of successes and failures shows: for each language, queries with what one system found for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUCCESS, FAILURE = 1, 10
"""A success is answered at rank 1; a failure is any other query, one below rank 10 where there are such."""


@dataclass(frozen=True)
class Hit:
    """A found picture: the bytes of a PNG or JPEG thumbnail (none: not at hand), its id, its score, whether it is right."""

    image: bytes | None
    label: str
    score: float
    correct: bool


@dataclass(frozen=True)
class TextHit:
    """A found text, its score, and whether it is right."""

    text: str
    score: float
    correct: bool


@dataclass(frozen=True)
class Example:
    """A text that was asked and the pictures that were found, best first.

    Attributes:
        query: the text as it was asked.
        hits: what was found.
        rank: of the right answer.
        target: thumbnail of the right answer, shown where it is not among the hits.
        gloss: an English caption of the right picture, for readers who do not read the query's language.
    """

    query: str
    hits: Sequence[Hit]
    rank: int
    target: bytes | None = None
    gloss: str = ""


@dataclass(frozen=True)
class TextExample:
    """A picture that was asked and the texts that were found, best first.

    Attributes:
        image: thumbnail of the picture.
        label: its id.
        hits: what was found.
        rank: of the best right answer.
        target: a right answer, shown where none is among the hits.
        gloss: an English caption of the picture.
    """

    image: bytes | None
    label: str
    hits: Sequence[TextHit]
    rank: int
    target: str = ""
    gloss: str = ""


@dataclass(frozen=True)
class LanguageSheet:
    """The examples of one language; none where the language has no such query.

    Attributes:
        language: its code.
        found: a caption answered at rank 1.
        missed: a caption not answered at rank 1, but below rank 10 where there are such.
        found_texts: a picture answered at rank 1.
        missed_texts: the same for a picture.
        shares: by direction the shares of queries answered at rank 1 and below rank 10.
    """

    language: str
    found: Example | None = None
    missed: Example | None = None
    found_texts: TextExample | None = None
    missed_texts: TextExample | None = None
    shares: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True)
class Examples:
    """The sheet, and how it was drawn.

    Attributes:
        system: whose answers are shown.
        sheets: languages that are shown.
        languages: number of languages that they were drawn from.
        seed: of the draw.
    """

    system: str
    sheets: Sequence[LanguageSheet]
    languages: int
    seed: int
