"""Finding listed phrases in texts, whatever their case and punctuation, also where words are written without spaces."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mella_retrieval.data.collect.filters.tokens import letters, plain_form, script, without_punctuation
from mella_retrieval.data.statistics.scripts import SPACELESS

_LETTERS_A_WORD = 5  # of Thai, on average


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands, and in the form that is compared."""

    text: str
    plain: str

    @property
    def weight(self) -> int:
        """1; of scripts without spaces as many words as its letters make on average."""
        return max(1, math.ceil(letters(self.text) / _LETTERS_A_WORD)) if script(self.text) in SPACELESS else 1


class Phrasebook:
    """A set of phrases."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._by_first: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        self._joined: set[str] = set()
        for phrase in {tuple(_plain(phrase).split()) for phrase in phrases} - {()}:
            self._by_first[phrase[0]].append(phrase)
            if len(phrase) == 1 and script(phrase[0]) in SPACELESS:
                self._joined.add(phrase[0])
        for known in self._by_first.values():
            known.sort(key=len, reverse=True)
        self._longest = max(map(len, self._joined), default=0)

    def at(self, words: Sequence[Word], place: int) -> int:
        """How many words the longest phrase that begins at `place` has; 0 if none does."""
        if place >= len(words):
            return 0
        for phrase in self._by_first.get(words[place].plain, ()):
            if tuple(word.plain for word in words[place : place + len(phrase)]) == phrase:
                return len(phrase)
        return 0

    def ends(self, words: Sequence[Word]) -> int:
        """How many words the longest phrase at the end has."""
        return next((len(words) - place for place in range(len(words)) if self.at(words, place) == len(words) - place), 0)

    def inside(self, words: Sequence[Word]) -> str:
        """A phrase that stands anywhere, "" if none does; where there are no spaces, also inside a word."""
        for place, word in enumerate(words):
            if count := self.at(words, place):
                return " ".join(found.text for found in words[place : place + count])
            if script(word.plain) in SPACELESS:
                for phrase in sorted(self._joined):
                    if phrase in word.plain:
                        return phrase
        return ""

    def beginning(self, plain: str) -> int:
        """Length of the longest phrase without spaces that a word begins with."""
        return next((length for length in range(min(self._longest, len(plain)), 0, -1) if plain[:length] in self._joined), 0)


def split(text: str, *books: Phrasebook) -> list[Word]:
    """The words of a text; those without spaces between them are parted where phrases of the books begin and end."""
    words = without_punctuation(text).split()
    return [Word(part, _plain(part)) for word in words for part in _parted(word, books)]


def _parted(word: str, books: Sequence[Phrasebook]) -> Iterator[str]:
    if script(word) in SPACELESS:
        word = _plain(word)
        while 0 < (length := max((book.beginning(word) for book in books), default=0)) < len(word):
            yield word[:length]
            word = word[length:]
    yield word


def _plain(text: str) -> str:
    return without_punctuation(plain_form(text))
