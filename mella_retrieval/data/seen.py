"""A set that remembers tens of millions of keys in 16 bytes each, for finding repeats while streaming."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DIGEST = "S16"


class SeenKeys:
    """Set of 128-bit digests, kept as a few sorted arrays that are merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.bytes_]] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def add(self, keys: Sequence[bytes]) -> NDArray[np.bool_]:
        """Add `keys`.

        Returns:
            Mask of shape (len(keys),): true where a key was not yet in the set nor earlier among `keys`.
        """
        new = np.zeros(len(keys), dtype=bool)
        if not keys:
            return new
        digests = b"".join([hashlib.blake2b(key, digest_size=16).digest() for key in keys])
        values = np.frombuffer(digests, dtype=_DIGEST)
        unique, first = np.unique(values, return_index=True)
        unknown = np.ones(len(unique), dtype=bool)
        for run in self._runs:
            position = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            unknown &= run[position] != unique
        new[first[unknown]] = True
        if unknown.any():
            self._push(unique[unknown])
        return new

    def _push(self, run: NDArray[np.bytes_]) -> None:
        # Each run is more than twice as long as the next: few runs to search, every key merged O(log n) times.
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)
