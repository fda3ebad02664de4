"""Which rows of a segment a search may find: those that were not deleted, and of these the ones a filter lets through."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.indexes.library import faiss


class Allowed:
    """Allowed rows of one segment.

    Attributes:
        mask: (rows,) true where a row is allowed.
        count: how many are.
        filtered: whether a filter chose them, and not deletion alone.
    """

    def __init__(self, mask: npt.NDArray[np.bool_], *, filtered: bool = False) -> None:
        self.mask = mask
        self.count = int(np.count_nonzero(mask))
        self.filtered = filtered

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """The allowed rows, ascending."""
        return np.flatnonzero(self.mask)

    @cached_property
    def selector(self) -> Any:
        """As FAISS takes it: one bit a row."""
        self._bits = np.packbits(self.mask, bitorder="little")  # FAISS keeps a pointer to them
        return faiss().IDSelectorBitmap(self._bits)
