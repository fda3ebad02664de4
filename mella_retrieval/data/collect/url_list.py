"""A text file with the address of a page on each line, fetched as it is read; blank lines and lines with `#` are passed over."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from mella_retrieval.data.collect.addresses import is_web
from mella_retrieval.data.collect.pages import PAGE, Page, PageSource, Passed, Pictures, kind_seen, kind_told, too_large
from mella_retrieval.data.formats.rows import read_lines
from mella_retrieval.data.records import Note, Rejected
from mella_retrieval.data.seen import SeenKeys
from mella_retrieval.data.web.fetching import Failed, Fetched, Fetcher


class WebPictures(Pictures):
    """Pictures fetched from the web."""

    def __init__(self, fetcher: Fetcher) -> None:
        """Args: fetcher: best one that accepts pictures only."""
        self._fetcher = fetcher

    def find(self, url: str) -> bytes | Failed:
        """The picture at an address."""
        answer = self._fetcher.fetch(url)
        return answer.data if isinstance(answer, Fetched) else answer


class ListedPages(PageSource):
    """The pages of a list, in its order. A page that moved has the address where it was found."""

    def __init__(self, path: Path, fetcher: Fetcher, max_page: int, *, name: str = "", before: int = 0) -> None:
        """Begin nothing yet.

        Args:
            path: of the list, UTF-8.
            fetcher: of pages and pictures.
            max_page: bytes.
            name: of the list in `where`, if `path` is a part of it.
            before: lines of the list before that part.
        """
        super().__init__()
        self._path, self._fetcher, self._max_page = path, fetcher, max_page
        self._name, self._before = name or path.name, before
        self.pictures = WebPictures(fetcher)

    def read(self) -> Iterator[Page | Rejected | Note | Passed]:
        """What becomes of each line."""
        waiting: deque[str | Rejected] = deque()  # the lines for which no answer has been given yet: a place, or what is wrong
        for answer in self._fetcher.fetch_all(self._addresses(waiting)):
            yield from _rejected(waiting)
            yield self._page(answer, str(waiting.popleft()))
        yield from _rejected(waiting)

    def _addresses(self, waiting: deque[str | Rejected]) -> Iterator[str]:
        """The addresses to be fetched; for each of them and each line that is none, an entry in `waiting`."""
        seen = SeenKeys()
        for number, line in read_lines(self._path):
            where = f"{self._name}, line {self._before + number}"
            address = line.decode("utf-8-sig", "replace").strip()
            if not address or address.startswith("#"):
                continue
            if not is_web(address):
                waiting.append(Rejected(where, "not a web address", address[:200]))
            elif not seen.add([address.encode()])[0]:
                waiting.append(Rejected(where, "repeated address", address[:200]))
            else:
                waiting.append(where)
                yield address

    def _page(self, answer: Fetched | Failed, where: str) -> Page | Rejected:
        if isinstance(answer, Failed):
            return Rejected(where, answer.reason, answer.url[:200])
        if (kind_told(answer.content_type) or kind_seen(answer.data)) != PAGE:
            return Rejected(where, f"not a page: {answer.content_type[:100] or 'nothing says what it is'}", answer.url[:200])
        if len(answer.data) > self._max_page:
            return too_large(where, self._max_page, answer.url)
        headers = answer.headers
        changed = _iso_date(headers.get("last-modified", ""))
        return Page(answer.final_url, answer.data, answer.content_type, headers.get("content-language", ""), changed, where)


def _rejected(waiting: deque[str | Rejected]) -> Iterator[Rejected]:
    """Take the lines at the front for which there is nothing to wait."""
    while waiting and isinstance(first := waiting[0], Rejected):
        waiting.popleft()
        yield first


def _iso_date(header: str) -> str:
    try:
        return parsedate_to_datetime(header).isoformat()
    except (ValueError, TypeError, OverflowError):
        return ""
