"""Writing records as MELLA's release has them, so that its other tools read them and `formats.mella` reads them back unchanged.

    image_release_v2_<lang>_image_text_pair_json_in_part-00000.jsonl   the texts of source know
    image_release_v2_<lang>_image_pure_json_in_part-00000.jsonl        the pictures of source ling, one line a text
    trans_<lang>.json                                                  their texts
    images/<stem>.<ending>                                             the pictures, where they are files
    skipped.csv                                                        what was left out and why, if anything was

Lines and translations carry a key beyond the schema, `text_id`, by which several texts of one picture find their lines.
"""

from __future__ import annotations

import csv
import functools
import json
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mella_retrieval.artifacts import Json, new_folder
from mella_retrieval.data.formats.mella import KNOW, LING
from mella_retrieval.data.formats.mella_line import CATEGORIES, COLUMNS, OTHER, SEPARATOR, TOP
from mella_retrieval.data.formats.picture_header import PictureHeader, picture_header
from mella_retrieval.data.image_store import ImageStore
from mella_retrieval.data.parts import PART_ROWS
from mella_retrieval.data.records import COLUMNS as RECORD_COLUMNS
from mella_retrieval.data.records import SKIPPED, Records, Where, is_url
from mella_retrieval.data.text import excerpt
from mella_retrieval.data.writing import Progress
from mella_retrieval.errors import ArtifactError, DataError

_LEVEL1 = {name: label for label, name in CATEGORIES.items()}
_KINDS = {KNOW: "text_pair", LING: "pure"}
_NAME = "image_release_v2_"
_REMEMBERED = 4096
_WITHOUT_TEXT = "records without a text"


@dataclass
class ExportReport:
    """What was written.

    Attributes:
        out: the folder or file.
        written: records by source and language: `know hu` -> number.
        left_out: reason -> records that have no place in the format, or whose picture is missing.
    """

    out: Path
    written: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> Json:
        """JSON-able form."""
        return {"written": dict(sorted(self.written.items())), "left_out": dict(sorted(self.left_out.items()))}


def write_mella(
    records: Records,
    folder: Path | str,
    *,
    source: str = "",
    where: Where | None = None,
    pictures: bool = True,
    overwrite: bool = False,
    progress: Progress | None = None,
    part_rows: int = PART_ROWS,
) -> ExportReport:
    """Write records as MELLA JSON lines into a new folder; it appears only when it is complete.

    Args:
        records: what to write.
        folder: the new folder.
        source: "know" or "ling" for all records, instead of what they say themselves.
        where: only records with these values.
        pictures: copy the picture files; without, the lines name their stems all the same.
        overwrite: replace an earlier export.
        progress: called with (records done, records in all).
        part_rows: lines a file.

    Raises:
        DataError: a record's source is neither know nor ling, or nothing can be written.
        ArtifactError: the folder exists (or, with `overwrite`, is no earlier export), or cannot be written.
    """
    folder = Path(folder)
    _refuse_foreign(folder, records)
    report = ExportReport(folder)
    with new_folder(folder, overwrite=overwrite) as aside, ExitStack() as files:
        writing = _Writing(aside, records, report, files, pictures, part_rows)
        for row in exported_rows(records, where, progress):
            writing.add(row, source or row["source"])
        writing.finish()
        if not report.written:
            raise DataError(f"{records.folder} has no record to write as MELLA: {dict(report.left_out) or 'none is chosen'}.")
    return report


def exported_rows(records: Records, where: Where | None, progress: Progress | None) -> Iterator[dict[str, Any]]:
    """The rows of records in stored order; tells how many were taken."""
    done = 0
    for batch in records.batches(where=where):
        yield from batch.to_pylist()
        done += batch.num_rows
        if progress is not None:
            progress(done, 0 if where else len(records))


