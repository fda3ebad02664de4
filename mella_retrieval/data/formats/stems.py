"""Pictures that captions name by their file's stem: whatever their ending, they are found in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from mella_retrieval.data.formats.folder import IMAGE_SUFFIXES
from mella_retrieval.errors import DataError

UNKNOWN = ".bin"
"""Ending that the image store gives to pictures of an unknown format."""

_OF_FORMAT = {"JPEG": ".jpg", "JPG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


class StemPictures:
    """Asks the file system for every name, so that a folder of millions of pictures takes no memory."""

    def __init__(self, root: Path, folders: tuple[Path, ...], named: str | None = None) -> None:
        """Args: root: what found paths are relative to; folders: where pictures may lie by themselves; named: the one to take.

        Raises:
            DataError: the named folder is not there.
        """
        chosen = next((folder for folder in folders if folder.is_dir()), None)
        if named is not None:
            chosen = root / named
            if not chosen.is_dir():
                raise DataError(f"there is no folder of pictures {chosen}.")
        self.folder = chosen
        self._root = ""
        self._prefix = ""
        if chosen is not None:
            absolute = named is not None and Path(named).is_absolute()
            self._root = "" if absolute else f"{root}/"
            self._prefix = f"{chosen if absolute else Path(os.path.relpath(chosen, root)).as_posix()}/".removeprefix("./")
        lower = sorted(IMAGE_SUFFIXES)
        self._endings = ["", *lower, *(ending.upper() for ending in lower), UNKNOWN]

    def find(self, stem: str, format: str = "") -> tuple[str, bool]:
        """The path of a picture, and whether it is there; where it is not, the ending is that of `format` (JPEG, PNG ...).

        Without a folder the path is "".
        """
        if self.folder is None or ".." in stem.replace("\\", "/").split("/") or stem.startswith("/"):
            return "", False  # a stranger's line must not lead out of the folder
        usual = _OF_FORMAT.get(format.upper()) or f".{format.lower()}"
        guess = f"{self._prefix}{stem}{usual if usual in IMAGE_SUFFIXES else ''}"
        if _is_file(self._root + guess):
            return guess, True
        for place, ending in enumerate(self._endings):
            path = f"{self._prefix}{stem}{ending}"
            if _is_file(self._root + path):
                self._endings.insert(0, self._endings.pop(place))  # the next one will have the same
                return path, True
        return guess, False


def _is_file(path: str) -> bool:
    try:
        return os.path.isfile(path)  # noqa: PTH113 - asked for every record
    except ValueError:  # a name with NUL
        return False
