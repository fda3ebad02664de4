"""Read an embedding set: vectors and rows in shards, memory-mapped.

On disk: `manifest.json`, and per shard `part-00000.npy` (rows x dim), `part-00000.parquet` (`id` and the record's columns) and,
where token vectors were asked for, `part-00000.tokens.npy` (all tokens of the shard x token dim), with the column `tokens`
saying how many of them belong to each row (a ragged axis).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import MANIFEST, Json, beside, fingerprint, read_manifest, sha256_bytes, verify_file
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, ConfigError, DataError

KIND = "embeddings"
VERSION = 1

Vectors = npt.NDArray[np.float32]
Where = Mapping[str, str | list[str]]


class EmbeddingSet:
    """A finished embedding set.

    Attributes:
        folder: where it lies.
        manifest: its manifest as read.
        tower: the encoder that made the vectors.
    """

    def __init__(self, folder: Path, manifest: Json) -> None:
        self.folder = folder
        self.manifest = manifest
        self.tower = TowerInfo.from_json(manifest["tower"])

    @classmethod
    def load(cls, folder: Path | str, *, deep: bool = False) -> EmbeddingSet:
        """Open a finished set; sizes of all shards are checked, with `deep` their content hashes too.

        Raises:
            ArtifactError: not an embedding set, unfinished, or a shard is missing, cut short or (with `deep`) changed.
        """
        folder = Path(folder)
        partial = beside(folder, ".partial")
        if not folder.exists() and partial.is_dir():
            raise ArtifactError(f"{folder} is not finished: run the same `mella embed` command again, it continues in {partial}.")
        manifest = read_manifest(folder, KIND, VERSION)
        try:
            found = cls(folder, manifest)
            whole = len(found) == sum(shard["rows"] for shard in manifest["shards"])
            files = [file for shard in manifest["shards"] for file in shard["files"].items()]
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise ArtifactError(f"{folder / MANIFEST} is damaged: {error!r}.") from None
        if not whole:
            raise ArtifactError(f"{folder / MANIFEST} is damaged: its shards do not add up to {len(found)} rows.")
        for name, expected in files:
            verify_file(folder / name, expected, deep=deep)
        return found

    def __len__(self) -> int:
        return int(self.manifest["rows"])

    @property
    def dim(self) -> int:
        """Length of one vector."""
        return self.tower.dim

    @property
    def rows_bytes(self) -> int:
        """Bytes that all pooled vectors take in memory as float32."""
        return 4 * len(self) * self.dim

    @property
    def modality(self) -> str:
        """`image` or `text`."""
        return self.tower.modality

    @property
    def fingerprint(self) -> str:
        """Hash over what the set holds (shards) and what made it (tower)."""
        return fingerprint({"tower": self.manifest["tower"], "shards": [shard["files"] for shard in self.manifest["shards"]]})

    def shard_vectors(self, shard: int) -> npt.NDArray[np.floating[Any]]:
        """The vectors of one shard, memory-mapped in their stored precision, shape (rows, dim)."""
        return _map(self.folder / f"part-{shard:05d}.npy", (self.manifest["shards"][shard]["rows"], self.dim))

    def shard_table(self, shard: int, columns: list[str] | None = None) -> pa.Table:
        """The rows of one shard: `id` and the record's columns."""
        path = self.folder / f"part-{shard:05d}.parquet"
        try:
            table = pq.ParquetFile(path).read(columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}") from None
        rows = self.manifest["shards"][shard]["rows"]
        if len(table) != rows:
            raise ArtifactError(f"{path} has {len(table)} rows, its manifest says {rows}.")
        return table

    @property
    def token_dim(self) -> int:
        """Length of one token vector.

        Raises:
            ArtifactError: the set holds pooled vectors only.
        """
        if not self.manifest.get("token_dim"):
            raise ArtifactError(f"{self.folder} holds pooled vectors only; make it again with --tokens.")
        return int(self.manifest["token_dim"])

    def shard_tokens(self, shard: int) -> list[npt.NDArray[np.floating[Any]]]:
        """Token vectors of each row of a shard: a list of (tokens, token dim) views into the memory map."""
        flat = self.shard_token_map(shard)
        counts = self.shard_table(shard, ["tokens"])["tokens"].to_numpy()
        ends = np.cumsum(counts)
        return [flat[end - count : end] for count, end in zip(counts, ends, strict=True)]

    def shard_token_map(self, shard: int) -> npt.NDArray[np.floating[Any]]:
        """All token vectors of a shard, memory-mapped, row after row: (tokens of the shard, token dim)."""
        dim = self.token_dim
        tokens = int(self.shard_table(shard, ["tokens"])["tokens"].to_numpy().sum())
        if not tokens:  # every input of the shard was skipped
            return np.empty((0, dim), np.float32)
        return _map(self.folder / f"part-{shard:05d}.tokens.npy", (tokens, dim))

    @cached_property
    def table(self) -> pa.Table:
        """All rows: `id` and the record's columns, in the order of the vectors."""
        tables = [self.shard_table(shard) for shard in range(len(self.manifest["shards"]))]
        try:
            return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
        except pa.ArrowException as error:
            raise ArtifactError(f"the columns of {self.folder} differ from shard to shard: {error}") from None

    @property
    def ids(self) -> list[str]:
        """The ids in the order of the vectors."""
        return list(self.table["id"].to_pylist())

    def column(self, name: str) -> list[Any]:
        """One column as a Python list.

        Raises:
            DataError: there is no such column.
        """
        return list(self._column(name).to_pylist())

    def _column(self, name: str) -> pa.ChunkedArray:
        if name not in self.table.column_names:
            raise DataError(f"{self.folder} has no column {name!r}; it has {', '.join(self.table.column_names)}.")
        return self.table[name]

    def column_at(self, name: str, rows: npt.NDArray[np.int64]) -> list[Any]:
        """One column at some rows, as `column`."""
        return list(self._column(name).take(pa.array(rows, pa.int64())).to_pylist())

    def rows(self, where: Where | None = None) -> npt.NDArray[np.int64]:
        """Positions of the rows whose columns have the wanted values (`{"split": "train", "lang": ["hu", "cs"]}`)."""
        keep = np.ones(len(self), dtype=bool)
        for name, wanted in (where or {}).items():
            values = {wanted} if isinstance(wanted, str) else set(wanted)
            keep &= np.fromiter((str(value) in values for value in self.column(name)), dtype=bool, count=len(self))
        return np.flatnonzero(keep)

    def select(self, where: Where | None = None) -> Selection:
        """The rows with the wanted column values, as a set of its own."""
        return Selection(self, self.rows(where))

    def vectors(self, rows: npt.NDArray[np.int64] | None = None) -> Vectors:
        """Vectors in memory as float32, shape (rows, dim): all of them, or those at the given positions."""
        result = np.empty((len(self) if rows is None else len(rows), self.dim), np.float32)
        if rows is None:
            for start, block in self.blocks():
                result[start : start + len(block)] = block
            return result
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.folder}, which has {len(self)}")
        starts = np.cumsum([0, *(entry["rows"] for entry in self.manifest["shards"])])
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], starts)
        for shard, start in enumerate(starts[:-1]):
            inside = order[bounds[shard] : bounds[shard + 1]]
            if len(inside):
                result[inside] = self.shard_vectors(shard)[rows[inside] - start]
        return result

    def blocks(self, size: int = 65_536) -> Iterator[tuple[int, Vectors]]:
        """Float32 blocks of at most `size` rows with the position of their first row; memory stays bounded."""
        start = 0
        for shard in range(len(self.manifest["shards"])):
            stored = self.shard_vectors(shard)
            for begin in range(0, len(stored), size):
                block = np.asarray(stored[begin : begin + size], dtype=np.float32)
                yield start + begin, block
            start += len(stored)


@dataclass(frozen=True)
class Selection:
    """Some rows of an embedding set, in order.

    Attributes:
        source: the embedding set.
        positions: positions of the rows, shape (n,).
    """

    source: EmbeddingSet
    positions: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors in memory, float32, shape (n, dim)."""
        return self.source.vectors(self.positions)

    @property
    def ids(self) -> list[str]:
        """The ids of the rows."""
        return self.column("id")

    def column(self, name: str) -> list[Any]:
        """One column of the rows."""
        return self.source.column_at(name, self.positions)

    def has_column(self, name: str) -> bool:
        """Whether the set has this column."""
        return name in self.source.table.column_names

    def take(self, chosen: npt.NDArray[np.int64]) -> Selection:
        """Some of these rows, by their place in the selection."""
        return Selection(self.source, self.positions[chosen])

    @property
    def fingerprint(self) -> str:
        """Hash over the set and the chosen rows."""
        return fingerprint([self.source.fingerprint, sha256_bytes(self.positions.astype("<i8").tobytes())])


def _map(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.floating[Any]]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None
    if array.shape != shape:
        raise ArtifactError(f"{path} has shape {array.shape}, its manifest says {shape}.")
    checked: npt.NDArray[np.floating[Any]] = array
    return checked
