"""Output folders of clip-retrieval (https://github.com/rom1504/clip-retrieval): vectors in shards, metadata beside them.

    img_emb/img_emb_0.npy     (N, d) float16 or float32, row i belongs to row i of the metadata
    text_emb/text_emb_0.npy   the same for the captions; may be absent
    metadata/metadata_0.parquet   image_path, caption, ...
    image.index, text.index   FAISS, by autofaiss; may stand alone with the metadata

Both layouts in use are read: all of it in one folder, and `embeddings/` + `index/` under a common one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mella_retrieval.data.formats.rows import open_parquet, parquet_rows
from mella_retrieval.data.formats.table import TableOptions, read_row_files
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError

# What NumPy raises on damaged files, by the place of the damage.
_UNREADABLE = (ValueError, TypeError, OSError, EOFError, SyntaxError, TokenError, OverflowError, MemoryError, RecursionError)

Kind = Literal["image", "text"]
Vectors = NDArray[np.floating[Any]]

_NUMBERED = re.compile(r"_(\d+)$")
ID_COLUMNS = ("image_id", "key", "image_path", "url")


@dataclass(frozen=True)
class Shard:
    """Files of one shard, all of `rows` rows; a kind of vectors that the folder does not have is None."""

    image: Path | None
    text: Path | None
    metadata: Path
    rows: int

    def vectors(self, kind: Kind) -> Path | None:
        """The file of one kind of vectors."""
        return self.image if kind == "image" else self.text


@dataclass(frozen=True)
class ClipRetrievalFolder:
    """A checked folder.

    Attributes:
        path: the folder with `metadata/`.
        shards: in the order of their numbers.
        dims: columns of the vectors by kind.
        image_index, text_index: FAISS files, if there are any.
    """

    path: Path
    shards: tuple[Shard, ...]
    dims: dict[Kind, int]
    image_index: Path | None = None
    text_index: Path | None = None

    @classmethod
    def open(cls, path: Path | str) -> ClipRetrievalFolder:
        """Find the files of a folder and check them against each other.

        Raises:
            DataError: no such folder, a shard without its counterpart, other row counts or columns, an unreadable file.
        """
        root = _root(Path(path))
        metadata = _numbered(root / "metadata", "metadata_*.parquet")
        files = {
            kind: _numbered(root / f"{name}_emb", f"{name}_emb_*.npy") for kind, name in (("image", "img"), ("text", "text"))
        }
        for kind, found in files.items():
            if found and found.keys() != metadata.keys():
                odd = ", ".join(str(number) for number in sorted(found.keys() ^ metadata.keys()))
                raise DataError(
                    f"{root}: the {kind} vectors and the metadata do not have the same shards; unpaired numbers: {odd}."
                )
        dims: dict[Kind, int] = {}
        shards = []
        for number, table in sorted(metadata.items()):
            shard = Shard(files["image"].get(number), files["text"].get(number), table, _rows(table))
            _check_shard(shard, dims)
            shards.append(shard)
        indexes = [path if (path := root / name).is_file() else None for name in ("image.index", "text.index")]
        return cls(root, tuple(shards), dims, *indexes)

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def read_vectors(self, kind: Kind = "image") -> Iterator[Vectors]:
        """The vectors shard by shard, memory-mapped: arrays of shape (rows, d), float16 or float32, as stored (not normalised).

        Raises:
            DataError: the folder has no vectors of this kind.
        """
        if kind not in self.dims:
            raise DataError(f"{self.path} has no {kind} vectors.")
        for shard in self.shards:
            path = shard.vectors(kind)
            if path is not None:
                yield open_vectors(path)

    def read_metadata(self) -> Iterator[pa.Table]:
        """The metadata shard by shard, with all its columns."""
        for shard in self.shards:
            with open_parquet(shard.metadata) as file:
                yield file.read()

    def image_ids(self) -> Iterator[str]:
        """The image_id of every row, as records read from this folder have it."""
        for shard in self.shards:
            with open_parquet(shard.metadata) as file:
                column = id_column(shard.metadata, file.schema_arrow.names)
                for _, row in parquet_rows(shard.metadata.name, file, [column]):
                    yield str(row[column])


class ClipRetrievalOptions(TableOptions):
    """As for tables. The metadata names no language: give `lang`, or the captions cannot become records.

    Attributes:
        texts: false reads the pictures alone.
    """

    texts: bool = True


def recognises(source: Path) -> bool:
    """A folder with `metadata/metadata_*.parquet`, directly or under `embeddings/` or `index/`."""
    return _find_root(source) is not None


def read(source: Path, options: ClipRetrievalOptions) -> Iterator[RawRecord | Rejected | Note]:
    """One record per metadata row; rows without a caption become records without a text.

    Raises:
        DataError: see `ClipRetrievalFolder.open`; a metadata file without a column for the picture.
    """
    folder = ClipRetrievalFolder.open(source)
    columns = dict(options.columns)
    with open_parquet(folder.shards[0].metadata) as file:
        names = file.schema_arrow.names
    columns.setdefault("image_id", id_column(folder.shards[0].metadata, names))
    columns.setdefault("image", next((name for name in ("image_path", "url") if name in names), ""))
    if not options.texts or ("caption" not in names and "text" not in columns):
        columns["text"] = ""
    chosen = options.model_copy(update={"columns": columns})
    for item in read_row_files([shard.metadata for shard in folder.shards], chosen):
        if isinstance(item, RawRecord) and not item.text:
            item.text, item.lang = None, ""
        yield item


def id_column(path: Path, names: list[str]) -> str:
    """The metadata column that names the picture.

    Raises:
        DataError: there is none of the known ones.
    """
    for name in ID_COLUMNS:
        if name in names:
            return name
    raise DataError(
        f"{path} has none of the columns {', '.join(ID_COLUMNS)}, so its rows cannot be named. It has: {', '.join(names)}."
    )


def open_vectors(path: Path) -> Vectors:
    """Memory-map the vectors of one file, shape (rows, d).

    Raises:
        DataError: not an .npy file of finite-precision vectors, cut short, or holding Python objects.
    """
    try:
        vectors = np.lib.format.open_memmap(path, mode="r")  # takes .npy only, and never Python objects
    except _UNREADABLE as error:
        raise DataError(
            f"{path} cannot be read as a NumPy array: {error}. It is corrupted, was cut short or is no .npy file."
        ) from None
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        shape = f"{vectors.dtype} {vectors.shape}"
        raise DataError(f"{path} must hold floating-point vectors of shape (rows, d), not {shape}.")
    return vectors


def _find_root(source: Path) -> Path | None:
    for folder in (source, source / "embeddings", source / "index"):
        if next(iter((folder / "metadata").glob("metadata_*.parquet")), None) is not None:
            return folder
    return None


def _root(source: Path) -> Path:
    if not source.is_dir():
        raise DataError(f"there is no folder {source}.")
    root = _find_root(source)
    if root is None:
        raise DataError(f"{source} has no metadata/metadata_*.parquet: it is not an output folder of clip-retrieval.")
    return root


def _numbered(folder: Path, pattern: str) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for path in sorted(folder.glob(pattern)):
        number = _NUMBERED.search(path.stem)
        if number is None:
            continue
        if int(number[1]) in found:
            raise DataError(f"{folder} has the shard {int(number[1])} twice: {found[int(number[1])].name} and {path.name}.")
        found[int(number[1])] = path
    return found


def _rows(metadata: Path) -> int:
    with open_parquet(metadata) as file:
        return int(file.metadata.num_rows)


def _check_shard(shard: Shard, dims: dict[Kind, int]) -> None:
    kinds: tuple[Kind, ...] = ("image", "text")
    for kind in kinds:
        path = shard.vectors(kind)
        if path is None:
            continue
        rows, columns = open_vectors(path).shape
        if rows != shard.rows:
            raise DataError(f"{path} has {rows} rows, {shard.metadata} has {shard.rows}: they do not belong together.")
        if columns != dims.setdefault(kind, columns):
            raise DataError(f"{path} has vectors of {columns} numbers, the shards before it {dims[kind]}.")
