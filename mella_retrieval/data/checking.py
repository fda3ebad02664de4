"""`mella data check`: a stored records folder looked at again from end to end."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mella_retrieval.artifacts import Json, sha256_file
from mella_retrieval.data.images import read_image
from mella_retrieval.data.records import COLUMNS, RawRecord, Records, Rejected, is_url
from mella_retrieval.data.seen import SeenKeys
from mella_retrieval.data.split_leaks import has_splits, split_leaks
from mella_retrieval.data.text import ImportOptions, check_record
from mella_retrieval.data.writing import Progress
from mella_retrieval.errors import DataError, MellaError

if TYPE_CHECKING:
    from mella_retrieval.data.compose.leakage import LeakageReport
    from mella_retrieval.data.language_check import LanguageReport

_LISTED = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: its kind (for counting), where it is and what it is."""

    kind: str
    where: str
    what: str


@dataclass
class CheckReport:
    """What a check found.

    Attributes:
        problems: at most 20 of each kind.
        found: kind -> number of all of them.
        records, images: rows and pictures looked at.
        urls: pictures that are URLs and were not looked at.
        languages: what the texts seem to be, where that was asked for.
        leakage: what was met of the sets that must not be met, where such were named.
    """

    problems: list[Problem] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)
    records: int = 0
    images: int = 0
    urls: int = 0
    languages: LanguageReport | None = None
    leakage: LeakageReport | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.found

    def add(self, kind: str, where: str, what: str) -> None:
        """Count a problem, and list it if few of its kind are listed yet."""
        self.found[kind] += 1
        if self.found[kind] <= _LISTED:
            self.problems.append(Problem(kind, where, what))

    def add_languages(self, languages: LanguageReport) -> None:
        """Count the texts that are surely in another language than their own as problems, and list the examples."""
        self.languages = languages
        for code, fit in languages.languages.items():
            if others := fit.verdicts["other"]:
                self.found["other language"] += others
            for example in fit.examples:
                what = f"said to be {code}, seems to be {example.seems}: {example.text}"
                self.problems.append(Problem("other language", f"record {example.record}", what))

    def add_leakage(self, leakage: LeakageReport) -> None:
        """Count the records that meet another set as problems, and list the examples."""
        self.leakage = leakage
        self.found.update(leakage.found)
        self.problems += [Problem(met.kind, met.text_id, f"it meets {met.met}") for met in leakage.examples]

    def as_dict(self) -> Json:
        """JSON-able form."""
        listed = [{"kind": problem.kind, "where": problem.where, "what": problem.what} for problem in self.problems]
        looked_at = {"records": self.records, "images": self.images, "urls": self.urls}
        languages = {"languages": self.languages.as_dict()} if self.languages else {}
        leakage = {"leakage": self.leakage.as_dict()} if self.leakage else {}
        return {"ok": self.ok, **looked_at, "found": dict(self.found), "problems": listed, **languages, **leakage}


def check_folder(
    folder: Path | str,
    *,
    images: bool = True,
    deep: bool = True,
    workers: int = 4,
    progress: Progress | None = None,
) -> CheckReport:
    """Check a records folder: hashes, schema, every row, ids, that every picture can be decoded and stands in one split only.

    Args:
        folder: the records folder.
        images: decode the pictures; with splits, also compare their contents across them.
        deep: compare content hashes, not only sizes.
        workers: threads that decode.
        progress: called with (pictures decoded, pictures).
    """
    report = CheckReport()
    try:
        records = Records.load(folder)
        if deep:
            records.verify(deep=True)
        schema_ok = _check_schema(records, report)
        if schema_ok:
            _check_rows(records, report)
    except MellaError as error:
        report.add("files", str(folder), str(error))
        return report
    if not schema_ok:
        return report
    contents = _check_images(records, report, workers, progress) if images else None
    if has_splits(records):
        for image_id, what in split_leaks(records, contents):
            report.add("split", image_id, what)
    return report


def _check_schema(records: Records, report: CheckReport) -> bool:
    for name in COLUMNS:
        if name not in records.schema.names or records.schema.field(name).type != pa.string():
            report.add("schema", str(records.folder), f"the column {name!r} is missing or does not hold strings")
    return "schema" not in report.found


