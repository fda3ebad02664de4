"""The reference queries that a hubness correction is computed from, read in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.embeddings.sets import EmbeddingSet, Selection
from mella_retrieval.errors import DataError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bank:
    """Reference queries, of the kind that will be asked: texts for text -> image, pictures for image -> text.

    Attributes:
        vectors: (m, d') as an array (a memory map too), a stored set or some of its rows.
        carry: what brings stored vectors into the gallery's space, (b, d') -> (b, d), such as `adapter.map_text`; none for
            vectors that lie there already.
        transductive: whether these are the queries of the test itself. Results are then called so: such a bank knows the
            distribution of the test, which no deployed system does.
    """

    vectors: Array | EmbeddingSet | Selection
    carry: Callable[[Array], Array] | None = None
    transductive: bool = False

    def __len__(self) -> int:
        return len(self.vectors)

    def blocks(self, dim: int, size: int) -> Iterator[Array]:
        """All queries, L2-normalised, at most `size` at a time, (b, dim).

        Raises:
            DataError: no queries, another dimension, NaN, infinite or zero vectors.
        """
        if not len(self):
            raise DataError("the bank of reference queries is empty: a hubness correction needs queries like those to be asked.")
        for start in range(0, len(self), size):
            block = self._rows(start, min(start + size, len(self)))
            yield normalised(self.carry(block) if self.carry else block, dim, f"the bank of reference queries, from row {start}")

    def _rows(self, start: int, stop: int) -> Array:
        rows = np.arange(start, stop)
        if isinstance(self.vectors, EmbeddingSet):
            return self.vectors.vectors(rows)
        if isinstance(self.vectors, Selection):
            return self.vectors.source.vectors(self.vectors.positions[rows])
        return np.asarray(self.vectors[start:stop], np.float32)
