"""The language of a text, offline: its script first, then what tells the languages of that script apart.

An address, a number or a name in Latin letters inside a Thai text does not change its language; capitals do not either.
Needs the packages py3langid and lingua-language-detector (extra `data`). All of it may be used from several threads.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mella_retrieval import languages as codes
from mella_retrieval.data import language_models
from mella_retrieval.data.statistics.scripts import script_of
from mella_retrieval.errors import DataError

GROUPS: tuple[frozenset[str], ...] = (
    frozenset({"bs", "hr", "sr-Latn"}),
    frozenset({"id", "ms"}),
    frozenset({"nn", "no"}),
    frozenset({"yue", "yue-Hans", "zh", "zh-Hant"}),
    frozenset({"acm", "acq", "aeb", "ajp", "apc", "ar", "ars", "ary", "arz"}),
)
"""Languages that short texts do not tell apart (the first two, measured; see benchmarks/README.md), and written forms of one
language. Of the last two groups only `zh` and `ar` are answered, unless the others are asked for."""

THRESHOLD = 0.5
"""Of `probability`: a text that reaches it counts as being in the language. The lowest of .1, .2 ... with which at most one
caption in a hundred of XM3600's development half would pass for another language; see benchmarks/README.md."""

SURE = 0.95
"""A text that reaches it in another language is surely not in its own: so chosen, with at most one in two thousand."""

LONGEST = 2_000
"""Characters that are looked at, from the beginning."""

_FOREIGN = 0.25  # this share of the letters decides against Latin, in which names stand everywhere
_KANA = 0.1
_SAME_SCRIPT = {"Bopo": "Hani", "Ideographic": "Hani", "Hans": "Hani", "Hant": "Hani", "Hira": "Jpan", "Kana": "Jpan"}
_ASCII_WORD = re.compile("[!-~]+")
_NO_WORD = re.compile(r"[0-9@]|://|^www\.")
_INNER = "'\u2019\u02bc-\u200c\u200d"  # the last two join or part letters inside words
_TATWEEL = "\u0640"


@dataclass(frozen=True, slots=True)
class Identified:
    """The likeliest language of a text, "" and 0 without letters of a known script.

    Attributes:
        lang: canonical code; of languages that cannot be told from one another the likelier.
        probability: 0 to 1, that it is this language or one that it cannot be told from.
    """

    lang: str
    probability: float


class LanguageIdentifier:
    """Tells in which of some languages a text is written.

    Args:
        languages: candidates, in any known form. A text is taken to be in one of them, so leave none out that may come.
            By default XM3600's, those alone in their script, and those with a two-letter code that FLORES-200 has: rare ones
            (Aragonese, Venetian, Latin) are left out, which short texts in their large neighbours seem to be in.

    Attributes:
        languages: canonical codes of the candidates, sorted.

    Raises:
        DataError: a language that cannot be told; one or none of them.
        MissingDependencyError: the extra `data` is not installed.
    """

    def __init__(self, languages: Sequence[str] | None = None) -> None:
        chosen = _usual() if languages is None else _named(languages)
        self.languages = tuple(sorted(chosen))
        self._by_script: dict[str, dict[str, str]] = defaultdict(dict)
        for code in self.languages:
            for script in _scripts_of(code):
                self._by_script[script][code] = chosen[code]

    def knows(self, lang: str) -> bool:
        """Whether the language, or one it cannot be told from, is among the candidates."""
        return bool(group_of(codes.normalise(lang)) & set(self.languages))

    def identify(self, text: str) -> Identified:
        """The likeliest language; never raises."""
        return likeliest(self.scores(text))

    def scores(self, text: str) -> dict[str, float]:
        """Canonical code -> probability, for the candidates in the text's script; sums to 1. Empty without letters."""
        folded = _fold(text)
        counts: Counter[str] = Counter()
        for character, count in Counter(folded).items():
            counts[script_of(character)] += count
        del counts[""]
        script = _deciding(counts)
        candidates = self._by_script.get(script)
        if not candidates:
            return {}
        if len(counts) > 1:
            folded = "".join(each if _belongs(each, script) else " " for each in folded)
        return language_models.probabilities(" ".join(folded.split()), candidates)

    def probability(self, text: str, lang: str) -> float:
        """How likely the text is in `lang`, or in a language that it cannot be told from (`GROUPS`).

        Raises:
            DataError: no candidate, see `knows`.
        """
        if not self.knows(lang):
            raise DataError(f"{lang!r} is none of the languages that are told apart here: {', '.join(self.languages)}.")
        return in_group(self.scores(text), codes.normalise(lang))


