"""What the methods need to know of the similarities between gallery and bank, without holding them all at once.

Products are float32, sums over the bank float64. Memory is a block of items times a block of the bank.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.errors import DataError
from mella_retrieval.indexes.scoring.bank import Array, Bank

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK = 2048


def mean_of_nearest(gallery: Array, bank: Bank, k: int, block: int = BLOCK) -> Doubles:
    """(n,) mean cosine of each item to its k nearest reference queries.

    Raises:
        DataError: the bank holds fewer than k queries, or vectors cannot be used (see `Bank.blocks`).
    """
    if len(bank) < k:
        raise DataError(f"the mean of the {k} nearest reference queries was asked for, but the bank holds {len(bank)}; lower k.")
    means: Doubles = np.empty(len(gallery), np.float64)
    for start, items in _blocks(gallery, block):
        nearest = np.empty((len(items), 0), np.float32)
        for queries in bank.blocks(gallery.shape[1], block):
            candidates = np.concatenate([nearest, items @ queries.T], axis=1)
            surplus = candidates.shape[1] - k
            nearest = np.partition(candidates, surplus, axis=1)[:, surplus:] if surplus > 0 else candidates
        # Sorted, so that the sum does not depend on how a partition left them.
        means[start : start + len(items)] = np.sort(nearest, axis=1).mean(axis=1, dtype=np.float64)
    return means


def log_sum_exp(gallery: Array, bank: Bank, sharpness: float, block: int = BLOCK) -> Doubles:
    """(n,) `log sum_q exp(sharpness * cos(item, q))` over the bank.

    Raises:
        DataError: see `Bank.blocks`.
    """
    sums: Doubles = np.empty(len(gallery), np.float64)
    for start, items in _blocks(gallery, block):
        total = np.full(len(items), -np.inf)
        for queries in bank.blocks(gallery.shape[1], block):
            logits = sharpness * (items @ queries.T).astype(np.float64)
            total = np.logaddexp(total, np.logaddexp.reduce(logits, axis=1))
        sums[start : start + len(items)] = total
    return sums


def first_hits(gallery: Array, bank: Bank, block: int = BLOCK) -> Flags:
    """(n,) whether an item is the first hit of any reference query; of equal ones the first row counts.

    Raises:
        DataError: see `Bank.blocks`.
    """
    hit = np.zeros(len(gallery), bool)
    for queries in bank.blocks(gallery.shape[1], block):
        best, rows = np.full(len(queries), -np.inf, np.float32), np.zeros(len(queries), np.int64)
        for start, items in _blocks(gallery, block):
            scores = queries @ items.T
            top = scores.argmax(axis=1)
            value = scores[np.arange(len(queries)), top]
            better = value > best
            best[better], rows[better] = value[better], start + top[better]
        hit[rows] = True
    return hit


def _blocks(gallery: Array, size: int) -> Iterator[tuple[int, Array]]:
    if gallery.ndim != 2 or not len(gallery):
        raise DataError(f"the gallery must be a matrix of at least one item, not of shape {gallery.shape}.")
    for start in range(0, len(gallery), size):
        yield start, normalised(gallery[start : start + size], gallery.shape[1], f"the gallery, from row {start}")
