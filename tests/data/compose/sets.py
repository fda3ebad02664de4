"""Small records folders to compose, and what came out of composing them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mella_retrieval.data.compose.compose import Composed, compose
from mella_retrieval.data.compose.recipe import ComposeRecipe
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.recipes import build_config

OFF = {"images": None, "texts": None}
"""Nothing near is looked for: the packages for that are not needed."""


def row(image_id: str, text: str | None, lang: str = "hu", image: str | bytes | None = None, **more: Any) -> RawRecord:
    core = {name: more.pop(name) for name in ("text_id", "source") if name in more}
    place = f"pictures/{image_id}.jpg" if image is None and image_id else image or ""
    return RawRecord(image_id, place, text, lang if text else "", extras=more, **core)


def folder(path: Path, rows: Iterable[RawRecord]) -> Path:
    write_records(path, rows, options=ImportOptions(text_only=True))
    return path


def numbered(count: int, lang: str = "hu", start: int = 0, kind: str = "know") -> list[RawRecord]:
    """Records of as many pictures, each with a text unlike the others."""
    return [row(f"{kind}{number}", f"{kind} {number * 7919} {lang} {number}", lang) for number in range(start, start + count)]


def composed(out: Path, sources: Mapping[str, Any], **options: Any) -> tuple[list[dict[str, Any]], Composed]:
    """The rows that came out, and the report."""
    result = compose(out, build_config(ComposeRecipe, {"sources": sources, **options}, "the test"), workers=2)
    return Records.load(out).table().to_pylist(), result


def removed(out: Path) -> list[dict[str, str]]:
    with (out / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
