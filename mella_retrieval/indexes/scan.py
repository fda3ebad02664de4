"""Scores from the vectors themselves: for few rows, and for candidates that a coarser search brought."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mella_retrieval.indexes.found import Numbers, Scores

Array = npt.NDArray[np.float32]
Hits = tuple[Scores, Numbers]
Vectors = Callable[[Numbers], Array]

_ROWS = 16_384
_NUMBERS = 1 << 24
"""Scores or vector entries in memory at a time: 64 MiB."""


def scan(queries: Array, k: int, rows: Numbers, vectors: Vectors) -> Hits:
    """The k best of some rows for each query, and all that tie with the last of them.

    Args:
        queries: (q, d).
        k: how many, at most as many as there are rows.
        rows: (n,) the rows that count.
        vectors: rows -> (n, d).

    Returns:
        scores and rows, (q, w), best first; -inf and -1 where a query has fewer.
    """
    found = []
    step = max(1, _NUMBERS // len(rows))
    for start in range(0, len(queries), step):
        asked = queries[start : start + step]
        scores = np.empty((len(asked), len(rows)), np.float32)
        for first in range(0, len(rows), _ROWS):
            np.matmul(asked, vectors(rows[first : first + _ROWS]).T, out=scores[:, first : first + _ROWS])
        found.append(best(scores, np.broadcast_to(rows, scores.shape), k))
    width = max(hits[0].shape[1] for hits in found)
    wide = [padded(hits, width) for hits in found]
    return np.concatenate([scores for scores, _ in wide]), np.concatenate([numbers for _, numbers in wide])


def rescored(queries: Array, candidates: Numbers, k: int, vectors: Vectors) -> Hits:
    """The k best of each query's own candidates, scored again from their vectors, and all that tie with the last.

    Args:
        queries: (q, d).
        candidates: (q, c) rows; -1 where there is none.
        k: how many.
        vectors: rows -> (n, d).
    """
    scores = np.empty(candidates.shape, np.float32)
    step = max(1, _NUMBERS // max(1, candidates.shape[1] * queries.shape[1]))
    for start in range(0, len(queries), step):
        rows = candidates[start : start + step]
        items = vectors(np.maximum(rows, 0).ravel()).reshape(*rows.shape, -1)
        scores[start : start + step] = np.einsum("qd,qcd->qc", queries[start : start + step], items)
    scores[candidates < 0] = -np.inf
    return best(scores, candidates, min(k, candidates.shape[1]))


def best(scores: Scores, rows: Numbers, k: int) -> Hits:
    """The k best columns of each line and all that tie with the last of them, best first.

    Args:
        scores: (q, n); k is at most n.
        rows: (q, n) what each score belongs to.
        k: how many.
    """
    last = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k]
    width = int((scores >= last[:, None]).sum(axis=1).max(initial=k))
    order = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    order = np.take_along_axis(order, np.argsort(-np.take_along_axis(scores, order, axis=1), axis=1, kind="stable"), axis=1)
    found = np.take_along_axis(scores, order, axis=1)
    return found, np.where(found > -np.inf, np.take_along_axis(rows, order, axis=1), -1)


def padded(hits: Hits, width: int) -> Hits:
    """Hits with empty places up to a width."""
    missing = ((0, 0), (0, width - hits[0].shape[1]))
    return np.pad(hits[0], missing, constant_values=-np.inf), np.pad(hits[1], missing, constant_values=-1)
