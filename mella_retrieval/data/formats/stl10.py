"""STL-10 (Coates, Lee and Ng, 2011): `stl10_binary` as unpacked from `stl10_binary.tar.gz`.

`test_X.bin` holds 96 x 96 pictures of 27,648 bytes: red, green and blue, each *column* by column; `test_y.bin` one label a
byte, from 1 to 10; `class_names.txt` the names; `train_*.bin` the same. `unlabeled_X.bin` has no labels and is not read.
Pictures become PNG files; the columns are `label` (the class name) and `split`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from mella_retrieval.data.formats.labelled import Counts, as_png, file_size, find_folder, read_names
from mella_retrieval.data.formats.rows import open_bytes
from mella_retrieval.data.records import Note, RawRecord, Rejected
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
PICTURES = {"train": 5_000, "test": 8_000}

_INNER, _NAMES = "stl10_binary", "class_names.txt"
_SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")
_BYTES = 3 * 96 * 96


class Stl10Options(Strict):
    """Attributes: splits: the splits to read ("train", "test"); by default those whose files are there."""

    splits: list[Literal["train", "test"]] | None = None


def recognises(source: Path) -> bool:
    """A folder with `test_X.bin` or `train_X.bin`, or with the folder that unpacking leaves."""
    return _folder(source) is not None


def read(source: Path, options: Stl10Options) -> Iterator[RawRecord | Rejected | Note]:
    """The pictures, training split first; at the end notes that compare their numbers with the release.

    Raises:
        DataError: not STL-10's binary files, one of a split is missing, its size is not that of whole pictures, or there are
            more pictures than labels or the other way round.
    """
    folder = _folder(source)
    if folder is None:
        raise DataError(f"{source} is not the unpacked binary version of STL-10 ({_INNER} with test_X.bin and test_y.bin).")
    if (folder / _NAMES).is_file():
        classes = read_names(folder / _NAMES, len(CLASSES))
    else:
        classes = list(CLASSES)
        yield Note(f"{_NAMES} is missing: the class names are those of the release, in its order.")
    if (folder / "unlabeled_X.bin").is_file():
        yield Note("unlabeled_X.bin has no labels and was not read.")
    there = [split for split in _SPLITS if (folder / f"{split}_X.bin").is_file()]
    splits = list(dict.fromkeys(options.splits or there))
    counts = Counts(classes, splits)
    for split in splits:
        yield from _split(folder, split, classes, counts)
    yield from counts.notes(PICTURES)


def _split(folder: Path, split: str, classes: list[str], counts: Counts) -> Iterator[RawRecord | Rejected]:
    path, labels_path = folder / f"{split}_X.bin", folder / f"{split}_y.bin"
    pictures = file_size(path, _BYTES, "one picture of STL-10")
    labels = file_size(labels_path, 1, "one label")
    if pictures != labels:
        raise DataError(f"{path} has {pictures} pictures, {labels_path.name} {labels} labels: one of them was cut short.")
    with open_bytes(path) as file, open_bytes(labels_path) as label_file:
        for place in range(pictures):
            values, label = np.frombuffer(file.read(_BYTES), np.uint8), label_file.read(1)
            where = f"{path.name}, picture {place + 1}"
            if len(values) != _BYTES or not label:
                raise DataError(f"{path} was cut short while it was read.")
            if not 1 <= label[0] <= len(classes):
                yield Rejected(where, f"label out of range: {label[0]}, the classes are 1 to {len(classes)}")
                continue
            pixels = values.reshape(3, 96, 96).transpose(2, 1, 0)  # stored as colour, column, row
            extras = counts.add(split, classes[label[0] - 1])
            yield RawRecord(f"stl10-{split}-{place:05d}", as_png(pixels), None, "", extras=extras, where=where)


def _folder(source: Path) -> Path | None:
    wanted = [f"{split}_X.bin" for split in _SPLITS]
    return find_folder(source, _INNER, *wanted) if source.is_dir() else None
