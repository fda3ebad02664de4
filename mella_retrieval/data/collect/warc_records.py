"""The records of a WARC file (ISO 28500), plain or with a gzip member for each, whatever was cut or damaged.

Of a file that is cut, what stands before is read. In a gzip file a record that is nonsense costs only its member, and damaged
packing what stands before the next member that begins with a record. In a plain file nobody can tell where the next record
begins, and the rest of the file is lost.
"""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from mella_retrieval.data.collect.resync import Resync
from mella_retrieval.data.extra import data_package
from mella_retrieval.data.records import Rejected

T = TypeVar("T")

_BLOCK = 1 << 16
_UNPACKED = 1 << 18
_GZIP = b"\x1f\x8b"
_MAX_LINE = 1 << 16
_MAX_HEADERS = 1 << 20
_VERSIONS = ("WARC/1.1", "WARC/1.0", "WARC/0.18", "WARC/0.17")
_PROTOCOLS = ("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/2", "HTTP/3")


class Damaged(Exception):
    """A record that cannot be read; `final` where its gzip member has no end that could be found."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(f"damaged: {reason}")
        self.final = final


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record begins: at a byte of the file, and so many bytes into the gzip member that begins there."""

    start: int
    skip: int = 0


@dataclass(slots=True)
class WarcRecord:
    """One record whose content is still to be read.

    Attributes:
        type: WARC-Type: `response`, `request` ...
        url: WARC-Target-URI, "" if there is none.
        date: WARC-Date, ISO 8601.
        headers: of the record, asked by `get_header`.
        length: bytes of the content.
        where: file and number, as a person counts.
        place: for `record_at`.
    """

    type: str
    url: str
    date: str
    headers: Any
    length: int
    where: str
    place: Place
    _content: Any

    def http_headers(self) -> Any:
        """The HTTP status and headers with which the content of a response begins, by warcio (`get_statuscode`, `get_header`).

        Raises:
            Damaged: it begins otherwise.
        """
        parsers = data_package("warcio.statusandheaders")
        try:
            return parsers.StatusAndHeadersParser(list(_PROTOCOLS)).parse(self._content)
        except (parsers.StatusAndHeadersParserException, EOFError):
            raise Damaged("a response without an HTTP status line") from None

    def content(self, limit: int) -> bytes | None:
        """What has not been read yet; None if it is more than `limit` bytes."""
        data: bytes = self._content.read(limit + 1)
        return None if len(data) > limit else data

    def finish(self) -> None:
        """Pass over the rest.

        Raises:
            Damaged: the content ends before the length that was announced.
        """
        while self._content.limit:
            if not self._content.read(_BLOCK):
                missing = self._content.limit
                raise Damaged(f"cut short, {self.length - missing} of {self.length} bytes of a record are there")


def judged_records(path: Path, name: str, judge: Callable[[WarcRecord], T]) -> Iterator[T | Rejected]:
    """What `judge` makes of each record that is whole, and a `Rejected` for each that is not.

    Args:
        path: the file; opened for as long as the iteration takes.
        name: what to call it in `where`.
        judge: reads as much of a record as it needs; it may raise `Damaged`.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        yield Rejected(name, f"unreadable file: {error.strerror or error}")
        return
    with file:
        resync, packed = Resync(file, os.fstat(file.fileno()).st_size), path.suffix.lower() == ".gz"
        member: _Member | None = None
        number = 1
        while True:
            where = f"{name}, record {number}"
            try:
                member = member or _Member(file)
                record = _next_record(member, where)
                if record is not None:
                    outcome = judge(record)
                    record.finish()
                elif (member := member.following()) is None:
                    if number == 1:
                        yield Rejected(name, "damaged: no records")
                    return
                else:
                    continue
            except OSError as error:
                yield Rejected(where, f"unreadable file: {error}")
                return
            except Damaged as damage:
                passed = member.pass_over(damage, resync if member.packed or packed else None) if member is not None else None
                told = f"; {passed:,} bytes passed over" if passed else ("; too much damage to go on" if resync.spent else "")
                yield Rejected(where, f"{damage}{told}")
                if passed is None:
                    return
                member = None if passed else member
            else:
                yield outcome
            number += 1


def record_at(file: IO[bytes], place: Place) -> WarcRecord:
    """The record at a place that an earlier reading gave.

    Raises:
        Damaged: there is none any more.
    """
    file.seek(place.start)
    member = _Member(file)
    left = place.skip
    while left and (skipped := len(member.read(min(left, _BLOCK)))):
        left -= skipped
    record = _next_record(member, "")
    if record is None:
        raise Damaged("the record is not there any more", final=True)
    return record


class _Plain(io.RawIOBase):
    """A file as it is, read through without being closed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._told = file, 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._told

    def readinto(self, buffer: Any, /) -> int:
        data = self._some(len(buffer))
        buffer[: len(data)] = data
        self._told += len(data)
        return len(data)

    def _some(self, most: int) -> bytes:
        return self._file.read(most)


