"""Rows and vectors that lie beside a FAISS file: clip-retrieval's folders, or plain tables and npy files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mella_retrieval.data.formats.clip_retrieval import ClipRetrievalFolder, open_vectors, recognises
from mella_retrieval.data.formats.rows import Row, open_parquet, read_rows
from mella_retrieval.data.records import Rejected
from mella_retrieval.embeddings.writing import record_columns
from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.indexes.rows import rows_schema

_CHUNK = 16_384


class Stacked:
    """Memory-mapped arrays (n_i, dim), one below the other.

    Attributes:
        dim: columns of each.
    """

    def __init__(self, parts: list[npt.NDArray[np.floating[Any]]]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])
        self.dim = int(parts[0].shape[1])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Copies of some rows, (n, dim)."""
        taken = np.empty((len(rows), self.dim), np.float32)
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for owner in np.unique(owners):
            mine = owners == owner
            taken[mine] = self._parts[owner][rows[mine] - self._starts[owner]]
        return taken


@dataclass(frozen=True)
class Source:
    """What belongs together.

    Attributes:
        name: for messages.
        index: the FAISS file.
        rows: how many there are.
        schema: of the tables: `id` first.
        tables: reads the rows, block by block; may be called again.
        vectors: the vectors of the rows, or None where only the FAISS file has them.
    """

    name: str
    index: Path
    rows: int
    schema: pa.Schema
    tables: Callable[[], Iterator[pa.Table]]
    vectors: Stacked | None

    @classmethod
    def find(
        cls, source: Path | str, rows: Path | str | None = None, vectors: Path | str | None = None, id_column: str = "id"
    ) -> Source:
        """What there is at `source`.

        Args:
            source: an output folder of clip-retrieval with `image.index` and `metadata/` (in one folder, or in `index/` beside
                `embeddings/`; `img_emb/` may be absent), or a FAISS file.
            rows: for a FAISS file: CSV, JSONL or Parquet table whose row i belongs to vector i.
            vectors: for a FAISS file: `.npy` file of the vectors (n, dim), where they are at hand.
            id_column: column of `rows` that holds the ids.

        Raises:
            ConfigError: a folder with a table or vectors, a file without a table.
            DataError: something is missing, cannot be read, or has another number of rows.
        """
        source = Path(source)
        if not source.exists():
            raise DataError(f"there is no file or folder {source}.")
        if source.is_dir():
            if rows is not None or vectors is not None:
                raise ConfigError(
                    f"{source} is a folder, which brings its own rows and vectors; name its FAISS file to give others."
                )
            return _clip_retrieval(source)
        if rows is None:
            raise ConfigError(f"{source} is a file: name the table whose row i belongs to its vector i (--rows).")
        return _plain(source, Path(rows), Path(vectors) if vectors is not None else None, id_column)


def _clip_retrieval(source: Path) -> Source:
    folder = ClipRetrievalFolder.open(source)
    places = dict.fromkeys(place / "image.index" for place in (source, source / "index", folder.path))
    index = next((place for place in places if place.is_file()), None)
    if index is None:
        raise DataError(f"{source} has no image.index; its vectors can be built into one: `mella index build {source} ...`.")
    named = folder
    if index.parent != folder.path and recognises(index.parent):
        named = ClipRetrievalFolder.open(index.parent)
        _require_same_ids(folder, named)
    shards = [_parquet_schema(shard.metadata) for shard in named.shards]
    vectors = Stacked(list(folder.read_vectors("image"))) if "image" in folder.dims else None
    return Source(
        name=str(folder.path),
        index=index,
        rows=len(named),
        schema=rows_schema(_named(schema.empty_table(), []).schema for schema in shards),
        tables=lambda: _clip_tables(named),
        vectors=vectors,
    )


def _parquet_schema(path: Path) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _require_same_ids(vectors: ClipRetrievalFolder, index: ClipRetrievalFolder) -> None:
    pairs = zip_longest(vectors.image_ids(), index.image_ids())
    for row, (one, other) in enumerate(pairs):
        if one != other:
            raise DataError(
                f"row {row} is {one!r} in the metadata of {vectors.path}, but {other!r} in that of {index.path}: the index was "
                "made from other vectors."
            )


def _clip_tables(folder: ClipRetrievalFolder) -> Iterator[pa.Table]:
    names = folder.image_ids()
    for table in folder.read_metadata():
        yield _named(table, list(islice(names, len(table))))


def _named(table: pa.Table, ids: list[str]) -> pa.Table:
    """Metadata with the columns that `mella embed import` gives it."""
    kept = table.drop_columns(["image_id"]) if "image_id" in table.column_names else table
    names = pa.array(ids, pa.string())
    return pa.table({"id": names, "image_id": names, **record_columns(kept)})


def _plain(index: Path, rows: Path, vectors: Path | None, id_column: str) -> Source:
    table = _read_table(rows, id_column)
    stacked = None
    if vectors is not None:
        if not vectors.is_file():
            raise DataError(f"there is no file {vectors}.")
        stacked = Stacked([open_vectors(vectors)])
        if len(stacked) != len(table):
            raise DataError(f"{vectors} has {len(stacked):,} vectors, but {rows} has {len(table):,} rows of ids.")
    return Source(str(vectors or rows), index, len(table), rows_schema([table.schema]), lambda: iter([table]), stacked)


def _read_table(path: Path, id_column: str) -> pa.Table:
    rows = read_rows(path)
    tables = []
    while chunk := [_whole(row) for row in islice(rows, _CHUNK)]:
        names = dict.fromkeys(name for row in chunk for name in row)  # JSON lines need not all have the same keys
        try:
            tables.append(pa.table({name: [row.get(name) for row in chunk] for name in names}))
        except pa.ArrowException as error:
            raise DataError(f"{path}: a column holds values of different types: {error}") from None
    if not tables:
        raise DataError(f"{path} has no rows.")
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"{path}: a column changes its type: {error}") from None
    return _with_ids(table, path, id_column)


def _whole(row: Row | Rejected) -> Mapping[str, Any]:
    if isinstance(row, Rejected):
        raise DataError(f"{row.where}: {row.reason}. Rows and vectors would get out of step, so no row may be skipped.")
    return row[1]


def _with_ids(table: pa.Table, path: Path, id_column: str) -> pa.Table:
    if id_column not in table.column_names:
        raise DataError(f"{path} has no column {id_column!r}; it has {', '.join(table.column_names)}.")
    ids = table[id_column].to_pylist()
    if None in ids:
        raise DataError(f"{path}: row {ids.index(None)} has no id.")
    kept = table.drop_columns(["id"]) if id_column == "id" else table
    return pa.table({"id": pa.array([str(key) for key in ids], pa.string()), **record_columns(kept)})
