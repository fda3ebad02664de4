"""Length against the source, in letters that say about as much in every script."""

from __future__ import annotations

import functools
import math
from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.ling.checks.check import Judged, Scores, TextCheck
from mella_retrieval.data.ling.checks.words import words
from mella_retrieval.data.statistics.scripts import script_of

WEIGHTS = {"Hani": 3.8, "Hang": 2.7, "Hira": 2.0, "Kana": 2.0, "Ethi": 1.5, "Hebr": 1.4, "Arab": 1.3}
"""How many letters of an alphabet a letter says; 1 for all other scripts.

From the names of 1,503 emoji that CLDR has in 98 languages: letters of all names of a language over those of the Latin-script
languages' median (of English they are 1.12). Chinese .29 letters per English letter, Korean .41, Japanese .42 (kana and
characters mixed), Amharic and Tigrinya .72, Hebrew .80, Arabic, Persian and Pashto .81 to .85; Thai .96 and all other scripts
lie within what languages of one script differ by (.98 to 1.44 in Latin script).
"""

_VARIANCE = 6.8
"""Variance of the length difference of two sentences that translate each other, per letter (Gale and Church 1993, 3.2)."""


class Length(TextCheck):
    """A translation is neither cut off nor full of additions.

    Languages differ in length whatever the text (`low`, `high`), and short texts by chance beside: of texts of n letters the
    ratio's logarithm has the standard deviation sqrt(6.8 / n) by the model of Gale and Church, of which `deviations` are granted.

    Attributes:
        low, high: bounds of the ratio of translation to source, for long texts.
        deviations: by how many standard deviations they are wider for short ones.
    """

    name: ClassVar[str] = "length"
    needs_source: ClassVar[bool] = True
    low: float = Field(default=0.7, gt=0, lt=1)
    high: float = Field(default=1.6, gt=1)
    deviations: float = Field(default=0.8, ge=0)

    def scores(self, text: Judged) -> dict[str, float]:
        """`length`: the ratio. `length_room`: the factor by which chance may change it."""
        own, source = weight(text.text), weight(text.source)
        if not source:
            return {"length": 1.0, "length_room": 1.0}
        return {"length": own / source, "length_room": math.exp(self.deviations * math.sqrt(_VARIANCE * 2 / (own + source)))}

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        ratio, room = scores["length"], scores["length_room"]
        return "" if self.low <= ratio * room and ratio <= self.high * room else f"{ratio:.2f} times as long as its source"


def weight(text: str) -> float:
    """Letters, marks and digits of a text, letters by what their script says with one."""
    return sum(_weight(character) for word in words(text) for character in word)


@functools.lru_cache(maxsize=1 << 16)
def _weight(character: str) -> float:
    return WEIGHTS.get(script_of(character), 1.0)
