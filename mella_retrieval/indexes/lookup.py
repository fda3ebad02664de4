"""From ids to rows: sorted 64-bit hashes on disk, so that no million of strings has to be read to find a few."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import ArtifactError

Hashes = npt.NDArray[np.uint64]


def id_hashes(ids: Sequence[str]) -> Hashes:
    """64-bit hashes of ids, shape (n,)."""
    return np.frombuffer(b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in ids), np.uint64)


def write_lookup(path: Path, hashes: Hashes) -> None:
    """Store the hashes of a segment's ids, in the order of its rows: (2, n) sorted hashes and their rows."""
    order = np.argsort(hashes, kind="stable")
    np.save(path, np.stack([hashes[order], order.astype(np.uint64)]))


class Lookup:
    """The stored hashes of one segment, memory-mapped.

    Attributes:
        hashes, rows: (n,) the hashes, ascending, and the row of each.

    Raises:
        ArtifactError: the file cannot be read, or holds another number of rows.
    """

    def __init__(self, path: Path, rows: int) -> None:
        try:
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}") from None
        if stored.shape != (2, rows) or stored.dtype != np.uint64:
            raise ArtifactError(f"{path} holds {stored.dtype} {stored.shape}; its manifest says {rows} rows.")
        self.hashes, self.rows = stored

    def candidates(self, hashes: Hashes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which of the hashes are here, and in which rows: positions (m,) in `hashes`, rows (m,).

        Ids that collide share a hash, so who needs certainty compares the ids of the rows.
        """
        low = np.searchsorted(self.hashes, hashes, side="left")
        counts = np.searchsorted(self.hashes, hashes, side="right") - low
        positions = np.repeat(np.arange(len(hashes)), counts)
        nth = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts)
        return positions, self.rows[low[positions] + nth].astype(np.int64)
