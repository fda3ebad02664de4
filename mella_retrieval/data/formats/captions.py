"""What the readers of caption test sets share: the pictures' folder, lines of text, whole JSON files, ids.

In all of them the image_id is the picture's file name without its ending, so that one gallery of vectors serves every test set
that names its pictures, and a text_id is `<image_id>#<language>#<number>`, counting a picture's texts of one language from 0.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mella_retrieval import languages
from mella_retrieval.data.formats.folder import IMAGE_SUFFIXES
from mella_retrieval.data.formats.rows import open_bytes, read_lines
from mella_retrieval.errors import DataError
from mella_retrieval.recipes import Strict

SPLIT = r"^[\w-][\w.-]*$"
"""What the name of a split may be: a part of a file's name."""

_HEAD = 8192
# COCO's archives unpack to these folders; its file names say to which of them a picture belongs.
_COCO_FOLDERS = ("train2014", "val2014", "test2014")


class PictureOptions(Strict):
    """Attributes: images: folder of the pictures, relative to the source; by default `images` in it, if it is there."""

    images: str | None = None


class Pictures:
    """Paths of pictures as records hold them. Without a folder they are "": vectors are then matched by image_id."""

    def __init__(self, source: Path, named: str | None) -> None:
        """Args: source: folder of the captions, or their file; named: the option `images`.

        Raises:
            DataError: the named folder is not there.
        """
        root = source if source.is_dir() else source.parent
        folder = root / ("images" if named is None else named)
        if named is not None and not folder.is_dir():
            raise DataError(f"there is no folder of pictures {folder}.")
        self._prefix = ""
        if folder.is_dir():
            absolute = named is not None and Path(named).is_absolute()
            self._prefix = str(folder) if absolute else Path(os.path.relpath(folder, root)).as_posix()
        self._coco = [name for name in _COCO_FOLDERS if (folder / name).is_dir()]

    def path(self, name: str) -> str:
        """The path of the picture `name`; COCO's pictures are looked for in the folder that their name tells, where it exists."""
        if not self._prefix:
            return ""
        inside = next((part for part in self._coco if name.startswith(f"COCO_{part}_")), "")
        return "/".join(part for part in (self._prefix, inside, name) if part and part != ".")


class TextIds:
    """Text ids that stay unique where a picture or a caption stands twice."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def next(self, image_id: str, lang: str) -> str:
        """The id of the next text of this picture in this language."""
        number = self._counts[image_id, lang]
        self._counts[image_id, lang] += 1
        return f"{image_id}#{lang}#{number}"


def image_id(name: str) -> str:
    """The file name without folders and without the ending of a picture: `val2014/COCO_val2014_42.jpg` -> `COCO_val2014_42`."""
    pure = PurePosixPath(name)
    return pure.stem if pure.suffix.lower() in IMAGE_SUFFIXES else pure.name


def language(code: str, path: Path) -> str:
    """The canonical form of a language code that a file's name gives.

    Raises:
        DataError: no such language; the file is named.
    """
    try:
        return languages.normalise(code)
    except DataError as error:
        raise DataError(f"{path}: the file's name gives no language: {error}") from None


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Place and content of each line without its end. Only LF and CR LF end a line: U+2028 and the like stand in real captions.

    Bytes that are not UTF-8 stay as lone surrogates, which the checks of single records refuse with the reason.
    """
    for number, content in read_lines(path):
        line = content.removeprefix(b"\xef\xbb\xbf") if number == 1 else content
        yield f"{path.name}, line {number}", line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def name_list(path: Path) -> list[str]:
    """The names in a list of pictures or clips, one a line; what follows a `#` is left out, blank lines at the end do not count.

    Raises:
        DataError: there is no such file, no name in it, or a blank line between two names.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    names = [line.partition("#")[0].strip() for _, line in text_lines(path)]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(f"{path} names no pictures.")
    if "" in names:
        raise DataError(f"{path}, line {names.index('') + 1}: no name; line i of the captions belongs to name i.")
    return names


def parallel_lines(path: Path, names: Sequence[str], listed: Path) -> Iterator[tuple[str, str, str]]:
    """(place, picture's name, text) where line i of `path` belongs to name i.

    Raises:
        DataError: there are fewer or more lines than names (blank lines at the end are not counted).
    """
    lines = list(text_lines(path))
    while len(lines) > len(names) and not lines[-1][1].strip():
        lines.pop()
    if len(lines) != len(names):
        raise DataError(
            f"{path} has {len(lines)} lines, but {listed.name} names {len(names)} pictures. Line i must belong to picture i; "
            "get both files from the same release."
        )
    for (where, text), name in zip(lines, names, strict=True):
        yield where, name, text


def read_json(path: Path) -> Any:
    """The content of a JSON file as a whole, plain or .gz.

    Raises:
        DataError: there is no such file, or it is no JSON.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}.")
    with open_bytes(path) as file:
        content = file.read()
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise DataError(f"{path} is not valid JSON: nested too deeply.") from None
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}.") from None


def head(path: Path) -> bytes:
    """The first bytes of a file, unpacked; none where it is no file that can be read. For telling formats apart."""
    if not path.is_file():
        return b""
    try:
        with open_bytes(path) as file:
            return file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()
    except DataError:
        return b""


def one_file(source: Path, named: str | None, pattern: str, what: str) -> Path:
    """The file that a source means: itself, the named one in it, or the only one of a pattern.

    Raises:
        DataError: there is none, or several and the option `captions` names none of them.
    """
    if not source.is_dir():
        return source
    if named is not None:
        if not (source / named).is_file():
            raise DataError(f"there is no file {source / named}.")
        return source / named
    found = sorted(path for path in source.glob(pattern) if path.is_file())
    if len(found) == 1:
        return found[0]
    if not found:
        raise DataError(f"{source} holds no {what} ({pattern}).")
    listed = ", ".join(path.name for path in found)
    raise DataError(f'{source} holds several files ({listed}); say which has the captions: captions="{found[0].name}".')


def shown(value: object) -> str:
    """The beginning of a value, for the list of what was rejected."""
    return str(value)[:120]
