"""A folder of HTML files, as mirroring tools leave them: `<host>/<path>.html` is the page `https://<host>/<path>.html`.

Other addresses are given by the option `base`, which stands for the folder itself, or by a file `urls.csv` in it with the
columns `file` and `url`, and if wanted `content_type`, `language` and `date`. Pictures are looked for beside the pages: where
their addresses lead from the page's address, their files are looked for from the page's file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from mella_retrieval.data.collect.addresses import is_web, plain
from mella_retrieval.data.collect.pages import HTML_SUFFIXES, MAX_PICTURE, PICTURE, Page, PageSource, Passed, Pictures, too_large
from mella_retrieval.data.formats.folder import IMAGE_SUFFIXES
from mella_retrieval.data.formats.rows import read_rows
from mella_retrieval.data.records import Note, Rejected
from mella_retrieval.data.web.fetching import Failed
from mella_retrieval.errors import ConfigError, DataError

ADDRESSES = "urls.csv"
_PICTURE_SUFFIXES = IMAGE_SUFFIXES | {".svg", ".ico"}
_COLUMNS = ("content_type", "language", "date")
_IN_ADDRESSES = "/%~!$&'()*+,;=:@"


class FolderPages(PageSource):
    """The HTML files of a folder, sorted by path, a folder's own files before those of its subfolders."""

    pictures: FolderPictures

    def __init__(self, folder: Path, base: str, max_page: int) -> None:
        """Args: folder: at any depth; base: address of the folder, "" for none; max_page: bytes."""
        super().__init__()
        if base and not is_web(base):
            raise ConfigError(f"the option base is an address of the form https://..., not {base!r}.")
        self._folder, self._max_page = folder, max_page
        self._base = base if not base or base.endswith("/") else f"{base}/"
        self._listed, self._bad = _addresses(folder / ADDRESSES)
        self.pictures = FolderPictures(folder, {row["url"]: file for file, row in self._listed.items()})
        if base:
            self.pictures.learn(self._base, "")

    def read(self) -> Iterator[Page | Rejected | Note | Passed]:
        """What becomes of each file, and of each line of `urls.csv` that names none."""
        yield from self._bad
        seen = set()
        for file in _files(self._folder):
            if file == ADDRESSES:
                continue
            seen.add(file)
            suffix = Path(file).suffix.lower()
            if suffix in HTML_SUFFIXES:
                yield self._page(file)
            else:
                yield Passed(PICTURE if suffix in _PICTURE_SUFFIXES else "skipped: other file")
        for file in self._listed:
            if file not in seen:
                yield Rejected(ADDRESSES, f"no such file: {file[:200]}")

    def _page(self, file: str) -> Page | Rejected:
        row = self._listed.get(file, {})
        url = row.get("url") or self._address(file)
        if not url:
            return Rejected(file, f"no address: it lies in no folder named after a host; give base=... or {ADDRESSES}")
        self.pictures.learn(url, file)
        path = self._folder / file
        if not path.is_file():  # to open a named pipe would take for ever
            return Rejected(file, "unreadable file: it is none, or leads nowhere")
        try:
            with path.open("rb") as opened:
                html = opened.read(self._max_page + 1)
        except OSError as error:
            return Rejected(file, f"unreadable file: {error.strerror or error}")
        if not html:
            return Rejected(file, "empty page")
        if len(html) > self._max_page:
            return too_large(file, self._max_page, url)
        return Page(url, html, row.get("content_type", ""), row.get("language", ""), row.get("date", ""), file)

    def _address(self, file: str) -> str:
        path = quote(file, _IN_ADDRESSES)
        if self._base:
            return self._base + path
        host = file.partition("/")[0]
        return f"https://{path}" if "/" in file and ("." in host or host.startswith("localhost")) else ""


class FolderPictures(Pictures):
    """The picture files beside the pages."""

    def __init__(self, folder: Path, listed: Mapping[str, str]) -> None:
        """Args: folder: of the pages; listed: address -> file, for those that are known."""
        self._folder = folder
        self._listed = {plain(url): file for url, file in listed.items()}
        self._folders: dict[str, str] = {}

    def learn(self, url: str, file: str) -> None:
        """Note which folder an address stands for, and all folders above for which the two agree."""
        address, folder = plain(url).rpartition("/")[0], file.rpartition("/")[0]
        while address and self._folders.setdefault(address, folder) == folder:
            (address, last), (folder, name) = _parted(address), _parted(folder)
            if unquote(last) != name:
                return

    def find(self, url: str) -> bytes | Failed:
        """The file that stands for an address."""
        for file in self._candidates(plain(url)):
            if file.startswith("/") or ".." in file.split("/"):
                continue
            path = self._folder / file
            try:
                if path.is_file():
                    with path.open("rb") as opened:
                        data = opened.read(MAX_PICTURE + 1)
                    return data if len(data) <= MAX_PICTURE else Failed(url, f"too large: more than {MAX_PICTURE} bytes")
            except (OSError, ValueError) as error:  # a name that the file system cannot have
                return Failed(url, f"unreadable file: {error}")
        return Failed(url, "not in the folder")

    def _candidates(self, address: str) -> Iterator[str]:
        """Files that may be meant, the most certain first; they may lie anywhere."""
        if address in self._listed:
            yield self._listed[address]
        for name in (self._from_pages(address), address):
            yield unquote(name)
            yield unquote(name.partition("?")[0])

    def _from_pages(self, address: str) -> str:
        """The file beside those of pages whose addresses have the same beginning; "" if there are none."""
        path, mark, query = address.partition("?")
        above, below = _parted(path)
        while above:
            if above in self._folders:
                return "/".join(filter(None, (self._folders[above], below))) + mark + query
            above, last = _parted(above)
            below = f"{last}/{below}"
        return ""


def _parted(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _files(folder: Path) -> Iterator[str]:
    """Paths relative to the folder, with `/`."""
    for path, folders, names in os.walk(folder):
        folders.sort()
        above = Path(path).relative_to(folder)
        yield from ((above / name).as_posix() for name in sorted(names))


def _addresses(path: Path) -> tuple[dict[str, dict[str, str]], list[Rejected]]:
    """The rows of `urls.csv` by file, and the lines that are none."""
    rows: dict[str, dict[str, str]] = {}
    bad: list[Rejected] = []
    for item in read_rows(path) if path.is_file() else ():
        if isinstance(item, Rejected):
            bad.append(item)
            continue
        where, row = item
        if not {"file", "url"} <= row.keys():
            raise DataError(f"{path} needs the columns file and url; it has {', '.join(row)}.")
        file, url = str(row["file"]).strip().removeprefix("./"), str(row["url"]).strip()
        if not is_web(url):
            bad.append(Rejected(where, f"not a web address: {url[:200]}"))
        elif file in rows:
            bad.append(Rejected(where, f"repeated file: {file[:200]}"))
        else:
            rows[file] = {name: str(row.get(name) or "") for name in _COLUMNS} | {"url": url}
    return rows, bad
