"""Rows of embedding sets that are read when they are asked for: what does not fit into memory stays on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.sets import Selection, Vectors

Rows = npt.NDArray[np.int64]


class MappedRows:
    """Chosen rows of one or more embedding sets, one below the other; indexing gathers float32 copies from the memory maps.

    Args:
        parts: selections of one tower's sets.
    """

    def __init__(self, parts: Sequence[Selection]) -> None:
        self._parts = tuple(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, dim)."""
        return len(self), self._parts[0].source.dim

    def __getitem__(self, chosen: Rows | slice) -> Vectors:
        """Rows in memory, float32, shape (n, dim)."""
        rows = np.arange(len(self))[chosen]
        result = np.empty((len(rows), self.shape[1]), np.float32)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for number, part in enumerate(self._parts):
            mine = np.flatnonzero(owner == number)
            if len(mine):
                result[mine] = part.source.vectors(part.positions[rows[mine] - self._starts[number]])
        return result

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """All rows in memory, for numpy."""
        return np.asarray(self[:], dtype)


VectorRows = Vectors | MappedRows
"""Vectors by rows: in memory, or on disk. `len`, `shape`, indexing by row numbers and `np.asarray` work on both."""


def rows_of(*parts: Selection, in_memory: bool = True) -> VectorRows:
    """The vectors of the selections, one below the other: in memory, or gathered from disk when they are asked for."""
    mapped = MappedRows(parts)
    if not in_memory:
        return mapped
    return parts[0].vectors if len(parts) == 1 else mapped[:]


def in_order(vectors: VectorRows, order: Rows) -> VectorRows:
    """The same rows in another order, on disk if they were."""
    return _Reordered(vectors, order) if isinstance(vectors, MappedRows) else vectors[order]


class _Reordered(MappedRows):
    """Mapped rows seen through a list of row numbers."""

    def __init__(self, inner: MappedRows, order: Rows) -> None:
        self._inner, self._order = inner, order

    def __len__(self) -> int:
        return len(self._order)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self._inner.shape[1]

    def __getitem__(self, chosen: Rows | slice) -> Vectors:
        return self._inner[self._order[chosen]]


def free_memory() -> int:
    """Bytes of memory that are free now; where the system does not say, 8 GiB are assumed."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 8 << 30
