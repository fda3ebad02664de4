"""Nearest neighbours among stored vectors, exactly and in blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

BLOCK = 2048


def nearest(queries: Vectors, bank: Vectors, k: int, block: int = BLOCK) -> tuple[npt.NDArray[np.int64], Vectors]:
    """The k bank rows with the largest inner product for every query.

    Args:
        queries: (n, d).
        bank: (m, d).
        k: how many; at most m are returned.
        block: rows of both sides that are compared at a time; memory is block x (block + k).

    Returns:
        Row numbers and inner products, both (n, min(k, m)), best first; of equal ones the lower row number.
    """
    k = min(k, len(bank))
    rows, values = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    for start in range(0, len(queries), block):
        part = np.asarray(queries[start : start + block], np.float32)
        best = np.full((len(part), 0), 0, np.float32)
        places = np.empty((len(part), 0), np.int64)
        for begin in range(0, len(bank), block):
            scores = part @ np.asarray(bank[begin : begin + block], np.float32).T
            best = np.concatenate([best, scores], axis=1)
            places = np.concatenate([places, np.broadcast_to(np.arange(begin, begin + scores.shape[1]), scores.shape)], axis=1)
            if best.shape[1] > 4 * k:
                best, places = _largest(best, places, k)
        order = np.argsort(-best, axis=1, kind="stable")[:, :k]
        best, places = np.take_along_axis(best, order, 1), np.take_along_axis(places, order, 1)
        rows[start : start + block], values[start : start + block] = places, best
    return rows, values


def _largest(values: Vectors, places: npt.NDArray[np.int64], k: int) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """The k largest of every row and all that equal the least of them, in their order; the rest is cut off on the right."""
    least = np.partition(values, values.shape[1] - k, axis=1)[:, [-k]]
    keep = values >= least
    width = int(keep.sum(axis=1).max())
    if width > 2 * k:  # many equal ones: of those the first rows
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    else:
        order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(values, order, 1), np.take_along_axis(places, order, 1)


def mean_nearest(queries: Vectors, bank: Vectors, k: int, block: int = BLOCK) -> Vectors:
    """Mean inner product of every query (n, d) with its k nearest bank rows (m, d), shape (n,)."""
    result = np.empty(len(queries), np.float32)
    k = min(k, len(bank))
    for start in range(0, len(queries), block):
        scores = np.asarray(queries[start : start + block], np.float32) @ bank.T
        result[start : start + block] = np.partition(scores, len(bank) - k, axis=1)[:, -k:].mean(axis=1)
    return result
