"""Write segments: vectors and rows come in step, block by block, and are never in memory as a whole but in FAISS itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mella_retrieval.artifacts import new_folder
from mella_retrieval.embeddings.mapped import free_memory
from mella_retrieval.errors import ArtifactError, DataError
from mella_retrieval.indexes.devices import Devices
from mella_retrieval.indexes.gpu_building import adder
from mella_retrieval.indexes.kinds import config_errors, holds_vectors, read_copy, reserve, write_index
from mella_retrieval.indexes.lookup import id_hashes, write_lookup
from mella_retrieval.indexes.manifest import FileEntry, SegmentEntry
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.rows import Rows, write_rows
from mella_retrieval.indexes.segment import LOOKUP, ROWS, STORED, VECTORS

Array = npt.NDArray[np.float32]
Part = tuple[Array, pa.Table]
"""Vectors (b, columns) as they are stored, and as many rows."""

Progress = Callable[[int], None]
"""Called with the number of vectors that were added."""


@dataclass(frozen=True)
class Resources:
    """What building may use.

    Attributes:
        memory: bytes to build in; what needs more becomes several segments. By default half of what is free.
        device: where it is trained and vectors are assigned to lists: `cpu`, `auto`, `cuda:0` or `cuda:0,1`.
        progress: called with the number of vectors that were added, block by block.
    """

    memory: int | None = None
    device: str = "cpu"
    progress: Progress | None = None

    @property
    def bytes(self) -> int:
        """Memory to build in."""
        return free_memory() // 2 if self.memory is None else self.memory


@dataclass(frozen=True)
class SegmentWriter:
    """Writes the segments of one change of an index.

    Attributes:
        folder: of the index (or of the one that is written aside).
        trained: file of the trained index without vectors; each segment begins as a copy of it.
        recipe: how vectors are stored.
        schema: of the rows.
        rows_each: at most so many rows a segment, so that building stays in memory.
        generation: of the change; names begin with it.
        resources: progress is told of every block.
        columns: of the vectors; FAISS gets the first of them where its index has fewer.
    """

    folder: Path
    trained: Path
    recipe: IndexRecipe
    schema: pa.Schema
    rows_each: int
    generation: int
    resources: Resources
    columns: int

    def write(self, parts: Iterable[Part], rows: int) -> list[SegmentEntry]:
        """Write all parts, in order.

        Args:
            parts: blocks of vectors and rows.
            rows: how many there are in all.

        Raises:
            ConfigError: this kind of index cannot take vectors one after the other.
            DataError: an id is there twice.
            ArtifactError: the disk is full, or there are not as many vectors as rows.
        """
        blocks = _Cutter(parts)
        entries = []
        for number, start in enumerate(range(0, rows, self.rows_each)):
            name = f"segment-{self.generation:06d}" + (f"-{number:03d}" if number else "")
            entries.append(self._segment(name, blocks.next(min(self.rows_each, rows - start)), min(self.rows_each, rows - start)))
        if blocks.rest():
            raise ArtifactError(f"there are more vectors than the {rows} rows that were announced for {self.folder}.")
        refuse_repeats(self.folder, entries)
        return entries

    def _segment(self, name: str, parts: Iterable[Part], rows: int) -> SegmentEntry:
        index = read_copy(self.trained)
        reserve(index, rows)
        store = self.recipe.store
        if store == "auto":
            whole = holds_vectors(index)
            store = "float16" if not whole else "none" if index.d == self.columns else "float32"
        with new_folder(self.folder / name, overwrite=True) as target:
            hashes: list[npt.NDArray[np.uint64]] = []
            with _Store(target / STORED, (rows, self.columns), store) as stored:
                written = write_rows(target / ROWS, self.schema, self._fed(parts, index, stored, hashes))
            if not written == index.ntotal == rows:
                raise ArtifactError(
                    f"the segment {name} has {index.ntotal} vectors and {written} rows, but {rows} were announced."
                )
            write_index(index, target / VECTORS)
            write_lookup(target / LOOKUP, np.concatenate(hashes))
            files = {path.name: FileEntry.of(path) for path in sorted(target.iterdir())}
        return SegmentEntry(name=name, rows=rows, files=files)

    def _fed(self, parts: Iterable[Part], index: Any, stored: _Store, hashes: list[npt.NDArray[np.uint64]]) -> Iterator[pa.Table]:
        """The tables, while their vectors go into FAISS and the store."""
        add = adder(index, Devices.parse(self.resources.device), self.recipe.gpu)
        for vectors, table in parts:
            if len(vectors) != len(table):
                raise ArtifactError(f"{len(vectors)} vectors came with {len(table)} rows: they are out of step.")
            with config_errors("this kind of index cannot be filled"):
                add(np.ascontiguousarray(vectors[:, : index.d]))
            stored.add(vectors)
            hashes.append(id_hashes(table["id"].to_pylist()))
            if self.resources.progress:
                self.resources.progress(len(table))
            yield table
        with config_errors("this kind of index cannot be filled"):
            add.finish()


class _Cutter:
    """Hands out the rows of blocks of any height in portions."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = iter(parts)
        self._waiting: Part | None = None

    def next(self, rows: int) -> Iterator[Part]:
        """Blocks of the next `rows` rows; fewer where nothing is left."""
        while rows and (part := self._waiting or next(self._parts, None)):
            vectors, table = part
            take = min(rows, len(table))
            self._waiting = (vectors[take:], table.slice(take)) if take < len(table) else None
            rows -= take
            yield vectors[:take], table.slice(0, take)

    def rest(self) -> bool:
        """Whether there is more."""
        return any(len(table) for _, table in self.next(1))


class _Store:
    """The vectors as they are, in an npy file that is written as they come; nothing for `none`."""

    def __init__(self, path: Path, shape: tuple[int, int], dtype: str) -> None:
        self._file = None if dtype == "none" else path.open("wb")
        self._dtype = np.dtype("float32" if dtype == "none" else dtype)
        if self._file:
            header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._file, header)

    def add(self, vectors: Array) -> None:
        """The next rows."""
        if self._file:
            self._file.write(np.ascontiguousarray(vectors, self._dtype).tobytes())

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def refuse_repeats(folder: Path, entries: Iterable[SegmentEntry]) -> None:
    """Each id once in all these segments.

    Raises:
        DataError: names an id that is there twice.
    """
    opened = [(entry, np.load(folder / entry.name / LOOKUP, mmap_mode="r")) for entry in entries]
    if not opened:
        return
    hashes = np.concatenate([stored[0] for _, stored in opened])
    hashes.sort()
    for value in np.unique(hashes[1:][hashes[1:] == hashes[:-1]]):
        seen: set[str] = set()
        for entry, stored in opened:
            start, stop = np.searchsorted(stored[0], value, "left"), np.searchsorted(stored[0], value, "right")
            for key in Rows(folder / entry.name / ROWS, entry.rows).ids(stored[1][start:stop].astype(np.int64).tolist()):
                if key in seen:
                    raise DataError(f"the id {key!r} is there twice; an index needs each id once.")
                seen.add(key)
