"""Web pages from where they lie: WARC files, a folder of HTML files, a list of addresses to be fetched.

A source counts all that it comes by. `counts` has `pages`, `pictures` (found beside them and read when asked for),
`skipped: <what>` and `rejected: <reason>`; their sum is the number of records, files or lines that were read.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mella_retrieval.data.collect.addresses import is_data
from mella_retrieval.data.extra import data_package
from mella_retrieval.data.image_store import image_suffix
from mella_retrieval.data.records import Note, Rejected
from mella_retrieval.data.web.fetching import Failed
from mella_retrieval.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mella_retrieval.data.web.fetching import Fetcher

MAX_PAGE = 10_000_000
"""Bytes of a page, as it was sent and unpacked: no page for people is that long, and one that is costs no memory."""
MAX_PICTURE = 20_000_000
"""Bytes of a picture."""

PAGE, PICTURE = "pages", "pictures"
WARC_SUFFIXES = (".warc", ".warc.gz")
HTML_SUFFIXES = (".html", ".htm", ".xhtml")
_PAGE_TYPES = ("text/html", "application/xhtml+xml")
_UNTOLD_TYPES = ("", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown")
_KNOWN_KINDS = frozenset({"application", "audio", "font", "message", "model", "multipart", "text", "video"})


@dataclass(frozen=True, slots=True)
class Page:
    """One HTML page as it came.

    Attributes:
        url: its address, absolute.
        html: its bytes, unpacked but not decoded.
        content_type: the header Content-Type, "" if there is none.
        language: the header Content-Language.
        date: when it was written or fetched, as the source tells it (WARC: ISO 8601).
        where: the place in the source, "crawl.warc.gz, record 12".
        notes: what the source has to say about it; counted by the part before the first colon.
    """

    url: str
    html: bytes
    content_type: str = ""
    language: str = ""
    date: str = ""
    where: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """A record, file or line that is no page; `what` is what it is counted as."""

    what: str


class Pictures(ABC):
    """The pictures of a source, by address; safe to ask from many threads."""

    def get(self, url: str) -> bytes | Failed:
        """The encoded picture at an address, or why there is none. A `data:` URI holds its own."""
        return _of_data_uri(url) if is_data(url) else self.find(url)

    @abstractmethod
    def find(self, url: str) -> bytes | Failed:
        """The encoded picture at an address of the web."""


class PageSource(ABC):
    """Iterates pages and what could not be read; may be iterated again.

    Attributes:
        counts: of the current or last iteration, see the module.
        pictures: what the pages show, as far as the source has it.
    """

    pictures: Pictures

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Page | Rejected | Note]:
        self.counts.clear()
        for item in self.read():
            if isinstance(item, Passed):
                self.counts[item.what] += 1
                continue
            if isinstance(item, Page):
                self.counts[PAGE] += 1
            elif isinstance(item, Rejected):
                self.counts[f"rejected: {item.reason.partition(':')[0]}"] += 1
            yield item

    @abstractmethod
    def read(self) -> Iterator[Page | Rejected | Note | Passed]:
        """Everything in the source, in order."""


def read_pages(source: Path | str, *, base: str = "", fetcher: Fetcher | None = None, max_page: int = MAX_PAGE) -> PageSource:
    """The pages of a source, by its kind.

    Args:
        source: a WARC file or a folder of them (`.warc`, `.warc.gz`, at any depth); a folder of HTML files
            (`html_folder`); a `.txt` file with one address a line (`url_list`).
        base: of a folder of HTML files, the address that stands for the folder.
        fetcher: for a list of addresses; the caller opens and closes it.
        max_page: bytes; longer pages are rejected.

    Raises:
        DataError: there is no such source, or it is of no known kind.
        ConfigError: an option that the source needs is absent, or has no meaning for it.
        MissingDependencyError: the extra `data` is not installed.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(f"there is no file or folder {source}.")
    listed = source.is_file() and source.suffix.lower() == ".txt"
    warcs = warc_files(source)
    if base and (warcs or listed):
        raise ConfigError(f"the option base is for folders of HTML files, which {source} is not.")
    if listed:
        from mella_retrieval.data.collect.url_list import ListedPages

        if fetcher is None:
            raise ConfigError(f"{source} is a list of addresses: it needs a fetcher.")
        return ListedPages(source, fetcher, max_page)
    if warcs:
        from mella_retrieval.data.collect.warc import WarcPages

        return WarcPages(source if source.is_dir() else source.parent, warcs, max_page)
    if source.is_dir():
        from mella_retrieval.data.collect.html_folder import FolderPages

        return FolderPages(source, base, max_page)
    raise DataError(
        f"{source} is no source of pages: give a WARC file ({', '.join(WARC_SUFFIXES)}), a folder of them or of HTML files, or a "
        ".txt file with one address a line."
    )


def warc_files(source: Path) -> list[Path]:
    """The WARC files at a path, itself or in a folder at any depth, sorted."""
    if source.is_file():
        return [source] if source.name.lower().endswith(WARC_SUFFIXES) else []
    paths = (Path(folder, name) for folder, _, names in os.walk(source) for name in names)
    return sorted(path for path in paths if path.name.lower().endswith(WARC_SUFFIXES) and path.is_file())


def kind_told(content_type: str) -> str:
    """What an answer of the web is by its header Content-Type, in the words of `counts`; "" if the header tells nothing."""
    told = content_type.partition(";")[0].strip().lower()
    if told in _UNTOLD_TYPES:
        return ""
    if told in _PAGE_TYPES:
        return PAGE
    kind = told.partition("/")[0]
    return PICTURE if kind == "image" else f"skipped: {kind if kind in _KNOWN_KINDS else 'unknown'} file"


def kind_seen(content: bytes) -> str:
    """What an answer of the web is by its first bytes, in the words of `kind_told`."""
    if image_suffix(content) != "bin":
        return PICTURE
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return PAGE if start.startswith((b"<!doctype html", b"<html", b"<head", b"<!--")) else "skipped: unknown file"


def too_large(where: str, limit: int, url: str) -> Rejected:
    """The rejection of a page that is longer than `limit` bytes."""
    return Rejected(where, f"page too large: more than {limit} bytes", url[:200])


def _of_data_uri(url: str) -> bytes | Failed:
    try:
        data = data_package("w3lib.url").parse_data_uri(url).data
    except ValueError as error:
        return Failed(url[:100], f"not a picture: a data: URI that cannot be read ({error})")
    return data if isinstance(data, bytes) and data else Failed(url[:100], "not a picture: an empty data: URI")
