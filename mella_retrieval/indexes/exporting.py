"""Write an index for other programs: clip-retrieval's folder, with one FAISS file where it is wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella_retrieval.artifacts import new_folder, require_free
from mella_retrieval.data.formats.clip_retrieval import recognises
from mella_retrieval.data.formats.clip_retrieval_writing import write_clip_retrieval
from mella_retrieval.embeddings.mapped import free_memory
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.indexes.build import BLOCK, rows_in
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import config_errors, read_copy, read_index, write_index
from mella_retrieval.indexes.manifest import TRAINED
from mella_retrieval.indexes.rows import Rows, rows_schema, write_rows
from mella_retrieval.indexes.segment import CONTENT, VECTORS, copy_file

FAISS = "image.index"
INFOS = "image.json"

_SCRATCH = "rows.arrow"
_PLAIN = "plain"


def export_index(
    folder: Path | str,
    out: Path | str,
    *,
    dtype: str = "float16",
    faiss_file: bool = False,
    shard_rows: int = 1_000_000,
    memory: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the living items of an index as an output folder of clip-retrieval: `img_emb/` and `metadata/`.

    The rows come in the order of `Index.ids`; the column `image_id` holds the ids, so that `import_index` finds them again.

    Args:
        folder: the index.
        out: the new folder; it appears only when it is complete.
        dtype: of the vectors, "float16" or "float32".
        faiss_file: write `image.index` too, one FAISS file whose vector i belongs to row i, and autofaiss's `image.json`. The
            file of an index of one segment without deletions is taken as it is; others are put together in memory.
        shard_rows: rows of one file of vectors.
        memory: bytes for putting a FAISS file together; by default half of what is free.
        overwrite: replace a folder that is there.

    Raises:
        ConfigError: the index keeps only codes that lose precision, the FAISS file does not fit into `memory`, or it is wanted of
            an index that serves a correction.
        DataError: nothing lives in the index, or an unknown dtype.
        ArtifactError: `out` is there (without `overwrite`) or holds something else, or the disk is full.
    """
    index, out = Index.load(folder), Path(out)
    require_free(out, overwrite=overwrite)
    if out.exists() and any(out.iterdir()) and not recognises(out):
        raise ArtifactError(f"{out} is no folder of clip-retrieval, so it is not overwritten.")
    if not len(index):
        raise DataError(f"nothing lives in {folder}: there is nothing to write.")
    if not all(segment.exact for segment in index.segments):
        raise ConfigError(
            f"{folder} keeps only the codes of {index.manifest.recipe.factory} (store: none), which do not tell the vectors: "
            "write out the set it was built from."
        )
    if faiss_file and index.manifest.scoring is not None:
        raise ConfigError(f"{folder} serves a correction, which one FAISS file cannot tell: write the vectors alone.")
    if faiss_file and not _whole(index):
        _require_memory(index, free_memory() // 2 if memory is None else memory)
    with new_folder(out, overwrite=overwrite) as aside:
        metadata = _metadata(index, aside / _SCRATCH)
        vectors = (segment.vectors(rows)[:, : index.manifest.dim] for segment, rows in index.blocks(BLOCK))
        plain = write_clip_retrieval(aside / _PLAIN, metadata, vectors, shard_rows=shard_rows, dtype=dtype)
        for part in plain.iterdir():
            part.rename(aside / part.name)
        plain.rmdir()
        (aside / _SCRATCH).unlink()
        if faiss_file:
            _write_faiss(index, aside / FAISS)
            (aside / INFOS).write_text(json.dumps(_infos(index, aside / FAISS)), encoding="utf-8")
    return out


def _metadata(index: Index, scratch: Path) -> pa.Table:
    """The record columns of all living rows, memory-mapped from a file of our own."""
    schema = rows_schema(segment.table.schema for segment in index.segments)
    write_rows(scratch, schema, (segment.take(rows) for segment, rows in index.blocks(BLOCK)))
    table = Rows(scratch, len(index)).table
    columns = {name: table[name] for name in table.column_names if name not in ("id", "image_id", CONTENT)}
    if "image" in columns and "image_path" not in columns:
        columns["image_path"] = columns["image"]  # where clip-retrieval looks for it
    return pa.table({"image_id": table["id"], **columns})


def _whole(index: Index) -> bool:
    """Whether one FAISS file holds exactly the living items."""
    return len(index.segments) == 1 and len(index) == index.segments[0].rows


def _require_memory(index: Index, memory: int) -> None:
    if rows_in(memory, read_index(index.folder / TRAINED)) < len(index):
        raise ConfigError(
            f"one FAISS file of {len(index):,} vectors cannot be put together in {memory:,} bytes of memory: give more, or write "
            "the vectors alone."
        )


def _write_faiss(index: Index, path: Path) -> None:
    if _whole(index):
        copy_file(index.segments[0].folder / VECTORS, path)
        index.manifest.segments[0].files[VECTORS].verify(path, deep=True)  # it may have been built anew since it was opened
        return
    index.manifest.trained.verify(index.folder / TRAINED, deep=True)
    joined = read_copy(index.folder / TRAINED)
    for segment, rows in index.blocks(BLOCK):
        with config_errors("this kind of index cannot be filled"):
            joined.add(segment.vectors(rows))
    write_index(joined, path)


def _infos(index: Index, path: Path) -> dict[str, Any]:
    """What autofaiss writes beside an index, without the speeds, which were not measured."""
    size, recipe = path.stat().st_size, index.manifest.recipe
    return {
        "index_key": recipe.factory,
        "index_param": ",".join(f"{name}={value}" for name, value in recipe.search.items()),
        "index_path": path.name,
        "size in bytes": size,
        "nb vectors": len(index),
        "vectors dimension": index.manifest.dim,
        "compression ratio": 4 * len(index) * index.manifest.dim / size,
    }
