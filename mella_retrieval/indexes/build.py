"""Build an index from an embedding set: its first segments."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import new_folder, read_manifest, remove_leftovers, writer_lock
from mella_retrieval.embeddings.imports import normalised
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.indexes.cagra import empty_cagra
from mella_retrieval.indexes.centring import Centring
from mella_retrieval.indexes.devices import Devices
from mella_retrieval.indexes.gpu_building import train_on
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import bytes_per_vector, growth, new_index, write_index
from mella_retrieval.indexes.manifest import ADAPTER, CENTRING, KIND, TRAINED, VERSION, FileEntry, IndexManifest
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.rows import rows_schema
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.served import ServedScoring, refuse_unserved
from mella_retrieval.indexes.writing import Part, Resources, SegmentWriter

Array = npt.NDArray[np.float32]
Carry = Callable[[Array], Array]

NOT_RECORDS = ("tokens",)
"""Columns of embedding sets that say nothing of a picture."""

BLOCK = 16_384
"""Vectors that are read at a time."""

_BIASED = 4096
"""Items whose mean bias the offset of a correction is taken from."""

_SAMPLE = 3
"""The vectors that are learnt from take at most one part in so many of the memory: FAISS copies some of them."""


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


def build_index(  # noqa: PLR0913 - what belongs to an index
    vectors: EmbeddingSet,
    out: Path | str,
    recipe: IndexRecipe | None = None,
    *,
    projection: Projection | None = None,
    text_tower: TowerInfo | None = None,
    bank: Bank | None = None,
    centring: Centring | None = None,
    resources: Resources | None = None,
    overwrite: bool = False,
) -> Index:
    """Build an index of image vectors: its first segments.

    Args:
        vectors: the image vectors; no image file is read. They are read in blocks and may be larger than memory.
        out: the index folder.
        recipe: FAISS factory string and search parameters; exact search by default.
        projection: what carries the vectors into the index's space; without it they are taken as they are.
        text_tower: the tower for queries; None where the index answers pictures only.
        bank: reference queries for a recipe with `scoring`; a copy is kept in the index.
        centring: language means that texts are centred by before they are asked; a copy is kept in the index.
        resources: memory and device to build with.
        overwrite: replace an index that is there.

    Raises:
        DataError: text vectors, repeated ids, NaN or zero vectors, a bank that is too small or does not fit.
        ConfigError: the recipe does not fit the vectors, or `memory` does not suffice.
        ArtifactError: `out` is there (without `overwrite`), holds something else than an index, or the disk is full.
        MissingDependencyError: the recipe or the device needs another FAISS than the installed one.
    """
    recipe = recipe or IndexRecipe()
    if vectors.modality != "image":
        raise DataError(f"{vectors.folder} holds {vectors.modality} vectors; an index is built from image vectors.")
    refuse_unserved(recipe, bank)
    out = Path(out)
    refuse_foreign(out)
    dim = projection.dim if projection else vectors.dim
    resources = resources or Resources()
    memory, devices = resources.bytes, Devices.parse(resources.device)
    empty_cagra(recipe.factory, dim, devices)  # what is missing for one is said before anything is written
    with writer_lock(out):
        remove_leftovers(out.parent, out.name)
        with new_folder(out, overwrite=overwrite) as aside:
            if projection is not None:
                shutil.copytree(projection.folder, aside / ADAPTER)
            if centring is not None:
                shutil.copytree(centring.folder, aside / CENTRING)
            served = None
            if bank is not None:
                served = ServedScoring.begin(aside, recipe, bank, _sample(vectors, _BIASED, projection))
            fold, scoring = (served.fold, served.entry) if served else (None, None)
            searched = scoring.columns if scoring and scoring.place == "fold" else dim
            sample = min(recipe.train_rows, max(1, memory // (_SAMPLE * 4 * dim)))
            empty = new_index(
                recipe,
                searched,
                lambda: _sample(vectors, sample, projection, fold)[:, :searched],
                lambda index, learnt: train_on(index, learnt, devices, recipe.gpu),
                empty_cagra(recipe.factory, searched, devices),
            )
            write_index(empty, aside / TRAINED)
            writer = SegmentWriter(
                folder=aside,
                trained=aside / TRAINED,
                recipe=recipe,
                schema=set_schema(vectors),
                rows_each=rows_in(memory, empty),
                generation=1,
                resources=resources,
                columns=scoring.columns if scoring else dim,
            )
            IndexManifest(
                generation=1,
                recipe=recipe,
                dim=dim,
                image_tower=vectors.tower,
                text_tower=text_tower,
                adapter=projection.fingerprint if projection else None,
                trained=FileEntry.of(aside / TRAINED),
                scoring=scoring,
                centring=centring.entry if centring else None,
                segments=writer.write(set_parts(vectors, projection, fold=fold), len(vectors)),
            ).write(aside)
    return Index.load(out)


def refuse_foreign(out: Path) -> None:
    """Overwriting must never remove anything but an index."""
    if out.is_dir() and any(out.iterdir()):
        read_manifest(out, KIND, VERSION)


def rows_in(memory: int, index: Any) -> int:
    """How many vectors an index of this kind can take while it is built in `memory` bytes.

    Raises:
        ConfigError: not even one block.
    """
    blocks = 3 * 4 * BLOCK * index.d  # as they are read, normalised and carried
    each = math.ceil(growth(index) * bytes_per_vector(index)) + 24
    if memory - blocks < BLOCK * each:
        raise ConfigError(
            f"{memory:,} bytes of memory do not suffice to build this index: {blocks + BLOCK * each:,} are the least."
        )
    return int((memory - blocks) // each)


def set_schema(vectors: EmbeddingSet) -> Any:
    """Schema of the record columns of a set."""
    shards = range(len(vectors.manifest["shards"]))
    schemas = [pq.read_schema(vectors.folder / f"part-{shard:05d}.parquet") for shard in shards]
    whole = rows_schema(schemas)
    for name in NOT_RECORDS:
        if name in whole.names:
            whole = whole.remove(whole.get_field_index(name))
    return whole


def set_parts(
    vectors: EmbeddingSet, projection: Projection | None, keep: npt.NDArray[np.bool_] | None = None, fold: Carry | None = None
) -> Iterator[Part]:
    """The vectors of a set (all, or those that the mask `keep` (n,) marks) in the index's space with their rows, in blocks.

    `fold` puts the biases of a correction behind them.
    """
    first = 0
    for shard in range(len(vectors.manifest["shards"])):
        stored, table = vectors.shard_vectors(shard), vectors.shard_table(shard)
        for start in range(0, len(stored), BLOCK):
            block, rows = stored[start : start + BLOCK], table.slice(start, BLOCK)
            if keep is not None:
                kept = keep[first + start : first + start + len(block)]
                if not kept.any():
                    continue
                block, rows = block[kept], rows.filter(pa.array(kept))
            unit = normalised(block, vectors.dim, f"{vectors.folder}, from row {first + start}")
            carried = projection.apply(unit) if projection else unit
            yield (fold(carried) if fold else carried), rows
        first += len(stored)


def _sample(vectors: EmbeddingSet, count: int, projection: Projection | None, fold: Carry | None = None) -> Array:
    """At most `count` evenly spread vectors: the same for the same set, whatever the memory."""
    rows = np.unique(np.linspace(0, len(vectors) - 1, min(len(vectors), count)).astype(np.int64))
    unit = normalised(vectors.vectors(rows), vectors.dim, f"{vectors.folder}, the sample to train on")
    carried = projection.apply(unit) if projection else unit
    return fold(carried) if fold else carried
