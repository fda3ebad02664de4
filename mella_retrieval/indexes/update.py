"""Change an index: new files first, then the pointer. Killed at any moment, the index is the old or the new one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import atomic_write, writer_lock
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import DataError, MismatchError
from mella_retrieval.indexes.belonging import require_same_tower
from mella_retrieval.indexes.build import Projection, rows_in, set_parts, set_schema
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import read_index
from mella_retrieval.indexes.manifest import TRAINED, FileEntry, TombstoneEntry
from mella_retrieval.indexes.rows import rows_schema
from mella_retrieval.indexes.scoring.served import ServedScoring
from mella_retrieval.indexes.segment import CONTENT
from mella_retrieval.indexes.writing import Part, Resources, SegmentWriter

Place = tuple[int, int]


@dataclass(frozen=True)
class Addition:
    """What a set of vectors would bring to an index.

    Attributes:
        keep: (n,) which rows of the set are to be added.
        replaced: ids that the index has with another content, or with an unknown one, and where they stand.
        unchanged: how many are there already with the same content.
    """

    keep: npt.NDArray[np.bool_]
    replaced: dict[str, Place]
    unchanged: int

    @classmethod
    def of(cls, index: Index, vectors: EmbeddingSet) -> Addition:
        """Compare ids and content hashes; no vector is read."""
        keep, replaced = [np.ones(0, dtype=bool)], {}
        for shard in range(len(vectors.manifest["shards"])):
            table = vectors.shard_table(shard)
            ids = table["id"].to_pylist()
            contents = table[CONTENT].to_pylist() if CONTENT in table.column_names else [None] * len(ids)
            there = index.find(ids)
            own = index.contents(there)
            same = np.array(
                [key in there and content and own[key] == content for key, content in zip(ids, contents, strict=True)]
            )
            keep.append(~same.astype(bool))
            gone = {key for key, equal in zip(ids, same, strict=True) if equal}
            replaced.update({key: place for key, place in there.items() if key not in gone})
        mask = np.concatenate(keep)
        return cls(mask, replaced, int((~mask).sum()))


def add_to_index(
    folder: Path | str,
    vectors: EmbeddingSet | None,
    projection: Projection | None = None,
    *,
    copies: Part | None = None,
    replace: bool = False,
    resources: Resources | None = None,
) -> Index:
    """Add image vectors as new segments; what is there already with the same content hash is passed over.

    Args:
        folder: the index.
        vectors: of the tower that the index was built for; none change nothing.
        projection: the one that the index was built with.
        copies: further items with their vectors as the index stores them, (n, columns), and their rows.
        replace: items whose id is in the index already take the place of the old ones, in the same step.
        resources: memory and device to build with.

    Raises:
        MismatchError: they come from another tower than the index, or the projection is not the one it was built with.
        DataError: an id is in the index already with another content (without `replace`), a column of another kind than in the
            index, or see `build_index`.
    """
    folder, resources = Path(folder), resources or Resources()
    with writer_lock(folder):
        index = Index.load(folder)
        index.manifest.clear(folder)
        parts, rows, schemas, replaced = [], 0, [], {}
        if vectors is not None:
            _require_same_space(index, vectors, projection)
            addition = Addition.of(index, vectors)
            served = ServedScoring.open(folder, index.manifest)
            parts.append(set_parts(vectors, projection, addition.keep, served.fold if served else None))
            rows += int(addition.keep.sum())
            schemas.append(set_schema(vectors))
            replaced.update(addition.replaced)
        if copies is not None:
            parts.append(iter([copies]))
            rows += len(copies[1])
            schemas.append(copies[1].schema)
            replaced.update(index.find(copies[1]["id"].to_pylist()))
        if replaced and not replace:
            raise DataError(
                f"the id {next(iter(replaced))!r} is in {folder} already, one of {len(replaced):,} such: delete or replace them."
            )
        if not rows:
            return index
        schema = rows_schema(schemas)
        rows_schema([schema, *(segment.table.schema for segment in index.segments)])
        generation = index.manifest.generation + 1
        writer = SegmentWriter(
            folder=folder,
            trained=folder / TRAINED,
            recipe=index.manifest.recipe,
            schema=schema,
            rows_each=rows_in(resources.bytes, read_index(folder / TRAINED)),
            generation=generation,
            resources=resources,
            columns=index.manifest.stored_dim,
        )
        segments = writer.write(chain.from_iterable(parts), rows)
        changed = {
            "generation": generation,
            "segments": [*index.manifest.segments, *segments],
            "tombstones": [*index.manifest.tombstones, *([_bury(index, replaced, generation)] if replaced else [])],
        }
        index.manifest.model_copy(update=changed).write(folder)
    return Index.load(folder)


def _require_same_space(index: Index, vectors: EmbeddingSet, projection: Projection | None) -> None:
    require_same_tower(index.manifest.image_tower, str(index.folder), vectors.tower, str(vectors.folder))
    given = projection.fingerprint if projection else None
    if given != index.manifest.adapter:
        raise MismatchError(f"{index.folder} was built with {_adapter(index.manifest.adapter)}, but {_adapter(given)} was given.")


def delete_from_index(folder: Path | str, ids: Iterable[str], *, missing_ok: bool = False) -> Index:
    """Delete items by id with a tombstone; no ids change nothing.

    Args:
        folder: the index.
        ids: what to delete.
        missing_ok: pass over ids that are not in the index.

    Raises:
        DataError: an id is not in the index (without `missing_ok`).
    """
    folder = Path(folder)
    with writer_lock(folder):
        index = Index.load(folder)
        index.manifest.clear(folder)
        wanted = list(dict.fromkeys(ids))
        there = index.find(wanted)
        if len(there) < len(wanted) and not missing_ok:
            first = next(key for key in wanted if key not in there)
            raise DataError(f"{len(wanted) - len(there):,} ids are not in {folder}, the first is {first!r}.")
        if not there:
            return index
        generation = index.manifest.generation + 1
        changed = {
            "generation": generation,
            "tombstones": [*index.manifest.tombstones, _bury(index, there, generation)],
        }
        index.manifest.model_copy(update=changed).write(folder)
    return Index.load(folder)


def _bury(index: Index, places: dict[str, Place], generation: int) -> TombstoneEntry:
    """Write the tombstone of some living items; it counts when the pointer names it."""
    names = [index.manifest.segments[segment].name for segment, _ in places.values()]
    rows = pa.array([row for _, row in places.values()], pa.int64())
    path = index.folder / f"tombstone-{generation:06d}.parquet"
    with atomic_write(path) as file:
        pq.write_table(pa.table({"segment": names, "row": rows, "id": list(places)}), file)
    return TombstoneEntry(name=path.name, rows=len(places), file=FileEntry.of(path))


def _adapter(fingerprint: str | None) -> str:
    return f"the adapter {fingerprint[:12]}" if fingerprint else "no adapter"
