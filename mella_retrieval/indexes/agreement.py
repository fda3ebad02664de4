"""Whether the vectors in a FAISS file are those that are said to belong to its rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.errors import DataError
from mella_retrieval.indexes.build import BLOCK
from mella_retrieval.indexes.foreign import BUILD, ForeignIndex
from mella_retrieval.indexes.kinds import innermost
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.sources import Source

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_UNIT = 0.02
"""Lengths of unit vectors that went through half precision are off by less."""

_CLOSE = 0.01
"""So far apart may a unit vector and its half-precision copy be; the squares of 1,024 rounding errors add up to less."""

_SAMPLE = 512
_FIRST = 10
_LIKE = 0.9
_STRAY = 0.01

_MOST = 1.5
"""Inner products of unit vectors end at 1; codes may be off by less than this."""


def require_agreement(found: ForeignIndex, source: Source) -> None:
    """Compare an index with the rows and vectors that lie beside it.

    Kinds that hold their vectors as they are: every vector must have unit length and be the one of its row. Of other kinds a
    sample of the vectors is searched in the index: each must find itself among the first few hits, or at least something much
    like itself, and with scores that fit.

    Raises:
        DataError: other numbers of rows or dimensions, NaN or infinite vectors, vectors that are not of unit length, or vectors
            that are out of step with the index; names a row.
    """
    if found.index.ntotal != source.rows:
        raise DataError(
            f"{found.path} holds {found.index.ntotal:,} vectors, but {source.name} has {source.rows:,} rows: they do not belong "
            "together."
        )
    if source.vectors and source.vectors.dim != found.index.d:
        raise DataError(
            f"{found.path} holds vectors of {found.index.d} dimensions, but those of {source.name} have {source.vectors.dim}: "
            "they do not belong together."
        )
    if found.exact:
        _compare_all(found, source)
    elif source.vectors:
        _compare_sample(found, source)


def exact_vectors(index: Any, rows: Rows) -> Array:
    """The vectors (n, dim) of some rows of an index that holds them as they are."""
    lists = innermost(index)
    if isinstance(lists, faiss().IndexIVF) and lists.direct_map.no():
        lists.make_direct_map()
    return np.asarray(index.reconstruct_batch(np.ascontiguousarray(rows, np.int64)), np.float32)


def _compare_all(found: ForeignIndex, source: Source) -> None:
    for start in range(0, source.rows, BLOCK):
        rows = np.arange(start, min(start + BLOCK, source.rows))
        held = exact_vectors(found.index, rows)
        lengths = np.linalg.norm(held, axis=1)
        bad = np.flatnonzero(~(np.abs(lengths - 1) <= _UNIT))  # NaN is not within bounds
        if len(bad):
            raise DataError(
                f"{found.path}: vector {start + bad[0]} has the length {lengths[bad[0]]:.3g}, so inner products are no cosines: "
                f"{BUILD}."
            )
        if source.vectors:
            beside = normalised(source.vectors.take(rows), found.index.d, f"{source.name}, from row {start}")
            _refuse(found, source, start + np.flatnonzero(np.linalg.norm(held - beside, axis=1) > _CLOSE))


def _compare_sample(found: ForeignIndex, source: Source) -> None:
    assert source.vectors is not None
    rows = np.unique(np.linspace(0, source.rows - 1, min(source.rows, _SAMPLE)).astype(np.int64))
    own = normalised(source.vectors.take(rows), found.index.d, f"{source.name}, a sample of its rows")
    scores, hits = found.index.search(own, max(1, min(_FIRST, source.rows // 10)))
    best = source.vectors.take(np.maximum(hits[:, 0], 0)).astype(np.float32)
    likeness = np.einsum("ij,ij->i", own, best) / np.maximum(np.linalg.norm(best, axis=1), np.finfo(np.float32).tiny)
    others = np.quantile(own @ own.T, _LIKE, axis=1)
    stray = ~(hits == rows[:, None]).any(axis=1) & ((hits[:, 0] < 0) | (likeness <= others))
    if stray.mean() > _STRAY:
        _refuse(found, source, rows[stray])
    # A quantiser learnt from these vectors tells at least as much of them as their mean does: what it learnt from other ones
    # (captions, say, which are found in the right order too) does not.
    mean = float(np.mean(scores[:, 0], where=hits[:, 0] >= 0))
    least = float(np.square(own.mean(axis=0)).sum())
    if mean < least or mean > _MOST:
        raise DataError(
            f"{found.path} gives the vectors of {source.name} scores of {mean:.3g} on average with their nearest vector, "
            f"row {rows[0]} {scores[0, 0]:.3g}: it was built from others, or from some that are not of unit length; {BUILD}."
        )


def _refuse(found: ForeignIndex, source: Source, rows: Rows) -> None:
    if len(rows):
        raise DataError(
            f"{found.path} and the vectors of {source.name} are out of step, or of different things: row {rows[0]} of the one is "
            f"not row {rows[0]} of the other ({len(rows):,} such rows among those that were compared). Ids would name wrong "
            f"pictures; {BUILD}."
        )