def _refuse_foreign(folder: Path, records: Records) -> None:
    """Overwriting must never remove somebody's pictures, nor what is being read."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if next(folder.glob(f"{_NAME}*.jsonl"), None) is None:
        raise ArtifactError(f"{folder} already exists and is no export of MELLA; it will not be replaced. Choose another folder.")
    target = folder.resolve()
    for used in (records.folder.resolve(), records.image_root):
        if target in (used, *used.parents):
            raise ArtifactError(f"{folder} holds what is to be exported ({used}); choose another folder.")


class _Writing:
    """The open files of one export."""

    def __init__(
        self, folder: Path, records: Records, report: ExportReport, files: ExitStack, pictures: bool, part_rows: int
    ) -> None:
        self._folder, self._records, self._report = folder, records, report
        self._files, self._part_rows = files, part_rows
        self._skipped: Any = None
        self._store = ImageStore(folder / "images") if pictures else None
        self._lines: dict[str, IO[bytes]] = {}
        self._translations: dict[str, IO[bytes]] = {}
        self.picture = functools.lru_cache(_REMEMBERED)(self._picture)

    def add(self, row: dict[str, Any], source: str) -> None:
        """Write one record, or count why not."""
        if source not in _KINDS:
            raise DataError(
                f"the record {row['text_id']!r} has the source {source!r}, and MELLA's files are of know or ling: "
                "choose records (--where source=know), or say what they are (--source know)."
            )
        path, header, problem = ("", None, _WITHOUT_TEXT) if not row["lang"] else self.picture(row["image_id"], row["image"])
        if problem:
            self._leave_out(row, problem)
            return
        text = row["text"] if source == KNOW else ""
        self._line(source, row["lang"], _line(row, path, header, text))
        if source == LING:
            self._translation(row)
        self._report.written[f"{source} {row['lang']}"] += 1

    def _leave_out(self, row: dict[str, Any], problem: str) -> None:
        """Count a record that is not written, and list it in a file of its own."""
        self._report.left_out[problem] += 1
        if self._skipped is None:
            file = self._files.enter_context((self._folder / SKIPPED).open("w", encoding="utf-8", newline=""))
            self._skipped = csv.writer(file, lineterminator="\n")
            self._skipped.writerow(("text_id", "image", "reason"))
        self._skipped.writerow((row["text_id"], excerpt(row["image"]), problem))

    def finish(self) -> None:
        """Close the lists of translations."""
        for file in self._translations.values():
            file.write(b"\n]\n")

    def _picture(self, image_id: str, image: str) -> tuple[str, PictureHeader | None, str]:
        """`image.path`, the file's header, and why the record cannot be written."""
        if not image or is_url(image):
            return image, None, ""
        path = self._records.image_path(image)
        header = picture_header(path)
        if self._store is None:
            return path.stem, header, ""
        if header is None:  # a stranger's table may name any file of this machine: only pictures leave it
            return "", None, "records whose picture is " + ("not one" if path.is_file() else "missing")
        try:
            name = self._store.add(image_id, path.read_bytes())
        except OSError:
            return "", None, "records whose picture is missing"
        if name is None:
            return "", None, "records with another picture under the same image_id"
        return name.rpartition(".")[0], picture_header(self._folder / "images" / name), ""

    def _line(self, source: str, lang: str, line: Json) -> None:
        written = self._report.written[f"{source} {lang}"]
        key = f"{_KINDS[source]} {lang}"
        if written % self._part_rows == 0:
            if key in self._lines:
                self._lines[key].close()
            name = f"{_NAME}{lang}_image_{_KINDS[source]}_json_in_part-{written // self._part_rows:05d}.jsonl"
            self._lines[key] = self._files.enter_context((self._folder / name).open("wb"))
        self._lines[key].write(_encoded(line) + b"\n")

    def _translation(self, row: dict[str, Any]) -> None:
        lang = row["lang"]
        first = lang not in self._translations
        if first:
            self._translations[lang] = self._files.enter_context((self._folder / f"trans_{lang}.json").open("wb"))
        entry = {"img_id": row["image_id"], "caption": row["text"], "text_id": row["text_id"]}
        self._translations[lang].write((b"[\n" if first else b",\n") + _encoded(entry))


def _line(row: dict[str, Any], path: str, header: PictureHeader | None, text: str) -> Json:
    """One line of the schema; columns that are not of it follow under their own names."""
    image: Json = {"path": path}
    width, height = row.get("width"), row.get("height")
    if width is None and height is None and header is not None:
        width, height = header.width, header.height
    if width is not None or height is not None:
        image["resolution"] = [width, height]
    for key, column, own in (("size", "size_kb", header and header.bytes / 1024), ("format", "format", header and header.format)):
        if (value := row.get(column) if row.get(column) is not None else own) is not None:
            image[key] = value
    line: Json = {"img_id": row["image_id"]}
    line |= {
        key: row[column] for key, column in (("url", "page_url"), ("data_source", "data_source")) if row.get(column) is not None
    }
    line |= {"image": image, "captions": {"content": text, "lang": row["lang"]}}
    levels = {level: _names(row.get(column)) for level, column in (("level1", "category"), ("level2", "topic"))}
    if any(levels.values()):
        line["labels"] = {"pjwk_cates": {level: names for level, names in levels.items() if names}}
    line["text_id"] = row["text_id"]
    for column, value in row.items():
        if column in RECORD_COLUMNS or column in COLUMNS or _is_missing(value):
            continue
        if column == OTHER:
            _put_back(value, line)
        else:
            line[f"{column}_" if column in TOP else column] = value
    return line


def _names(value: Any) -> list[str]:
    return [_LEVEL1.get(name, name) for name in str(value).split(SEPARATOR)] if value else []


def _put_back(value: Any, line: Json) -> None:
    """What the reader found inside the objects of a line beyond the schema."""
    try:
        other = json.loads(value)
    except (TypeError, ValueError):
        line[OTHER] = value
        return
    for name, rest in other.items() if isinstance(other, dict) else ():
        line[name] = {**line[name], **rest} if isinstance(line.get(name), dict) and isinstance(rest, dict) else rest


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
