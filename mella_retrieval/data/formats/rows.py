"""Rows of table files, one at a time, each with its place as a person counts: CSV, TSV, JSONL (plain or .gz) and Parquet.

A row that cannot be read becomes a `Rejected`; only a file that cannot be read as a whole raises. Text that is not UTF-8 keeps
its bytes as lone surrogates (`surrogateescape`), which the checks of single records refuse with the reason.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.data.records import Rejected
from mella_retrieval.errors import DataError

Row = tuple[str, Mapping[str, Any]]

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
_LIMIT = 64_000_000  # characters of one field or line: more is a quote that never closes, or no line-wise file at all
_LINE_ENDS = ("\n", "", "\r\n")
_DECODER = json.JSONDecoder()
_READ_FAILURES = (EOFError, gzip.BadGzipFile, zlib.error, OSError)


def table_kind(path: Path) -> str | None:
    """The suffix that tells how a file is read (`.csv` for `x.CSV.gz`), or None if it is no table."""
    name = path.name.lower().removesuffix(".gz")
    kind = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
    return None if kind == ".parquet" and path.name.lower().endswith(".gz") else kind


def read_rows(path: Path, delimiter: str | None = None) -> Iterator[Row | Rejected]:
    """The rows of one table file as (place, column -> value).

    Raises:
        DataError: the file is missing, empty, corrupted or of no known kind.
    """
    kind = table_kind(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes).")
    if kind == ".parquet":
        return _parquet_file_rows(path)
    if kind in (".jsonl", ".ndjson"):
        return read_json_lines(path)
    if kind in (".csv", ".tsv"):
        return _csv_rows(path, "\t" if kind == ".tsv" and delimiter is None else delimiter)
    raise DataError(
        f"{path} is not a table that can be read; known endings: {', '.join(SUFFIXES)}, each but .parquet also with .gz."
    )


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacking `.gz`; what goes wrong while reading becomes a DataError."""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except _READ_FAILURES as error:
        raise DataError(f"{path} cannot be read to its end: {error}. It is corrupted or was cut short.") from None


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and content of each line; the content is cut at 64 MB, which no record reaches."""
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(_LIMIT):
            number += 1
            yield number, line
            while len(line) == _LIMIT and not line.endswith(b"\n"):
                line = file.readline(_LIMIT)


def read_json_lines(path: Path, name: str = "") -> Iterator[Row | Rejected]:
    """One JSON object a line; blank lines are passed over. Places begin with `name`, the file's own by default.

    Raises:
        DataError: the file holds one JSON array instead, or cannot be read to its end.
    """
    name = name or path.name
    for number, content in read_lines(path):
        where = f"{name}, line {number}"
        line = content.removeprefix(b"\xef\xbb\xbf") if number == 1 else content
        if number == 1 and line.lstrip().startswith(b"["):
            raise DataError(f"{path} holds a JSON array, not one object a line; convert it: jq -c '.[]' {path.name}")
        if not line.strip():
            continue
        yield _json_row(where, line)


def _json_row(where: str, line: bytes) -> Row | Rejected:
    try:
        value = _parsed(line.decode())  # bytes alone would also be tried as UTF-16
        reason = "" if isinstance(value, dict) else f"not a JSON object: {type(value).__name__}"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line"
    except RecursionError:
        reason = "not valid JSON: nested too deeply"
    except ValueError as error:
        reason = f"not valid JSON: {error}"
    return Rejected(where, reason, line[:120].decode("utf-8", "backslashreplace").strip()) if reason else (where, value)


def _parsed(text: str) -> Any:
    """As `json.loads`, without its searches for white space on both sides, which cost a quarter of a short line."""
    try:
        value, end = _DECODER.raw_decode(text)
        return value if text[end:] in _LINE_ENDS else json.loads(text)
    except ValueError:
        return json.loads(text)  # white space before the value, or the reason why it is none


def _csv_rows(path: Path, delimiter: str | None) -> Iterator[Row | Rejected]:
    """RFC 4180 with any of the usual delimiters. The place of a row is the line on which it begins."""
    previous = csv.field_size_limit(_LIMIT)
    try:
        with open_bytes(path) as file:
            if file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):  # type: ignore[attr-defined]
                raise DataError(f"{path} is UTF-16; save it as UTF-8.")
            yield from _csv_body(path, file, delimiter)
    finally:
        csv.field_size_limit(previous)


def _csv_body(path: Path, file: IO[bytes], delimiter: str | None) -> Iterator[Row | Rejected]:
    lines = (line.decode("utf-8", "surrogateescape") for line in iter(lambda: file.readline(_LIMIT), b""))
    first = next(lines, "").removeprefix("\ufeff")
    chosen = delimiter or _guess_delimiter(first)
    reader = csv.reader(_put_back(first, lines), delimiter=chosen, strict=True)
    try:
        header = _header(path, next(reader, []))
    except csv.Error as error:
        raise DataError(f"{path}, line 1: the header cannot be read: {error}.") from None
    while True:
        begin = reader.line_num + 1
        where = f"{path.name}, line {begin}"
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"not valid CSV: {error}"
            if reader.line_num > begin:
                reason += f" (a quote opened at line {begin} and read on to line {reader.line_num})"
            yield Rejected(where, reason)
            continue
        if not fields:
            continue
        if len(fields) != len(header):
            shown = chosen.join(fields)[:120]
            yield Rejected(where, f"wrong number of fields: {len(fields)} where the header has {len(header)}", shown)
        else:
            yield where, dict(zip(header, fields, strict=True))


def _put_back(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _guess_delimiter(header: str) -> str:
    return max(",;\t|", key=lambda candidate: (header.count(candidate), candidate == ","))


def _header(path: Path, names: list[str]) -> list[str]:
    header = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    if not header:
        raise DataError(f"{path}, line 1: there is no header.")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{path}, line 1: the header names {', '.join(repeated)} twice; rename one of them.")
    return header


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what goes wrong while reading it becomes a DataError."""
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # damaged column names fail to decode
        raise DataError(f"{path} cannot be read as Parquet: {error}. It is corrupted or was cut short.") from None


