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

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field, field_validator

from mella_retrieval.data.formats.images_table import ImagesTable
from mella_retrieval.data.formats.row_records import Item, RowOptions, RowRecords, known_columns
from mella_retrieval.data.formats.rows import read_rows, table_kind
from mella_retrieval.errors import DataError


class TableOptions(RowOptions):
    """As for rows of any origin, and what belongs to files.

    Attributes:
        images: a second table with the pictures, relative to the folder of the first; joined by image_id.
        image_columns: `image_id` and `image` of that table, where their names are not the usual ones.
        delimiter: of CSV files; guessed from the header by default.
    """

    images: str | None = None
    image_columns: dict[str, str] = Field(default_factory=dict)
    delimiter: str | None = None

    _known_of_images = field_validator("image_columns")(known_columns)


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
    rows = RowRecords(options, images)
    for path in files:
        fixed = table_kind(path) in (".parquet", ".csv", ".tsv")
        yield from rows.read(read_rows(path, options.delimiter), str(path) if fixed else "")
    yield from rows.notes()
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
