"""The translated descriptions of MELLA's pictures, `trans_<lang>.json`: a list of `{"img_id", "caption"}`, joined by img_id.

A file of one language may have a gigabyte, so its captions stay on the disk. One pass over it notes where each entry stands
(23 bytes an entry); a look-up is a binary search among hashes and one read of the entry itself, whose img_id is then compared.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from mella_retrieval.data.formats.captions import shown
from mella_retrieval.data.formats.json_list import list_entries
from mella_retrieval.data.formats.rows import open_bytes
from mella_retrieval.data.records import Rejected
from mella_retrieval.errors import DataError

_BLOCK = 1 << 20
# The form in which all files were seen: it is taken apart without parsing the caption, which is most of the file.
_BEGIN = re.compile(r'\{\s*"img_id"\s*:\s*"([^"\\\x80-\xff]+)"\s*,\s*"caption"\s*:\s*"')
_NEXT = re.compile(r'"\s*(?:,\s*"text_id"\s*:\s*"([^"\\\x80-\xff]*)"\s*)?\}\s*,\s*(?=\{)')
_LONGEST = 60_000  # characters before a caption


Text = tuple[str, str]
"""A caption, and its text_id where the entry names one (files that this package wrote do), else ""."""


class Translations:
    """The captions of one file by img_id. Use as a context manager, `scan` first, then `find`."""

    def __init__(self, path: Path) -> None:
        """Args: path: the file, plain or .gz, which is unpacked into a temporary file.

        Raises:
            DataError: there is no such file, or it cannot be read.
        """
        self.path = path
        self.entries = 0
        self._files = ExitStack()
        self._file = self._opened()
        self._keys, self._begins, self._lengths = array("q"), array("Q"), array("I")
        self._offsets = array("H")
        self._used = bytearray()

    def __enter__(self) -> Translations:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def scan(self) -> Iterator[Rejected]:
        """Find the entries; yields those that are no translation.

        Raises:
            DataError: the file is no list, or is damaged or cut short.
        """
        for begin, end, value in list_entries(self.path, self._file, "{img_id, caption}", self._take_usual):
            names = _names(self._parsed(begin, end - begin))
            if names is None:
                self.entries += 1
                where = f"{self.path.name}, entry {self.entries}"
                yield Rejected(where, "not a translation: no img_id and caption that are texts", shown(value))
            else:
                self._note(names, begin, end - begin, 0)
        order = np.argsort(np.frombuffer(self._keys, np.int64), kind="stable")
        for values in (self._keys, self._begins, self._lengths, self._offsets):
            values[:] = array(values.typecode, np.frombuffer(values, f"u{values.itemsize}")[order].tobytes())
        self._used = bytearray(len(self._keys))

    def find(self, img_id: str, text_id: str = "") -> list[Text]:
        """The captions of a picture in the order of the file: those of the text_id where some name it, else those without one."""
        key = hash((img_id, text_id))
        place = bisect_left(self._keys, key)
        found = []
        while place < len(self._keys) and self._keys[place] == key:
            caption = self._caption(place, img_id, text_id)
            if caption is not None:
                found.append((caption, text_id))
                self._used[place] = 1
            place += 1
        return found if found or not text_id else self.find(img_id)

    @property
    def unused(self) -> int:
        """Captions for which no picture asked."""
        return self._used.count(0)

    def _take_usual(self, text: str, place: int, base: int) -> int:
        """Note the entries of the usual form from `place` on; gives the place of the first that is of another, or may be cut."""
        while (start := _BEGIN.match(text, place)) is not None:
            begin = start.end()
            quote = text.find('"', begin)
            following = _NEXT.match(text, quote) if quote > 0 else None
            if following is None or begin - place > _LONGEST or text.find("\\", begin, quote) > 0:
                break
            self._note((start[1], following[1] or ""), base + place, quote - place, begin - place)
            place = following.end()
        return place

    def _note(self, names: tuple[str, str], begin: int, length: int, offset: int) -> None:
        """Remember an entry: where it begins, its bytes up to the end of its caption, and after how many of them that begins.

        An offset of 0 says that the whole entry is to be parsed.
        """
        self.entries += 1
        self._keys.append(hash(names))
        self._begins.append(begin)
        self._lengths.append(length)
        self._offsets.append(offset)

    def _caption(self, place: int, img_id: str, text_id: str) -> str | None:
        """The caption of an entry, unless it is of other ids of the same hash."""
        begin, length, offset = self._begins[place], self._lengths[place], self._offsets[place]
        if not offset:
            entry = self._parsed(begin, length)
            return str(entry["caption"]) if _names(entry) == (img_id, text_id) else None
        data = os.pread(self._file.fileno(), length, begin)
        if data.find(f'"{img_id}"'.encode("utf-8", "surrogatepass"), 0, offset) < 0:
            return None
        return str(memoryview(data)[offset:], "utf-8", "surrogateescape")  # a slice of bytes would be a copy

    def _parsed(self, begin: int, length: int) -> Any:
        return json.loads(os.pread(self._file.fileno(), length, begin).decode("utf-8", "surrogateescape"), strict=False)

    def _opened(self) -> IO[bytes]:
        if not self.path.is_file():
            raise DataError(f"there is no file {self.path}.")
        if not self.path.name.lower().endswith(".gz"):
            return self._files.enter_context(self.path.open("rb"))
        unpacked = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with the others
        with open_bytes(self.path) as file:
            shutil.copyfileobj(file, unpacked, _BLOCK)
        unpacked.seek(0)
        return unpacked


def _names(entry: Any) -> tuple[str, str] | None:
    """img_id and text_id of an entry; None where it is no translation."""
    if not isinstance(entry, dict) or not isinstance(entry.get("caption"), str):
        return None
    img_id, text_id = entry.get("img_id"), entry.get("text_id", "")
    return (img_id, text_id) if isinstance(img_id, str) and img_id and isinstance(text_id, str) else None