def _parquet_file_rows(path: Path) -> Iterator[Row | Rejected]:
    with open_parquet(path) as file:
        yield from parquet_rows(path.name, file)


def parquet_rows(name: str, file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of an open Parquet file, few at a time where a column holds pictures."""
    repeated = {column for column in file.schema_arrow.names if file.schema_arrow.names.count(column) > 1}
    if repeated:
        raise DataError(f"{name} has the column {', '.join(sorted(repeated))} twice; rename one of them.")
    heavy = any(holds_bytes(field.type) for field in file.schema_arrow if columns is None or field.name in columns)
    yield from batch_rows(name, file.iter_batches(batch_size=64 if heavy else 4096, columns=columns, use_threads=False))


def batch_rows(name: str, batches: Iterable[pa.RecordBatch | pa.Table]) -> Iterator[Row]:
    """The rows of Arrow batches, counted through them."""
    number = 0
    for batch in batches:
        values = {column: _python_values(batch.column(column)) for column in batch.schema.names}
        for place in range(batch.num_rows):
            number += 1
            yield f"{name}, row {number}", {column: values[column][place] for column in values}


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether a column of this type holds bytes, directly or in an object."""
    if pa.types.is_struct(kind):
        return any(holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _python_values(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:  # a string column with bytes that are not UTF-8: only its bad rows will be refused
        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            raise DataError(f"a column of type {array.type} holds bytes that are not UTF-8; leave it out.") from None
        raw = array.cast(pa.large_binary() if pa.types.is_large_string(array.type) else pa.binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    except (ValueError, OverflowError, ImportError):  # times that Python cannot hold, or not without pandas
        return list(array.cast(pa.string()).to_pylist())
