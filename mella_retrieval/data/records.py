"""Records: one row is one text about one picture, or one picture alone. The folder on disk and what readers hand to its writer.

A records folder holds `manifest.json`, `part-00000.parquet` ..., `skipped.csv` and, where pictures came as bytes, `images/`.
The parts are plain Parquet of one schema, so that `datasets.load_dataset("parquet", data_files=...)` reads them too.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from mella_retrieval import languages
from mella_retrieval.artifacts import MANIFEST, Json, fingerprint, read_manifest, verify_file
from mella_retrieval.data.image_store import folder_digest
from mella_retrieval.errors import ArtifactError, DataError
from mella_retrieval.recipes import suggest

KIND = "records"
VERSION = 1
COLUMNS = ("image_id", "image", "text", "lang", "source", "text_id")
SKIPPED = "skipped.csv"

Where = Mapping[str, Any]


@dataclass(slots=True)
class RawRecord:
    """One record as a reader found it, not yet checked.

    Attributes:
        image_id: name of the picture; texts of the same picture share it.
        image: path (relative to the reader's folder, or absolute), URL, the encoded picture itself, or "" where there is none.
        text: the caption; None declares a picture without a text (an empty string is a mistake and will be rejected).
        lang: language code in any known form.
        source: "know", "ling" or another word; "" if unknown.
        text_id: unique name of the text; "" asks for one derived from image_id, lang and text.
        extras: further columns.
        where: the place in the source as a person counts, "captions.csv, line 17".
    """

    image_id: str
    image: str | bytes
    text: str | None
    lang: str
    source: str = ""
    text_id: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot become a record. `reason` is counted by its part before the first colon."""

    where: str
    reason: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a reader has to say about its source as a whole; shown in the import report."""

    text: str


def is_url(image: str) -> bool:
    """Whether a record's `image` lies elsewhere than on this file system."""
    return "://" in image[:16]


def _is_whole(manifest: Json) -> bool:
    """Whether a manifest has what `Records` reads from it."""
    parts, counts, stored = (manifest.get(name) for name in ("parts", "counts", "stored_images"))
    if not isinstance(parts, dict) or not isinstance(counts, dict) or not isinstance(stored, dict):
        return False
    files = all(isinstance(described, dict) and {"bytes", "sha256"} <= described.keys() for described in parts.values())
    return files and bool(parts) and {"records", "languages"} <= counts.keys() and {"files", "digest"} <= stored.keys()


class Records:
    """A stored record set. Rows stay on disk (memory-mapped Parquet) until they are asked for."""

    def __init__(self, folder: Path, manifest: Json) -> None:
        """Use `Records.load`."""
        self.folder = folder
        self.manifest = manifest

    @classmethod
    def load(cls, folder: Path | str) -> Records:
        """Open a records folder and compare the sizes of its parts with the manifest.

        Raises:
            ArtifactError: not a records folder, or a part is missing or was cut short.
        """
        folder = Path(folder)
        if folder.is_dir() and not (folder / MANIFEST).is_file():
            raise ArtifactError(
                f"{folder} has no {MANIFEST}: it is not a finished records folder. Make one with `mella data import`."
            )
        records = cls(folder, read_manifest(folder, KIND, VERSION))
        if not _is_whole(records.manifest):
            raise ArtifactError(f"{folder} has a manifest without parts and counts: it is corrupted. Import the data again.")
        records.verify(deep=False)
        return records

    def verify(self, deep: bool = True) -> None:
        """Compare the files with the manifest: sizes, and with `deep` the content hashes of the parts and stored pictures.

        Raises:
            ArtifactError: names the first file that differs.
        """
        for name, described in self.manifest["parts"].items():
            verify_file(self.folder / name, described, deep=deep)
        stored = self.manifest["stored_images"]
        if deep and folder_digest(self.folder / "images") != stored:
            raise ArtifactError(
                f"the pictures in {self.folder / 'images'} are not the {stored['files']} that the manifest lists: "
                "files were changed, added or removed. Import the data again."
            )

    @property
    def parts(self) -> list[Path]:
        """The Parquet files, in order."""
        return [self.folder / name for name in self.manifest["parts"]]

    @property
    def fingerprint(self) -> str:
        """Hash of the content: of all rows, and of the pictures stored in the folder (not of those it only points to)."""
        hashes = [described["sha256"] for described in self.manifest["parts"].values()]
        return fingerprint({"parts": hashes, "stored_images": self.manifest["stored_images"]["digest"]})

    @property
    def counts(self) -> dict[str, Any]:
        """`records`, `images` (different image_ids), `without_text`, and `languages`: code -> records."""
        return dict(self.manifest["counts"])

    @property
    def languages(self) -> tuple[str, ...]:
        """Canonical codes of the languages that occur, sorted."""
        return tuple(sorted(self.manifest["counts"]["languages"]))

    def __len__(self) -> int:
        return int(self.manifest["counts"]["records"])

    @functools.cached_property
    def _dataset(self) -> ds.Dataset:
        try:
            return ds.dataset([str(path) for path in self.parts], format="parquet")
        except (pa.ArrowInvalid, OSError) as error:
            raise ArtifactError(f"the parts of {self.folder} cannot be read: {error}") from None

    @property
    def schema(self) -> pa.Schema:
        """Column names and types; the six columns of every record come first."""
        return self._dataset.schema

    def table(self, columns: Sequence[str] | None = None, where: Where | None = None) -> pa.Table:
        """The rows as one Arrow table, in stored order.

        Args:
            columns: names to keep, all by default.
            where: column -> value or list of values; a row passes if it has one of the values in each of the columns.
                Languages may be given in any known form.

        Raises:
            DataError: an unknown column or a value that the column cannot hold.
            ArtifactError: a part is corrupted.
        """
        return self._read(columns, self._filter(where))

    def _read(self, columns: Sequence[str] | None, condition: Any) -> pa.Table:
        try:
            return self._dataset.to_table(columns=self._known(columns), filter=condition)
        except (pa.ArrowInvalid, OSError) as error:
            raise ArtifactError(f"the parts of {self.folder} cannot be read: {error}") from None

    def batches(
        self, size: int = 10_000, columns: Sequence[str] | None = None, where: Where | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The same rows in stored order as batches of at most `size` rows, reading only a little ahead."""
        scanner = self._dataset.scanner(
            columns=self._known(columns), filter=self._filter(where), batch_size=size, batch_readahead=2, fragment_readahead=1
        )
        try:
            yield from (batch for batch in scanner.to_batches() if batch.num_rows)
        except (pa.ArrowInvalid, OSError) as error:
            raise ArtifactError(f"the parts of {self.folder} cannot be read: {error}") from None

    def images(self, where: Where | None = None) -> pa.Table:
        """One row (`image_id`, `image`) per picture in order of first appearance; records without a picture are left out."""
        table = self.table(["image_id", "image"], where)
        table = table.filter(pc.not_equal(table["image"], ""))
        order = pa.array(range(table.num_rows), pa.int64())
        first = table.append_column("row", order).group_by("image_id").aggregate([("row", "min")])
        rows = first["row_min"]
        return table.take(rows.take(pc.sort_indices(rows)))

    def texts(self, columns: Sequence[str] | None = None, where: Where | None = None) -> pa.Table:
        """The rows that have a text (others stand for a picture alone), in stored order; arguments as for `table`."""
        wanted = pc.field("text") != ""
        chosen = self._filter(where)
        return self._read(columns, wanted if chosen is None else wanted & chosen)

    @functools.cached_property
    def image_root(self) -> Path:
        """The folder to which relative image paths refer."""
        return Path(os.path.normpath(self.folder.resolve() / self.manifest.get("image_root", ".")))

    def image_path(self, image: str) -> Path:
        """The file of a record's `image`.

        Raises:
            DataError: the record has no picture, or its picture is a URL.
        """
        if not image:
            raise DataError("the record has no picture.")
        if is_url(image):
            raise DataError(f"the picture {image} is a URL; download it first, mella-retrieval reads local files.")
        return self.image_root / image

    def place_of(self, image: str) -> str:
        """Where the picture of a record's `image` lies: an absolute path, a URL, or "" for none."""
        return image if not image or is_url(image) else os.path.normpath(self.image_path(image))

    def to_datasets(self) -> Any:
        """The rows as a `datasets.Dataset` (memory-mapped from the cache of the `datasets` library)."""
        from datasets import Dataset

        return Dataset.from_parquet([str(path) for path in self.parts])

    def _known(self, columns: Sequence[str] | None) -> list[str] | None:
        for name in columns or ():
            if name not in self.schema.names:
                known = ", ".join(self.schema.names)
                raise DataError(f"{self.folder} has no column {name!r}.{suggest(name, self.schema.names)} It has: {known}.")
        return None if columns is None else list(columns)

    def _filter(self, where: Where | None) -> Any:
        chosen: Any = None
        self._known(list(where or ()))
        for name, wanted in (where or {}).items():
            values = list(wanted) if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
            if name == "lang":
                values = [languages.normalise(value) if value else "" for value in values]
            kind = self.schema.field(name).type
            try:
                accepted = pa.array([pa.scalar(value).cast(kind) for value in values], kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
                raise DataError(f"the column {name!r} of {self.folder} holds {kind}, not {values}: {error}") from None
            condition = pc.field(name).isin(accepted)
            chosen = condition if chosen is None else chosen & condition
        return chosen
