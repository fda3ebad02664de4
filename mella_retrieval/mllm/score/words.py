"""Texts as words that can be compared, in any script.

Compatibility forms (NFKC), case, digits of other scripts, Arabic vowel signs, the two scripts of Serbian and the two places of a
Vietnamese tone mark make no difference. Words are what stands between spaces and punctuation; Thai is divided by pythainlp's
dictionary, other scripts without spaces into letters with their marks.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from mella_retrieval.data.statistics.scripts import SPACELESS, script_of
from mella_retrieval.mllm.extra import mllm_package

_ARABIC_SIGNS = re.compile("[\u0640\u064b-\u065f\u0670]")
_UNSEEN = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_SARA_AM = re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32")
_ENDS = ".!?:;…؟。！？|•·–—-"
_TONES = "\u0300\u0301\u0303\u0309\u0323"

SERBIAN = dict(zip("абвгдђежзијклмнопрстћуфхцчш", "abvgdđežzijklmnoprstćufhcčš", strict=True))
SERBIAN |= {"љ": "lj", "њ": "nj", "џ": "dž"}
SERBIAN |= {cyrillic.upper(): latin.capitalize() for cyrillic, latin in SERBIAN.items()}
"""Cyrillic letter -> Latin letters. The other way is not always clear (`nj` is two letters in some words)."""


def base(lang: str) -> str:
    """The language of a code without its script: `sr` of `sr-Latn`."""
    return lang.partition("-")[0]


def one_script(text: str, lang: str) -> str:
    """Serbian in Latin letters, whichever it is written in; other languages as they are. In NFC."""
    text = unicodedata.normalize("NFC", text)
    return text.translate(_SERBIAN) if base(lang) == "sr" else text


_SERBIAN = str.maketrans(SERBIAN)


class Piece(NamedTuple):
    """What stands between white space. Attributes: words: as they are written. starts: whether a sentence may begin with them."""

    words: tuple[str, ...]
    starts: bool


@functools.lru_cache(maxsize=1 << 12)
def pieces(text: str, lang: str) -> tuple[Piece, ...]:
    """The pieces of a text that have words.

    Args:
        text: any.
        lang: canonical code.

    Raises:
        MissingDependencyError: there are Thai letters, and pythainlp is not installed.
    """
    found, starts = [], True
    for written in _prepared(text, lang).split():
        if own := tuple(_words(written)):
            found.append(Piece(own, starts))
        starts = written[-1] in _ENDS or (starts and not own)
    return tuple(found)


def words(text: str, lang: str) -> list[str]:
    """The words of a text in the form for comparing, in order."""
    return [fold(word, lang) for piece in pieces(text, lang) for word in piece.words]


@functools.lru_cache(maxsize=1 << 16)
def fold(word: str, lang: str) -> str:
    """A word in the form for comparing; what `pieces` gives has the rest of it already."""
    folded = unicodedata.normalize("NFKC", word.casefold())
    if base(lang) == "vi":
        return _tone_last(folded)
    return _SARA_AM.sub("\\1\u0e33", folded)


def _prepared(text: str, lang: str) -> str:
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", one_script(text, lang)))
    plain = _ARABIC_SIGNS.sub("", _SARA_AM.sub("\\1\u0e33", plain))
    return "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in plain)


def _words(piece: str) -> Iterator[str]:
    """Runs of letters, marks and digits; where a script without spaces begins, another word does."""
    for word in "".join(each if unicodedata.category(each)[0] in "LMN" else " " for each in piece).split():
        for script, run in groupby(_clusters(word), key=lambda cluster: _spaceless(cluster[0])):
            if script == "Thai":
                yield from _thai("".join(run))
            elif script:
                yield from run
            else:
                yield "".join(run)


def _clusters(word: str) -> list[str]:
    """Letters with the marks that follow them."""
    found: list[str] = []
    for character in word:
        if found and unicodedata.category(character)[0] == "M":
            found[-1] += character
        else:
            found.append(character)
    return found


def _spaceless(character: str) -> str:
    """ "Thai" for a Thai letter, "letters" for one of another script without spaces, "" for all others."""
    script = script_of(character)
    return ("Thai" if script == "Thai" else "letters") if script in SPACELESS else ""


@functools.lru_cache(maxsize=1 << 14)
def _thai(run: str) -> tuple[str, ...]:
    return tuple(mllm_package("pythainlp.tokenize").word_tokenize(run, engine="newmm", keep_whitespace=False))


def _tone_last(syllable: str) -> str:
    """A Vietnamese syllable with its tone mark at the end: `hòa` and `hoà` are one word."""
    letters = unicodedata.normalize("NFD", syllable)
    tones = "".join(each for each in letters if each in _TONES)
    return unicodedata.normalize("NFC", "".join(each for each in letters if each not in _TONES)) + tones
