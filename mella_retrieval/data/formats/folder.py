"""A folder of pictures: bare, or with a table of captions beside them (`captions.csv`, `metadata.jsonl` ...).

A caption finds its picture by path, file name or file name without ending, from the table's image column or else its image_id.
Pictures without a caption become records without a text, so that a gallery is complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from mella_retrieval.artifacts import MANIFEST
from mella_retrieval.data.formats import table
from mella_retrieval.data.formats.rows import table_kind
from mella_retrieval.data.records import Note, RawRecord, Rejected, is_url
from mella_retrieval.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"})
_TABLE_NAMES = ("captions", "metadata")


class FolderOptions(table.TableOptions):
    """As for tables, and which table to take.

    Attributes:
        captions: file name of the captions table in the folder; by default `captions.*`, `metadata.*` or the only table there.
            "" ignores all tables.
    """

    captions: str | None = None


def recognises(source: Path) -> bool:
    """A folder that holds at least one picture file, at any depth."""
    return source.is_dir() and next(_pictures(source), None) is not None


def read(source: Path, options: FolderOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The captions of a folder's table with their pictures, then the pictures without captions, sorted by path.

    Raises:
        DataError: no pictures, no or several possible tables, or a table that cannot be read.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder of pictures.")
    pictures = sorted(_pictures(source))
    if not pictures:
        raise DataError(f"{source} holds no picture files ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    captioned: set[str] = set()
    captions = _captions_table(source, options.captions)
    names = _names(pictures)
    if captions is not None:
        for item in table.read(captions, options):
            if isinstance(item, RawRecord) and isinstance(item.image, str) and not is_url(item.image):
                found = _find(item, names)
                if isinstance(found, RawRecord):
                    captioned.add(str(found.image))
                yield found
            else:
                yield item
    lonely = [path for path in pictures if path not in captioned]
    if captions is not None and lonely:
        yield Note(
            f"{len(lonely)} of {len(pictures)} pictures have no caption in {captions.name}; they are records without a text."
        )
    for path in lonely:
        yield RawRecord(_shortest_name(path, names), path, None, "", options.source, where=path)


def _pictures(source: Path) -> Iterator[str]:
    """Paths relative to `source`, without hidden files and the folders that mella-retrieval writes."""
    for folder, subfolders, files in os.walk(source):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        subfolders[:] = [name for name in subfolders if not (Path(folder) / name / MANIFEST).is_file()]
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122 - fast
                yield (Path(folder) / name).relative_to(source).as_posix()


def _captions_table(source: Path, named: str | None) -> Path | None:
    if named is not None:
        if named and not (source / named).is_file():
            raise DataError(f"there is no file {source / named}.")
        return source / named if named else None
    tables = sorted(path for path in source.iterdir() if path.is_file() and table_kind(path))
    usual = [path for path in tables if path.name.split(".")[0].lower() in _TABLE_NAMES]
    candidates = usual or tables
    if len(candidates) > 1:
        listed = ", ".join(path.name for path in candidates)
        raise DataError(f'{source} holds several tables ({listed}); say which has the captions: captions="{candidates[0].name}".')
    return candidates[0] if candidates else None


def _names(pictures: list[str]) -> dict[str, str]:
    """Every way to name a picture -> its path; "" where two pictures share the name."""
    names: dict[str, str] = {}
    exact = set(pictures)
    for path in pictures:
        pure = PurePosixPath(path)
        for name in {pure.name, pure.stem, str(pure.with_suffix(""))} - exact:
            names[name] = "" if name in names else path
    return names | {path: path for path in pictures}


def _shortest_name(path: str, names: dict[str, str]) -> str:
    """The file name without ending where no other picture shares it, else as much of the path as it takes."""
    pure = PurePosixPath(path)
    return next(name for name in (pure.stem, str(pure.with_suffix("")), path) if names.get(name) == path)


def _find(record: RawRecord, names: dict[str, str]) -> RawRecord | Rejected:
    wanted = str(record.image) or record.image_id
    path = names.get(str(PurePosixPath(wanted))) if wanted else None
    if path:
        return replace(record, image=path)
    if path == "":
        return Rejected(record.where, f"the name fits several pictures: {wanted[:200]!r}", record.text or "")
    return Rejected(record.where, f"no picture in the folder: {wanted[:200]!r}", record.text or "")
