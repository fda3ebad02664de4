"""A folder per class: `cat/1.jpg`, `dog/1.jpg` ..., with or without a level of splits above (`train/cat/1.jpg`).

The class is the folder's name, at any depth below it; the columns are `label` and `split` ("" without a level of splits).
A folder of pictures looks the same, so this format is never guessed: name it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mella_retrieval.artifacts import MANIFEST
from mella_retrieval.data.formats.folder import IMAGE_SUFFIXES
from mella_retrieval.data.formats.labelled import Counts
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})


class ClassFolderOptions(Strict):
    """How the sub-folders are read.

    Attributes:
        splits: the splits to read; all by default.
        split_level: whether the first level of folders are splits; by default it is if all their names are usual ones (`train`,
            `val`, `test` ...).
    """

    splits: list[str] | None = None
    split_level: bool | None = None


def recognises(source: Path) -> bool:
    """Never: it cannot be told from a folder of pictures."""
    return False


def read(source: Path, options: ClassFolderOptions) -> Iterator[RawRecord | Rejected | Note]:
    """The pictures, sorted by path; at the end notes about classes without pictures and files that are no pictures.

    Raises:
        DataError: not a folder, no sub-folders, a split that is not there, or no picture.
    """
    if not source.is_dir():
        raise DataError(f"{source} is not a folder with one sub-folder per class.")
    first = _subfolders(source)
    if not first:
        raise DataError(f"{source} has no sub-folders; a class is a sub-folder with its pictures.")
    split_level = {name.lower() for name in first} <= SPLITS if options.split_level is None else options.split_level
    if options.splits and (unknown := sorted(set(options.splits) - set(first if split_level else ()))):
        there = ", ".join(first) if split_level else "none"
        raise DataError(f"{source} has no split {', '.join(unknown)}; it has {there}.")
    chosen = (options.splits or first) if split_level else [""]
    counts, others = Counts(_classes(source, chosen), chosen), Counter[str]()
    files = [path for path in _files(source) if not (split_level and "/" in path and path.split("/")[0] not in chosen)]
    stems = Counter(str(PurePosixPath(path).with_suffix("")) for path in files if _is_picture(path))
    if not stems:
        raise DataError(f"{source} holds no picture files ({', '.join(sorted(IMAGE_SUFFIXES))}) in its classes.")
    for path in files:
        pure = PurePosixPath(path)
        parts = pure.parts[1:] if split_level else pure.parts
        if not _is_picture(path):
            others[pure.suffix.lower() or "no ending"] += 1
        elif len(parts) < 2:
            yield Rejected(path, "picture outside any class: it lies beside the folders of the classes")
        else:
            extras = counts.add(pure.parts[0] if split_level else "", parts[0])
            stem = str(pure.with_suffix(""))
            yield RawRecord(stem if stems[stem] == 1 else path, path, None, "", extras=extras, where=path)
    yield from counts.notes()
    if others:
        yield Note(f"files that are no pictures: {', '.join(f'{count} x {suffix}' for suffix, count in sorted(others.items()))}.")


def _is_picture(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def _classes(source: Path, splits: list[str]) -> list[str]:
    """The classes of all splits together: one that is missing from a split is missing there."""
    return sorted({name for split in splits for name in _subfolders(source / split)})


def _subfolders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not _left_out(path))


def _left_out(path: Path) -> bool:
    """Hidden folders, and those that mella-retrieval writes."""
    return path.name.startswith(".") or (path / MANIFEST).is_file()


def _files(source: Path) -> list[str]:
    """Paths of all files relative to `source`, sorted."""
    found = []
    for folder, subfolders, files in os.walk(source):
        subfolders[:] = [name for name in subfolders if not _left_out(Path(folder) / name)]
        found += [(Path(folder) / name).relative_to(source).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)
