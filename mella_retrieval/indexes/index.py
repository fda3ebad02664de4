"""Open and search an index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.errors import ArtifactError, DataError
from mella_retrieval.indexes.manifest import IndexManifest
from mella_retrieval.indexes.segment import Segment

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Match:
    """One found item: its id, its score (inner product of unit vectors) and where its record stands."""

    id: str
    score: float
    segment: int
    row: int


class Index:
    """An opened index; it keeps the state it was opened with, whatever is added or deleted later.

    Attributes:
        folder: where it lies.
        manifest: the pointer file as it was read.
    """

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.segments = [Segment(folder, entry, manifest.dim, manifest.recipe) for entry in manifest.segments]
        self._deleted = self._read_tombstones()

    @classmethod
    def load(cls, folder: Path | str) -> Index:
        """Open an index folder.

        Raises:
            ArtifactError: no index, or files missing, cut short, changed or unreadable.
        """
        folder = Path(folder)
        while True:
            manifest = IndexManifest.read(folder)
            try:
                manifest.verify(folder)
                opened = cls(folder, manifest)
            except ArtifactError:
                if IndexManifest.read(folder) == manifest:
                    raise
            else:
                if IndexManifest.read(folder) == manifest:
                    return opened
            # It was changed or built anew meanwhile: the files of two states may be open.

    def __len__(self) -> int:
        return sum(segment.rows for segment in self.segments) - sum(len(rows) for rows in self._deleted)

    def _read_tombstones(self) -> list[npt.NDArray[np.int64]]:
        """Deleted rows of each segment. A tombstone names segment and row, so an id that was added again later lives."""
        deleted: dict[str, list[int]] = {entry.name: [] for entry in self.manifest.segments}
        for tombstone in self.manifest.tombstones:
            table = _read_tombstone(self.folder / tombstone.name)
            for name, row in zip(table["segment"].to_pylist(), table["row"].to_pylist(), strict=True):
                if name in deleted:
                    deleted[name].append(row)
        return [np.unique(np.array(rows, dtype=np.int64)) for rows in deleted.values()]

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """Living ids -> (segment, row)."""
        found = {}
        for number, (segment, deleted) in enumerate(zip(self.segments, self._deleted, strict=True)):
            gone = set(deleted.tolist())
            found.update({key: (number, row) for row, key in enumerate(segment.ids()) if row not in gone})
        return found

    def search(self, queries: npt.NDArray[np.floating[Any]], k: int = 10) -> list[list[Match]]:
        """The k best living items of each query, best first, ties by id.

        Args:
            queries: (q, dim) vectors in the index's space, L2-normalised.
            k: how many; fewer come back where the index holds fewer.

        Raises:
            DataError: a wrong dimension, NaN or infinite queries, k below 1.
        """
        values = np.ascontiguousarray(queries, dtype=np.float32)
        if values.ndim != 2 or values.shape[1] != self.manifest.dim:
            raise DataError(f"queries have shape {values.shape}; {self.folder} takes vectors of {self.manifest.dim} dimensions.")
        if not np.isfinite(values).all():
            raise DataError("a query vector holds NaN or infinite values.")
        if k < 1:
            raise DataError(f"k must be at least 1, not {k}.")
        found: list[list[Match]] = [[] for _ in values]
        for number, (segment, deleted) in enumerate(zip(self.segments, self._deleted, strict=True)):
            for query, scores, rows in segment.search(values, k, deleted):
                places = zip(segment.ids(rows), scores.tolist(), rows.tolist(), strict=True)
                found[query] += [Match(key, score, number, row) for key, score, row in places]
        return [sorted(matches, key=lambda match: (-match.score, match.id))[:k] for matches in found]

    def records(self, matches: list[Match]) -> list[dict[str, Any]]:
        """The record columns of matches, in their order."""
        result: list[dict[str, Any]] = [{} for _ in matches]
        for number, segment in enumerate(self.segments):
            inside = [place for place, match in enumerate(matches) if match.segment == number]
            for place, record in zip(inside, segment.records([matches[place].row for place in inside]), strict=True):
                result[place] = record
        return result

    def verify(self) -> None:
        """Compare the content of every file with the hashes in the manifest.

        Raises:
            ArtifactError: names the first file that differs.
        """
        self.manifest.verify(self.folder, deep=True)


def _read_tombstone(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns=["segment", "row"])
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
