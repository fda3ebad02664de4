"""A table of pictures beside a table of texts: one row per picture, joined by image_id."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from mella_retrieval.data.formats.rows import holds_bytes, open_parquet, parquet_rows, read_rows, table_kind
from mella_retrieval.data.records import RawRecord, Rejected
from mella_retrieval.errors import DataError

_USUAL = {
    "image_id": ("image_id", "img_id", "id"),
    "image": ("image", "image_path", "file_name", "filename", "url"),
}


class ImagesTable:
    """Pictures by image_id. Of a Parquet file with pictures as bytes at most two row groups are in memory at a time."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        """Read all but the pictures themselves.

        Args:
            path: a table file of any kind.
            columns: names of the columns `image_id` and `image`, where they are not the usual ones.

        Raises:
            DataError: the file cannot be read, a column is missing, or an image_id stands twice.
        """
        self.path = path
        self._columns = columns
        self._place: dict[str, int] = {}
        self._image: list[str] = []
        self._extras: list[dict[str, Any]] = []
        self._where: list[str] = []
        self._used: set[str] = set()
        self._heavy = ""
        self._group_ends: list[int] = []
        rows = self._parquet() if table_kind(path) == ".parquet" else read_rows(path)
        for item in rows:
            if isinstance(item, Rejected):
                raise DataError(f"{item.where}: {item.reason}. A table of pictures must be whole.")
            self._take(*item)
        if not self._place:
            raise DataError(f"{path} has no rows.")

    def get(self, image_id: str) -> tuple[str | bytes, dict[str, Any]] | None:
        """The picture of an image_id and its further columns, or None if it is not in the table."""
        place = self._place.get(image_id)
        if place is None:
            return None
        self._used.add(image_id)
        return self._picture(place), self._extras[place]

    def unused(self) -> Iterator[RawRecord]:
        """Pictures for which no text asked: a gallery keeps them."""
        for image_id, place in self._place.items():
            if image_id not in self._used:
                picture = self._picture(place)
                yield RawRecord(image_id, picture, None, "", extras=self._extras[place], where=self._where[place])

    def _parquet(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        with open_parquet(self.path) as file:
            schema = file.schema_arrow
            heavy = [field.name for field in schema if holds_bytes(field.type)]
            self._heavy = self._heavy_column(heavy)
            light = [name for name in schema.names if name not in heavy]
            groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            self._group_ends = list(itertools.accumulate(groups))
            yield from parquet_rows(self.path.name, file, light)

    def _heavy_column(self, heavy: list[str]) -> str:
        """The column of bytes that holds the pictures: the one named, the one with a usual name, or the only one."""
        named = self._columns.get("image")
        if named is not None:
            return named if named in heavy else ""
        usual = [name for name in _USUAL["image"] if name in heavy]
        if len(heavy) > 1 and not usual:
            raise DataError(
                f"{self.path}: which column holds the pictures: {', '.join(heavy)}? Say image_columns={{image: ...}}."
            )
        return usual[0] if usual else "".join(heavy)

    def _take(self, where: str, row: Mapping[str, Any]) -> None:
        id_column = self._column("image_id", row)
        image_column = "" if self._heavy else self._column("image", row)
        image_id = str(row[id_column])
        if image_id in self._place:
            raise DataError(
                f"{self.path}: the image_id {image_id!r} stands twice ({self._where[self._place[image_id]]}; {where})."
            )
        self._place[image_id] = len(self._where)
        self._where.append(where)
        self._extras.append({name: value for name, value in row.items() if name not in (id_column, image_column)})
        if not self._heavy:
            self._image.append(str(row[image_column] or ""))

    def _column(self, column: str, row: Mapping[str, Any]) -> str:
        candidates = [self._columns[column]] if column in self._columns else _USUAL[column]
        for name in candidates:
            if name in row:
                return name
        known = f"The columns are: {', '.join(row)}."
        raise DataError(f"{self.path} has no column {' or '.join(candidates)}; name it: image_columns={{{column}: ...}}. {known}")

    def _picture(self, place: int) -> str | bytes:
        if not self._heavy:
            return self._image[place]
        group = bisect.bisect_right(self._group_ends, place)
        begin = self._group_ends[group - 1] if group else 0
        value = self._group(group)[place - begin].as_py()
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        return value or ""

    @functools.lru_cache(maxsize=2)  # noqa: B019 - the table lives as long as its import
    def _group(self, group: int) -> pa.ChunkedArray:
        with open_parquet(self.path) as file:
            return file.read_row_group(group, columns=[self._heavy]).column(0)
