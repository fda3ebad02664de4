"""Merging: the segments of other indexes become segments of this one, as they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import atomic_write, new_folder, writer_lock
from mella_retrieval.errors import DataError, MismatchError
from mella_retrieval.indexes.belonging import require_same_tower
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import FileEntry, SegmentEntry, TombstoneEntry
from mella_retrieval.indexes.rows import rows_schema
from mella_retrieval.indexes.segment import copy_file


def merge_indexes(folder: Path | str, others: Iterable[Path | str]) -> Index:
    """Take over all living items of other indexes; those stay as they are. `compact_index` joins the segments afterwards.

    Args:
        folder: the index that grows.
        others: indexes of the same tower, adapter and recipe.

    Raises:
        MismatchError: an index of another tower, adapter or kind.
        DataError: an id is in two of them, or columns of one name that do not go together.
        ArtifactError: the disk is full; the index is as it was.
    """
    folder = Path(folder)
    with writer_lock(folder):
        index = Index.load(folder)
        index.manifest.clear(folder)
        generation = index.manifest.generation + 1
        opened = [Index.load(other) for other in others]
        for number, other in enumerate(opened):
            _require_alike(index, other)
            _refuse_shared([index, *opened[:number]], other)
        _require_one_form([index, *opened])
        segments = [
            (other, old, f"segment-{generation:06d}-{number:03d}")
            for number, (other, old) in enumerate((other, entry) for other in opened for entry in other.manifest.segments)
        ]
        if not segments:
            return index
        entries = [_copied(other, old, folder, name) for other, old, name in segments]
        changed = {
            "generation": generation,
            "segments": [*index.manifest.segments, *entries],
            "tombstones": [*index.manifest.tombstones, *_tombstones(opened, folder, generation, [name for *_, name in segments])],
        }
        index.manifest.model_copy(update=changed).write(folder)
    return Index.load(folder)


def _require_alike(index: Index, other: Index) -> None:
    own, theirs = index.manifest, other.manifest
    if index.folder.resolve() == other.folder.resolve():
        raise MismatchError(f"{index.folder} cannot be merged with itself.")
    require_same_tower(own.image_tower, str(index.folder), theirs.image_tower, str(other.folder))
    if own.adapter != theirs.adapter:
        raise MismatchError(f"{index.folder} and {other.folder} were built with different adapters; they hold different vectors.")
    if own.scoring != theirs.scoring or own.centring != theirs.centring:
        raise MismatchError(
            f"{index.folder} and {other.folder} correct scores differently: build one of them again with the other's method, "
            "options, place, bank, offset and scale (scoring.offset, scoring.scale) and language means."
        )
    if (own.recipe.factory, own.dim) != (theirs.recipe.factory, theirs.dim):
        raise MismatchError(
            f"{index.folder} is {own.recipe.factory} with {own.dim} dimensions, {other.folder} is {theirs.recipe.factory} with "
            f"{theirs.dim}: build one of them again by the other's recipe."
        )


def _require_one_form(indexes: list[Index]) -> None:
    """Vectors are kept alike, and columns of one name go together: else the index could never be compacted or filtered."""
    forms = {segment.precision: one.folder for one in indexes for segment in one.segments}
    if len(forms) > 1:
        raise MismatchError(
            f"{' and '.join(map(str, forms.values()))} keep their vectors differently (store): {', '.join(forms)}. Build one of "
            "them again by the other's recipe."
        )
    rows_schema(segment.table.schema for one in indexes for segment in one.segments)


def _refuse_shared(indexes: list[Index], other: Index) -> None:
    for index in indexes:
        shared = index.find(other.ids())
        if shared:
            first = next(iter(shared))
            raise DataError(f"{len(shared):,} ids are in {index.folder} and in {other.folder}, the first is {first!r}.")


def _copied(other: Index, entry: SegmentEntry, folder: Path, name: str) -> SegmentEntry:
    with new_folder(folder / name, overwrite=True) as target:
        for file in entry.files:
            copy_file(other.folder / entry.name / file, target / file)
    copied = entry.model_copy(update={"name": name})
    for file, expected in copied.files.items():
        expected.verify(folder / name / file, deep=True)
    return copied


def _tombstones(opened: list[Index], folder: Path, generation: int, names: list[str]) -> list[TombstoneEntry]:
    """The deleted rows of the others, under the new names of their segments."""
    segments = [
        (segment, np.flatnonzero(~alive)) for other in opened for segment, alive in zip(other.segments, other.alive, strict=True)
    ]
    tables = [
        pa.table({"segment": [name] * len(rows), "row": pa.array(rows, pa.int64()), "id": segment.ids(rows.tolist())})
        for name, (segment, rows) in zip(names, segments, strict=True)
        if len(rows)
    ]
    if not tables:
        return []
    path = folder / f"tombstone-{generation:06d}.parquet"
    with atomic_write(path) as file:
        pq.write_table(pa.concat_tables(tables), file)
    return [TombstoneEntry(name=path.name, rows=sum(map(len, tables)), file=FileEntry.of(path))]
