"""The parts of a job, each finished or not: one WARC file, one folder of pages, some lines of a list."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path

from mella_retrieval.artifacts import Json, fingerprint, sha256_file
from mella_retrieval.data.collect.pages import MAX_PAGE, PageSource, Pictures, read_pages, warc_files
from mella_retrieval.data.collect.url_list import ListedPages
from mella_retrieval.data.collect.warc import WarcPages, WarcPictures
from mella_retrieval.data.formats.rows import read_lines
from mella_retrieval.data.web.fetching import Fetcher
from mella_retrieval.errors import DataError

LINES = 1000
"""Lines of a list of addresses that are one part."""


class Unit(ABC):
    """One part.

    Attributes:
        label: what it is, for people.
        identity: by which it is known again.
    """

    label: str
    identity: Json

    @abstractmethod
    def pages(self, fetcher: Fetcher) -> PageSource:
        """Its pages; the fetcher is for those that lie on the web."""

    @abstractmethod
    def pictures(self) -> Pictures | None:
        """What its pages show, as far as it lies here; None if all of it lies on the web."""


class _WarcFile(Unit):
    def __init__(self, folder: Path, file: Path, pictures: WarcPictures) -> None:
        self._folder, self._file, self._pictures = folder, file, pictures
        self.label = file.relative_to(folder).as_posix()
        self.identity = {"warc": self.label, **_state(file)}

    def pages(self, fetcher: Fetcher) -> PageSource:
        return WarcPages(self._folder, [self._file], MAX_PAGE)

    def pictures(self) -> Pictures:
        return self._pictures


class _Folder(Unit):
    def __init__(self, folder: Path, base: str, pages: PageSource) -> None:
        self._pages, self._learnt = pages, False
        self.label = folder.name
        files = sorted(Path(path, name) for path, _, names in os.walk(folder) for name in names)
        states = [[file.relative_to(folder).as_posix(), _state(file)] for file in files]
        self.identity = {"folder": self.label, "base": base, "files": fingerprint(states)}

    def pages(self, fetcher: Fetcher) -> PageSource:
        self._learnt = True
        return self._pages

    def pictures(self) -> Pictures:
        if not self._learnt:  # a folder learns from its pages where its pictures lie
            for _ in self._pages:
                pass
            self._learnt = True
        return self._pages.pictures


class _Lines(Unit):
    """Some lines of a list. They are copied when they are read, so that a list of any length takes no memory."""

    def __init__(self, path: Path, begin: int, end: int, digest: str, copies: Path) -> None:
        self._path, self._begin, self._end, self._copies = path, begin, end, copies
        self.label = f"{path.name}, lines {begin + 1} to {end}"
        self.identity = {"list": path.name, "begin": begin, "sha256": digest}

    def pages(self, fetcher: Fetcher) -> PageSource:
        self._copies.mkdir(parents=True, exist_ok=True)
        copy = self._copies / f"{self._path.name} after line {self._begin}"
        lines = islice(read_lines(self._path), self._begin, self._end)
        copy.write_bytes(b"".join(line.rstrip(b"\r\n") + b"\n" for _, line in lines))
        return ListedPages(copy, fetcher, MAX_PAGE, name=self._path.name, before=self._begin)

    def pictures(self) -> None:
        return None


def units_of(sources: Sequence[Path | str], base: str, copies: Path) -> list[Unit]:
    """The parts of some sources, in the order given, of one that is named twice once. Pictures are looked for in all WARC files.

    Args:
        sources: WARC files and folders of them, folders of HTML files, lists of addresses (`.txt`).
        base: of folders of HTML files, the address that stands for one.
        copies: folder for parts of lists.

    Raises:
        DataError: a source that is absent or of no known kind; none at all.
        ConfigError: `base` with another kind of source.
    """
    warcs = {source: warc_files(source) for source in map(Path, sources)}
    pictures = WarcPictures(list(dict.fromkeys(chain.from_iterable(warcs.values()))))
    units: list[Unit] = []
    for source, files in warcs.items():
        if files and not base:
            units += (_WarcFile(source if source.is_dir() else source.parent, file, pictures) for file in files)
        elif source.is_file() and source.suffix.lower() == ".txt" and not base:
            lines, digest = sum(1 for _ in read_lines(source)), sha256_file(source)
            begins = range(0, lines, LINES)
            units += (_Lines(source, begin, min(begin + LINES, lines), digest, copies) for begin in begins)
        else:
            units.append(
                _Folder(source, base, read_pages(source, base=base))
            )  # refuses what is no source, or has no use for base
    if not units:
        raise DataError("there is nothing to collect from: give WARC files, folders of HTML files or lists of addresses.")
    return units


def _state(file: Path) -> Json:
    """What tells whether a file has changed without reading it; nothing of one that is gone, or a link that leads nowhere."""
    try:
        found = file.stat()
    except OSError:  # whoever reads it says so
        return {}
    return {"bytes": found.st_size, "modified": found.st_mtime_ns}
