"""Words, letters and scripts as the checks count them."""

from __future__ import annotations

import functools
import re
import unicodedata

from mella_retrieval.data.statistics.scripts import script_of
from mella_retrieval.languages import Language

_SCRIPTS = {
    "Jpan": frozenset({"Hira", "Kana", "Hani"}),
    "Hang": frozenset({"Hang", "Hani"}),
    "Hans": frozenset({"Hani"}),
    "Hant": frozenset({"Hani", "Bopo"}),
}


def scripts_of(lang: Language) -> frozenset[str]:
    """The scripts of a language's letters; empty where it has no usual one."""
    return frozenset() if lang.script == "Zyyy" else _SCRIPTS.get(lang.script, frozenset({lang.script}))


def plain(text: str) -> str:
    """NFC, without case, white space collapsed: what two texts are compared in."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


@functools.lru_cache(maxsize=1 << 16)
def _part_of_word(character: str) -> str:
    return character if unicodedata.category(character)[0] in "LMN" else " "


def words(text: str) -> list[str]:
    """Runs of letters, marks and digits, as they are written; in scripts without spaces these are whole phrases."""
    return "".join(map(_part_of_word, unicodedata.normalize("NFC", text))).split()


def letters(text: str) -> str:
    """The letters of a text: what has a script. Marks and digits have none."""
    return "".join(character for character in text if script_of(character))


_QUOTED = re.compile('["“”„«»‹›「『](.{1,200}?)["“”«»‹›」』]', re.DOTALL)


def names(text: str) -> frozenset[str]:
    """Words that a translation may copy, without case: with a digit, between quotation marks, or with a capital letter where no
    sentence begins. A script without case has only the first two.
    """
    found, starts = {word.casefold() for quoted in _QUOTED.findall(text) for word in words(quoted)}, True
    for piece in text.split():
        for word in words(piece):
            if any(character.isdigit() for character in word) or (not starts and word != word.lower()):
                found.add(word.casefold())
            starts = False
        starts = piece[-1:] in ".!?:…" or (starts and not words(piece))
    return frozenset(found)
