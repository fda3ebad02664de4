"""Light stemming: the forms of a word in which it is compared. Two words are the same if they share one.

The forms are the word itself, its stem by snowballstemmer, and the stem of the stem: its algorithms do not always take the forms
of a word to one stem (Hungarian `Budapest` becomes `budapes`, `Budapesten` `budapest`), but the stems meet on the way. To that
come a few rules for what the algorithms leave, and endings of Korean, which has none. Thai and Vietnamese words have one form.
"""

from __future__ import annotations

import functools
from typing import Any

from mella_retrieval import languages
from mella_retrieval.mllm.extra import mllm_package
from mella_retrieval.mllm.score.words import base

ALTERNATIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "cs": (("ze", "h"), ("ce", "k"), ("še", "ch"), ("ře", "r"), ("zi", "h"), ("ci", "k"), ("ši", "ch"), ("ři", "r")),
    "sr": (("zi", "g"), ("ci", "k"), ("si", "h")),
}
"""Ending -> last letter of the stem before it changed: Czech `Praze` of `Praha`, Serbian `Americi` of `Amerika`."""

ARABIC_CONJUNCTIONS = "وف"
"""`and`, `so`: written together with the word. Taken away before an article, and from words of six letters or more."""

PARTICLES: tuple[tuple[str, int, str], ...] = (
    ("consonant", 1, "으로써 으로서 으로 이라는 이라고 이라도 이란 이나 이랑 이며 은 이 을 과"),
    ("vowel", 1, "는 가 를"),
    ("vowel", 2, "로써 로서 로 라는 라고 라도 란 나 랑 며 와"),
    ("", 1, "에서 에게서 에게 에 께서 한테 까지 부터 마다 처럼 보다 조차 마저 밖에 들"),
    ("", 2, "의 도 만 적 인 입니다 이다 이었다 였다"),
    ("", 2, "하였습니다 했습니다 합니다 하였다 했다 한다 하다 하는 하고 하며 하여 해서 한 할 된 되는"),
)
"""Korean endings: what they follow, the fewest syllables that they leave, and the endings: particles, the copula, `hada` and
`doeda`. Many a noun ends like a particle (`지도`, map): where a single syllable would be left, only the surest are taken away."""

_FURTHER = {"bs": "serbian", "hr": "serbian"}
_FINAL_L = 8
_PARTICLES = tuple((after, fewest, tuple(endings.split())) for after, fewest, endings in PARTICLES)


@functools.lru_cache(maxsize=1 << 17)
def forms(word: str, lang: str) -> frozenset[str]:
    """The forms of a word from `words.words`.

    Raises:
        MissingDependencyError: snowballstemmer is not installed.
    """
    code = base(lang)
    if code == "ko":
        return frozenset(_korean(word))
    starts = {word, *_without_conjunction(word)} if code == "ar" else {word}
    stem = _stemmer(code)
    if stem is None:
        return frozenset(starts)
    once = {stem.stemWord(each) for each in starts}
    twice = {stem.stemWord(each) for each in once}
    changed = {stem.stemWord(word[: -len(end)] + last) for end, last in ALTERNATIONS.get(code, ()) if _ends(word, end)}
    return frozenset({*starts, *once, *twice, *changed} - {""})


@functools.cache
def _stemmer(code: str) -> Any:
    package = mllm_package("snowballstemmer")
    name = _FURTHER.get(code, languages.get(code).name.lower())
    return package.stemmer(name) if name in package.algorithms() else None


def _ends(word: str, end: str) -> bool:
    return word.endswith(end) and len(word) >= len(end) + 2


def _without_conjunction(word: str) -> list[str]:
    rest = word[1:]
    joined = word[:1] in ARABIC_CONJUNCTIONS and (rest.startswith(("ال", "لل", "بال", "كال")) or len(word) >= 6)
    return [rest] if joined and len(rest) >= 3 else []


def _korean(word: str) -> set[str]:
    """What is left without up to three endings, one after the other: `학생들에게는` (plural, case, topic) gives `학생`, too."""
    found = {word}
    for _ in range(3):
        found = found.union(*map(_without_ending, found))
    return found


def _without_ending(word: str) -> set[str]:
    found = set()
    for after, fewest, endings in _PARTICLES:
        for end in endings:
            rest = word.removesuffix(end)
            if fewest <= len(rest) < len(word) and _may_follow(after, rest, end):
                found.add(rest)
    return found


def _may_follow(after: str, rest: str, end: str) -> bool:
    """Whether an ending may follow a syllable: some follow a consonant, their twins a vowel, `ro` also an `l`."""
    if not after or not "\uac00" <= rest[-1] <= "\ud7a3":
        return True
    final = (ord(rest[-1]) - 0xAC00) % 28
    return final > 0 if after == "consonant" else final == 0 or (end.startswith("로") and final == _FINAL_L)
