"""Which texts hold a key: a map for tens of millions of keys in 12 bytes each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RECENT = 1 << 16


class Holders:
    """Key -> the places that hold it: new keys in a dictionary, older ones in sorted arrays that are merged as they grow."""

    def __init__(self, limit: int) -> None:
        """Args: limit: of each key so many places are found; of more of them in one array, the first."""
        self._limit = limit
        self._recent: dict[int, list[int]] = {}
        self._waiting = 0
        self._runs: list[tuple[NDArray[np.uint64], NDArray[np.uint32]]] = []

    def find(self, keys: NDArray[np.uint64]) -> list[int]:
        """Places that hold one of the keys, in order."""
        found: set[int] = set()
        for key in keys.tolist():
            found.update(self._recent.get(key, ()))
        for run, places in self._runs:
            begin = np.searchsorted(run, keys)
            begin = begin[run[np.minimum(begin, len(run) - 1)] == keys]
            for first in begin.tolist():
                last = int(np.searchsorted(run[first : first + self._limit], run[first], side="right"))
                found.update(places[first : first + last].tolist())
        return sorted(found)

    def add(self, keys: NDArray[np.uint64], place: int) -> None:
        """Note that `place` holds the keys."""
        for key in keys.tolist():
            holders = self._recent.setdefault(key, [])
            if len(holders) < self._limit:
                holders.append(place)
        self._waiting += len(keys)
        if self._waiting >= _RECENT:
            self._flush()

    def _flush(self) -> None:
        keys = np.array([key for key, held in self._recent.items() for _ in held], dtype=np.uint64)
        places = np.array([place for held in self._recent.values() for place in held], dtype=np.uint32)
        self._recent, self._waiting = {}, 0
        # Each array is more than twice as long as the next: few to search, every key merged O(log n) times.
        while self._runs and len(self._runs[-1][0]) <= 2 * len(keys):
            older_keys, older_places = self._runs.pop()
            keys, places = np.concatenate([older_keys, keys]), np.concatenate([older_places, places])
        order = np.argsort(keys, kind="stable")
        self._runs.append((keys[order], places[order]))
