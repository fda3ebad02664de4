"""Change an index: new files first, then the pointer. Killed at any moment, the index is the old or the new one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import atomic_write, describe_file, remove_leftovers, writer_lock
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import DataError, MismatchError
from mella_retrieval.indexes.belonging import require_same_tower
from mella_retrieval.indexes.build import Projection, add_segment
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import TombstoneEntry


def add_to_index(folder: Path | str, vectors: EmbeddingSet, projection: Projection | None = None) -> Index:
    """Add image vectors as a new segment.

    Raises:
        MismatchError: they come from another tower than the index, or the projection is not the one it was built with.
        DataError: an id is in the index already, or see `build_index`.
    """
    folder = Path(folder)
    with writer_lock(folder):
        index = Index.load(folder)
        require_same_tower(index.manifest.image_tower, str(folder), vectors.tower, str(vectors.folder))
        given = projection.fingerprint if projection else None
        if given != index.manifest.adapter:
            raise MismatchError(f"{folder} was built with {_adapter(index.manifest.adapter)}, but {_adapter(given)} was given.")
        twice = next((key for key in vectors.ids if key in index.places), None)
        if twice is not None:
            raise DataError(f"the id {twice!r} is in {folder} already; delete it first.")
        remove_leftovers(folder)
        generation = index.manifest.generation + 1
        # What the first segment learnt serves all: a few new vectors need not suffice for training.
        segment = add_segment(folder, index.segments[0].emptied(), vectors, projection, f"segment-{generation:06d}")
        changed = {"generation": generation, "segments": [*index.manifest.segments, segment]}
        index.manifest.model_copy(update=changed).write(folder)
    return Index.load(folder)


def delete_from_index(folder: Path | str, ids: Iterable[str]) -> Index:
    """Delete items by id with a tombstone; no ids change nothing.

    Raises:
        DataError: an id is not in the index.
    """
    folder = Path(folder)
    with writer_lock(folder):
        index = Index.load(folder)
        remove_leftovers(folder)
        wanted = list(dict.fromkeys(ids))
        unknown = [key for key in wanted if key not in index.places]
        if unknown:
            raise DataError(f"{len(unknown)} ids are not in {folder}, the first is {unknown[0]!r}.")
        if not wanted:
            return index
        places = [index.places[key] for key in wanted]
        names = [index.manifest.segments[segment].name for segment, _ in places]
        table = pa.table({"segment": names, "row": pa.array([row for _, row in places], pa.int64()), "id": wanted})
        generation = index.manifest.generation + 1
        name = f"tombstone-{generation:06d}.parquet"
        with atomic_write(folder / name) as file:
            pq.write_table(table, file)
        tombstone = TombstoneEntry(name=name, rows=len(wanted), file=describe_file(folder / name))
        changed = {"generation": generation, "tombstones": [*index.manifest.tombstones, tombstone]}
        index.manifest.model_copy(update=changed).write(folder)
    return Index.load(folder)


def _adapter(fingerprint: str | None) -> str:
    return f"the adapter {fingerprint[:12]}" if fingerprint else "no adapter"
