"""Pages and pictures of WARC files, as crawlers and Common Crawl write them.

Responses with status 200 and resources are taken; requests, revisits, metadata and the rest are passed over and counted.
Pictures are found by their address: one pass over the files notes where each stands, in 28 bytes.
"""

from __future__ import annotations

import hashlib
import re
import threading
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mella_retrieval.data.collect.addresses import is_web, plain
from mella_retrieval.data.collect.http_body import Body, CannotUnpack, http_body
from mella_retrieval.data.collect.pages import (
    MAX_PICTURE,
    PAGE,
    PICTURE,
    Page,
    PageSource,
    Passed,
    Pictures,
    kind_seen,
    kind_told,
    too_large,
)
from mella_retrieval.data.collect.warc_records import Damaged, Place, WarcRecord, judged_records, record_at
from mella_retrieval.data.extra import data_package
from mella_retrieval.data.records import Note, Rejected
from mella_retrieval.data.web.fetching import Failed

_TYPES = frozenset({"warcinfo", "response", "resource", "request", "metadata", "revisit", "conversion", "continuation"})


class WarcPages(PageSource):
    """The pages of WARC files, in the order of the files and of their records."""

    def __init__(self, folder: Path, files: Sequence[Path], max_page: int) -> None:
        """Args: folder: what the names of the files are relative to; files: sorted; max_page: bytes."""
        super().__init__()
        self._folder, self._files, self._max_page = folder, files, max_page
        self.pictures = WarcPictures(files)
        data_package("warcio")

    def read(self) -> Iterator[Page | Rejected | Note | Passed]:
        """What becomes of each record."""
        for file in self._files:
            yield from judged_records(file, file.relative_to(self._folder).as_posix(), self._page)

    def _page(self, record: WarcRecord) -> Page | Passed | Rejected:
        answer = _answer(record)
        if isinstance(answer, Passed):
            return answer
        kind = kind_told(answer.content_type)
        if kind not in {PAGE, ""}:
            return Passed(kind)
        try:
            content = answer.content(self._max_page)
        except CannotUnpack as error:
            return Rejected(record.where, str(error), record.url[:200])
        if content is None:
            return too_large(record.where, self._max_page, record.url)
        if not kind and (kind := kind_seen(content.data)) != PAGE:
            return Passed(kind)
        return self._whole(record, answer, content)

    def _whole(self, record: WarcRecord, answer: _Answer, content: Body) -> Page | Rejected:
        if not content.data:
            return Rejected(record.where, "empty page", record.url[:200])
        truncated = record.headers.get_header("WARC-Truncated", "")
        notes = (f"cut short: by the crawler ({truncated[:40]})" if truncated else "", content.note)
        return Page(
            url=record.url,
            html=content.data,
            content_type=answer.content_type,
            language=answer.header("Content-Language"),
            date=record.date,
            where=record.where,
            notes=tuple(filter(None, notes)),
        )


class WarcPictures(Pictures):
    """The pictures of WARC files. The first to be asked for waits until all files were passed over once."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Args: files: of which the first that has a picture counts."""
        self._files = files
        self._lock = threading.Lock()
        self._index: _Index | None = None

    def find(self, url: str) -> bytes | Failed:
        """The picture that was stored for an address; http and https are one."""
        with self._lock:
            if self._index is None:
                self._index = _Index(self._files)
        key = plain(url)
        found: bytes | Failed = Failed(url, "not in the WARC files")
        for file, place in self._index.places(key):
            read = _read(file, place, key, url)
            if isinstance(read, bytes):
                return read
            found = read or found
        return found


class _Index:
    """Where the pictures stand, by the hash of their addresses; `places` may give some of other addresses too."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        hashes, numbers, starts, skips = array("Q"), array("I"), array("Q"), array("Q")
        for number, file in enumerate(files):
            for record in judged_records(file, "", _picture):
                if isinstance(record, WarcRecord):
                    hashes.append(_hash(plain(record.url)))
                    numbers.append(number)
                    starts.append(record.place.start)
                    skips.append(record.place.skip)
        unsorted = np.array(hashes, np.uint64)
        order = np.argsort(unsorted, kind="stable")
        self._hashes = unsorted[order]
        self._numbers, self._starts, self._skips = (np.array(column)[order] for column in (numbers, starts, skips))

    def places(self, key: str) -> Iterator[tuple[Path, Place]]:
        wanted = np.uint64(_hash(key))
        begin, end = (int(np.searchsorted(self._hashes, wanted, side)) for side in ("left", "right"))
        for row in range(begin, end):
            yield self._files[self._numbers[row]], Place(int(self._starts[row]), int(self._skips[row]))


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a server said, or another source (then without HTTP headers)."""

    record: WarcRecord
    content_type: str
    http: Any = None

    def header(self, name: str) -> str:
        """Its value, "" if there is none."""
        return self.http.get_header(name, "") if self.http is not None else ""

    def content(self, limit: int) -> Body | None:
        """Unpacked; None if it is more than `limit` bytes as it was sent or unpacked."""
        sent = self.record.content(limit)
        return None if sent is None else http_body(sent, self.header("Transfer-Encoding"), self.header("Content-Encoding"), limit)


def _answer(record: WarcRecord) -> _Answer | Passed:
    """Raises: Damaged: a response without HTTP headers."""
    if record.type not in {"response", "resource"}:
        return Passed(f"skipped: {record.type if record.type in _TYPES else 'unknown'} record")
    if not is_web(record.url):
        return Passed("skipped: not from the web")
    if record.type == "resource":
        return _Answer(record, record.headers.get_header("Content-Type", ""))
    http = record.http_headers()
    status = http.get_statuscode()
    if status not in {"200", "203"}:
        return Passed(f"skipped: status {status}" if re.fullmatch("[1-9][0-9]{2}", status) else "skipped: no valid status")
    return _Answer(record, http.get_header("Content-Type", ""), http)


def _picture(record: WarcRecord) -> WarcRecord | None:
    """The record itself if it is a picture."""
    answer = _answer(record)
    if isinstance(answer, Passed):
        return None
    kind = kind_told(answer.content_type)
    if not kind:
        try:
            content = answer.content(MAX_PICTURE)
        except CannotUnpack:  # as a page it is rejected
            return None
        kind = kind_seen(content.data) if content is not None else ""
    return record if kind == PICTURE else None


def _read(file: Path, place: Place, key: str, url: str) -> bytes | Failed | None:
    """The picture in a record, or why it is not there; None if the record is of another address."""
    try:
        with file.open("rb") as opened:
            record = record_at(opened, place)
            if plain(record.url) != key:
                return None
            answer = _answer(record)
            content = answer.content(MAX_PICTURE) if isinstance(answer, _Answer) else Body(b"")
            if content is None:
                return Failed(url, f"too large: more than {MAX_PICTURE} bytes")
            record.finish()
            return content.data or Failed(url, "not a picture: it is empty")
    except (CannotUnpack, Damaged, OSError) as error:
        return Failed(url, str(error))


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "backslashreplace"), digest_size=8).digest(), "big")
