"""Scripts of letters, and which of them are written without spaces between words."""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter

# ISO 15924 codes of the scripts whose letters Unicode names by another word than the code's own beginning suggests.
_SCRIPTS: dict[str, str] = {
    "ARABIC": "Arab", "ARMENIAN": "Armn", "BENGALI": "Beng", "BOPOMOFO": "Bopo", "CHEROKEE": "Cher", "CJK": "Hani",
    "CYRILLIC": "Cyrl", "DEVANAGARI": "Deva", "ETHIOPIC": "Ethi", "GEORGIAN": "Geor", "GREEK": "Grek", "GUJARATI": "Gujr",
    "GURMUKHI": "Guru", "HANGUL": "Hang", "HEBREW": "Hebr", "HIRAGANA": "Hira", "KANNADA": "Knda", "KATAKANA": "Kana",
    "KHMER": "Khmr", "LAO": "Laoo", "LATIN": "Latn", "MALAYALAM": "Mlym", "MONGOLIAN": "Mong", "MYANMAR": "Mymr",
    "OL": "Olck", "ORIYA": "Orya", "SINHALA": "Sinh", "TAMIL": "Taml", "TELUGU": "Telu", "THAANA": "Thaa", "THAI": "Thai",
    "TIBETAN": "Tibt", "TIFINAGH": "Tfng",
}  # fmt: skip

_SEVERAL = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana")}

SPACELESS = frozenset({"Bopo", "Hani", "Hira", "Kana", "Khmr", "Laoo", "Mymr", "Thai", "Tibt"})
"""Scripts written without spaces between words: what stands between two spaces is no word."""


@functools.lru_cache(maxsize=65536)
def script_of(character: str) -> str:
    """ISO 15924 code of a letter's script; its Unicode word where no code is known here, "" for what is no letter."""
    if not unicodedata.category(character).startswith("L"):
        return ""
    words = unicodedata.name(character, "").replace("FULLWIDTH ", "").replace("HALFWIDTH ", "").split()
    if not words or words[0] in ("MODIFIER", "FEMININE", "MASCULINE", "MICRO", "KATAKANA-HIRAGANA"):
        return ""
    return _SCRIPTS.get(words[0], words[0].title())


def script_shares(characters: Counter[str]) -> dict[str, float]:
    """Shares of the scripts among the letters, the largest first; below one in a thousand they are left out."""
    scripts: Counter[str] = Counter()
    for character, count in characters.items():
        if script := script_of(character):
            scripts[script] += count
    total = scripts.total()
    return {script: round(count / total, 4) for script, count in scripts.most_common() if count / total >= 0.001}


def has_words(shares: dict[str, float]) -> bool:
    """Whether texts with these shares of scripts are mostly written with spaces between words."""
    return sum(share for script, share in shares.items() if script in SPACELESS) <= 0.5


def usual_share(shares: dict[str, float], script: str) -> float | None:
    """The share of a language's usual script (`languages.get(code).script`); None where its letters are not told here."""
    members = _SEVERAL.get(script, (script,))
    if not shares or not set(members) <= set(_SCRIPTS.values()):
        return None
    return sum(shares.get(member, 0.0) for member in members)
