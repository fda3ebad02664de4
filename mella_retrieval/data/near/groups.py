"""Groups of things that are the same, one by way of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def groups(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Connected components of the graph of `pairs`.

    Args:
        count: number of things.
        pairs: shape (n, 2): things that belong together, as numbers below `count`.

    Returns:
        Shape (count,): the first member of each thing's group; its own number for a thing that stands alone.
    """
    labels = np.arange(count, dtype=np.int64)
    return joined(labels, pairs)


def joined(labels: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups as `groups` labels them, with more pairs joined into them. The labels come as a new array."""
    labels = labels.copy()
    left, right = np.asarray(pairs, dtype=np.int64).reshape(-1, 2).T
    while len(left):
        # A group takes the smallest label that a pair brings it; chains of labels are then followed to their end.
        first, second = labels[left], labels[right]
        np.minimum.at(labels, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(followed := labels[labels], labels):
            labels = followed
        open_ = labels[left] != labels[right]
        left, right = left[open_], right[open_]
    return labels
