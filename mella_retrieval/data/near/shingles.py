"""What of a text is compared: its normal form, and the set of character shingles of that.

A shingle is three characters in a row. One length for all texts: shingles that grew with the text would never match across the
border. Three, because captions are short and scripts dense: in a line of 40 letters one wrong letter leaves .86 of the shingles
of three characters, and .76 of those of five.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_LENGTH = 3


def normal_form(text: str) -> str:
    """NFKC and casefold (and NFKC again, which casefold can undo), white space collapsed."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


def shingles(normal: str) -> frozenset[str]:
    """The shingles of a text in normal form; a blank at either end makes shingles of the shortest texts, too."""
    padded = f" {normal} "
    return frozenset(padded[place : place + _LENGTH] for place in range(max(len(padded) - _LENGTH + 1, 1)))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """Shared elements by all elements of two sets that are not empty."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def digests(texts: Iterable[str]) -> NDArray[np.uint64]:
    """64-bit digests, shape (n,); that two of a million different texts share one has a probability of 3e-8."""
    whole = b"".join(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts)
    return np.frombuffer(whole, dtype=np.uint64)