class _Unpacked(_Plain):
    """The content of one gzip member, unpacked little by little."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def end(self) -> int:
        """The byte of the file after the member; known when all of it was read."""
        return self._file.tell() - len(self._unpacking.unused_data)

    def _some(self, most: int) -> bytes:
        while not self._unpacking.eof:
            packed = self._unpacking.unconsumed_tail or self._file.read(_BLOCK)
            if not packed:
                raise Damaged("cut short, the file ends within a gzip member", final=True)
            try:
                data = self._unpacking.decompress(packed, min(most, _UNPACKED))
            except zlib.error as error:
                raise Damaged(f"gzip that cannot be unpacked ({error})", final=True) from None
            if data:
                return data
        return b""


class _Member(io.BufferedReader):
    """What can be read on: one gzip member, unpacked, or a plain file to its end. Its lines are headers and have a limit."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._start = file, file.tell()
        self._unpacked = _Unpacked(file) if file.read(len(_GZIP)) == _GZIP else None
        file.seek(self._start)
        super().__init__(self._unpacked or _Plain(file), _BLOCK)
        self._header_bytes = 0
        self._abandoned = False
        self._lost = self._start

    @property
    def packed(self) -> bool:
        """Whether it is a gzip member."""
        return self._unpacked is not None

    def readline(self, size: int | None = -1, /) -> bytes:
        limit = _MAX_LINE if size is None or size < 0 else min(size, _MAX_LINE)
        line = super().readline(limit)
        self._header_bytes += len(line)
        if len(line) == _MAX_LINE or self._header_bytes > _MAX_HEADERS:
            raise Damaged("headers without an end")
        return line

    def begin(self) -> tuple[bytes, Place]:
        """The first line of the next record and where it stands; an empty line if there is none."""
        self._header_bytes = 0
        line = b""
        while not self._abandoned and (line := self.readline()) and not line.strip():
            pass
        position = self.tell() - len(line)
        return line, Place(self._start + position) if self._unpacked is None else Place(self._start, position)

    def pass_over(self, damage: Damaged, resync: Resync | None) -> int | None:
        """Read no more records here, because of `damage`.

        Returns:
            Bytes that were passed over to another member, where the file stands then; 0 if that is found by `following`; None if
            nothing behind can be found.
        """
        self._abandoned = True
        if self._unpacked is not None and not damage.final:
            return 0
        if resync is None:
            return None
        found = resync.after(self._lost)
        return None if found is None else found - self._lost

    def following(self) -> _Member | None:
        """The gzip member after this one, whose rest is passed over; None at the end of the file."""
        if self._unpacked is None:
            return None
        while self.read(_BLOCK):
            pass
        end = self._unpacked.end
        self._file.seek(end)
        beginning = self._file.read(len(_GZIP))
        self._file.seek(end)
        if beginning and beginning != _GZIP:
            self._lost = end
            raise Damaged("no gzip member where the next should begin", final=True)
        return _Member(self._file) if beginning else None


def _next_record(member: _Member, where: str) -> WarcRecord | None:
    """The next record of a member, None at its end."""
    parsers = data_package("warcio.statusandheaders")
    line, place = member.begin()
    if not line:
        return None
    try:
        headers = parsers.StatusAndHeadersParser(list(_VERSIONS)).parse(member, line)
    except parsers.StatusAndHeadersParserException:
        raise Damaged("no WARC record where one should begin") from None
    length = headers.get_header("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,15}", length):
        raise Damaged("a record without a valid Content-Length")
    return WarcRecord(
        type=headers.get_header("WARC-Type", "").strip().lower(),
        url=headers.get_header("WARC-Target-URI", "").strip("<> \t"),
        date=headers.get_header("WARC-Date", "").strip(),
        headers=headers,
        length=int(length),
        where=where,
        place=place,
        _content=data_package("warcio.limitreader").LimitReader(member, int(length)),
    )
