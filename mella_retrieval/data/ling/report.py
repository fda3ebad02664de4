"""What making `ling` did: every picture and every text is either kept or counted with a reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mella_retrieval.artifacts import Json
from mella_retrieval.data.text import excerpt
from mella_retrieval.data.writing import ImportReport

LEFT_OUT = "the recipe leaves it out"
"""Why a check was not made that whoever wrote the recipe did not want."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text that a check rejected: its language, the beginning of it, and what is wrong."""

    lang: str
    text: str
    problem: str


@dataclass
class Texts:
    """Texts in one language.

    Attributes:
        asked: descriptions: of pictures that could be described; translations: of descriptions that were kept.
        kept: passed all checks.
        failed: the plug-in failed, or had none.
        rejected: check -> texts; of several checks the first counts.
    """

    asked: int = 0
    kept: int = 0
    failed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass
class CheckedTexts:
    """Counts of texts that were made and checked.

    Attributes:
        texts: language -> its texts; for each, asked = kept + failed + all rejected.
        looked_at: check -> texts that it looked at.
        examples: check -> the first text that it rejected.
        unchecked: check -> why it was left out.
        written: the report of the records folder.
    """

    texts: dict[str, Texts] = field(default_factory=dict)
    looked_at: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Example] = field(default_factory=dict)
    unchecked: dict[str, str] = field(default_factory=dict)
    written: ImportReport | None = None

    def reject(self, lang: str, text: str, reason: str) -> None:
        """Count a text that a check rejected; `reason` is `check: problem`."""
        check, _, problem = reason.partition(": ")
        self.texts[lang].rejected[check] += 1
        self.examples.setdefault(check, Example(lang, excerpt(text), problem))

    def as_dict(self) -> Json:
        """JSON-able form."""
        texts = {
            lang: {"asked": one.asked, "kept": one.kept, "failed": one.failed, "rejected": dict(one.rejected)}
            for lang, one in self.texts.items()
        }
        examples = {check: {"lang": one.lang, "text": one.text, "problem": one.problem} for check, one in self.examples.items()}
        return {
            "texts": texts,
            "looked_at": dict(self.looked_at),
            "examples": examples,
            "unchecked": self.unchecked,
            "records": self.written.as_dict() if self.written else None,
        }


@dataclass
class LingReport(CheckedTexts):
    """Counts of a whole job. The describing language comes first; `written` counts repeated texts of a picture as rejected, too.

    Attributes:
        pictures: pictures of the records.
        undescribed: reason -> pictures without any description.
        repeated: views that repeat a text of the same picture; they are no texts of their own.
    """

    pictures: int = 0
    undescribed: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    def as_dict(self) -> Json:
        """JSON-able form."""
        undescribed = dict(sorted(self.undescribed.items()))
        return {"pictures": self.pictures, "undescribed": undescribed, "repeated": self.repeated, **super().as_dict()}
