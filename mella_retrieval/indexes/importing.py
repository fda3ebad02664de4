"""Import an index that another program built: its FAISS file becomes the first segment, as it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mella_retrieval.artifacts import new_folder, remove_leftovers, writer_lock
from mella_retrieval.embeddings.imports import imported_tower, normalised
from mella_retrieval.encoders.towers import TowerInfo, same_model
from mella_retrieval.errors import ConfigError, DataError, MismatchError
from mella_retrieval.indexes.agreement import exact_vectors, require_agreement
from mella_retrieval.indexes.build import BLOCK, Projection, refuse_foreign
from mella_retrieval.indexes.foreign import BUILD, ForeignIndex
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import write_index
from mella_retrieval.indexes.lookup import id_hashes, write_lookup
from mella_retrieval.indexes.manifest import ADAPTER, TRAINED, FileEntry, IndexManifest, SegmentEntry
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.rows import write_rows
from mella_retrieval.indexes.segment import LOOKUP, ROWS, STORED, VECTORS
from mella_retrieval.indexes.sources import Source
from mella_retrieval.indexes.writing import refuse_repeats

Array = npt.NDArray[np.float32]
Store = Literal["auto", "none", "float16", "float32"]

_MOVED = 1e-4
"""What float32 arithmetic may do to a vector that stays where it is."""


def import_index(
    source: Source | Path | str,
    out: Path | str,
    tower: TowerInfo | str,
    *,
    projection: Projection | None = None,
    text_tower: TowerInfo | None = None,
    store: Store = "auto",
    rerank: int = 0,
    overwrite: bool = False,
) -> Index:
    """Make an index of a FAISS file without building it anew: its codes stay as they are.

    The result answers as the file does, and can be added to, deleted from and (where the vectors are there) compacted.

    Args:
        source: what lies together, see `Source.find`; a folder or file alone will do where it needs no more.
        out: the index folder.
        tower: the encoder that made the vectors: its spec, recorded as not verified, or what is known of it.
        projection: of the adapter that queries go through. It must leave image vectors as they are.
        text_tower: the tower for queries; None where the index answers pictures only.
        store: whether the vectors are kept beside the codes; `auto` where the codes lose precision and the vectors are there.
        rerank: candidates per wanted hit that are scored again from the stored vectors.
        overwrite: replace an index that is there.

    Raises:
        DataError: files are missing, damaged or out of step with each other, the FAISS file is of a kind or metric that will not
            do, ids are repeated, or vectors are NaN, zero or (in the FAISS file) not of unit length.
        ConfigError: the options do not fit, or the adapter moves image vectors.
        MismatchError: the tower has another dimension, or the text tower belongs to another model.
        ArtifactError: `out` is there (without `overwrite`), holds something else than an index, or the disk is full.
    """
    out = Path(out)
    refuse_foreign(out)
    given = source if isinstance(source, Source) else Source.find(source)
    found = ForeignIndex.open(given.index)
    dim = found.index.d
    image_tower = imported_tower(tower, "image", dim) if isinstance(tower, str) else tower
    _check_towers(given, dim, image_tower, text_tower, projection)
    require_agreement(found, given)
    recipe = _recipe(found, given, store, rerank)
    with writer_lock(out):
        remove_leftovers(out.parent, out.name)
        with new_folder(out, overwrite=overwrite) as aside:
            if projection is not None:
                shutil.copytree(projection.folder, aside / ADAPTER)
            found.write_empty(aside / TRAINED)
            segment = _write_segment(aside, found, given, recipe)
            refuse_repeats(aside, [segment])
            IndexManifest(
                generation=1,
                recipe=recipe,
                dim=dim,
                image_tower=image_tower,
                text_tower=text_tower,
                adapter=projection.fingerprint if projection else None,
                trained=FileEntry.of(aside / TRAINED),
                segments=[segment],
            ).write(aside)
    return Index.load(out)


def _check_towers(
    source: Source, dim: int, image_tower: TowerInfo, text_tower: TowerInfo | None, projection: Projection | None
) -> None:
    if image_tower.modality != "image" or image_tower.dim != dim:
        raise MismatchError(
            f"{source.index} holds vectors of {dim} dimensions; the {image_tower.modality} tower {image_tower.spec} makes "
            f"vectors of {image_tower.dim}."
        )
    if projection is not None:
        _require_still(source, dim, projection)
    elif text_tower is not None and (text_tower.dim != dim or not same_model(text_tower, image_tower)):
        raise MismatchError(f"{text_tower.spec} is not the text tower of {image_tower.spec}, which made {source.index}.")


def _require_still(source: Source, dim: int, projection: Projection) -> None:
    """An index of vectors as they were answers queries of their own space only."""
    others = np.random.default_rng(0).normal(size=(64, dim))
    probes = np.concatenate([np.eye(dim), others / np.linalg.norm(others, axis=1, keepdims=True)]).astype(np.float32)
    if projection.dim != dim or np.abs(projection.apply(probes) - probes).max() > _MOVED:
        raise ConfigError(
            f"the adapter {projection.folder} carries image vectors into another space, where {source.index}, which holds "
            f"them as they were, is of no use: {BUILD.replace('build`', 'build --adapter`')}."
        )


def _recipe(found: ForeignIndex, source: Source, store: Store, rerank: int) -> IndexRecipe:
    if source.vectors is None and not found.gives_vectors:
        raise DataError(
            f"{found.path} ({found.factory}) cannot give its vectors back, and there are no others: put the vectors beside it."
        )
    if source.vectors is None and not found.exact:
        if store not in ("auto", "none"):
            raise ConfigError(f"{source.name} has no vectors to store beside the codes of {found.path}: leave store at none.")
        store = "none"
    return IndexRecipe(factory=found.factory, search=found.search, store=store, rerank=rerank)


def _write_segment(folder: Path, found: ForeignIndex, source: Source, recipe: IndexRecipe) -> SegmentEntry:
    target = folder / "segment-000001"
    target.mkdir()
    if found.wrapped:
        write_index(ForeignIndex.open(found.path).index, target / VECTORS)
    else:
        shutil.copyfile(found.path, target / VECTORS)
    hashes: list[npt.NDArray[np.uint64]] = []
    written = write_rows(target / ROWS, source.schema, _hashed(source.tables(), hashes))
    if written != source.rows:
        raise DataError(f"{source.name} has {written:,} rows of metadata, but {source.rows:,} were announced.")
    write_lookup(target / LOOKUP, np.concatenate(hashes))
    store = ("none" if found.exact else "float16") if recipe.store == "auto" else recipe.store
    if store != "none":
        _write_store(target / STORED, found, source, np.dtype(store))
    files = {path.name: FileEntry.of(path) for path in sorted(target.iterdir())}
    return SegmentEntry(name=target.name, rows=source.rows, files=files)


def _hashed(tables: Iterator[pa.Table], hashes: list[npt.NDArray[np.uint64]]) -> Iterator[pa.Table]:
    for table in tables:
        hashes.append(id_hashes(table["id"].to_pylist()))
        yield table


def _write_store(path: Path, found: ForeignIndex, source: Source, dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (source.rows, found.index.d)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, source.rows, BLOCK):
            rows = np.arange(start, min(start + BLOCK, source.rows))
            block = source.vectors.take(rows) if source.vectors else exact_vectors(found.index, rows)
            unit = normalised(block, found.index.d, f"{source.name}, from row {start}")
            file.write(np.ascontiguousarray(unit, dtype).tobytes())
