"""Compaction: the living items of all segments in as few new ones as memory allows, without the deleted ones."""

from __future__ import annotations

from pathlib import Path

from mella_retrieval.artifacts import writer_lock
from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.build import BLOCK, rows_in
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import read_index
from mella_retrieval.indexes.manifest import TRAINED
from mella_retrieval.indexes.rows import rows_schema
from mella_retrieval.indexes.writing import Resources, SegmentWriter


def compact_index(folder: Path | str, *, resources: Resources | None = None) -> Index:
    """Write the living items anew and drop the deleted ones for good; readers that are open keep what they see.

    Args:
        folder: the index. One that has nothing to gain stays as it is.
        resources: memory and device to build with.

    Raises:
        ConfigError: only codes were kept (`store: none` with a kind that loses precision): vectors cannot be written again.
        ArtifactError: the disk is full; the index is as it was.
    """
    folder, resources = Path(folder), resources or Resources()
    with writer_lock(folder):
        index = Index.load(folder)
        manifest = index.manifest
        manifest.clear(folder)
        lossy = next((segment for segment in index.segments if not segment.exact), None)
        if lossy is not None:
            raise ConfigError(
                f"{folder} keeps only the codes of {manifest.recipe.factory} (store: none), and codes of codes would be worse: "
                "build it again from its vectors."
            )
        rows_each = rows_in(resources.bytes, read_index(folder / TRAINED))
        if not manifest.tombstones and len(index.segments) <= -(-len(index) // rows_each):
            return index
        generation = manifest.generation + 1
        writer = SegmentWriter(
            folder=folder,
            trained=folder / TRAINED,
            recipe=manifest.recipe,
            schema=rows_schema(segment.table.schema for segment in index.segments),
            rows_each=rows_each,
            generation=generation,
            resources=resources,
            columns=manifest.stored_dim,
        )
        living = ((segment.vectors(rows), segment.take(rows)) for segment, rows in index.blocks(BLOCK))
        segments = writer.write(living, len(index))
        compacted = manifest.model_copy(update={"generation": generation, "segments": segments, "tombstones": []})
        compacted.write(folder)
        opened = Index.load(folder)
        compacted.clear(folder)
    return opened
