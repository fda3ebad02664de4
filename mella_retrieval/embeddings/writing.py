"""Write an embedding set shard by shard, so that a killed job continues and ends with the same bytes.

The set grows in `<out>.partial`: a shard's files first, then the journal that counts it. When the last shard stands, the manifest
is written, the journal removed and the folder put in the place of `<out>`. A finished set whose inputs changed is made again
beside itself; rows whose content hash is known are copied from it instead of being embedded. So are those of unfinished sets of
other jobs, which wait in hidden folders `.<out>.stale-<n>` until a set is finished.
"""

from __future__ import annotations

import csv
import io
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import (
    MANIFEST,
    Json,
    atomic_write,
    beside,
    describe_file,
    fingerprint,
    read_json,
    remove_leftovers,
    replace_folder,
    verify_file,
    write_json,
    write_manifest,
)
from mella_retrieval.embeddings.known import JOURNAL, KnownRows
from mella_retrieval.embeddings.sets import KIND, VERSION, EmbeddingSet, Vectors
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError

SKIPPED = "skipped.csv"
OWN_COLUMNS = ("id", "content", "tokens")
"""Columns that the set needs for itself; a record column of such a name is stored as `record_<name>`."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """One finished shard in memory.

    Attributes:
        vectors: (rows, dim), L2-normalised.
        columns: `id`, `content` (hash of the input) and any record columns, each of length rows.
        tokens: per row its (tokens, token dim) vectors, or None.
        skipped: inputs that could not be embedded, as (id, input, reason).
        truncated: per language, how many texts were longer than the tower reads.
    """

    vectors: Vectors
    columns: Mapping[str, Any]
    tokens: Sequence[npt.NDArray[np.floating[Any]]] | None = None
    skipped: Sequence[tuple[str, str, str]] = ()
    truncated: Mapping[str, int] = field(default_factory=dict)


class EmbeddingWriter:
    """The growing set of one job.

    Args:
        out: the folder of the finished set.
        tower: the encoder that makes the vectors.
        job: everything else that decides the content (records fingerprint, filter, shard rows, stored precision, tokens);
            a partial set of another job is set aside, and its rows serve as known rows.
    """

    def __init__(self, out: Path, tower: TowerInfo, job: Json) -> None:
        self.out = out
        self.tower = tower
        self.partial = beside(out, ".partial")
        self._key = {"tower": tower.to_json(), **job}
        self._dtype = np.dtype(job["dtype"])
        self.journal: Json = {"key": fingerprint(self._key), **self._key, "batch_size": None, "shards": []}

    def current(self) -> EmbeddingSet | None:
        """The finished set of exactly this job: at `out`, or moved there if the job was killed between finishing and moving.

        Raises:
            ArtifactError: there is something else than an embedding set at `out`, or a damaged one.
        """
        if self.out.exists() and not (self.out.is_dir() and not any(self.out.iterdir())):
            found = self._load_out()
            if found.manifest.get("key") == self.journal["key"]:
                self._clear()
                return found
        if self._is_finished(self.partial) and EmbeddingSet.load(self.partial).manifest.get("key") == self.journal["key"]:
            return self._move()
        return None

    def _load_out(self) -> EmbeddingSet:
        if not (self.out / MANIFEST).is_file():
            raise ArtifactError(f"{self.out} is there already and is not an embedding set; choose another folder.")
        try:
            return EmbeddingSet.load(self.out)
        except ArtifactError as error:
            raise ArtifactError(f"{error} If it is a damaged embedding set, remove {self.out} to make it anew.") from None

    @staticmethod
    def _is_finished(folder: Path) -> bool:
        return (folder / MANIFEST).is_file() and not (folder / JOURNAL).is_file()

    def open(self) -> None:
        """Continue this job's partial set, or begin one; a partial set of another job is set aside.

        Raises:
            ArtifactError: the folder cannot be made, its journal is damaged, or other files are in the way.
        """
        with _explained(self.partial):
            found = self._read_journal()
            if found is not None and found["key"] == self.journal["key"]:
                self._continue(found)
                return
            if found is not None or self._is_finished(self.partial):
                log.warning("%s was made from other inputs or settings; its vectors are kept where they still fit", self.partial)
                self.partial.rename(next(path for path in map(self._stale, count()) if not path.exists()))
            self.partial.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.partial)
            if any(self.partial.iterdir()):
                raise ArtifactError(f"{self.partial} is needed for work in progress but holds other files; move it away.")
        self._write_journal()

    def _read_journal(self) -> Json | None:
        path = self.partial / JOURNAL
        if not path.is_file():
            return None
        found = read_json(path)
        if not isinstance(found, dict) or not isinstance(found.get("key"), str) or not isinstance(found.get("shards"), list):
            raise ArtifactError(f"{path} is damaged; remove {self.partial} to begin anew.")
        return found

    def _continue(self, found: Json) -> None:
        """Go on behind the last shard that is whole, without the files of one that was being written."""
        for number, entry in enumerate(found["shards"]):
            try:
                for name, expected in entry["files"].items():
                    verify_file(self.partial / name, expected, deep=True)
            except ArtifactError as error:
                log.warning("%s It is made again, and so is what follows.", error)
                found |= {"shards": found["shards"][:number], "batch_size": entry["batch_size"]}
                break
        self.journal = found
        self._write_journal()
        counted = {JOURNAL}.union(*(entry["files"] for entry in found["shards"]))
        for path in self.partial.iterdir():
            if path.name not in counted:
                path.unlink()
        log.info("continuing %s after %d shards", self.partial, self.shards_done)

    def _write_journal(self) -> None:
        write_json(self.partial / JOURNAL, self.journal)

    def _stale(self, number: int) -> Path:
        return self.out.with_name(f".{self.out.name}.stale-{number}")

    def _stale_folders(self) -> list[Path]:
        start = self._stale(0).name.removesuffix("0")
        return sorted(path for path in self.out.parent.iterdir() if path.name.startswith(start) and path.is_dir())

    def _clear(self) -> None:
        """Remove what a finished set needs no more: abandoned sets, and the former set where a kill left it."""
        for folder in [*self._stale_folders(), *([self.partial] if self._is_finished(self.partial) else [])]:
            shutil.rmtree(folder, ignore_errors=True)
        remove_leftovers(self.out.parent, self.out.name)

    @property
    def shards_done(self) -> int:
        """How many shards stand already."""
        return len(self.journal["shards"])

    @property
    def rows_done(self) -> int:
        """How many inputs the finished shards took (embedded or skipped)."""
        return sum(shard["inputs"] for shard in self.journal["shards"])

    def set_batch_size(self, size: int) -> None:
        """Record the batch size, so that a continued job uses the same batch boundaries."""
        if self.journal["batch_size"] != size:
            self.journal["batch_size"] = size
            self._write_journal()

    def known_rows(self) -> KnownRows:
        """Vectors made earlier by the same tower at the same precision, by the content hash of their input.

        None where token vectors are asked for: ragged rows are not copied one by one.
        """
        folders = [] if self._key["tokens"] else [self.out, *self._stale_folders()]
        return KnownRows.find(folders, self.tower, self._dtype)

    def add(self, shard: Shard, inputs: int) -> None:
        """Write one shard's files, then count it in the journal; `inputs` is how many input rows it took."""
        stem = f"part-{self.shards_done:05d}"
        files = {f"{stem}.npy": shard.vectors.astype(self._dtype, copy=False)}
        columns = dict(shard.columns)
        if shard.tokens is not None:
            columns["tokens"] = pa.array([len(tokens) for tokens in shard.tokens], pa.int64())
            files[f"{stem}.tokens.npy"] = np.concatenate([np.asarray(t, self._dtype) for t in shard.tokens] or [np.zeros((0, 0))])
        for name, array in files.items():
            with atomic_write(self.partial / name) as file:
                _write_npy(file, array)
        with atomic_write(self.partial / f"{stem}.parquet") as file:
            pq.write_table(pa.table(columns), file, compression="zstd")
        entry = {
            "rows": len(shard.vectors),
            "inputs": inputs,
            "batch_size": self.journal["batch_size"],
            "truncated": dict(shard.truncated),
            "skipped": [list(row) for row in shard.skipped],
            "files": {name: describe_file(self.partial / name) for name in [*files, f"{stem}.parquet"]},
        }
        if shard.tokens is not None:
            entry["token_dim"] = int(files[f"{stem}.tokens.npy"].shape[1])
        self.journal["shards"].append(entry)
        self._write_journal()

    def finish(self) -> EmbeddingSet:
        """Check all shards, write the manifest and the list of what was skipped, and move the set to `out`."""
        shards = self.journal["shards"]
        for entry in shards:
            for name, expected in entry["files"].items():
                verify_file(self.partial / name, expected, deep=True)
        skipped = [row for entry in shards for row in entry["skipped"]]
        rows = sum(entry["rows"] for entry in shards)
        if rows == 0:
            shutil.rmtree(self.partial, ignore_errors=True)  # nothing in it is worth continuing
            reason = f" All {len(skipped)} inputs were skipped, the first because: {skipped[0][2]}" if skipped else ""
            raise ArtifactError(f"there is nothing to embed for {self.out}.{reason}")
        truncated: dict[str, int] = {}
        for entry in shards:
            for lang, texts in entry["truncated"].items():
                truncated[lang] = truncated.get(lang, 0) + texts
        _write_skipped(self.partial / SKIPPED, skipped)
        manifest = {
            "key": self.journal["key"],
            **self._key,
            "rows": rows,
            "token_dim": next((entry["token_dim"] for entry in shards if entry.get("token_dim")), None),
            "skipped": len(skipped),
            "truncated": truncated,
            "shards": [{key: entry[key] for key in ("rows", "batch_size", "files")} for entry in shards],
        }
        write_manifest(self.partial, KIND, VERSION, manifest)
        with _explained(self.partial):
            (self.partial / JOURNAL).unlink()
        return self._move()

    def _move(self) -> EmbeddingSet:
        with _explained(self.out):
            replace_folder(self.partial, self.out)
            self._clear()
        return EmbeddingSet.load(self.out)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"could not write {path}: {error.strerror or error}.") from error


def record_columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The columns of a table under names that do not clash with those that an embedding set needs for itself."""
    return {f"record_{name}" if name in OWN_COLUMNS else name: table[name] for name in table.column_names}


def _write_npy(file: Any, array: npt.NDArray[Any]) -> None:
    """As `np.save`, whose own writing hides from its errors that a disk is full."""
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(np.ascontiguousarray(array).data)


def _write_skipped(path: Path, skipped: list[list[str]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "input", "reason"])
    writer.writerows(skipped)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
