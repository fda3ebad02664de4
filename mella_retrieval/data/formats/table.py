"""Tables: Parquet, CSV, TSV or JSONL, one file or a folder of them, with any column names.

| table | options |
|---|---|
| columns named as records are, or by a usual other name | none |
| other names | `columns={"image_id": "id", "text": "caption"}`; `captions.content` reaches into an object |
| no column for the language or the source | `lang="hu"`, `source="know"` |
| one column per language | `text_columns={"en": "caption_en", "hu": "caption_hu"}` |
| several texts in one cell (a list) | none: each becomes a record |
| pictures as bytes, or `{bytes, path}` as `datasets` writes them | none |
| pictures in a table of their own | `images="images.parquet"`, joined by image_id |
| pictures without texts | `columns={"text": ""}` |
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from mella_retrieval.data.formats.images_table import ImagesTable
from mella_retrieval.data.formats.rows import read_rows, table_kind
from mella_retrieval.data.records import COLUMNS, Note, RawRecord, Rejected
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict, suggest

Item = RawRecord | Rejected | Note

# Names that stand for a record's column without a mapping; the first one present is taken.
USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "image_id": ("image_id", "img_id"),
    "image": ("image", "image_path", "file_name", "filename", "image_file", "url"),
    "text": ("text", "caption", "captions"),
    "lang": ("lang", "language"),
    "source": ("source",),
    "text_id": ("text_id", "caption_id"),
}


class TableOptions(Strict):
    """How a table becomes records.

    Attributes:
        columns: record column -> name in the table; "" where the table has no such column though a usual name occurs.
        text_columns: language -> column, for tables with one column per language.
        lang: language of all rows (instead of a column).
        source: source of all rows (instead of a column).
        images: a second table with the pictures, relative to the folder of the first; joined by image_id.
        image_columns: `image_id` and `image` of that table, where their names are not the usual ones.
        extras: the further columns to keep; all by default.
        delimiter: of CSV files; guessed from the header by default.
    """

    columns: dict[str, str] = Field(default_factory=dict)
    text_columns: dict[str, str] = Field(default_factory=dict)
    lang: str = ""
    source: str = ""
    images: str | None = None
    image_columns: dict[str, str] = Field(default_factory=dict)
    extras: list[str] | None = None
    delimiter: str | None = None

    @field_validator("columns", "image_columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in COLUMNS:
                raise ValueError(f"records have no column {name!r}.{suggest(name, COLUMNS)} They have: {', '.join(COLUMNS)}.")
        return columns


@dataclass(frozen=True)
class _Plan:
    """Where each part of a record stands in rows with one set of keys. Paths have one element, or two inside an object."""

    fields: dict[str, tuple[str, ...]]
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    extras: tuple[str, ...]
    opened: dict[str, frozenset[str]]


def recognises(source: Path) -> bool:
    """A file with the ending of a table, or a folder with such files."""
    if source.is_dir():
        return any(table_kind(path) for path in source.iterdir() if path.is_file())
    return table_kind(source) is not None


def read(source: Path, options: TableOptions) -> Iterator[Item]:
    """The records of a table file, or of all table files of a folder in the order of their names.

    Raises:
        DataError: a file cannot be read, or a mapped column is not there.
    """
    images = None
    if options.images is not None:
        images = ImagesTable((source if source.is_dir() else source.parent) / options.images, options.image_columns)
    files = [path for path in _files(source) if images is None or path != images.path]
    yield from read_row_files(files, options, images)


def read_row_files(files: Sequence[Path], options: TableOptions, images: ImagesTable | None = None) -> Iterator[Item]:
    """The records of several files of one table."""
    left_out: set[str] = set()
    for path in files:
        yield from _read_file(path, options, images, left_out)
    if left_out:
        yield Note(f"columns with binary data were left out: {', '.join(sorted(left_out))}.")
    if images is not None:
        yield from images.unused()


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    files = sorted(path for path in source.iterdir() if path.is_file() and table_kind(path))
    kinds = {table_kind(path) for path in files}
    if len(kinds) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise DataError(f"{source} must hold tables of one kind to be read as one; found: {found}. Name one file.")
    return files


def _read_file(path: Path, options: TableOptions, images: ImagesTable | None, left_out: set[str]) -> Iterator[Item]:
    plans: dict[tuple[str, ...], _Plan | str] = {}
    fixed = table_kind(path) in (".parquet", ".csv", ".tsv")
    for item in read_rows(path, options.delimiter):
        if isinstance(item, Rejected):
            yield item
            continue
        where, row = item
        keys = tuple(row)
        plan = plans.get(keys)
        if plan is None:
            if len(plans) > 1000:
                plans.clear()
            plan = plans[keys] = _plan(row, options)
            if isinstance(plan, str) and fixed:
                raise DataError(f"{path}: {plan} The columns are: {', '.join(keys)}.")
        if isinstance(plan, str):
            yield Rejected(where, plan, ", ".join(keys)[:120])
        else:
            yield from _records(where, row, plan, options, images, left_out)


def _plan(row: Mapping[str, Any], options: TableOptions) -> _Plan | str:
    """The plan for rows with the keys of `row`, or what is missing in them."""
    fields: dict[str, tuple[str, ...]] = {}
    for column, name in options.columns.items():
        if name and (found := _path(row, name)) is None:
            return f"no column {name!r} for {column}.{suggest(name, row)}"
        elif name:
            fields[column] = found or ()
    taken = {path[0] for path in fields.values()} | {name for name in options.text_columns.values() if name in row}
    for column, usual in USUAL_NAMES.items():
        present = next((name for name in usual if name in row and name not in taken), None)
        wide = column in ("text", "lang") and options.text_columns
        if column not in options.columns and present is not None and not wide:
            fields[column] = (present,)
    texts = []
    for lang, name in options.text_columns.items():
        found = _path(row, name)
        if found is None:
            return f"no column {name!r} for the texts in {lang}.{suggest(name, row)}"
        texts.append((lang, found))
    if not texts and "text" not in fields and options.columns.get("text") != "":
        return 'no text column: name it (columns={"text": "..."}), or say that there is none (columns={"text": ""}).'
    if "image_id" not in fields and "image" not in fields and options.columns.get("image_id") != "":
        return 'no image_id column: name it (columns={"image_id": "..."}), or say that there is none (columns={"image_id": ""}).'
    if options.lang and "lang" not in options.columns:
        fields.pop("lang", None)
    if options.source and "source" not in options.columns:
        fields.pop("source", None)
    return _with_extras(row, fields, tuple(texts), options)


def _with_extras(
    row: Mapping[str, Any],
    fields: dict[str, tuple[str, ...]],
    texts: tuple[tuple[str, tuple[str, ...]], ...],
    options: TableOptions,
) -> _Plan | str:
    used = [*fields.values(), *(path for _, path in texts)]
    whole = {path[0] for path in used if len(path) == 1}
    opened = {path[0]: frozenset(other[1] for other in used if len(other) == 2 and other[0] == path[0]) for path in used}
    opened = {name: keys for name, keys in opened.items() if name not in whole}
    extras = tuple(name for name in row if name not in whole)
    if options.extras is not None:
        missing = [name for name in options.extras if name not in row]
        if missing:
            return f"no column {missing[0]!r} to keep (option extras)."
        extras = tuple(options.extras)
    return _Plan(fields, texts, extras, opened)


def _path(row: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    if name in row:
        return (name,)
    outer, dot, inner = name.partition(".")
    return (outer, inner) if dot and outer in row else None


def _value(row: Mapping[str, Any], path: tuple[str, ...] | None) -> Any:
    if path is None:
        return None
    value = row[path[0]]
    if len(path) == 1:
        return value
    return value.get(path[1]) if isinstance(value, Mapping) else None


def _records(
    where: str,
    row: Mapping[str, Any],
    plan: _Plan,
    options: TableOptions,
    images: ImagesTable | None,
    left_out: set[str],
) -> Iterator[Item]:
    fields = plan.fields
    image = picture(where, _value(row, fields.get("image")))
    if isinstance(image, Rejected):
        yield image
        return
    image_id = _name(_value(row, fields["image_id"])) if "image_id" in fields else _derived_image_id(image)
    extras = _extras(row, plan, left_out)
    if images is not None:
        joined = images.get(image_id)
        if joined is None:
            yield Rejected(where, f"image_id not in the table of pictures: {image_id[:200]!r}")
            return
        image, extras = joined[0], {**joined[1], **extras}
    lang = _name(_value(row, fields.get("lang"))) if "lang" in fields else options.lang
    source = _name(_value(row, fields.get("source"))) if "source" in fields else options.source
    text_id = _name(_value(row, fields.get("text_id")))
    for place, text, text_lang, mark in _texts(where, row, plan, lang):
        name = f"{text_id}{mark}" if text_id else ""
        yield RawRecord(image_id, image, text, text_lang, source, name, extras, place)


def _texts(where: str, row: Mapping[str, Any], plan: _Plan, lang: str) -> Iterator[tuple[str, Any, str, str]]:
    """Place, text, language and the mark that keeps text_ids of one row apart."""
    if plan.texts:
        for code, path in plan.texts:
            yield from _cell(f"{where}, column {'.'.join(path)}", _value(row, path), code, f"#{code}")
    elif "text" in plan.fields:
        yield from _cell(where, _value(row, plan.fields["text"]), lang, "")
    else:
        yield where, None, "", ""


def _cell(where: str, value: Any, lang: str, mark: str) -> Iterator[tuple[str, Any, str, str]]:
    if isinstance(value, list) and value:
        for place, text in enumerate(value):
            yield f"{where}, text {place + 1}", "" if text is None else text, lang, f"{mark}#{place}"
    else:
        yield where, "" if value is None or value == [] else value, lang, mark


def _name(value: Any) -> str:
    """Ids and codes as text: tables hold them as numbers too."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def picture(where: str, value: Any) -> str | bytes | Rejected:
    """The picture in a cell: a path, bytes, or the object `{bytes, path}` of the `datasets` library."""
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if value is None:
        return ""
    if isinstance(value, bytes | str):
        return value
    return Rejected(where, f"the picture is neither bytes nor a path: {type(value).__name__}")


def _derived_image_id(image: str | bytes) -> str:
    return hashlib.sha256(image).hexdigest()[:32] if isinstance(image, bytes) else image


def _extras(row: Mapping[str, Any], plan: _Plan, left_out: set[str]) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    for name in plan.extras:
        value = row[name]
        if isinstance(value, dict):
            value = {key: inner for key, inner in value.items() if key not in plan.opened.get(name, ())}
            if not value and name in plan.opened:
                continue
            if any(isinstance(inner, bytes) for inner in value.values()):
                left_out.add(name)
                continue
        if isinstance(value, bytes):
            left_out.add(name)
        else:
            extras[name] = value
    return extras
