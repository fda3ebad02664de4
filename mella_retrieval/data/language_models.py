"""What tells the languages of one script apart: py3langid, lingua in the families it knows better, word forms for Maori.

py3langid (bytes, naive Bayes, 140 languages) answers in a tenth of a millisecond. lingua (letters, n-grams up to five) tells
the members of three families apart better, at half a millisecond and up to 420 MB, so it is asked only where py3langid found a
text to be in one of them; `benchmarks/README.md` has the figures. Both models are read-only once loaded.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mella_retrieval import languages
from mella_retrieval.data.extra import data_package
from mella_retrieval.errors import DataError

FAMILIES: tuple[dict[str, str], ...] = (
    {"be": "BE", "bg": "BG", "mk": "MK", "ru": "RU", "sr": "SR", "uk": "UK"},
    {"bs": "BS", "cs": "CS", "hr": "HR", "pl": "PL", "sk": "SK", "sl": "SL", "sr-Latn": "HR"},
    {"da": "DA", "nn": "NN", "no": "NB", "sv": "SV"},
)
"""Canonical code -> what lingua calls it. lingua knows Serbian in Cyrillic letters only."""

# A softmax of py3langid's scores is calibrated best when they are divided by this times the root of the text's bytes; inside a
# family the logarithms of both models' probabilities are added with these weights. Least log loss on development texts only:
# captions of XM3600's first 1,800 pictures, and keyword lists of the emoji's train split in the languages known here.
TEMPERATURE = 0.5
WEIGHTS = (0.5, 2.0)

_TINY = 1e-6
_MAORI = re.compile("(?:(?:wh|ng|[hkmnprtw])?[aeiouāēīōū])+")
_MAORI_SHARE, _MAORI_WORDS = 0.8, 3


def labels() -> dict[str, str]:
    """Canonical code -> py3langid's label, "" for those told by their script alone or, Maori, by the forms of their words."""
    found = {"sr-Latn": "sr", "mi": ""}  # one label for both scripts, which are told apart before
    for label in _py3langid().labels:
        try:
            found.setdefault(languages.normalise(label), label)
        except DataError:  # some varieties have no code here
            continue
    scripts = Counter(language.script for language in languages.known())
    alone = [language.code for language in languages.known() if scripts[language.script] == 1]
    return dict.fromkeys(alone, "") | found


def probabilities(text: str, candidates: Mapping[str, str]) -> dict[str, float]:
    """How likely a text in small letters is in each of the candidates, code -> label; sums to 1.

    Args:
        text: words between single spaces, all of one script.
        candidates: not empty.
    """
    if len(candidates) == 1:
        return dict.fromkeys(candidates, 1.0)
    padded = f" {text} "  # the ends of a text are ends of words: 0.5 points of accuracy
    ranked = dict(_py3langid().rank(padded))
    root = TEMPERATURE * math.sqrt(len(padded.encode()))
    found = _softmax({code: ranked[label] / root for code, label in candidates.items() if label})
    best = max(found, key=lambda code: found[code], default="")
    for family in FAMILIES:
        if best in family:
            found |= _divided_by_lingua(text, {code: found[code] for code in family if code in found}, family)
    return _with_maori(text, found) if "mi" in candidates else found


def _divided_by_lingua(text: str, members: dict[str, float], family: Mapping[str, str]) -> dict[str, float]:
    """The probability of a family, divided among its members by both models."""
    if len(members) < 2:
        return members
    # lingua's rules take ó for foreign to Czech, which has it in loanwords, and are then sure of Slovak.
    second = _lingua(tuple(sorted(set(family.values()))))(text.replace("ó", "o"))
    whole, (own, other) = sum(members.values()), WEIGHTS
    logs = {code: own * math.log(p + _TINY) + other * math.log(second[family[code]] + _TINY) for code, p in members.items()}
    return {code: whole * share for code, share in _softmax(logs).items()}


def _with_maori(text: str, others: dict[str, float]) -> dict[str, float]:
    """Maori has ten consonants and no word that ends in one: text of such words alone is hardly anything else."""
    words = text.split()
    letters = sum(map(len, words))
    share = sum(len(word) for word in words if _MAORI.fullmatch(word)) / letters if letters else 0.0
    maori = min(share, 0.99) if len(words) >= _MAORI_WORDS and share >= _MAORI_SHARE else 0.0
    return {code: (1 - maori) * p for code, p in others.items()} | {"mi": maori}


def _softmax(logs: Mapping[str, float]) -> dict[str, float]:
    highest = max(logs.values(), default=0.0)
    powers = {code: math.exp(value - highest) for code, value in logs.items()}
    total = sum(powers.values())
    return {code: power / total for code, power in powers.items()}


@functools.cache
def _py3langid() -> Any:
    module = data_package("py3langid.langid")
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE)


@functools.cache
def _lingua(codes: tuple[str, ...]) -> Callable[[str], dict[str, float]]:
    """A function from a text to code -> probability (all 0 where lingua found no letter of its alphabets).

    Rounded, because lingua adds in an order that changes from call to call.
    """
    lingua = data_package("lingua")
    chosen = [getattr(lingua.IsoCode639_1, code) for code in codes]
    detector = lingua.LanguageDetectorBuilder.from_iso_codes_639_1(*chosen).build()

    def confidences(text: str) -> dict[str, float]:
        found = detector.compute_language_confidence_values(text)
        return {each.language.iso_code_639_1.name: round(each.value, 6) for each in found}

    return confidences
