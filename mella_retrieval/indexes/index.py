"""Open and search an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mella_retrieval.errors import ArtifactError, DataError
from mella_retrieval.indexes.allowed import Allowed
from mella_retrieval.indexes.devices import CPU, Devices
from mella_retrieval.indexes.filters import Filter
from mella_retrieval.indexes.found import Found, Numbers, Scores
from mella_retrieval.indexes.manifest import IndexManifest
from mella_retrieval.indexes.scan import padded
from mella_retrieval.indexes.scoring.served import folded_queries
from mella_retrieval.indexes.segment import CONTENT, Segment

Array = npt.NDArray[np.float32]

_FILTERS_KEPT = 8


class Index:
    """An opened index; it keeps the state it was opened with, whatever is added, deleted or compacted later.

    Attributes:
        folder: where it lies.
        manifest: the pointer file as it was read.
        segments: the opened segments.
    """

    def __init__(self, folder: Path, manifest: IndexManifest, devices: Devices = CPU) -> None:
        self.folder = folder
        self.manifest = manifest
        self.segments = [
            Segment(folder, entry, (manifest.faiss_dim, manifest.stored_dim), manifest.recipe, devices)
            for entry in manifest.segments
        ]
        self._deleted = self._read_tombstones()
        self._filtered: dict[Filter, list[Allowed | None]] = {}

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu") -> Index:
        """Open an index folder: files are mapped, not read.

        Args:
            folder: where it lies.
            device: where it is searched: `cpu`, `auto` (GPUs, where FAISS sees any and they can hold it), `cuda:0`, `cuda:0,1`.

        Raises:
            ArtifactError: no index, or files missing, cut short, changed or unreadable.
            ConfigError: a device that is not there, cannot hold this kind of index, or lacks memory.
        """
        folder, devices = Path(folder), Devices.parse(device)
        while True:
            manifest = IndexManifest.read(folder)
            try:
                manifest.verify(folder)
                opened = cls(folder, manifest, devices)
            except ArtifactError:
                if IndexManifest.read(folder) == manifest:
                    raise
            else:
                if IndexManifest.read(folder) == manifest:
                    return opened
            # It was changed or built anew meanwhile: the files of two states may be open.

    @cached_property
    def _plain(self) -> bool:
        """One segment, nothing deleted, no correction."""
        return len(self.segments) == 1 and not len(self._deleted[0]) and self.manifest.scoring is None

    def __len__(self) -> int:
        return sum(segment.rows for segment in self.segments) - sum(len(rows) for rows in self._deleted)

    def _read_tombstones(self) -> list[Numbers]:
        """Deleted rows of each segment, ascending. A tombstone names segment and row, so an id that was added again lives."""
        deleted: dict[str, list[Numbers]] = {entry.name: [] for entry in self.manifest.segments}
        for tombstone in self.manifest.tombstones:
            table = _read_tombstone(self.folder / tombstone.name)
            names, rows = table["segment"].to_numpy(), table["row"].to_numpy()
            for name in set(names.tolist()) & deleted.keys():
                deleted[name].append(rows[names == name])
        return [np.unique(np.concatenate([np.empty(0, np.int64), *rows])) for rows in deleted.values()]

    @cached_property
    def alive(self) -> list[npt.NDArray[np.bool_]]:
        """Per segment a mask of its rows: false where one was deleted."""
        masks = [np.ones(segment.rows, dtype=bool) for segment in self.segments]
        for mask, rows in zip(masks, self._deleted, strict=True):
            mask[rows] = False
        return masks

    def ids(self, where: Filter | str | None = None) -> Iterator[str]:
        """The ids of all living items, or of those whose record fits; segment by segment in the order of the rows."""
        for segment, alive, allowed in zip(self.segments, self.alive, self._allowed(where), strict=True):
            yield from segment.ids(np.flatnonzero(alive if allowed is None else allowed.mask).tolist())

    def blocks(self, size: int) -> Iterator[tuple[Segment, Numbers]]:
        """The living rows of each segment, at most `size` at a time."""
        for segment, alive in zip(self.segments, self.alive, strict=True):
            rows = np.flatnonzero(alive)
            for start in range(0, len(rows), size):
                yield segment, rows[start : start + size]

    def find(self, ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Which of these ids live, each with its segment and row. Only those are looked up: it is quick in a large index too."""
        wanted = list(ids)
        return {
            key: (number, row)
            for number, (segment, alive) in enumerate(zip(self.segments, self.alive, strict=True))
            for key, row in segment.find(wanted)
            if alive[row]
        }

    def contents(self, places: Mapping[str, tuple[int, int]]) -> dict[str, str | None]:
        """Content hashes of items by id, given their places; None where the index does not know the content."""
        found: dict[str, str | None] = dict.fromkeys(places)
        for number, segment in enumerate(self.segments):
            inside = {key: row for key, (owner, row) in places.items() if owner == number}
            if inside and CONTENT in segment.table.column_names:
                taken = segment.take(np.array(list(inside.values()), np.int64))[CONTENT].to_pylist()
                found.update(zip(inside, taken, strict=True))
        return found

    def with_content(self, contents: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Living items with these content hashes: one place for each hash that is there."""
        wanted = pa.array(list(contents), pa.string())
        found: dict[str, tuple[int, int]] = {}
        for number, (segment, alive) in enumerate(zip(self.segments, self.alive, strict=True)):
            if CONTENT in segment.table.column_names:
                column = segment.table[CONTENT]
                rows = np.flatnonzero(pc.is_in(column, value_set=wanted).to_numpy() & alive)
                keys = segment.take(rows)[CONTENT].to_pylist()
                found.update({key: (number, row) for key, row in zip(keys, rows.tolist(), strict=True)})
        return found

    def search(
        self,
        queries: npt.NDArray[np.floating[Any]],
        k: int = 10,
        *,
        where: Filter | str | None = None,
        parameters: Mapping[str, int] | None = None,
        corrected: bool = True,
    ) -> Found:
        """The k best living items of each query, best first, ties by id.

        Args:
            queries: (q, dim) vectors in the index's space, L2-normalised.
            k: how many; fewer come back where the index holds fewer.
            where: only items whose record fits, as `lang == "hu" and year >= 2010`.
            parameters: search parameters of this call in place of the recipe's (`efSearch`, `nprobe`, `rerank` ...).
            corrected: where the index serves a hubness correction: scores are the cosine and the item's bias. False gives plain
                cosines, for queries of another kind than its reference queries.

        Raises:
            DataError: a wrong dimension, NaN or infinite queries, k below 1, a filter that names no column.
            ConfigError: a filter that cannot be understood, or a parameter that this kind of index does not know.
        """
        values = np.ascontiguousarray(queries, dtype=np.float32)
        if values.ndim != 2 or values.shape[1] != self.manifest.dim:
            raise DataError(f"queries have shape {values.shape}; {self.folder} takes vectors of {self.manifest.dim} dimensions.")
        if k < 1:
            raise DataError(f"k must be at least 1, not {k}.")
        first = self.segments[0].first_hits(values, k) if self._plain and where is None and not parameters else None
        if first is not None and _settled(first[0]):
            return Found(first[0][:, :k], np.zeros((len(values), k), np.int64), first[1][:, :k], self.segments, full=True)
        if not np.isfinite(values).all():
            raise DataError("a query vector holds NaN or infinite values.")
        k = min(k, max(1, len(self)))  # whatever is asked for, the answer is no wider than the index
        if not len(values):
            self._allowed(where)
            return Found(np.empty((0, k), np.float32), np.empty((0, k), np.int64), np.empty((0, k), np.int64), self.segments)
        scoring = self.manifest.scoring
        if scoring is not None:
            values = folded_queries(values, scoring, parameters or {}, corrected=corrected)
        hits = [
            segment.search(values, k, allowed, parameters or {}, first)
            for segment, allowed in zip(self.segments, self._allowed(where), strict=True)
        ]
        found = self._merged(len(values), k, hits)
        if scoring is not None and corrected:
            return replace(found, scores=found.scores + np.float32(scoring.offset))
        return found

    def _allowed(self, where: Filter | str | None) -> list[Allowed | None]:
        if where is None:
            return self._living
        chosen = Filter.parse(where) if isinstance(where, str) else where
        found = self._filtered.get(chosen)
        if found is None:
            columns = {name for segment in self.segments for name in segment.table.column_names}
            found = self._filtered[chosen] = [
                Allowed(alive & chosen.mask(segment.table, elsewhere=columns), filtered=True)
                for segment, alive in zip(self.segments, self.alive, strict=True)
            ]
            for old in list(self._filtered)[:-_FILTERS_KEPT]:
                self._filtered.pop(old, None)
        return found

    @cached_property
    def _living(self) -> list[Allowed | None]:
        return [Allowed(alive) if len(rows) else None for alive, rows in zip(self.alive, self._deleted, strict=True)]

    def _merged(self, queries: int, k: int, hits: list[tuple[Scores, Numbers]]) -> Found:
        """The hits of all segments, the best k of each query."""
        if len(hits) == 1:
            (scores, rows), segments = hits[0], np.zeros_like(hits[0][1])
        else:
            empty = (np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64))
            scores = np.concatenate([empty[0], *(found for found, _ in hits)], axis=1)
            rows = np.concatenate([empty[1], *(found for _, found in hits)], axis=1)
            segments = np.repeat(np.arange(len(hits)), [found.shape[1] for found, _ in hits])[None].repeat(queries, axis=0)
            order = np.argsort(-scores, axis=1, kind="stable")
            scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
            segments = np.take_along_axis(segments, order, axis=1)
        ahead, behind = scores[:, :k], scores[:, 1 : k + 1]
        tied = (ahead[:, : behind.shape[1]] == behind) & (rows[:, 1 : k + 1] >= 0)
        for query in np.flatnonzero(tied.any(axis=1)).tolist():
            by_id = self._by_id(scores[query], segments[query], rows[query])
            scores[query], segments[query], rows[query] = scores[query][by_id], segments[query][by_id], rows[query][by_id]
        if scores.shape[1] < k:
            (scores, rows), (_, segments) = padded((scores, rows), k), padded((scores, segments), k)
        rows = rows[:, :k]
        return Found(scores[:, :k], np.where(rows >= 0, segments[:, :k], -1), rows, self.segments)

    def _by_id(self, scores: Scores, segments: Numbers, rows: Numbers) -> list[int]:
        """The order of one query's hits: by score, then by id; empty places last."""
        here = np.flatnonzero(rows >= 0).tolist()
        keys = {place: self.segments[segments[place]].ids((int(rows[place]),))[0] for place in here}
        return [*sorted(here, key=lambda place: (-scores[place], keys[place])), *np.flatnonzero(rows < 0).tolist()]

    def verify(self) -> None:
        """Compare the content of every file with the hashes in the manifest.

        Raises:
            ArtifactError: names the first file that differs.
        """
        self.manifest.verify(self.folder, deep=True)


def _settled(scores: Scores) -> bool:
    """Whether hits can be taken as they are: only where every score is below the one before it.

    Equal scores, empty places (whose scores are equal) and queries with NaN or infinite values are thus looked at closer.
    """
    return bool((scores[:, 1:] < scores[:, :-1]).all())


def _read_tombstone(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read(columns=["segment", "row"])
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
