"""Writing a records folder from a stream of raw records: check, find repeats, store, and count all that came in."""

from __future__ import annotations

import csv
import gc
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mella_retrieval.artifacts import MANIFEST, Json, new_folder, write_manifest
from mella_retrieval.data.image_store import ImageStore, image_suffix
from mella_retrieval.data.images import read_image
from mella_retrieval.data.parts import PART_ROWS, PartWriter
from mella_retrieval.data.records import KIND, SKIPPED, VERSION, Note, RawRecord, Rejected, is_url
from mella_retrieval.data.seen import SeenKeys
from mella_retrieval.data.text import Checked, ImportOptions, check_record, excerpt
from mella_retrieval.errors import ArtifactError, DataError

Item = RawRecord | Rejected | Note
Progress = Callable[[int, int], None]

_CHUNK_ROWS = 4096
_CHUNK_BYTES = 64_000_000
_COLLECTED = 10 * _CHUNK_ROWS
_EXAMPLES = 5


@dataclass
class ImportReport:
    """What an import did: `read` = `kept` + all of `rejected`.

    Attributes:
        folder: the records folder.
        read: rows that the reader met.
        kept: records written.
        rejected: reason -> rows; every one of them is listed in `skipped.csv`.
        warnings: what was noticed in kept records -> number of records.
        notes: what the reader says about the source as a whole.
        examples: the first rejected rows.
        counts: as `Records.counts`.
    """

    folder: Path
    read: int = 0
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    examples: list[Rejected] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> Json:
        """JSON-able form; without the folder, so that equal imports give equal reports."""
        examples = [{"where": row.where, "reason": row.reason, "excerpt": row.excerpt} for row in self.examples]
        plain = {"read": self.read, "kept": self.kept, "rejected": self.rejected, "warnings": self.warnings}
        return {**plain, "notes": self.notes, "examples": examples, "counts": self.counts}


def write_records(
    folder: Path | str,
    items: Iterable[Item],
    *,
    options: ImportOptions | None = None,
    image_root: Path | str | None = None,
    made_by: Json | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    part_rows: int = PART_ROWS,
) -> ImportReport:
    """Write a records folder; it appears only when it is complete.

    Memory does not grow with the number of records, but for 48 bytes each by which repeats are found.

    Args:
        folder: the new folder.
        items: what a reader yields.
        image_root: folder of relative image paths; the records folder itself by default.
        made_by: recorded in the manifest as it is.
        overwrite: replace a records folder that is already there.
        progress: called with (rows read, 0 = total not known).
        part_rows: rows a part.

    Raises:
        DataError: not one usable record; the message has the first reasons.
        ArtifactError: the folder exists (or, with `overwrite`, holds something else than records), or cannot be written.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    with new_folder(folder, overwrite=overwrite) as aside:
        place = folder.resolve()  # `..` in relative paths would go astray through links
        root = Path(image_root).resolve() if image_root is not None else place
        writing = _Writing(aside, place, root, options or ImportOptions(), part_rows)
        try:
            with _rare_collections():
                writing.run(items, progress)
            writing.finish(made_by or {})
        finally:
            writing.close()
    writing.report.folder = folder
    return writing.report


def _refuse_foreign(folder: Path) -> None:
    """Overwriting must never remove somebody's pictures: only a records folder may be replaced."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / SKIPPED).is_file() or not (folder / MANIFEST).is_file():
        raise ArtifactError(
            f"{folder} already exists and is not a records folder; it will not be replaced. Choose another folder."
        )


