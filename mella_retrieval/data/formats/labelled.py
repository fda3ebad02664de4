"""What the formats of labelled pictures share: pixels as PNG files, lists of class names, and counts of pictures per class."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mella_retrieval.data.records import Note
from mella_retrieval.errors import DataError


def as_png(pixels: NDArray[np.uint8]) -> bytes:
    """An encoded PNG of (height, width, 3) pixels."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def find_folder(source: Path, inner: str, *wanted: str) -> Path | None:
    """The folder that holds one of the wanted files: `source`, or the folder that unpacking leaves in it."""
    for folder in (source, source / inner):
        if any((folder / name).is_file() for name in wanted):
            return folder
    return None


def read_names(path: Path, expected: int) -> list[str]:
    """The class names of a text file, one a line.

    Raises:
        DataError: it cannot be read, or there are not so many different names.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if len(names) != expected or len(set(names)) != expected:
        raise DataError(f"{path} must name {expected} different classes, one a line; it has {', '.join(names)[:200] or 'none'}.")
    return names


def file_size(path: Path, unit: int, what: str) -> int:
    """How many units of so many bytes a file holds.

    Raises:
        DataError: it is missing, empty, or its size is no multiple of the unit.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    size = path.stat().st_size
    if size == 0 or size % unit:
        raise DataError(f"{path} has {size} bytes, no multiple of {unit} ({what}): it was cut short, or is another file.")
    return size // unit


class Counts:
    """Pictures per split and class, for what a reader says about its source at the end."""

    def __init__(self, classes: Sequence[str], splits: Sequence[str]) -> None:
        self._classes = classes
        self._found: dict[str, Counter[str]] = {split: Counter() for split in splits}

    def add(self, split: str, label: str) -> dict[str, Any]:
        """Count a picture; returns the columns of its record."""
        self._found[split][label] += 1
        return {"label": label, "split": split}

    def notes(self, release: dict[str, int] | None = None) -> Iterator[Note]:
        """What was found in each split, beside the release's number of pictures, and the classes without one."""
        for split, found in self._found.items():
            total, name = sum(found.values()), f"{split}: " if split else ""
            expected = (release or {}).get(split)
            compared = "" if expected is None or expected == total else f"; the release has {expected}"
            yield Note(f"{name}{total} pictures in {len(found)} of {len(self._classes)} classes{compared}.")
            if empty := [label for label in self._classes if not found[label]]:
                yield Note(f"{name}no pictures of {', '.join(empty)}: nothing can be said about these classes.")
