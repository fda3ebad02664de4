"""Token vectors of any rows of an embedding set, across its shards, without loading the set."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.sets import EmbeddingSet, Vectors

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class TokenReader:
    """Reads token vectors from the memory-mapped shards of a set made with `--tokens`.

    In memory stand two numbers per row of the set and the vectors that were asked for; a shard is mapped when it is first needed.

    Attributes:
        source: the set.
        dim: length of one token vector.
        counts: (rows,) tokens of each row.

    Raises:
        ArtifactError: the set holds pooled vectors only.
    """

    def __init__(self, source: EmbeddingSet) -> None:
        self.source = source
        self._map = lru_cache(maxsize=None)(source.shard_token_map)
        self.dim = source.token_dim
        shards = range(len(source.manifest["shards"]))
        counts = [source.shard_table(shard, ["tokens"])["tokens"].to_numpy().astype(np.int64) for shard in shards]
        self.counts: Rows = np.concatenate(counts)
        self._first = np.cumsum([0, *map(len, counts)])  # row with which each shard begins
        self._ends = np.concatenate([np.cumsum(part) for part in counts])  # within the row's own shard

    def rows(self, rows: npt.ArrayLike) -> list[Vectors]:
        """Token vectors of the given rows, in their order: float32 arrays of shape (tokens of the row, dim).

        Raises:
            IndexError: there is no such row.
        """
        wanted = np.asarray(rows, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self.counts):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of {self.source.folder}, which has {len(self.counts)}")
        shards = (np.searchsorted(self._first, wanted, side="right") - 1).tolist()
        return [
            np.asarray(self._map(shard)[self._ends[row] - self.counts[row] : self._ends[row]], np.float32)
            for shard, row in zip(shards, wanted, strict=True)
        ]

    def padded(self, rows: npt.ArrayLike) -> tuple[Vectors, Mask]:
        """`rows` as one batch, see `pad`."""
        return pad(self.rows(rows), self.dim)


def pad(parts: Sequence[Vectors], dim: int) -> tuple[Vectors, Mask]:
    """Ragged rows as one batch: vectors (n, longest, dim) with zeros behind each row's own, and a mask (n, longest)."""
    longest = max((len(part) for part in parts), default=0)
    vectors = np.zeros((len(parts), longest, dim), np.float32)
    mask = np.zeros((len(parts), longest), bool)
    for place, part in enumerate(parts):
        vectors[place, : len(part)] = part
        mask[place, : len(part)] = True
    return vectors, mask