def likeliest(scores: Mapping[str, float]) -> Identified:
    """What `LanguageIdentifier.scores` say: of the likeliest group its likeliest member."""
    highest = max(scores.values(), default=0.0)
    likely = [code for code, p in scores.items() if 10 * p >= highest]  # no group has more than nine members
    best = max(likely, key=lambda code: (in_group(scores, code), scores[code]), default="")
    return Identified(best, in_group(scores, best))


def in_group(scores: Mapping[str, float], code: str) -> float:
    """Of `LanguageIdentifier.scores`: the part of a canonical code and of those it cannot be told from.

    Added exactly: the order of a set changes from process to process, and with it the last digit of a plain sum.
    """
    return min(1.0, math.fsum(scores.get(member, 0.0) for member in group_of(code)))


@functools.cache
def group_of(code: str) -> frozenset[str]:
    """The languages that a canonical code cannot be told from, itself among them."""
    return next((group for group in GROUPS if code in group), frozenset({code}))


def _usual() -> dict[str, str]:
    labels = language_models.labels()
    return {code: label for code, label in labels.items() if not label or code in codes.XM3600 or _is_usual(code)}


def _is_usual(code: str) -> bool:
    language = codes.get(code.partition("-")[0])
    return bool(language.iso639_1 and language.flores)


def _named(languages: Sequence[str]) -> dict[str, str]:
    labels = language_models.labels()
    chosen: dict[str, str] = {}
    for code in map(codes.normalise, languages):
        known = code if code in labels else min(group_of(code) & labels.keys(), default="")
        if not known:
            raise DataError(f"no model tells the language {code!r}; known are {', '.join(sorted(labels))}.")
        chosen[code] = labels[known]
    if len(chosen) < 2:
        raise DataError("to tell languages apart takes two candidates at least.")
    return chosen


def _scripts_of(code: str) -> tuple[str, ...]:
    script = codes.get(code).script
    return ("Jpan", "Hani") if script == "Jpan" else (_SAME_SCRIPT.get(script, script),)


def _fold(text: str) -> str:
    """Compatibility forms and capitals folded; addresses, words with digits and all that is no letter made spaces."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST])
    return _ASCII_WORD.sub(_unless_no_word, plain).lower().translate(_LETTERS)


def _unless_no_word(found: re.Match[str]) -> str:
    return " " if _NO_WORD.search(found[0]) else found[0]


class _Letters(dict[int, int | None]):
    """For `str.translate`: letters, marks and what stands inside words stay, what is not seen goes, the rest becomes spaces."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        category = unicodedata.category(character)
        if character == _TATWEEL or (category == "Cf" and character not in _INNER):
            self[code] = None
        else:
            self[code] = code if category[0] in "LM" or character in _INNER else 32
        return self[code]


_LETTERS = _Letters()


def _deciding(letters: Mapping[str, int]) -> str:
    """The script that decides among counted letters: the most frequent but Latin, unless few are in it. "" without letters."""
    counts = Counter[str]()
    for script, count in letters.items():
        counts[_SAME_SCRIPT.get(script, script)] += count
    kana, both = counts["Jpan"], counts.pop("Jpan", 0) + counts.pop("Hani", 0)
    if both:
        counts["Jpan" if kana >= _KANA * both else "Hani"] = both
    latin = counts.pop("Latn", 0)
    script, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return "Latn" if latin and count < _FOREIGN * (count + latin) else script


def _belongs(character: str, script: str) -> bool:
    own = script_of(character)
    own = _SAME_SCRIPT.get(own, own)
    return own in ("", script) or (own == "Hani" and script == "Jpan")
