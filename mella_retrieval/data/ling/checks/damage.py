"""Texts that are not what was asked for: empty, damaged, a refusal, the prompt itself, or without an end."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from difflib import SequenceMatcher
from importlib.resources import files
from typing import ClassVar

from pydantic import Field, field_validator

from mella_retrieval.data.extra import data_package
from mella_retrieval.data.ling.checks.check import Judged, Scores, TextCheck, canonical
from mella_retrieval.data.ling.checks.words import letters, plain, words
from mella_retrieval.data.sentences import split_sentences
from mella_retrieval.data.statistics.scripts import SPACELESS, script_of
from mella_retrieval.recipes import parse_yaml

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_QUESTION_MARKS = re.compile(r"\?{3,}|\w*\?+\w+")
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,6}|#x[0-9a-f]{2,6});", re.IGNORECASE)
_MARKERS = re.compile(
    r"<\|[\w ]+\|>|</?s>|\[/?INST\]|<image>|<img>|</?think>|^\s*(?:user|human|assistant|system|bot)\s*[:：]"
    r"|^\s*(?:sure|certainly|of course|okay)[,!.]? |^\s*(?:here is|here's) (?:the|a|your|my) [^.:\n]{0,60}:"
    r"|^\s*(?:translation|translated text|description|caption)\s*[:：]",
    re.IGNORECASE,
)
_ENDS = frozenset(".!?…。！？．｡؟۔।॥።༎၊။។׃:：;؛")
_JOINED = SPACELESS | {"Hang"}
_WITHOUT_ENDS = frozenset({"Thai", "Laoo", "Zyyy"})
"""Scripts in which a sentence need not end with a mark."""


class Empty(TextCheck):
    """There is a text. Attributes: letters: the fewest that it may have."""

    name: ClassVar[str] = "empty"
    letters: int = Field(default=2, ge=1)

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        found = len(letters(text.text))
        return f"{found} letters" if found < self.letters else ""


class Encoding(TextCheck):
    """The text was not decoded wrongly on its way.

    Found are replacement, control and private-use characters, question marks in place of letters, HTML entities, and texts that
    were UTF-8 read as another encoding ("Ã¡rvÃ­z"), which ftfy tells by improbable neighbours (`ftfy.badness`).
    """

    name: ClassVar[str] = "encoding"

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        if found := _CONTROL.search(text.text):
            return f"the character U+{ord(found.group()):04X}"
        if found := _QUESTION_MARKS.search(text.text):
            return f"question marks in place of letters: {found.group()}"
        if found := _ENTITY.search(text.text):
            return f"the HTML entity {found.group()}"
        if data_package("ftfy.badness").is_bad(text.text):
            return "letters that stem from reading UTF-8 as another encoding"
        return ""


class Refusal(TextCheck):
    """The model did not decline.

    Phrases of refusing (`refusals.yaml`) are looked for near the beginning, in the text's language, that of its source and
    English: a picture may show a sign that says sorry, but a description does not begin with it.

    Attributes:
        phrases: further ones, by language.
        within: letters from the beginning in which a phrase begins.
    """

    name: ClassVar[str] = "refusal"
    phrases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    within: int = Field(default=15, ge=1)

    @field_validator("phrases")
    @classmethod
    def _canonical(cls, phrases: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if any(not _spoken(phrase) for found in phrases.values() for phrase in found):
            raise ValueError("a phrase is empty: every text would have it.")
        return {canonical(code): found for code, found in phrases.items()}

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        start = _spoken(text.text)[: self.within + 60]
        codes = dict.fromkeys([text.lang.code, *([text.source_lang.code] if text.source_lang else []), "en"])
        for code in codes:
            for phrase in (*refusals().get(code, ()), *self.phrases.get(code, ())):
                said = _spoken(phrase)
                place = start.find(said)
                if 0 <= place < self.within and _is_whole(start, place, place + len(said)):
                    return f"it says {phrase!r}"
        return ""


def _spoken(text: str) -> str:
    """As phrases are looked for: `plain`, with one apostrophe for both."""
    return plain(text).replace("’", "'")


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether a phrase is no part of a longer word; in scripts that join words, or endings to them, one cannot tell."""
    joined = script_of(text[start]) in _JOINED
    return joined or not (text[:start][-1:].isalpha() or text[end:][:1].isalpha())


@functools.cache
def refusals() -> Mapping[str, tuple[str, ...]]:
    """Language -> phrases, of `refusals.yaml`."""
    path = files("mella_retrieval") / "data" / "ling" / "checks" / "refusals.yaml"
    return {code: tuple(phrases) for code, phrases in parse_yaml(path.read_text(encoding="utf-8"), "refusals.yaml").items()}


class Echo(TextCheck):
    """The text does not hold what the model was told, nor the marks of a conversation ("ASSISTANT:", "Here is the translation:").

    Attributes:
        share: part of a prompt's words that may stand in a row in the text.
        words: prompts of fewer words are not looked for.
    """

    name: ClassVar[str] = "echo"
    share: float = Field(default=0.6, gt=0, le=1)
    words: int = Field(default=4, ge=1)

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        if found := _MARKERS.search(text.text):
            return f"the mark of a conversation {found.group().strip()!r}"
        own = words(plain(text.text))
        for prompt in text.prompts:
            told = words(plain(prompt))
            if len(told) < self.words or " ".join(told) in " ".join(words(plain(text.source))):
                continue
            run = SequenceMatcher(None, told, own, autojunk=False).find_longest_match()
            if run.size >= self.share * len(told):
                return f"it repeats its prompt: {' '.join(told[run.a : run.a + run.size])!r}"
        return ""


class Ending(TextCheck):
    """The text was not broken off: where its source (or its own earlier sentences) end with a mark, so does it.

    Left out for scripts in which a sentence need not end with a mark (Thai, Lao).
    """

    name: ClassVar[str] = "ending"

    def problem(self, text: Judged, scores: Scores) -> str:
        """See `Check`."""
        if text.lang.script in _WITHOUT_ENDS or _ends(text.text):
            return ""
        if _ends(text.source) if text.source else _has_ended_before(text.text):
            return f"it breaks off: {text.text.strip()[-20:]!r}"
        return ""


def _ends(text: str) -> bool:
    """Whether the last sign of a text is an end mark; quotation marks and brackets after it do not count."""
    left = text.rstrip()
    while left and (left[-1] in "\"'" or unicodedata.category(left[-1]) in ("Pe", "Pf", "Pi")):
        left = left[:-1].rstrip()
    return left[-1:] in _ENDS


def _has_ended_before(text: str) -> bool:
    return any(_ends(piece) and len(words(piece)) > 2 for piece in split_sentences(text)[:-1])
