"""One immutable segment: a FAISS index and the rows (ids and record columns) in the same order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import describe_file, new_folder
from mella_retrieval.errors import ArtifactError, ConfigError
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.manifest import IndexRecipe, SegmentEntry

VECTORS = "vectors.faiss"
ROWS = "rows.parquet"

Array = npt.NDArray[np.float32]


def new_index(recipe: IndexRecipe, dim: int, sample: Callable[[], Array]) -> Any:
    """An empty, trained FAISS index.

    Args:
        recipe: factory string and search parameters.
        dim: of the vectors.
        sample: gives the vectors that a trained index learns from, (n, dim); not called where nothing is learnt.

    Raises:
        ConfigError: the factory string or a search parameter is not valid, or the sample is too small.
    """
    with _config_errors(f"FAISS cannot make {recipe.factory!r} for {dim} dimensions"):
        index = faiss().index_factory(dim, recipe.factory, faiss().METRIC_INNER_PRODUCT)
    _set_parameters(index, recipe)
    if not index.is_trained:
        vectors = sample()
        with _config_errors(f"{recipe.factory} cannot be trained on {len(vectors)} vectors"):
            index.train(np.ascontiguousarray(vectors))
    return index


def write_segment(folder: Path, index: Any, blocks: Iterable[Array], rows: pa.Table, name: str) -> SegmentEntry:
    """Fill a FAISS index and write it with its rows; a folder of this name that a killed writer left is replaced.

    Args:
        folder: where the segment's folder `name` is made.
        index: empty and trained.
        blocks: all unit vectors in order, (b, dim) each.
        rows: one row per vector, with the column `id`.
        name: of the segment.

    Raises:
        ConfigError: this kind of index cannot take vectors one after the other.
        ArtifactError: the disk is full, or there are not as many vectors as rows.
    """
    for block in blocks:
        with _config_errors("this kind of index cannot be filled"):
            index.add(np.ascontiguousarray(block))
    if index.ntotal != len(rows):
        raise ArtifactError(f"the segment {name} has {index.ntotal} vectors but {len(rows)} rows.")
    with new_folder(folder / name, overwrite=True) as target:
        try:
            faiss().write_index(index, str(target / VECTORS))
        except RuntimeError as error:
            raise ArtifactError(f"could not write {folder / name}: {_reason(error)}. Nothing was changed.") from None
        pq.write_table(rows, target / ROWS, compression="zstd", row_group_size=16_384)
        files = {file: describe_file(target / file) for file in (VECTORS, ROWS)}
    return SegmentEntry(name=name, rows=len(rows), files=files)


def _set_parameters(index: Any, recipe: IndexRecipe) -> None:
    for name, value in recipe.search.items():
        with _config_errors(f"the search parameter {name}={value} does not fit {recipe.factory!r}"):
            faiss().ParameterSpace().set_index_parameter(index, name, value)


@contextmanager
def _config_errors(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise ConfigError(f"{what}: {_reason(error)}.") from None


def _reason(error: RuntimeError) -> str:
    """The sentence in a FAISS error, without its C++ location."""
    text = re.sub(r"^Error in .* at \S+:\d+: ", "", str(error).strip().splitlines()[0])
    failed = re.fullmatch(r"Error: '(.*)' failed:? *(.*)", text)
    return (failed[2] or f"it needs {failed[1]}") if failed else text


class Segment:
    """An opened segment. It reads its files through handles of its own: what is put in their place later does not concern it.

    Raises:
        ArtifactError: a file cannot be read or does not have the rows its manifest lists.
        ConfigError: a search parameter does not fit.
    """

    def __init__(self, folder: Path, entry: SegmentEntry, dim: int, recipe: IndexRecipe) -> None:
        self.folder = folder / entry.name
        self.rows = entry.rows
        try:
            self.index = faiss().read_index(str(self.folder / VECTORS))
        except RuntimeError as error:
            raise ArtifactError(f"{self.folder / VECTORS} cannot be read: {_reason(error)}") from None
        if self.index.ntotal != entry.rows or self.index.d != dim:
            raise ArtifactError(
                f"{self.folder / VECTORS} holds {self.index.ntotal} vectors of {self.index.d} dimensions; "
                f"its manifest says {entry.rows} of {dim}."
            )
        try:
            self._file = pq.ParquetFile(self.folder / ROWS, memory_map=True)
        except (pa.ArrowException, OSError) as error:
            raise ArtifactError(f"{self.folder / ROWS} cannot be read: {error}") from None
        if self._file.metadata.num_rows != entry.rows or "id" not in self._file.schema_arrow.names:
            raise ArtifactError(
                f"{self.folder / ROWS} has {self._file.metadata.num_rows} rows of {', '.join(self._file.schema_arrow.names)}; "
                f"its manifest says {entry.rows}, each with an id."
            )
        _set_parameters(self.index, recipe)

    def emptied(self) -> Any:
        """The FAISS index without its vectors, but with what it learnt. The segment cannot be searched any more."""
        self.index.reset()
        return self.index

    @cached_property
    def _ids(self) -> pa.ChunkedArray:
        return self._read(["id"])["id"]

    @cached_property
    def _table(self) -> pa.Table:
        return self._read(None)

    def _read(self, columns: list[str] | None) -> pa.Table:
        try:
            return self._file.read(columns=columns).combine_chunks()  # taking rows from many chunks is slow
        except (pa.ArrowException, OSError) as error:
            raise ArtifactError(f"{self.folder / ROWS} cannot be read: {error}") from None

    def ids(self, rows: npt.NDArray[np.int64] | None = None) -> list[str]:
        """The ids of some rows, or of all in the order of the vectors."""
        return list((self._ids if rows is None else self._ids.take(pa.array(rows, pa.int64()))).to_pylist())

    def records(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """The record columns of some rows."""
        return list(self._table.take(pa.array(rows, pa.int64())).to_pylist()) if len(rows) else []

    def search(
        self, queries: Array, k: int, deleted: npt.NDArray[np.int64]
    ) -> Iterator[tuple[int, Array, npt.NDArray[np.int64]]]:
        """Per query its number, and scores and rows of the k best living items and of all that tie with the last of them.

        Few kinds of index can be told which rows to pass over, so more are asked for until k living ones were found.

        Args:
            queries: (q, dim), L2-normalised.
            k: how many.
            deleted: rows of this segment that do not exist any more, sorted.
        """
        alive_rows = self.rows - len(deleted)
        k = min(k, alive_rows)
        if k == 0:
            return
        wanted = min(self.rows, (2 * (k + 1) * self.rows) // alive_rows if len(deleted) else k + 1)
        open_queries = np.arange(len(queries))
        while len(open_queries):
            scores, rows = self.index.search(queries[open_queries], wanted)
            living = (rows >= 0) & ~np.isin(rows, deleted)
            left = []
            for query, all_scores, all_rows, alive in zip(open_queries, scores, rows, living, strict=True):
                found = all_scores[alive]
                # Enough when a worse one follows the k-th, or nothing follows at all.
                if wanted == self.rows or all_rows[-1] < 0 or (len(found) >= k and all_scores[-1] < found[k - 1]):
                    yield int(query), found, all_rows[alive]
                else:
                    left.append(query)
            open_queries = np.array(left, dtype=np.int64)
            wanted = min(self.rows, 2 * wanted)
