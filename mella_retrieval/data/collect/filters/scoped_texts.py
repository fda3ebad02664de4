"""The texts that were kept, of very many sites: near-equal ones are looked for within a site, in one memory for all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.near.holders import Holders
from mella_retrieval.data.near.shingles import digests, jaccard, shingles
from mella_retrieval.data.near.sketches import CROWD, Sketcher


class ScopedTexts:
    """Texts by scope, a site for instance. Keeps the texts, and about 500 bytes beside each at a similarity of .55.

    One `near.texts.KnownTexts` a site would take ten times as much where sites are small: it packs its keys by the ten thousand.
    """

    def __init__(self, similarity: float) -> None:
        """Arguments and errors as for `near.sketches.Sketcher`."""
        self._similarity = similarity
        self._sketcher = Sketcher(similarity)
        self._bands = np.arange(self._sketcher.bands, dtype=np.uint64) << np.uint64(32)
        self._holders = Holders(CROWD)
        self._equal: set[int] = set()
        self._scopes: list[int] = []
        self._texts: list[str] = []

    def nearest(self, scope: str, normal: str) -> float:
        """Similarity of the most similar text of a scope, if it reaches the lowest that is of note; else 0.

        Args:
            scope: name of the scope.
            normal: a text in the form that is compared.
        """
        if _equal_key(scope, normal) in self._equal:
            return 1.0
        parts, number = shingles(normal), _digest(scope)
        places = self._holders.find(self._keys(parts, number))
        own = [jaccard(parts, shingles(self._texts[place])) for place in places if self._scopes[place] == number]
        return max((found for found in own if found >= self._similarity), default=0.0)

    def add(self, scope: str, normal: str) -> None:
        """Add a text to a scope."""
        key = _equal_key(scope, normal)
        if key in self._equal:
            return
        self._equal.add(key)
        number = _digest(scope)
        self._holders.add(self._keys(shingles(normal), number), len(self._texts))
        self._scopes.append(number)
        self._texts.append(normal)

    def _keys(self, parts: frozenset[str], scope: int) -> NDArray[np.uint64]:
        """The keys of the bands of a text, other ones in each scope."""
        return (self._bands | self._sketcher.keys(parts)) ^ np.uint64(scope)


def _equal_key(scope: str, normal: str) -> int:
    return _digest(f"{scope}\n{normal}")


def _digest(text: str) -> int:
    return int(digests([text])[0])
