"""CIFAR-10 (Krizhevsky, 2009), the *binary* version: `cifar-10-batches-bin` as unpacked from `cifar-10-binary.tar.gz`.

`data_batch_1.bin` ... `data_batch_5.bin` and `test_batch.bin` are records of 3,073 bytes: a label from 0 to 9, then 1,024 red,
1,024 green and 1,024 blue values, row by row. `batches.meta.txt` names the classes. The Python version holds pickles, which
run code when they are read, and is refused. Pictures become PNG files; the columns are `label` (the class name) and `split`.
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

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PICTURES = {"train": 50_000, "test": 10_000}

_INNER, _NAMES = "cifar-10-batches-bin", "batches.meta.txt"
_FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
_BYTES = 1 + 3 * 32 * 32


class Cifar10Options(Strict):
    """Attributes: splits: the splits to read ("train", "test"); by default those whose files are there."""

    splits: list[Literal["train", "test"]] | None = None


def recognises(source: Path) -> bool:
    """A folder with one of the files, or with the folder that unpacking leaves; pickles too, which `read` refuses."""
    return _folder(source) is not None or _pickles(source) is not None


def read(source: Path, options: Cifar10Options) -> Iterator[RawRecord | Rejected | Note]:
    """The pictures, training split first; at the end notes that compare their numbers with the release.

    Raises:
        DataError: not the binary version, a file of a split is missing, or its size is not that of whole pictures.
    """
    folder = _folder(source)
    if folder is None:
        raise DataError(_refusal(source))
    if (folder / _NAMES).is_file():
        classes = read_names(folder / _NAMES, len(CLASSES))
    else:
        classes = list(CLASSES)
        yield Note(f"{_NAMES} is missing: the class names are those of the release, in its order.")
    there = [split for split, names in _FILES.items() if any((folder / name).is_file() for name in names)]
    splits = list(dict.fromkeys(options.splits or there))
    counts = Counts(classes, splits)
    for split in splits:
        number = 0
        for name in _FILES[split]:
            for item in _batch(folder / name, split, number, classes, counts):
                number += 1
                yield item
    yield from counts.notes(PICTURES)


def _batch(path: Path, split: str, begin: int, classes: list[str], counts: Counts) -> Iterator[RawRecord | Rejected]:
    pictures = file_size(path, _BYTES, "one picture of CIFAR-10's binary version")
    with open_bytes(path) as file:
        for place in range(pictures):
            values = np.frombuffer(file.read(_BYTES), np.uint8)
            where = f"{path.name}, picture {place + 1}"
            if len(values) != _BYTES:
                raise DataError(f"{path} was cut short while it was read.")
            if values[0] >= len(classes):
                yield Rejected(where, f"label out of range: {values[0]}, the classes are 0 to {len(classes) - 1}")
                continue
            pixels = values[1:].reshape(3, 32, 32).transpose(1, 2, 0)
            extras = counts.add(split, classes[values[0]])
            yield RawRecord(f"cifar10-{split}-{begin + place:05d}", as_png(pixels), None, "", extras=extras, where=where)


def _folder(source: Path) -> Path | None:
    return find_folder(source, _INNER, *_FILES["train"], *_FILES["test"]) if source.is_dir() else None


def _pickles(source: Path) -> Path | None:
    return find_folder(source, "cifar-10-batches-py", "test_batch", "data_batch_1") if source.is_dir() else None


def _refusal(source: Path) -> str:
    if (pickles := _pickles(source)) is not None:
        return (
            f"{pickles} holds the Python version of CIFAR-10: pickles, which run code when they are read. Get the binary "
            "version, cifar-10-binary.tar.gz, from https://www.cs.toronto.edu/~kriz/cifar.html."
        )
    return f"{source} is not the unpacked binary version of CIFAR-10 ({_INNER} with test_batch.bin)."
