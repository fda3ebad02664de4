"""Writing vectors and metadata as clip-retrieval's own output folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import new_folder
from mella_retrieval.data.formats.clip_retrieval import ID_COLUMNS, Vectors
from mella_retrieval.errors import DataError


def write_clip_retrieval(
    folder: Path | str,
    metadata: pa.Table,
    image_vectors: Iterable[Vectors] | None,
    text_vectors: Iterable[Vectors] | None = None,
    *,
    shard_rows: int = 1_000_000,
    dtype: str = "float16",
    overwrite: bool = False,
) -> Path:
    """Write an output folder of clip-retrieval; it appears only when it is complete.

    Args:
        folder: the new folder.
        metadata: one row per vector, in order; `image_path` (and `caption`) are what clip-retrieval's own tools expect.
        image_vectors: blocks of shape (rows, d) of any height, N rows together; None for a folder of texts.
        text_vectors: the same for the captions.
        shard_rows: rows a shard, at least 1; the default is clip-retrieval's.
        dtype: "float16" or "float32".
        overwrite: replace a folder that is already there.

    Returns:
        The folder, for `ClipRetrievalFolder.open`.

    Raises:
        DataError: other numbers of rows, differing columns, or numbers that are not finite in the stored precision.
        ArtifactError: the folder exists or cannot be written.
    """
    if dtype not in ("float16", "float32"):
        raise DataError(f"clip-retrieval folders hold float16 or float32, not {dtype}.")
    if shard_rows < 1:
        raise DataError(f"a shard needs at least one row, not {shard_rows}.")
    if not set(ID_COLUMNS) & set(metadata.column_names):
        raise DataError(
            f"the metadata needs one of the columns {', '.join(ID_COLUMNS)}; it has {', '.join(metadata.column_names)}."
        )
    if image_vectors is None and text_vectors is None:
        raise DataError("there are neither image nor text vectors to write.")
    bounds = [(begin, min(begin + shard_rows, metadata.num_rows)) for begin in range(0, max(metadata.num_rows, 1), shard_rows)]
    names = [str(number).zfill(len(str(len(bounds) - 1))) for number in range(len(bounds))]
    with new_folder(folder, overwrite=overwrite) as aside:
        (aside / "metadata").mkdir()
        for name, (begin, end) in zip(names, bounds, strict=True):
            pq.write_table(metadata.slice(begin, end - begin), aside / "metadata" / f"metadata_{name}.parquet")
        for kind, stem, blocks in (("image", "img_emb", image_vectors), ("text", "text_emb", text_vectors)):
            if blocks is not None:
                (aside / stem).mkdir()
                files = [aside / stem / f"{stem}_{name}.npy" for name in names]
                _write_vectors(kind, files, bounds, blocks, dtype)
    return Path(folder)


def _write_vectors(kind: str, files: list[Path], bounds: list[tuple[int, int]], blocks: Iterable[Vectors], dtype: str) -> None:
    pending = _finite_blocks(kind, blocks, dtype)
    block = next(pending, None)
    if block is None:
        raise DataError(f"there are no {kind} vectors to write.")
    columns = block.shape[1]
    for path, (begin, end) in zip(files, bounds, strict=True):
        with path.open("wb") as file:
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
                "fortran_order": False,
                "shape": (end - begin, columns),
            }
            np.lib.format.write_array_header_1_0(file, header)
            missing = end - begin
            while missing:
                if block is None:
                    raise DataError(f"there are {end - missing} {kind} vectors for {bounds[-1][1]} rows of metadata.")
                if block.shape[1] != columns:
                    raise DataError(f"{kind} vectors of {block.shape[1]} numbers follow vectors of {columns}.")
                file.write(np.ascontiguousarray(block[:missing]).tobytes())
                written = min(missing, len(block))
                missing -= written
                block = block[written:] if written < len(block) else next(pending, None)
    if block is not None and len(block):
        raise DataError(f"there are more {kind} vectors than the {bounds[-1][1]} rows of metadata.")


def _finite_blocks(kind: str, blocks: Iterable[Vectors], dtype: str) -> Iterator[Vectors]:
    row = 0
    for block in blocks:
        if block.ndim != 2:
            raise DataError(f"{kind} vectors must come in blocks of shape (rows, d), not {block.shape}.")
        with np.errstate(over="ignore"):
            stored = block.astype(dtype)
        bad = np.flatnonzero(~np.isfinite(stored).all(axis=1))
        if len(bad):
            raise DataError(f"{kind} vector {row + bad[0] + 1} is not finite as {dtype}; mend or remove it first.")
        row += len(block)
        if len(block) or row == 0:
            yield stored
