"""Bring vectors that somebody else computed into an embedding set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.artifacts import fingerprint, sha256_file, writer_lock
from mella_retrieval.data.formats.clip_retrieval import open_vectors
from mella_retrieval.data.formats.rows import Row, read_rows
from mella_retrieval.data.records import Rejected
from mella_retrieval.data.seen import SeenKeys
from mella_retrieval.embeddings.sets import EmbeddingSet, Vectors
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard, record_columns
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import DataError

Block = tuple[npt.NDArray[np.floating[Any]], pa.Table]

SHARD_ROWS = 65_536
_TABLE_ROWS = 16_384


def import_vectors(
    out: Path | str, tower: TowerInfo, blocks: Iterable[Block], source: str, dtype: str = "float32"
) -> EmbeddingSet:
    """Write vectors that exist already as an embedding set.

    Args:
        out: folder of the set.
        tower: the encoder that is said to have made them; its weights are `None` (not verified).
        blocks: pairs of vectors (n, dim), which may be memory maps, and a table of n rows with the column `id`.
        source: content hash of where they come from; importing the same again changes nothing.
        dtype: stored precision.

    Raises:
        DataError: NaN, infinite or zero vectors, a wrong dimension, tables and vectors of different length, repeated ids.
    """
    out = Path(out)
    with writer_lock(out):
        writer = EmbeddingWriter(out, tower, {"source": source, "dtype": dtype, "tokens": False})
        current = writer.current()
        if current is not None:
            return current
        writer.open()
        seen = SeenKeys()
        for number, (where, vectors, table) in enumerate(_shards(blocks, out)):
            _refuse_repeats(table["id"], seen, where)
            if number >= writer.shards_done:
                columns = {"id": table["id"], **record_columns(table.drop_columns(["id"]))}
                writer.add(Shard(normalised(vectors, tower.dim, where), columns), inputs=len(table))
        return writer.finish()


def _shards(blocks: Iterable[Block], out: Path) -> Iterator[tuple[str, npt.NDArray[np.floating[Any]], pa.Table]]:
    """The blocks in pieces that fit into memory, each with its place for messages."""
    for number, (vectors, table) in enumerate(blocks):
        where = f"block {number} of the vectors for {out}"
        if len(vectors) != len(table):
            raise DataError(f"{where}: {len(vectors)} vectors but {len(table)} rows of ids.")
        for start in range(0, len(table), SHARD_ROWS):
            yield f"{where}, from row {start}", vectors[start : start + SHARD_ROWS], table.slice(start, SHARD_ROWS)


def normalised(vectors: npt.NDArray[np.floating[Any]], dim: int, where: str) -> Vectors:
    """L2-normalised float32 copies of the rows.

    Raises:
        DataError: wrong shape, NaN, infinite or zero rows; the row is named.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise DataError(f"{where}: the vectors have shape {vectors.shape}, but {dim} dimensions are expected.")
    values = np.asarray(vectors, dtype=np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        kind = "a zero vector" if norms[bad[0]] == 0 else "a vector with NaN or infinite values"
        raise DataError(f"{where}: row {bad[0]} is {kind} ({len(bad)} such rows in all).")
    result: Vectors = np.divide(values, norms[:, None], out=np.empty_like(values), casting="same_kind")
    return result


def _refuse_repeats(ids: pa.ChunkedArray, seen: SeenKeys, where: str) -> None:
    missing = pc.index(pc.is_null(ids), True).as_py()
    if missing >= 0:
        raise DataError(f"{where}: row {missing} has no id.")
    keys = ids.to_pylist()
    repeated = np.flatnonzero(~seen.add([key.encode() for key in keys]))
    if len(repeated):
        raise DataError(f"{where}: the id {keys[repeated[0]]!r} stands twice (again at row {repeated[0]}); ids must be unique.")


def imported_tower(spec: str, modality: Literal["image", "text"], dim: int) -> TowerInfo:
    """The identity of an encoder that is known by name only."""
    return TowerInfo(spec=spec, modality=modality, dim=dim, weights=None, precision="unknown")


def import_file(
    vectors: Path | str,
    rows: Path | str,
    out: Path | str,
    spec: str,
    modality: Literal["image", "text"],
    *,
    key: str | None = None,
    id_column: str = "id",
) -> EmbeddingSet:
    """Import one npy or safetensors file whose row i belongs to row i of a table.

    Args:
        vectors: the file, (n, dim).
        rows: CSV, JSONL or Parquet table of n rows.
        out: folder of the embedding set.
        spec: the encoder that made the vectors, as its owner knows it.
        modality: `image` or `text`.
        key: name of the tensor, where a safetensors file holds several.
        id_column: column of the table that becomes the id.

    Raises:
        DataError: a file cannot be read, or see `import_vectors`.
    """
    array = _read_array(Path(vectors), key)
    table = _read_table(Path(rows))
    if id_column not in table.column_names:
        raise DataError(f"{rows} has no column {id_column!r}; it has {', '.join(table.column_names)}.")
    ids = pa.array([None if value is None else str(value) for value in table[id_column].to_pylist()], pa.string())
    if id_column == "id":
        table = table.drop_columns(["id"])
    table = table.rename_columns(["record_id" if name == "id" else name for name in table.column_names])
    tower = imported_tower(spec, modality, int(array.shape[-1]))
    return import_vectors(out, tower, [(array, table.add_column(0, "id", ids))], sha256_of_files([Path(vectors), Path(rows)]))


def _read_table(path: Path) -> pa.Table:
    rows = read_rows(path)
    tables = []
    while chunk := list(islice(rows, _TABLE_ROWS)):
        tables.append(_table([_whole(row) for row in chunk], path))
    if not tables:
        raise DataError(f"{path} has no rows.")
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"{path}: a column changes its type: {error}") from None


def _whole(row: Row | Rejected) -> Mapping[str, Any]:
    if isinstance(row, Rejected):
        raise DataError(f"{row.where}: {row.reason}. Rows and vectors would get out of step, so no row may be skipped.")
    return row[1]


def _table(rows: list[Mapping[str, Any]], path: Path) -> pa.Table:
    names = dict.fromkeys(name for row in rows for name in row)  # JSON lines need not all have the same keys
    try:
        return pa.table({name: [row.get(name) for row in rows] for name in names})
    except pa.ArrowException as error:
        raise DataError(f"{path}: a column holds values of different types: {error}") from None


def _read_array(path: Path, key: str | None) -> npt.NDArray[np.floating[Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    if path.suffix != ".safetensors":
        return open_vectors(path)
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if key is None and len(names) == 1:
                key = names[0]
            if key not in names:
                raise DataError(f"{path} holds the tensors {', '.join(names)}; name one of them with --key.")
            array = np.asarray(file.get_tensor(key))
    except (OSError, TypeError, SafetensorError) as error:
        raise DataError(f"{path} cannot be read as vectors: {error}") from None
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path}: the tensor {key!r} is {array.dtype} {array.shape}, not floating-point vectors of shape (n, d).")
    return array


def sha256_of_files(paths: Iterable[Path]) -> str:
    """One hash over the contents of several files."""
    return fingerprint([sha256_file(path) for path in paths])
