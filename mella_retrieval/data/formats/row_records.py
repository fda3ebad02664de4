"""Rows of any origin as records: which column is what, by name, by a usual name or by the options."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, field_validator

from mella_retrieval.data.formats.images_table import ImagesTable
from mella_retrieval.data.formats.rows import Row
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


def known_columns(columns: dict[str, str]) -> dict[str, str]:
    """A mapping of record columns, refused where records have no such column."""
    for name in columns:
        if name not in COLUMNS:
            raise ValueError(f"records have no column {name!r}.{suggest(name, COLUMNS)} They have: {', '.join(COLUMNS)}.")
    return columns


class RowOptions(Strict):
    """How rows become records.

    Attributes:
        columns: record column -> name in the table; "" where the table has no such column though a usual name occurs.
        text_columns: language -> column, for tables with one column per language.
        lang: language of all rows (instead of a column).
        source: source of all rows (instead of a column).
        extras: the further columns to keep; all by default.
    """

    columns: dict[str, str] = Field(default_factory=dict)
    text_columns: dict[str, str] = Field(default_factory=dict)
    lang: str = ""
    source: str = ""
    extras: list[str] | None = None

    _known = field_validator("columns")(known_columns)


@dataclass(frozen=True)
class _Plan:
    """Where each part of a record stands in rows with one set of keys. Paths have one element, or two inside an object."""

    fields: dict[str, tuple[str, ...]]
    texts: tuple[tuple[str, tuple[str, ...]], ...]
    extras: tuple[str, ...]
    opened: dict[str, frozenset[str]]


class RowRecords:
    """Makes records of rows from anywhere; which column is what is worked out once for every set of keys."""

    def __init__(self, options: RowOptions, images: ImagesTable | None = None) -> None:
        self._options, self._images = options, images
        self._plans: dict[tuple[str, ...], _Plan | str] = {}
        self._left_out: set[str] = set()

    def read(self, rows: Iterable[Row | Rejected], fixed: str = "") -> Iterator[Item]:
        """The records of some rows.

        Args:
            rows: (place, column -> value); what is rejected already passes.
            fixed: name of a table all of whose rows have the same columns: one that lacks a column is then an error.

        Raises:
            DataError: `fixed` lacks a column.
        """
        for item in rows:
            if isinstance(item, Rejected):
                yield item
                continue
            where, row = item
            plan = self._plan(row)
            if not isinstance(plan, str):
                yield from _records(where, row, plan, self._options, self._images, self._left_out)
            elif fixed:
                raise DataError(f"{fixed}: {plan} The columns are: {', '.join(row)}.")
            else:
                yield Rejected(where, plan, ", ".join(row)[:120])

    def notes(self) -> Iterator[Note]:
        """What to say at the end."""
        if self._left_out:
            yield Note(f"columns with binary data were left out: {', '.join(sorted(self._left_out))}.")

    def _plan(self, row: Mapping[str, Any]) -> _Plan | str:
        keys = tuple(row)
        plan = self._plans.get(keys)
        if plan is None:
            if len(self._plans) > 1000:
                self._plans.clear()
            plan = self._plans[keys] = _plan(row, self._options)
        return plan


def _plan(row: Mapping[str, Any], options: RowOptions) -> _Plan | str:
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
    options: RowOptions,
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
    options: RowOptions,
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
