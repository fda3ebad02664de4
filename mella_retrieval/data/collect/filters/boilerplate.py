"""The filter `boilerplate`: interface words, credits and stock phrases that stand where a description should."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import ClassVar

from pydantic import Field

from mella_retrieval.data.collect.filters.phrases import Phrasebook, Word, split
from mella_retrieval.data.collect.filters.step import KEEP, Filter, Subject, Verdict, remove
from mella_retrieval.data.collect.filters.tokens import without_counters
from mella_retrieval.recipes import Strict, build_config, parse_yaml

_SEPARATOR = re.compile(r"[:：=/|©]|\s[–—-]\s")
_COPYRIGHT = ("©", "(c)", "ⓒ", "®")


class Phrases(Strict):
    """Phrases of one language; case and punctuation make no difference.

    Attributes:
        interface: what pages say about themselves; a text of nothing else is removed.
        marks: what stands before or after a name: logo, avatar, profile picture; with no more than a name it is removed.
        credits: what stands before a sign (`:`, `/`, `=` ...) and the name of a photographer or agency.
        by: what stands before such a name without a sign: "photo by".
        anywhere: phrases that no description has; removed wherever they stand.
        small: words that do not count: articles and prepositions inside names.
        owners: what a name may call its bearer, in small letters ("museum", "newspaper").
        telling: words that no name has, for scripts without capitals ("on", "above"): a text with one of them describes.
    """

    interface: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    credits: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    anywhere: tuple[str, ...] = ()
    small: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    telling: tuple[str, ...] = ()


class BoilerplateOptions(Strict):
    """
    Attributes:
        more: language -> further phrases.
        beside: so many words beside a mark or credit are taken for a name, whatever they are.
        name: so many words, if each begins with a capital or a digit.
        caseless: so many words in scripts without capitals; five letters count as a word where there are no spaces.
    """

    more: dict[str, Phrases] = Field(default_factory=dict)
    beside: int = Field(default=2, ge=0)
    name: int = Field(default=5, ge=0)
    caseless: int = Field(default=4, ge=0)


class Boilerplate(Filter[BoilerplateOptions]):
    """Phrases of all languages of `boilerplate.yaml` count on every page: templates are seldom translated as a whole.

    A phrase must be all that the text says, but for a name: "Logo of the university" goes, "Logo of the university carved above
    its old door" stays.
    """

    options_type: ClassVar[type[Strict]] = BoilerplateOptions

    def __init__(self, options: BoilerplateOptions, languages: Sequence[str] = ()) -> None:
        super().__init__(options, languages)
        sets = [*known_phrases().values(), *options.more.values()]
        self._books = {kind: Phrasebook(phrase for one in sets for phrase in getattr(one, kind)) for kind in Phrases.model_fields}

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        text = without_counters(subject.text)
        words = split(text, self._books["interface"], self._books["marks"], self._books["by"])
        if found := self._books["anywhere"].inside(words):
            return remove(f"stock phrase: {found}")
        if self._is_credit(text) or ((count := self._books["by"].at(words, 0)) and self._is_name(words[count:])):
            return remove("a credit alone")
        if self._is_interface(words):
            return remove("words of the interface")
        first, last = self._books["marks"].at(words, 0), self._books["marks"].ends(words)
        if (first and self._is_name(words[first:])) or (last and self._is_name(words[:-last])):
            return remove("a name and what it marks")
        return KEEP

    def _is_credit(self, text: str) -> bool:
        """Whether a text is "Photo: name" or "© name"."""
        bare = text.strip(" ([«„\"'")
        if bare.lower().startswith(_COPYRIGHT):
            return sum(word.weight for word in split(bare)) <= self.options.name or self._is_name(split(bare))
        found = _SEPARATOR.search(bare)
        if not found:
            return False
        head = split(bare[: found.start()])
        named = self._books["credits"].at(head, 0) or self._books["by"].at(head, 0)
        return bool(head) and named == len(head) and self._is_name(split(bare[found.end() :]))

    def _is_interface(self, words: Sequence[Word]) -> bool:
        """Whether a text is put together of phrases, numbers and small words."""
        phrases = (self._books["interface"], self._books["marks"])
        left = list(self._without(words, *phrases, self._books["small"]))
        some = any(book.at(words, place) for book in phrases for place in range(len(words)))
        return some and all(word.plain.isdigit() for word in left)

    def _is_name(self, words: Sequence[Word]) -> bool:
        """Whether what stands beside a mark or credit may be no more than a name."""
        weight = sum(word.weight for word in words)
        if self._books["telling"].inside(words):
            return False
        if weight <= self.options.beside:
            return True
        if not any(character.isupper() or character.islower() for word in words for character in word.text):
            return weight <= self.options.caseless
        counted = list(self._without(words, self._books["small"], self._books["owners"]))
        return len(counted) <= self.options.name and all(word.text[0].isupper() or word.text[0].isdigit() for word in counted)

    def _without(self, words: Sequence[Word], *books: Phrasebook) -> Iterator[Word]:
        """The words that belong to no phrase of the books."""
        place = 0
        while place < len(words):
            count = max(book.at(words, place) for book in books)
            if not count:
                yield words[place]
            place += count or 1


@functools.cache
def known_phrases() -> Mapping[str, Phrases]:
    """Language -> the phrases that come with the package."""
    name = "boilerplate.yaml"
    text = (files("mella_retrieval.data.collect.filters") / name).read_text(encoding="utf-8")
    return {code: build_config(Phrases, entry, f"{name}, {code}") for code, entry in parse_yaml(text, name).items()}
