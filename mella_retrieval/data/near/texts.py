"""Near-equal texts: MinHash over character shingles finds candidates, the true Jaccard similarity decides.

Two texts are near-equal if their sets of shingles (`shingles.py`) share at least `similarity` of their union. At a similarity of
1, for which no library is needed, only texts with one normal form are equal.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.near.bands import first_holders
from mella_retrieval.data.near.groups import joined
from mella_retrieval.data.near.holders import Holders
from mella_retrieval.data.near.shingles import digests, jaccard, normal_form, shingles
from mella_retrieval.data.near.sketches import CROWD, Sketcher, TextSketches

SIMILARITY = 0.8
"""Default: one letter in 27 may differ, or a word of five letters in 63.

Another letter breaks three shingles of n, another such word seven: (n - 3) / (n + 3) is .8 at 27, (n - 7) / (n + 7) at 63.
"""


def text_pairs(texts: Sequence[str], similarity: float = SIMILARITY) -> NDArray[np.int64]:
    """Pairs of near-equal texts, as many as it takes to join each with its group (see `joining_pairs`).

    Of several texts with one normal form each is paired with the first; a similarity of 1 asks for these alone.

    Returns:
        Shape (n, 2), each pair once, smaller number first, sorted.

    Raises:
        MissingDependencyError: datasketch is not installed.
    """
    normal = [normal_form(text) for text in texts]
    first, equal = first_holders(digests(normal))
    if similarity == 1:
        return equal
    sketches = TextSketches(similarity)
    sketches.add([normal[number] for number in first])
    near = joining_pairs(sketches, Verifier(similarity, lambda place: normal[first[place]]))
    return np.unique(np.concatenate([equal, first[near]]), axis=0)


def joining_pairs(sketches: TextSketches, near: Verifier) -> NDArray[np.int64]:
    """Near-equal pairs of sketched texts that join these into groups: texts already joined are not compared again.

    Each pair was verified. Of pairs right at the similarity 99 % become candidates, of closer ones more. Where more than
    `CROWD` texts look alike to a band of the sketch, each is compared with the next `CROWD` only: a series ("photo 0001 ...")
    is one group by its neighbours, and costs no square of its length.

    Returns:
        Shape (n, 2), smaller number first.
    """
    labels = np.arange(len(sketches), dtype=np.int64)
    found = [np.zeros((0, 2), dtype=np.int64)]
    for candidates in sketches.candidates():
        apart = candidates[labels[candidates[:, 0]] != labels[candidates[:, 1]]]
        pairs = apart[near(apart)]
        if len(pairs):
            labels = joined(labels, pairs)
            found.append(pairs)
    return np.concatenate(found)


class Verifier:
    """Decides candidates by the true similarity; remembers the shingles of a few thousand texts."""

    def __init__(self, similarity: float, text_of: Callable[[int], str]) -> None:
        """Args: text_of: number -> text in normal form."""
        self._similarity = similarity
        self._shingles = functools.lru_cache(maxsize=4096)(lambda number: shingles(text_of(number)))

    def __call__(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask of shape (n,) for pairs of shape (n, 2)."""
        near = [jaccard(self._shingles(left), self._shingles(right)) >= self._similarity for left, right in pairs.tolist()]
        return np.array(near, dtype=bool)


class KnownTexts:
    """Texts among which near-equal ones are looked for. Takes about 600 bytes a text at .8, and up to 1,100 while it grows."""

    def __init__(self, similarity: float = SIMILARITY) -> None:
        """Arguments and errors as for `Sketcher`; or a similarity of 1."""
        self._similarity = similarity
        self._sketcher = Sketcher(similarity) if similarity != 1 else None
        self._holders = Holders(CROWD)
        self._equal: dict[int, int] = {}
        self._texts: list[str] = []

    def add(self, normal: str, keys: NDArray[np.uint32] | None = None) -> int:
        """Add a text in normal form (and its keys, where they are known). Returns its number; an equal one keeps the first's."""
        digest = int(digests([normal])[0])
        if digest in self._equal:
            return self._equal[digest]
        place = self._equal[digest] = len(self._texts)
        self._texts.append(normal)
        if self._sketcher is not None:
            self._holders.add(_by_band(self._sketcher.keys(shingles(normal)) if keys is None else keys), place)
        return place

    def holds(self, normal: str) -> bool:
        """Whether this very text was added."""
        return int(digests([normal])[0]) in self._equal

    def find(self, normal: str, keys: NDArray[np.uint32] | None = None) -> int | None:
        """Number of the most similar text (the equal one, or the first of equals); None if none is near-equal."""
        digest = int(digests([normal])[0])
        if digest in self._equal:
            return self._equal[digest]
        if self._sketcher is None:
            return None
        parts = shingles(normal)
        best, score = None, 0.0
        for place in self._holders.find(_by_band(self._sketcher.keys(parts) if keys is None else keys)):
            found = jaccard(parts, shingles(self._texts[place]))
            if found >= self._similarity and found > score:
                best, score = place, found
        return best

    def keys(self, normal: str) -> NDArray[np.uint32] | None:
        """The keys of a text, for `add` and `find` to share."""
        return self._sketcher.keys(shingles(normal)) if self._sketcher is not None else None


def _by_band(keys: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Keys of all bands in one space."""
    return np.arange(len(keys), dtype=np.uint64) << np.uint64(32) | keys


class SeenTexts:
    """Texts met so far, for finding the near-equal ones of a stream; memory as for `KnownTexts`."""

    def __init__(self, similarity: float = SIMILARITY) -> None:
        """Arguments and errors as for `KnownTexts`."""
        self._known = KnownTexts(similarity)
        self._numbers: list[int] = []
        self._asked = 0

    def seen(self, text: str) -> int | None:
        """The most similar earlier text, if it is near-equal (the first of equals), as the number of its call from 0; else None.

        A near-equal text is not remembered itself: what comes later is compared with the text that was kept.
        """
        number, self._asked = self._asked, self._asked + 1
        normal = normal_form(text)
        keys = None if self._known.holds(normal) else self._known.keys(normal)
        found = self._known.find(normal, keys)
        if found is not None:
            return self._numbers[found]
        self._known.add(normal, keys)
        self._numbers.append(number)
        return None
