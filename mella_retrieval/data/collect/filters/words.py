"""The filter `words`: texts with words of lists that the user gives."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from mella_retrieval.data.collect.filters.step import KEEP, Filter, Subject, Verdict, remove
from mella_retrieval.data.collect.filters.tokens import plain_form, script
from mella_retrieval.data.statistics.scripts import SPACELESS
from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import Strict

_VOWELS = "aeiouyáéíóúýàèìòùâêîôûäëïöüőűăаеёиоуыэюя"
_STEM, _ENDING = 5, 4


class WordsOptions(Strict):
    """
    Attributes:
        lists: text files in UTF-8 with a word or phrase a line; lines with # are passed over.
        inflected: words of at least five letters in Latin and Cyrillic letters match with other endings too (up to four
            letters in the place of a last vowel), Korean ones with particles, Arabic ones with the article.
    """

    lists: tuple[str, ...] = ()
    inflected: bool = True


class Words(Filter[WordsOptions]):
    """Whole words, whatever their case; parts of the text where words are written without spaces (Thai, Chinese ...)."""

    options_type: ClassVar[type[Strict]] = WordsOptions

    def __init__(self, options: WordsOptions, languages: Sequence[str] = ()) -> None:
        super().__init__(options, languages)
        words = [word for path in options.lists for word in read_list(path)]
        patterns = sorted({_pattern(word, options.inflected) for word in words})
        self._pattern = re.compile("|".join(patterns)) if patterns else None

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        found = self._pattern.search(plain_form(subject.text)) if self._pattern else None
        return remove(f"the word {found[0]}") if found else KEEP


def read_list(path: Path | str) -> list[str]:
    """The words of a list, in their form for comparing.

    Raises:
        ConfigError: the list cannot be read, or has no word.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the word list {path} cannot be read: {error}") from None
    words = [plain_form(line) for line in lines if not line.lstrip().startswith("#")]
    if not any(words):
        raise ConfigError(f"the word list {path} has no word in it; leave it out.")
    return [word for word in words if word]


def _pattern(word: str, inflected: bool) -> str:
    """A regular expression for one word; boundaries are where neither letter, mark nor digit follows."""
    kind = script(word)
    if kind in SPACELESS:
        return re.escape(word)
    before, stem, after = rf"(?<![\w{_combining()}])", word, ""
    if inflected and kind == "Arab":
        before += "(?:[وفبك]?(?:ال|لل)?)"
    elif inflected and kind == "Hang":
        after = r"\w{0,4}"
    elif inflected and kind in {"Latn", "Cyrl"} and len(word) >= _STEM:
        stem, after = word[:-1] if word[-1] in _VOWELS else word, rf"[^\W\d_]{{0,{_ENDING}}}"
    return rf"{before}{re.escape(stem)}{after}(?![\w{_combining()}])"


@functools.cache
def _combining() -> str:
    """Ranges of the marks that belong to letters: `\\w` has letters and digits alone."""
    marks = [code for code in range(0x10000) if unicodedata.category(chr(code))[0] == "M"]
    starts = [code for place, code in enumerate(marks) if not place or marks[place - 1] != code - 1]
    ends = [code for place, code in enumerate(marks) if place + 1 == len(marks) or marks[place + 1] != code + 1]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
