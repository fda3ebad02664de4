"""The entries of a JSON list, one at a time, in memory that does not grow with the file, and where each stands in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from mella_retrieval.errors import DataError

Quick = Callable[[str, int, int], int]

_BLOCK = 1 << 18
_LIMIT = 64_000_000  # bytes of one entry: more is a bracket that never closes
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder(strict=False)  # control characters within a string are for the checks of records to refuse


def list_entries(path: Path, file: IO[bytes], what: str, quick: Quick | None = None) -> Iterator[tuple[int, int, Any]]:
    """First byte, byte after the last, and value of each entry.

    Bytes are read as Latin-1, whose characters are bytes, so that places in the text are places in the file. JSON's own marks are
    ASCII in UTF-8 as well: only strings that are not ASCII come out wrong, and have to be read again from their place.

    Args:
        path: the file's name, for messages.
        file: the file, at its beginning.
        what: what the list holds, for messages.
        quick: takes entries of a form that it knows, as many as it can, and they are not given out. Called with a piece of the
            file, the place in it where an entry begins, and the place in the file where the piece begins; gives the place of the
            first entry that it did not take. It must leave an entry behind which it sees no further one.

    Raises:
        DataError: the file holds no list, or is damaged or cut short.
    """
    window = _Window(path, file)
    if window.ahead(3) == "\xef\xbb\xbf":
        window.skip(3)
    if window.next_mark() != "[":
        raise DataError(f"{path} must hold a JSON list of {what}; it does not begin with a bracket.")
    window.skip(1)
    if window.next_mark() != "]":
        while True:
            if quick is not None:
                window.pass_by(quick)
            yield window.value()
            mark = window.next_mark()
            if mark == "]":
                break
            if mark != ",":
                raise window.damaged("neither a comma nor the closing bracket follows an entry")
            window.skip(1)
            window.next_mark()
    window.skip(1)
    if window.next_mark():
        raise window.damaged("something follows the list")


class _Window:
    """The part of a file that is being parsed."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._text, self._place, self._base, self._ended = "", 0, 0, False

    def ahead(self, count: int) -> str:
        """The next characters; fewer at the end of the file."""
        while len(self._text) - self._place < count and self._more(_BLOCK):
            pass
        return self._text[self._place : self._place + count]

    def skip(self, count: int) -> None:
        """Go on."""
        self._place += count

    def next_mark(self) -> str:
        """Go on to what is no white space, and give its first character; "" at the end of the file."""
        while True:
            text, place = self._text, self._place
            while place < len(text) and text[place] in _SPACE:
                place += 1
            self._place = place
            if place < len(text):
                return text[place]
            if not self._more(_BLOCK):
                return ""

    def pass_by(self, quick: Quick) -> None:
        """Go on to the first entry in the window that `quick` does not take."""
        self._place = quick(self._text, self._place, self._base)

    def value(self) -> tuple[int, int, Any]:
        """Where the next JSON value stands, and the value."""
        size = _BLOCK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._place)
                if end < len(self._text) or self._ended:  # a number may go on behind the window
                    begin, self._place = self._place, end
                    return self._base + begin, self._base + end, value
            except RecursionError:
                raise self.damaged("an entry is nested too deeply") from None
            except ValueError as error:
                if self._ended or len(self._text) - self._place > _LIMIT:
                    raise self.damaged(str(error).partition(":")[0]) from None
            self._more(size)
            size *= 2  # the entry is parsed from its beginning each time: doubling keeps that linear

    def damaged(self, what: str) -> DataError:
        """The error that says where reading came to an end."""
        place = self._base + self._place
        return DataError(f"{self._path} is not valid JSON at byte {place}: {what}. It is corrupted or was cut short.")

    def _more(self, size: int) -> bool:
        data = self._file.read(size)
        self._ended = not data
        self._text = self._text[self._place :] + data.decode("latin-1")
        self._base, self._place = self._base + self._place, 0
        return bool(data)
