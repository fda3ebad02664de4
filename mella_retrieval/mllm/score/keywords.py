"""Keyword accuracy, by a definition of our own: MELLA reports one and does not define it.

The *keywords* of a reference are its content words, names among them, each once: its words (`words.words`) without stop words
(`stop_words.stop_words`), words for pictures ("photo") and single letters or digits; a Chinese or Japanese text has pairs of
characters instead. The accuracy of an answer is the share of the keywords that are found in it.

*Strict*: a word of the answer is the same but for its ending (`forms.forms`). *Lenient*: also where the keyword, or a form of it,
stands inside a word, from four letters on (`palota` in `palotakert`); in Korean from two syllables on and in Thai from three
letters on, anywhere in the answer without its spaces, since words are joined or divided differently there. Not in Vietnamese.

*Names* are the keywords with a capital letter that no sentence begins with; in a text of a script without capitals, the
capitalised words of other scripts. They are told only where capitals tell something: not in German, not in a text of capitals
alone, not in an English text without a small content word (a title). A name is never a stop word. A Vietnamese name of several
syllables is one keyword (`Hà Nội`): all of it in a row, or leniently each of them somewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from mella_retrieval import languages
from mella_retrieval.data.ling.checks.words import scripts_of
from mella_retrieval.data.statistics.scripts import SPACELESS, script_of
from mella_retrieval.mllm.score.forms import forms
from mella_retrieval.mllm.score.stop_words import stop_words
from mella_retrieval.mllm.score.words import Piece, base, fold, pieces, words

LEAST = {"Hang": 2, "Thai": 3}
"""Script -> fewest characters of a keyword that is looked for inside of words; 4 in others, 2 of those without spaces."""

_NOUNS_ARE_CAPITALISED = frozenset({"de", "lb"})
_TITLES_ARE_CAPITALISED = frozenset({"en"})
_CASED = frozenset({"Latn", "Cyrl", "Grek", "Armn"})


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword.

    Attributes:
        text: in the form for comparing.
        forms: any of them as a word of an answer finds it.
        inside: any of them inside of a word finds it leniently.
        name: whether it is told to be a name.
    """

    text: str
    forms: frozenset[str]
    inside: frozenset[str]
    name: bool


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, to look for keywords in it.

    Attributes:
        forms: of all its words.
        line: its words between spaces.
        joined: the same without spaces.
    """

    forms: frozenset[str]
    line: str
    joined: str


@functools.lru_cache(maxsize=1 << 14)
def keywords(text: str, lang: str) -> tuple[Keyword, ...]:
    """The keywords of a reference, in order; words that share a form are one.

    Args:
        text: the reference.
        lang: canonical code.

    Raises:
        MissingDependencyError: a package of the extra `mllm` is not installed.
    """
    found: list[Keyword] = []
    stops = stop_words(lang)
    for word, name in _candidates(text, lang, stops):
        run = " " in word
        own = frozenset({word}) if run else forms(word, lang)
        if _is_letter(word) or (not name and own & stops):
            continue
        same = next((place for place, one in enumerate(found) if one.forms & own), None)
        if same is None:
            inside = frozenset() if run or base(lang) == "vi" else frozenset(filter(_is_long, own))
            found.append(Keyword(word, own, inside, name))
        elif name:
            found[same] = replace(found[same], name=True)
    return tuple(found)


@functools.lru_cache(maxsize=1 << 14)
def said(text: str, lang: str) -> Said:
    """An answer, to look for keywords in it; arguments and errors as for `keywords`."""
    plain = words(text, lang)
    every = [fold(word, lang) for piece in pieces(text, lang) for word in _paired(piece.words)]
    return Said(frozenset().union(*(forms(word, lang) for word in every)), f" {' '.join(plain)} ", "".join(plain))


def is_found(keyword: Keyword, answer: Said, *, lenient: bool = False) -> bool:
    """Whether a keyword is found in an answer."""
    if " " in keyword.text:
        syllables = keyword.text.split()
        return f" {keyword.text} " in answer.line or (lenient and all(f" {each} " in answer.line for each in syllables))
    if not keyword.forms.isdisjoint(answer.forms):
        return True
    return lenient and any(form in (answer.joined if _is_joined(form) else answer.line) for form in keyword.inside)


def share_found(wanted: Iterable[Keyword], answer: Said, *, lenient: bool = False) -> float | None:
    """The share of keywords that an answer has; None where there is no keyword."""
    found = [is_found(keyword, answer, lenient=lenient) for keyword in wanted]
    return sum(found) / len(found) if found else None


def _is_letter(word: str) -> bool:
    """Whether it is a single letter or digit: no word, except in scripts whose characters are syllables or words."""
    return len(word) == 1 and not _is_joined(word)


def _is_joined(form: str) -> bool:
    script = script_of(form[0])
    return script == "Hang" or script in SPACELESS


def _is_long(form: str) -> bool:
    """Whether it may be looked for inside of words."""
    fewest = LEAST.get(script_of(form[0]), 2 if _is_joined(form) else 4)
    return len(form) >= fewest and not form.isdigit()


def _candidates(text: str, lang: str, stops: frozenset[str]) -> list[tuple[str, bool]]:
    """Words in the form for comparing, and whether they are names."""
    marked = [(fold(word, lang), name) for word, name in _marked(pieces(text, lang), lang, stops)]
    if base(lang) != "vi":
        return marked
    joined: list[tuple[str, bool]] = []
    for name, run in groupby(marked, key=lambda one: one[1]):
        each = [word for word, _ in run]
        joined += [(" ".join(each), True)] if name else [(word, False) for word in each]
    return joined


def _marked(found: Sequence[Piece], lang: str, stops: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """Every word as it is written, and whether it is a name."""
    own = frozenset({"Latn"}) if base(lang) == "sr" else scripts_of(languages.get(lang))
    tell = _capitals_tell([word for piece in found for word in piece.words], own, lang, stops)
    for piece in found:
        paired = _paired(piece.words)
        for place, word in enumerate(paired):
            foreign = script_of(word[0]) not in own
            yield word, tell and word != word.lower() and (foreign or not (piece.starts and place == 0))


def _capitals_tell(written: Sequence[str], own: frozenset[str], lang: str, stops: frozenset[str]) -> bool:
    """Whether capital letters mean names in a text."""
    if not own & _CASED:
        return True
    if base(lang) in _NOUNS_ARE_CAPITALISED or all(word == word.upper() for word in written):
        return False
    if base(lang) in _TITLES_ARE_CAPITALISED:
        return any(word == word.lower() != word.upper() and fold(word, lang) not in stops for word in written)
    return True


def _paired(piece: Sequence[str]) -> tuple[str, ...]:
    """Words, with pairs of characters where words cannot be told (Chinese, Japanese, Khmer ...)."""
    found: list[str] = []
    for place, word in enumerate(piece):
        if not _is_character(word):
            found.append(word)
        elif place + 1 < len(piece) and _is_character(piece[place + 1]):
            found.append(word + piece[place + 1])
        elif not place or not _is_character(piece[place - 1]):
            found.append(word)
    return tuple(found)


def _is_character(word: str) -> bool:
    script = script_of(word[0])
    return script in SPACELESS and script != "Thai"
