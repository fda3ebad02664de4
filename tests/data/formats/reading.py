"""What the tests of the caption test sets share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mella_retrieval.data.formats import find_format
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Note, RawRecord, Records, Rejected
from mella_retrieval.data.writing import ImportReport
from mella_retrieval.recipes import build_config

Row = tuple[str, str, str, str]


def write(path: Path, *lines: str, end: str = "\n") -> Path:
    """A text file of these lines, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def read(format: str, source: Path, /, **options: Any) -> list[RawRecord | Rejected | Note]:
    """What a reader yields, its options checked as an import checks them."""
    chosen = find_format(format)
    return list(chosen.read(source, build_config(chosen.options, options, "the options")))


def imported(source: Path, folder: Path, /, **options: Any) -> tuple[list[Row], ImportReport]:
    """(image_id, lang, text_id, text) of an import, the folder being detected, and its report."""
    report = import_records(source, folder, **options)
    table = Records.load(folder).table(["image_id", "lang", "text_id", "text"])
    rows = [tuple(row.values()) for row in table.to_pylist()]
    return rows, report


def column(folder: Path, name: str) -> list[Any]:
    """One column of an imported folder."""
    return list(Records.load(folder).table()[name].to_pylist())
