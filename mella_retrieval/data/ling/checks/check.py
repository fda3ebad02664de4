"""What a check is: its parameters, the scores that it takes of texts, and the sentence that it says about a bad one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from mella_retrieval import languages
from mella_retrieval.encoders.towers import TextTower
from mella_retrieval.errors import DataError
from mella_retrieval.languages import Language
from mella_retrieval.recipes import Strict

Scores = Mapping[str, float]


def canonical(code: str) -> str:
    """The canonical code of a language; for the validators of recipes, which show a ValueError as a wrong value."""
    try:
        return languages.normalise(code)
    except DataError as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Judged:
    """A text to check.

    Attributes:
        text: what a model said.
        lang: the language that it should be in.
        source: the text that it translates; "" for a description.
        source_lang: the language of that.
        prompts: what the model was told.
    """

    text: str
    lang: Language
    source: str = ""
    source_lang: Language | None = None
    prompts: tuple[str, ...] = ()


class Identifier(Protocol):
    """What the check of the language asks: `mella_retrieval.data.language_id.LanguageIdentifier`."""

    def knows(self, lang: str) -> bool:
        """Whether it can tell the language."""

    def probability(self, text: str, lang: str) -> float:
        """Probability that the text is in the language, or in one that it cannot be told from."""


@dataclass(frozen=True)
class Tools:
    """What some checks need; a check without its tool is left out, and the report says so."""

    identifier: Identifier | None = None
    tower: TextTower | None = None
    batch: int = 64


class Check(Strict, ABC):
    """A check; subclasses add their parameters.

    Attributes:
        name: as recipes, reasons and tables call it.
        stored: its scores are costly and kept on the disk; changing a threshold does not take them anew.
        needs_source: it compares a translation with its source and passes descriptions over.
        together: its scores depend on the other texts of the shard.
    """

    name: ClassVar[str] = ""
    stored: ClassVar[bool] = False
    needs_source: ClassVar[bool] = False
    together: ClassVar[bool] = False

    def missing(self, tools: Tools) -> str:
        """Why it cannot work with these tools, "" if it can."""
        return ""

    def key(self, tools: Tools) -> Any:
        """What decides its scores beside the texts, thresholds left out: JSON-able."""
        return None

    @abstractmethod
    def measure(self, texts: Sequence[Judged], tools: Tools) -> list[dict[str, float]]:
        """Scores of each text; their names become columns of the records."""

    @abstractmethod
    def problem(self, text: Judged, scores: Scores) -> str:
        """What is wrong with the text, "" if nothing is."""


class TextCheck(Check):
    """A check that needs one text alone, and no tools."""

    def measure(self, texts: Sequence[Judged], tools: Tools) -> list[dict[str, float]]:
        """See `Check`."""
        return [self.scores(text) for text in texts]

    def scores(self, text: Judged) -> dict[str, float]:
        """Scores of one text."""
        return {}
