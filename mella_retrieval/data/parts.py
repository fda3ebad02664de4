"""The Parquet parts of a records folder, written as rows come: constant memory, one schema in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.artifacts import Json, describe_file
from mella_retrieval.data.records import COLUMNS
from mella_retrieval.errors import DataError

PART_ROWS = 250_000
GROUP_ROWS = 25_000
GROUP_CHARS = 16_000_000
MAX_EXTRAS = 200

Row = tuple[str, str, bytes, str, str, str]
"""The values of `COLUMNS`, the text in UTF-8."""

_PLAIN = (pa.bool_(), pa.int64(), pa.float64(), pa.string())
_CORE = [pa.field(name, pa.string()) for name in COLUMNS]


class PartWriter:
    """Collects rows into row groups and parts. Further columns may appear, or change their type, at any row.

    A column's type is the narrowest of bool, int64, float64 and string that holds all its values; lists, objects, times and
    mixtures become text (JSON for lists and objects). Parts written before the last change are rewritten at the end.
    """

    def __init__(self, folder: Path, part_rows: int = PART_ROWS) -> None:
        self._folder, self._part_rows = folder, part_rows
        self._rows: list[Row] = []
        self._extras: list[Mapping[str, Any]] = []
        self._chars = 0
        self._types: dict[str, pa.DataType] = {}
        self._names: dict[str, str] = {}
        self._writer: pq.ParquetWriter | None = None
        self._parts: list[tuple[Path, pa.Schema]] = []
        self._in_part = 0

    def add(self, row: Row, extras: Mapping[str, Any], characters: int) -> None:
        """Add one row: values in the order of `COLUMNS`, further columns by name, and the number of characters of the text."""
        self._rows.append(row)
        self._extras.append(extras)
        self._chars += characters
        if len(self._rows) >= min(GROUP_ROWS, self._part_rows - self._in_part) or self._chars >= GROUP_CHARS:
            self._flush()

    def finish(self) -> dict[str, Json]:
        """Write what is left and bring all parts to one schema. Returns file name -> size and hash."""
        if self._rows:
            self._flush()
        self._close_part()
        schema = self._schema(final=True)
        for path, found in self._parts:
            if not found.equals(schema):
                _rewrite(path, schema)
        return {path.name: describe_file(path) for path, _ in self._parts}

    def abort(self) -> None:
        """Close the open file after an error; the folder is about to be removed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        columns: dict[str, pa.Array] = {}
        for name in self._extra_names():
            columns[self._column_name(name)] = _array([extras.get(name) for extras in self._extras])
        before = dict(self._types)
        for name, array in columns.items():
            self._types[name] = _wider(self._types.get(name, pa.null()), array.type)
        if len(self._types) > MAX_EXTRAS:
            raise DataError(
                f"the source has more than {MAX_EXTRAS} further columns (the last: {name!r}); "
                "name the ones to keep with the option extras."
            )
        if self._types != before:
            self._close_part()
        schema = self._schema()
        arrays = [_strings(values) for values in zip(*self._rows, strict=True)]
        count = len(self._rows)
        for name, kind in self._types.items():
            arrays.append(_cast(columns[name], kind, name) if name in columns else pa.nulls(count, kind))
        if self._writer is None:
            path = self._folder / f"part-{len(self._parts):05d}.parquet"
            self._writer = pq.ParquetWriter(path, schema, compression="zstd")
            self._parts.append((path, schema))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=count)
        self._rows, self._extras, self._chars = [], [], 0
        self._in_part += count
        if self._in_part >= self._part_rows:
            self._close_part()

    def _close_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._in_part = None, 0

    def _extra_names(self) -> list[str]:
        names: dict[str, None] = {}
        known: set[tuple[str, ...]] = set()
        for extras in self._extras:
            keys = tuple(extras)
            if keys not in known:
                known.add(keys)
                names.update(dict.fromkeys(keys))
        return list(names)

    def _column_name(self, name: str) -> str:
        """A name for a further column that is neither empty nor one of the six."""
        if name not in self._names:
            plain = name.encode("utf-8", "backslashreplace").decode().replace("\0", "") or "unnamed"
            while plain in COLUMNS or plain in self._names.values():
                plain += "_"
            self._names[name] = plain
        return self._names[name]

    def _schema(self, final: bool = False) -> pa.Schema:
        kinds = {name: pa.string() if final and kind == pa.null() else kind for name, kind in self._types.items()}
        return pa.schema([*_CORE, *(pa.field(name, kind) for name, kind in kinds.items())])


def _strings(values: Sequence[Any]) -> pa.Array:
    """Texts, or texts in UTF-8, which need no conversion."""
    return pa.array(values, pa.binary()).view(pa.string()) if isinstance(values[0], bytes) else pa.array(values, pa.string())


def _array(values: Sequence[Any]) -> pa.Array:
    try:
        array = pa.array(values)
        if array.type in _PLAIN or array.type == pa.null():
            return array
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, ValueError, TypeError):
        pass  # a mixture of types, or integers beyond 64 bits: kept as text
    return pa.array([None if value is None else _as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        nested = isinstance(value, bool | int | float | list | dict | tuple)
        value = json.dumps(value, ensure_ascii=False, default=str) if nested else str(value)
    return str(value).encode("utf-8", "backslashreplace").decode()


def _wider(old: pa.DataType, new: pa.DataType) -> pa.DataType:
    if old == new or new == pa.null():
        return old
    if old == pa.null():
        return new
    return pa.float64() if {old, new} == {pa.int64(), pa.float64()} else pa.string()


def _cast(array: pa.Array | pa.ChunkedArray, kind: pa.DataType, name: str) -> Any:
    try:
        return array.cast(kind)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"the column {name!r} cannot be stored as {kind}: {error}. Leave it out with the option extras."
        ) from None


def _rewrite(path: Path, schema: pa.Schema) -> None:
    aside = path.with_suffix(".rewritten")
    with pq.ParquetFile(path) as file, pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            arrays = [
                _cast(table[field.name], field.type, field.name)
                if field.name in table.column_names
                else pa.nulls(table.num_rows, field.type)
                for field in schema
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=table.num_rows)
    aside.replace(path)
