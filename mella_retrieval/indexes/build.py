"""Build an index from an embedding set: the first segment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from mella_retrieval.artifacts import new_folder, read_manifest, remove_leftovers, writer_lock
from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import DataError
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.manifest import ADAPTER, KIND, VERSION, IndexManifest, IndexRecipe, SegmentEntry
from mella_retrieval.indexes.segment import new_index, write_segment

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Projection:
    """What carries image vectors into the index's space.

    Attributes:
        apply: (n, d_v) -> (n, d), L2-normalised.
        dim: d.
        folder: the artifact it comes from; a copy is kept in the index.
        fingerprint: of that artifact.
    """

    apply: Callable[[Array], Array]
    dim: int
    folder: Path
    fingerprint: str


def build_index(
    vectors: EmbeddingSet,
    out: Path | str,
    recipe: IndexRecipe | None = None,
    *,
    projection: Projection | None = None,
    text_tower: TowerInfo | None = None,
    overwrite: bool = False,
) -> Index:
    """Build an index of image vectors: its first segment.

    Args:
        vectors: the image vectors; no image file is read.
        out: the index folder.
        recipe: FAISS factory string and search parameters; exact search by default.
        projection: what carries the vectors into the index's space; without it they are taken as they are.
        text_tower: the tower for queries; None where the index answers pictures only.
        overwrite: replace an index that is there.

    Raises:
        DataError: text vectors, repeated ids, NaN or zero vectors.
        ConfigError: the recipe does not fit the vectors.
        ArtifactError: `out` is there (without `overwrite`), holds something else than an index, or the disk is full.
    """
    recipe = recipe or IndexRecipe()
    if vectors.modality != "image":
        raise DataError(f"{vectors.folder} holds {vectors.modality} vectors; an index is built from image vectors.")
    out = Path(out)
    _refuse_foreign(out)
    dim = projection.dim if projection else vectors.dim
    with writer_lock(out):
        remove_leftovers(out.parent, out.name)
        with new_folder(out, overwrite=overwrite) as aside:
            if projection is not None:
                shutil.copytree(projection.folder, aside / ADAPTER)
            empty = new_index(recipe, dim, lambda: _sample(vectors, recipe.train_rows, projection))
            segment = add_segment(aside, empty, vectors, projection, name="segment-000001")
            IndexManifest(
                generation=1,
                recipe=recipe,
                dim=dim,
                image_tower=vectors.tower,
                text_tower=text_tower,
                adapter=projection.fingerprint if projection else None,
                segments=[segment],
                tombstones=[],
            ).write(aside)
    return Index.load(out)


def _refuse_foreign(out: Path) -> None:
    """Overwriting must never remove anything but an index."""
    if out.is_dir() and any(out.iterdir()):
        read_manifest(out, KIND, VERSION)


def add_segment(folder: Path, empty: Any, vectors: EmbeddingSet, projection: Projection | None, name: str) -> SegmentEntry:
    """Write the vectors, carried through the projection, as a segment of the index `folder`; `empty` is a trained FAISS index."""
    ids = vectors.table["id"]
    if pc.count_distinct(ids, mode="all").as_py() != len(ids):
        raise DataError(f"{vectors.folder} has repeated ids; an index needs each id once.")
    own = [column for column in ("content", "tokens") if column in vectors.table.column_names]
    rows = vectors.table.drop_columns(own).replace_schema_metadata(None)
    return write_segment(folder, empty, _projected(vectors, projection), rows, name)


def _projected(vectors: EmbeddingSet, projection: Projection | None) -> Iterator[Array]:
    for start, block in vectors.blocks():
        unit = normalised(block, vectors.dim, f"{vectors.folder}, from row {start}")
        yield projection.apply(unit) if projection else unit


def _sample(vectors: EmbeddingSet, count: int, projection: Projection | None) -> Array:
    """At most `count` evenly spread vectors: the same for the same set, whatever the memory."""
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), count)).astype(np.int64))
    unit = normalised(vectors.vectors(rows), vectors.dim, f"{vectors.folder}, the sample to train on")
    return projection.apply(unit) if projection else unit
