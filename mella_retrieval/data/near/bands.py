"""Candidate pairs by equal keys: what two near things must, or most likely will, have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def equal_key_pairs(keys: NDArray[np.unsignedinteger], limit: int | None = None) -> Iterator[NDArray[np.int64]]:
    """Pairs of rows that have the same key, a little at a time: memory stays that of a few arrays of the keys' length.

    Args:
        keys: shape (n,).
        limit: compare each row of a key with so many of those that follow it; None compares all with all, whose number
            grows with the square of the rows that share one key.

    Yields:
        Shape (m, 2), the smaller row first; m is at most n.
    """
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    ends = np.searchsorted(ordered, ordered, side="right")  # of each row's run of equal keys
    place = np.arange(len(keys))
    step = 1
    while limit is None or step <= limit:
        place = place[place + step < ends[place]]
        if not len(place):
            return
        yield np.stack([order[place], order[place + step]], axis=1)
        step += 1


def shared_key_pairs(keys: NDArray[np.unsignedinteger], others: NDArray[np.unsignedinteger]) -> Iterator[NDArray[np.int64]]:
    """Pairs (row of `keys`, row of `others`) that have the same key, a little at a time.

    Yields:
        Shape (m, 2); m is at most the length of `keys`.
    """
    order = np.argsort(others, kind="stable")
    ordered = others[order]
    place, ends = (np.searchsorted(ordered, keys, side=side) for side in ("left", "right"))
    rows = np.flatnonzero(place < ends)
    while len(rows):
        yield np.stack([rows, order[place[rows]]], axis=1)
        place[rows] += 1
        rows = rows[place[rows] < ends[rows]]


def first_holders(keys: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows whose key did not stand before, in order, and pairs (first holder, row) of all others."""
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    holder = first[number.reshape(-1)].astype(np.int64)
    rows = np.arange(len(keys), dtype=np.int64)
    repeats = rows[holder != rows]
    return np.sort(first).astype(np.int64), np.stack([holder[repeats], repeats], axis=1)
