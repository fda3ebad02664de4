"""Words and letters of a text in any script, as the filters count them."""

from __future__ import annotations

import functools
import re
import unicodedata

from mella_retrieval.data.near.shingles import normal_form
from mella_retrieval.data.statistics.scripts import SPACELESS, script_of

JOINING = SPACELESS | {"Hang"}
"""Scripts in which a caption of several words may stand without a space: Hangul joins particles and the parts of compounds."""

_ARABIC_SIGNS = re.compile("[\u0640\u064b-\u065f\u0670]")
_COUNTERS = re.compile(r"(?<![^\W_])[#№(\[]?\d{1,3}(?:\s*[/)\]]\s*\d{0,3}[)\]]?)?(?![^\W_])")


def plain_form(text: str) -> str:
    """What phrases and words are compared in: the normal form without Arabic vowel signs, which most texts leave out."""
    return _ARABIC_SIGNS.sub("", normal_form(text))


def letters(text: str) -> int:
    """Number of letters; vowel signs and accents that are characters of their own are none."""
    return sum(unicodedata.category(character)[0] == "L" for character in text)


def words(text: str) -> list[str]:
    """Pieces between white space that have a letter or a digit; punctuation stays with them."""
    return [piece for piece in text.split() if any(map(str.isalnum, piece))]


def script(word: str) -> str:
    """ISO 15924 code of a word's first letter, "" without letters."""
    return next(filter(None, map(script_of, word)), "")


def is_bare(character: str) -> bool:
    """Whether a character is neither letter, digit nor a mark that belongs to one."""
    return unicodedata.category(character)[0] not in "LNM"


@functools.lru_cache(maxsize=1 << 16)
def _plain_character(character: str) -> str:
    return " " if is_bare(character) else character


def without_punctuation(text: str) -> str:
    """Words and spaces alone; hyphens and apostrophes part words here."""
    return " ".join("".join(map(_plain_character, text)).split())


def without_counters(text: str) -> str:
    """Without the numbers of up to three digits that stand alone: "Photo 3", "(2/14)". Years stay."""
    return " ".join(_COUNTERS.sub(" ", text).split())
