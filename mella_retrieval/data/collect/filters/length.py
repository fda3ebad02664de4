"""The filter `length`: texts that say too little to describe anything, or are whole articles."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.collect.filters.step import Filter, Subject, Verdict
from mella_retrieval.data.collect.filters.tokens import JOINING, letters, script, words
from mella_retrieval.recipes import Strict


class LengthOptions(Strict):
    """
    Attributes:
        words: at least so many, parted by white space.
        letters: one word of so many letters is enough where words are written without spaces (Thai, Lao, Khmer, Burmese,
            Chinese, Japanese) or joined (Korean).
        most: characters.
    """

    words: int = Field(default=2, ge=1)
    letters: int = Field(default=5, ge=1)
    most: int = Field(default=1000, ge=1)


class Length(Filter[LengthOptions]):
    """A description needs two words, one of them more than a sign or a number. A name alone names; it does not describe."""

    options_type: ClassVar[type[Strict]] = LengthOptions

    def judge(self, subject: Subject) -> Verdict:
        """Scores: `words` and `letters`."""
        text = subject.candidate.text
        if len(text) > self.options.most:
            return Verdict(False, f"{len(text):,} characters")
        found, count = words(text), letters(text)
        scores = {"words": len(found), "letters": count}
        joined = any(letters(word) >= self.options.letters and script(word) in JOINING for word in found)
        if len(found) < self.options.words and not joined:
            return Verdict(False, "one word" if found else "no word", scores)
        if not any(letters(word) >= 2 for word in found):
            return Verdict(False, "no word of two letters", scores)
        return Verdict(True, scores=scores)