def _check_rows(records: Records, report: CheckReport) -> None:
    text_ids, pictures = SeenKeys(), SeenKeys()
    pairs, ids = SeenKeys(), SeenKeys()
    options = ImportOptions(control_characters="keep", text_only=True)
    found: Counter[str] = Counter()
    for batch in records.batches(columns=list(COLUMNS)):
        begin = report.records + 1
        report.records += batch.num_rows
        rows = batch.to_pylist()
        new = text_ids.add([str(row["text_id"]).encode() for row in rows])
        for number, (row, is_new) in enumerate(zip(rows, new, strict=True), begin):
            where = f"record {number}"
            _check_row(row, where, records, options, report)
            found[row["lang"] or ""] += 1
            if not is_new:
                report.add("text_id", where, f"the text_id {row['text_id']!r} stands twice")
        _check_one_picture(rows, begin, ids, pairs, report)
        pictures.add([str(row["image_id"]).encode() for row in rows if row["image_id"]])
    counts = records.counts
    without_text = found.pop("", 0)
    actual = {"records": report.records, "images": len(pictures), "without_text": without_text, "languages": dict(found)}
    for name, value in actual.items():
        if counts.get(name) != value:
            report.add("counts", "manifest.json", f"{name}: the manifest says {counts.get(name)}, the parts hold {value}")


def _check_row(row: dict[str, str | None], where: str, records: Records, options: ImportOptions, report: CheckReport) -> None:
    if None in row.values():
        report.add("schema", where, f"null in {', '.join(name for name, value in row.items() if value is None)}")
        return
    values = {name: str(value) for name, value in row.items()}
    text = values["text"] or None
    raw = RawRecord(values["image_id"], values["image"], text, values["lang"], values["source"], values["text_id"], {}, where)
    checked = check_record(raw, options, records.image_root)
    if isinstance(checked, Rejected):
        report.add("record", where, checked.reason)
    elif not text and values["lang"]:
        report.add("language", where, f"a language ({values['lang']}) without a text")
    elif checked.lang != values["lang"]:
        report.add("language", where, f"the language code {values['lang']!r} is not the canonical {checked.lang!r}")
    if not values["text_id"]:
        report.add("text_id", where, "no text_id")


def _check_one_picture(rows: list[dict[str, str]], begin: int, ids: SeenKeys, pairs: SeenKeys, report: CheckReport) -> None:
    """An image_id must always mean the same picture: a new (id, picture) under a known id is one too many."""
    pictured = [(number, row) for number, row in enumerate(rows, begin) if row["image"]]
    new_pair = pairs.add([f"{row['image_id']}\n{row['image']}".encode() for _, row in pictured])
    new_id = ids.add([str(row["image_id"]).encode() for _, row in pictured])
    for (number, row), pair, identity in zip(pictured, new_pair, new_id, strict=True):
        if pair and not identity:
            report.add("image_id", f"record {number}", f"the image_id {row['image_id']!r} has a second picture, {row['image']}")


def _check_images(records: Records, report: CheckReport, workers: int, progress: Progress | None) -> pa.Table | None:
    """Decode all pictures. Returns what `split_leaks` wants to know of them, where there are splits."""
    hashed = has_splits(records)
    contents: list[bytes] = []
    table = records.images()
    paths = [(image_id, image) for image_id, image in zip(*(column.to_pylist() for column in table.columns), strict=True)]
    local = [(image_id, records.image_path(image)) for image_id, image in paths if not is_url(image)]
    report.urls = len(paths) - len(local)
    with ThreadPoolExecutor(workers) as pool:
        look = functools.partial(_look_at, hashed=hashed)
        for image_id, content, problem in _in_order(pool, look, local, workers * 4):
            report.images += 1
            if problem:
                report.add("picture", image_id, problem)
            if hashed:
                contents.append(content)
            if progress is not None:
                progress(report.images, len(local))
    if not hashed:
        return None
    known = pa.table(
        {"image_id": pa.array([image_id for image_id, _ in local], pa.string()), "content": pa.array(contents, pa.binary())}
    )
    return known.filter(pc.not_equal(known["content"], b""))


def _in_order(
    pool: ThreadPoolExecutor, look: Callable[[Path], tuple[bytes, str]], local: list[tuple[str, Path]], ahead: int
) -> Iterator[tuple[str, bytes, str]]:
    """Decode a few at a time, so that a large collection does not wait in memory as futures."""
    for group in _groups(local, ahead):
        found = pool.map(look, [path for _, path in group])
        for (image_id, _), (content, problem) in zip(group, found, strict=True):
            yield image_id, content, problem


def _groups(items: Iterable[tuple[str, Path]], size: int) -> Iterator[list[tuple[str, Path]]]:
    iterator = iter(items)
    while group := list(itertools.islice(iterator, size)):
        yield group


def _look_at(path: Path, hashed: bool) -> tuple[bytes, str]:
    """Hash of a file (nothing where it is not wanted or cannot be read), and what is wrong with the picture in it."""
    try:
        content = bytes.fromhex(sha256_file(path))[:16] if hashed else b""
        read_image(path)
    except DataError as error:
        return b"", str(error)
    except OSError as error:
        return b"", f"{path} cannot be read: {error.strerror or error}"
    return content, ""