class _Writing:
    """The state of one `write_records`."""

    def __init__(self, aside: Path, folder: Path, root: Path, options: ImportOptions, part_rows: int) -> None:
        self.report = ImportReport(folder)
        self._aside, self._folder, self._source_root, self._options = aside, folder, root, options
        self._root: Path | None = folder if options.copy_images else None
        self._parts = PartWriter(aside, part_rows)
        self._images = ImageStore(aside / "images")
        self._copied: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._skipped = (aside / SKIPPED).open("w", encoding="utf-8", newline="")
        self._skipped_rows = csv.writer(self._skipped, lineterminator="\n")
        self._skipped_rows.writerow(("where", "reason", "excerpt"))
        self._repeats: Counter[str] = Counter()
        self._records, self._text_ids, self._image_ids = SeenKeys(), SeenKeys(), SeenKeys()
        self._rejected: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._without_text = 0

    def run(self, items: Iterable[Item], progress: Progress | None) -> None:
        """Check and store all items."""
        for chunk in _chunks(items, self.report.notes):
            self._add(chunk)
            if progress is not None:
                progress(self.report.read, 0)

    def close(self) -> None:
        """Close the open files, also after an error."""
        self._skipped.close()
        self._parts.abort()

    def finish(self, made_by: Json) -> None:
        """Write the manifest."""
        report = self.report
        report.rejected, report.warnings = _by_name(self._rejected), _by_name(self._warnings)
        if report.kept == 0:
            raise DataError(_nothing_kept(report))
        parts = self._parts.finish()
        report.counts = {
            "records": report.kept,
            "images": len(self._image_ids),
            "without_text": self._without_text,
            "languages": _by_name(self._languages),
        }
        root = os.path.relpath(self._root, self._folder) if self._root is not None else "."
        outcome = {"read": report.read, "rejected": report.rejected, "warnings": report.warnings, "notes": report.notes}
        content = {
            "image_root": root,
            "counts": report.counts,
            "parts": parts,
            "stored_images": self._images.describe(),
            "import": outcome,
            "made_by": made_by,
        }
        write_manifest(self._aside, KIND, VERSION, content)

    def _add(self, chunk: list[RawRecord | Rejected]) -> None:
        """Check a chunk, find its repeats, store what is left. Rejections are listed in the order of the source."""
        self.report.read += len(chunk)
        outcomes: list[Checked | Rejected] = [
            row if isinstance(row, Rejected) else check_record(row, self._options, self._source_root) for row in chunk
        ]
        if self._options.duplicates == "keep":
            self._find_equal_text_ids(outcomes, renumber=True)
        else:
            self._find_equal_records(outcomes)
            self._find_equal_text_ids(outcomes, renumber=False)
        image_ids = []
        for outcome in outcomes:
            rejected = outcome if isinstance(outcome, Rejected) else self._store(outcome)
            if rejected is not None:
                self._reject(rejected)
            elif isinstance(outcome, Checked) and outcome.image_id:
                image_ids.append(outcome.image_id.encode())
        self._image_ids.add(image_ids)

    def _find_equal_records(self, outcomes: list[Checked | Rejected]) -> None:
        checked = [(place, row) for place, row in enumerate(outcomes) if isinstance(row, Checked)]
        new = self._records.add([f"{row.image_id}\n{row.lang}\n{row.digest}".encode() for _, row in checked])
        for (place, row), is_new in zip(checked, new, strict=True):
            if not is_new:
                reason = "duplicate record: image_id, lang and text all stood before"
                outcomes[place] = Rejected(row.raw.where, reason, excerpt(row.text or row.image_id))

    def _find_equal_text_ids(self, outcomes: list[Checked | Rejected], renumber: bool) -> None:
        checked = [(place, row) for place, row in enumerate(outcomes) if isinstance(row, Checked)]
        new = self._text_ids.add([row.text_id.encode() for _, row in checked])
        for (place, row), is_new in zip(checked, new, strict=True):
            if is_new:
                continue
            if renumber and not row.raw.text_id:  # the id was derived from the content, and equal content is wanted
                self._repeats[row.text_id] += 1
                row.text_id += f"-{self._repeats[row.text_id] + 1}"
                if self._text_ids.add([row.text_id.encode()])[0]:
                    continue
            reason = f"duplicate text_id: {excerpt(row.text_id)} stood before"
            outcomes[place] = Rejected(row.raw.where, reason, excerpt(row.text or row.image_id))

    def _store(self, row: Checked) -> Rejected | None:
        """Write a record that passed all checks, or say why its picture prevents that."""
        image = self._image(row.raw)
        if isinstance(image, Rejected):
            return image
        raw = row.raw
        self._parts.add((row.image_id, image, row.encoded, row.lang, raw.source, row.text_id), raw.extras, len(row.text))
        if row.warnings:
            self._warnings.update(row.warnings)
        if row.lang:
            self._languages[row.lang] += 1
        else:
            self._without_text += 1
        self.report.kept += 1
        return None

    def _image(self, raw: RawRecord) -> str | Rejected:
        """The value of the column `image`; pictures that came as bytes are written on the way."""
        if isinstance(raw.image, bytes):
            return self._write_image(raw, raw.image)
        if not raw.image or is_url(raw.image):
            return raw.image
        if self._options.copy_images:
            return self._copy_image(raw, raw.image)
        if os.path.isabs(raw.image):  # noqa: PTH117 - asked for every record
            return raw.image
        if self._root is None:
            self._root = self._source_root
        if self._root == self._source_root:
            return raw.image
        return os.path.relpath(self._source_root / raw.image, self._root)

    def _copy_image(self, raw: RawRecord, image: str) -> str | Rejected:
        key = (raw.image_id, image)
        if key not in self._copied:
            try:
                data = (self._source_root / image).read_bytes()
            except OSError as error:
                return Rejected(raw.where, f"picture not found: {excerpt(image)} ({error.strerror})", excerpt(raw.text or ""))
            if not data:
                return Rejected(raw.where, f"picture of zero bytes: {excerpt(image)}", excerpt(raw.text or ""))
            if problem := _no_picture(data):
                return Rejected(raw.where, f"not a picture: {excerpt(image)}: {problem}", excerpt(raw.text or ""))
            stored = self._write_image(raw, data)
            if isinstance(stored, Rejected):
                return stored
            self._copied[key] = stored
            if len(self._copied) > _CHUNK_ROWS:
                self._copied.popitem(last=False)
        return self._copied[key]

    def _write_image(self, raw: RawRecord, data: bytes) -> str | Rejected:
        name = self._images.add(raw.image_id, data)
        if name is None:
            reason = f"another picture under the same image_id: {excerpt(raw.image_id)}"
            return Rejected(raw.where, reason, excerpt(raw.text or ""))
        if name.endswith(".bin"):
            self._warnings["pictures of an unknown file format kept"] += 1
        if self._root is None:
            self._root = self._folder
        return f"images/{name}" if self._root == self._folder else os.path.relpath(self._folder / "images" / name, self._root)

    def _reject(self, rejected: Rejected) -> None:
        self._rejected[rejected.reason.split(":", 1)[0]] += 1
        self._skipped_rows.writerow((excerpt(rejected.where), excerpt(rejected.reason, 400), excerpt(rejected.excerpt)))
        if len(self.report.examples) < _EXAMPLES:
            self.report.examples.append(rejected)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for reference cycles less often: records make none, and a chunk of them is much to look through."""
    before = gc.get_threshold()
    if 0 < before[0] < _COLLECTED:  # 0: somebody does not want it at all
        gc.set_threshold(_COLLECTED, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _no_picture(data: bytes) -> str:
    """Why bytes are no picture: a stranger's table may name any file of this machine, and only pictures are copied."""
    if image_suffix(data) != "bin":
        return ""
    try:
        read_image(data)
    except DataError as error:
        return excerpt(error)
    return ""


def _chunks(items: Iterable[Item], notes: list[str]) -> Iterator[list[RawRecord | Rejected]]:
    """Items in lists of bounded length and size; notes are set aside."""
    chunk: list[RawRecord | Rejected] = []
    size = 0
    for item in items:
        if isinstance(item, RawRecord):
            for value in (item.image, item.text):
                if isinstance(value, bytes | str):
                    size += len(value)
        elif isinstance(item, Note):
            notes.append(item.text)
            continue
        chunk.append(item)
        if len(chunk) >= _CHUNK_ROWS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _by_name(counter: Counter[str]) -> dict[str, int]:
    return {name: counter[name] for name in sorted(counter)}


def _nothing_kept(report: ImportReport) -> str:
    if report.read == 0:
        return "the source has no records: nothing was written."
    reasons = ", ".join(f"{count} x {reason}" for reason, count in report.rejected.items())
    examples = "; ".join(f"{row.where}: {row.reason}" for row in report.examples[:3])
    return f"none of the {report.read} rows can be used: {reasons}. The first: {examples}. Nothing was written."
