"""The filter `encoding`: texts that were read with the wrong character encoding, or lost their letters on the way."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable

from mella_retrieval.data.collect.filters.step import KEEP, Filter, Nothing, Subject, Verdict, remove, shown
from mella_retrieval.data.extra import data_package
from mella_retrieval.data.statistics.scripts import script_of

_ADDRESS = re.compile(r"\S*(?://|www\.)\S*", re.I)
_LOST = re.compile("[\x80-\x9f\ufffd]")
# Question marks where letters were: alone as a word, inside or before one, or again and again before small letters.
_QUESTIONS = re.compile(r"(?<!\S)\?{2,}(?!\S)|[^\W\d_]\?+[^\W\d_A-Z]|(?<!\S)\?+[^\W\d_]|\?\s+[a-z]\S*.*\?\s+[a-z]")
_SIGN_IN_WORD = re.compile(r"[^\W\d_][¹²³¼½¾¸¤§¦±¬µ×÷¡¿©®°£¥¢¯º][^\W\d_]")
_WORD = re.compile(r"[^\W\d_]+")

# Code pages whose readers turn UTF-8 into letters of their own. ftfy's `sloppy` ones read every byte, as browsers do.
_READ_AS = ("latin-1", "iso-8859-2", "koi8-r", "cp874", *(f"sloppy-windows-{page}" for page in (1250, 1251, 1252, 1253, 1256)))

# What Latin-1 shows where Latin-2 (or windows-1250) had a letter of the language that Latin-1 lacks.
_SWAPPED = {
    "cs": "ìøèùò¾¹»",
    "sk": "èò¾¹»å",
    "hu": "õû",
    "sr": "èæð¹¾",
    "sr-Latn": "èæð¹¾",
    "hr": "èæð¹¾",
    "bs": "èæð¹¾",
    "sl": "è¹¾",
    "pl": "±êæ¶¿³ñ",
    "ro": "ãþº",
}
_OWN = frozenset("áíóúýäöüčďěňřšťžůőűćđąęłśźżăşţľ")


class Encoding(Filter[Nothing]):
    """Mojibake (ftfy's heuristics, and words whose bytes are valid UTF-8), U+FFFD, question marks for letters, and what one-byte
    encodings make of one another: half of the letters accented, scripts mixed inside words, capitals inside out.
    """

    def judge(self, subject: Subject) -> Verdict:
        """No scores."""
        text, lang = subject.text, subject.candidate.lang
        if text.isascii():
            return remove("question marks for letters") if _has_questions(text) else KEEP
        for what, damaged in _DAMAGES.items():
            if damaged(text):
                return remove(f"{what}: {shown(text)}")
        return remove(f"letters of another alphabet: {shown(text)}") if _swapped(text, lang) else KEEP


def _is_lost(text: str) -> bool:
    return _LOST.search(text) is not None


def _has_questions(text: str) -> bool:
    return _QUESTIONS.search(_ADDRESS.sub(" ", text)) is not None


def _is_bad(text: str) -> bool:
    return bool(data_package("ftfy.badness").is_bad(text))


def _was_utf8(text: str) -> bool:
    """Whether the bytes of a word, in some code page, are UTF-8 of at least two characters: by chance that does not happen."""
    data_package("ftfy.bad_codecs")  # registers the code pages
    return any(_reads_as_utf8(word) for word in text.split() if sum(character > "\x7f" for character in word) >= 4)


def _reads_as_utf8(word: str) -> bool:
    for page in _READ_AS:
        try:
            read = word.encode(page).decode()
        except UnicodeError:
            continue
        if sum(character > "\x7f" for character in read) >= 2:
            return True
    return False


def _is_accented(text: str) -> bool:
    """No language writes more than half of its letters with accents."""
    latin = [character for character in text if script_of(character) == "Latn"]
    accented = sum(character > "\x7f" for character in latin)
    return accented >= 4 and accented > len(latin) / 2


def _is_mixed(text: str) -> bool:
    """Whether a word goes from Latin letters to another alphabet and back (`pшednн`); endings on names (`iPhone'ом`) go once."""
    return any(_turns(word) >= 2 for word in _WORD.findall(text))


@functools.lru_cache(maxsize=4096)
def _turns(word: str) -> int:
    scripts = [code for code in map(script_of, word) if code in {"Latn", "Cyrl", "Grek", "Arab", "Thai"}]
    return sum(first != second for first, second in itertools.pairwise(scripts)) if "Latn" in scripts else 0


def _is_inside_out(text: str) -> bool:
    """KOI8-R and windows-1251 have each other's capitals."""
    words = [word for word in _WORD.findall(text) if len(word) >= 4 and script_of(word[0]) == "Cyrl"]
    return any(word[0].islower() and word[1:].isupper() for word in words)


_DAMAGES: dict[str, Callable[[str], bool]] = {
    "lost characters": _is_lost,
    "question marks for letters": _has_questions,
    "mojibake": _is_bad,
    "UTF-8 read as something else": _was_utf8,
    "signs inside words": lambda text: _SIGN_IN_WORD.search(text) is not None,
    "accents on most letters": _is_accented,
    "alphabets mixed in a word": _is_mixed,
    "capitals inside out": _is_inside_out,
}


def _swapped(text: str, lang: str) -> bool:
    """Whether the text has letters that its language lacks, in a word with letters of its own, or in two words of small letters.

    A foreign name (`Bjørnson`) or dish (`crème brûlée`) does not do that.
    """
    foreign = _SWAPPED.get(lang, "")
    words = [word for word in text.split() if any(character in foreign for character in word.lower())]
    if any(not _OWN.isdisjoint(word.lower()) for word in words):
        return True
    return sum(word[0].islower() for word in words) >= 2
