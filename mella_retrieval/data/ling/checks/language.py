"""Whether a text is in the language that it should be in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from mella_retrieval.artifacts import library_versions
from mella_retrieval.data.ling.checks.check import Check, Judged, Scores, Tools
from mella_retrieval.data.ling.checks.length import weight


class InLanguage(Check):
    """The text is in its language, or in one that short texts cannot be told from (`language_id.GROUPS`).

    Languages that the identifier does not know are not checked.

    Attributes:
        threshold: of the probability. Lower than `language_id.THRESHOLD`: there any language may come, here one was asked for,
            and only what is clearly another counts.
        letters: texts that say less than so many letters of an alphabet do (`length.weight`) are not judged.
    """

    name: ClassVar[str] = "language"
    stored: ClassVar[bool] = True
    threshold: float = Field(default=0.1, ge=0, le=1)
    letters: int = Field(default=20, ge=0)

    def key(self, tools: Tools) -> Any:
        """See `Check`."""
        known = list(getattr(tools.identifier, "languages", ()))
        versions = library_versions("lingua-language-detector", "py3langid")
        return {"identifier": type(tools.identifier).__name__, "languages": known, **versions}

    def missing(self, tools: Tools) -> str:
        """See `Check`."""
        return "" if tools.identifier else "no identifier of languages was given"

    def measure(self, texts: Sequence[Judged], tools: Tools) -> list[dict[str, float]]:
        """`language`: the probability; nothing where the language is unknown."""
        identifier = tools.identifier
        if identifier is None:
            return [{} for _ in texts]
        return [
            {"language": identifier.probability(text.text, text.lang.code)} if identifier.knows(text.lang.code) else {}
            for text in texts
        ]

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        found = scores.get("language", 1.0)
        if found >= self.threshold or weight(text.text) < self.letters:
            return ""
        return f"{text.lang.name} with a probability of {found:.2f}"
