"""Going on behind damage in a gzip file: at the next member that begins with a WARC record."""

from __future__ import annotations

import re
import zlib
from typing import IO

_BLOCK = 1 << 16
_PROBE = 1 << 12
_SPARE = 1 << 28
_HEADER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]", re.DOTALL)  # the higher bits of the flags are reserved


class Resync:
    """Finds members behind damage in one file.

    Where damage begins is not known before bytes behind it were read, and these are read again. All together that is at most the
    length of the file and 256 MiB, so that no file, however it was made, takes more than twice its time.
    """

    def __init__(self, file: IO[bytes], length: int) -> None:
        """Args: file: open for reading; length: its bytes."""
        self._file, self._left = file, length + _SPARE

    @property
    def spent(self) -> bool:
        """Whether nothing more is looked for."""
        return self._left < 0

    def after(self, begin: int) -> int | None:
        """The byte where the next member with a record stands, more than `begin`; None: there is none, or the damage is too much.

        The file stands there then.
        """
        self._left -= max(0, self._file.tell() - begin)
        found = _search(self._file, begin + 1) if not self.spent else None
        if found is not None:
            self._file.seek(found)
        return found


def _search(file: IO[bytes], begin: int) -> int | None:
    """One pass from a byte on, with a window that has `_PROBE` bytes behind each place that is tried."""
    file.seek(begin)
    window = b""
    while True:
        block = file.read(_BLOCK)
        window += block
        end = max(0, len(window) - _PROBE) if block else len(window)
        for header in _HEADER.finditer(window):
            if header.start() >= end:
                break
            if _holds_record(window[header.start() : header.start() + _PROBE]):
                return begin + header.start()
        if not block:
            return None
        begin, window = begin + end, window[end:]


def _holds_record(packed: bytes) -> bool:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, 5) == b"WARC/"
    except zlib.error:
        return False
