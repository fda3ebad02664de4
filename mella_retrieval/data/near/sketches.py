"""MinHash sketches of texts, cut into bands: near-equal texts share the key of one, most likely."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.extra import data_package
from mella_retrieval.data.near.bands import equal_key_pairs
from mella_retrieval.data.near.shingles import shingles

CROWD = 32
"""Of the texts that share the key of a band so many are compared with each."""

_RECALL = 0.99
_BANDS = 32
_ROWS = 8
_SEED = 1


class Sketcher:
    """Text -> the keys of its bands."""

    def __init__(self, similarity: float) -> None:
        """
        Args:
            similarity: above .3 and below 1; low ones give many candidates.

        Raises:
            MissingDependencyError: datasketch is not installed.
        """
        if not 0.3 < similarity < 1:
            raise ValueError(f"a similarity above .3 and below 1 is of use, not {similarity}")
        self._rows, self.bands = _layout(similarity)
        minhash = data_package("datasketch").MinHash
        self._empty = minhash(num_perm=self._rows * self.bands, seed=_SEED, hashfunc=zlib.crc32)
        rng = np.random.default_rng(_SEED)
        self._weights = rng.integers(1, 1 << 63, self._rows, dtype=np.uint64) | np.uint64(1)

    def keys(self, parts: frozenset[str]) -> NDArray[np.uint32]:
        """Shape (bands,), of a set of shingles."""
        sketch = self._empty.copy()
        sketch.update_batch([part.encode("utf-8", "surrogatepass") for part in parts])
        values = sketch.hashvalues.reshape(self.bands, self._rows).astype(np.uint64)
        mixed: NDArray[np.uint64] = (values * self._weights).sum(axis=1, dtype=np.uint64)
        return (mixed >> np.uint64(32)).astype(np.uint32)


def _layout(similarity: float) -> tuple[int, int]:
    """Rows of a band and number of bands: as many rows (few false candidates) as reach the recall with few bands.

    A pair of similarity s shares a band of r rows with probability s^r, and one of b bands with 1 - (1 - s^r)^b.
    """
    needed = 1 - (1 - _RECALL) ** (1 / _BANDS)
    rows = max(1, min(_ROWS, int(math.log(needed) / math.log(similarity))))
    return rows, math.ceil(math.log(1 - _RECALL) / math.log(1 - similarity**rows))


class TextSketches:
    """Sketches of many different texts: 4 bytes a band and 4 for the length, together 108 bytes a text at a similarity of .8."""

    def __init__(self, similarity: float) -> None:
        """Arguments and errors as for `Sketcher`."""
        self._similarity = similarity
        self._sketcher = Sketcher(similarity)
        self._keys: list[NDArray[np.uint32]] = []
        self._lengths: list[NDArray[np.uint32]] = []

    def __len__(self) -> int:
        return sum(map(len, self._lengths))

    def add(self, normal: Sequence[str]) -> NDArray[np.uint32]:
        """Add texts in normal form; they are numbered from 0 in the order of their coming.

        Returns:
            Their keys, shape (n, bands).
        """
        keys = np.empty((len(normal), self._sketcher.bands), dtype=np.uint32)
        lengths = np.empty(len(normal), dtype=np.uint32)
        for row, text in enumerate(normal):
            parts = shingles(text)
            keys[row], lengths[row] = self._sketcher.keys(parts), len(parts)
        self._keys.append(keys)
        self._lengths.append(lengths)
        return keys

    def candidates(self) -> Iterator[NDArray[np.int64]]:
        """Pairs of shape (n, 2), band by band, that may be near-equal; a pair comes as often as it shares bands.

        Where more than `CROWD` texts share a band's key, each is paired with the next `CROWD` only.
        """
        if not self._keys:
            return
        lengths = np.concatenate(self._lengths).astype(np.float64)
        for band in range(self._sketcher.bands):
            keys = np.concatenate([block[:, band] for block in self._keys])
            for pairs in equal_key_pairs(keys, limit=CROWD):
                short, long = np.sort(lengths[pairs], axis=1).T
                yield pairs[short >= self._similarity * long]  # sets of very different size cannot share enough
