"""What became of each picture of a collection, on the disk: a killed job asks for none twice, and memory stays what it is."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from mella_retrieval.artifacts import atomic_write, sha256_bytes
from mella_retrieval.data.collect.filters.step import Picture
from mella_retrieval.data.images import read_image
from mella_retrieval.data.near.images import perceptual_hash
from mella_retrieval.data.web.fetching import Failed
from mella_retrieval.data.web.journal import database_errors
from mella_retrieval.errors import DataError

NAME = "pictures.sqlite"
_COLUMNS = "url TEXT PRIMARY KEY, digest TEXT, width INTEGER, height INTEGER, hash TEXT, failure TEXT, passing INTEGER"
_decoding = threading.BoundedSemaphore(os.cpu_count() or 1)  # a decoded picture may be a hundred times as large as its file


class Shelf:
    """Pictures by address: the files that can be read, and what the filters ask about each. Safe to use from many threads."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: where it stands or is to stand.

        Raises:
            ArtifactError: it is damaged or cannot be written.
        """
        self._path, self._files = folder / NAME, folder / "pictures"
        self._files.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        with self._explained():
            self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(f"CREATE TABLE IF NOT EXISTS pictures ({_COLUMNS}) WITHOUT ROWID")
            self._database.execute("DELETE FROM pictures WHERE passing")  # asked again by who goes on with a job

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._database.close()

    def get(self, url: str) -> Picture | None:
        """What is known of the picture at an address; None: nobody asked for it."""
        with self._explained():
            found = self._database.execute("SELECT * FROM pictures WHERE url = ?", (_key(url),)).fetchone()
        if found is None:
            return None
        _, digest, width, height, number, failure, _ = found
        return Picture(digest, width, height, int(number, 16), failure)

    def put(self, url: str, answer: bytes | Failed, *, final: bool = True) -> Picture:
        """Note what an address gave; a picture that can be read is stored.

        Args:
            url: the address.
            answer: what it gave.
            final: whether nobody else is to be asked; otherwise who goes on with a job knows only a picture that can be read.
        """
        picture = look_at(answer)
        if isinstance(answer, bytes) and not picture.failure and not self._path_of(picture.digest).is_file():
            with atomic_write(self._path_of(picture.digest)) as file:
                file.write(answer)
        passing = bool(picture.failure) and (not final or (isinstance(answer, Failed) and answer.passing))
        row = (_key(url), picture.digest, picture.width, picture.height, f"{picture.hash:x}", picture.failure, passing)
        with self._explained():
            self._database.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return picture

    def read(self, picture: Picture) -> bytes:
        """The file of a picture that could be read."""
        return self._path_of(picture.digest).read_bytes()

    def _path_of(self, digest: str) -> Path:
        return self._files / digest[:2] / digest

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with self._lock, database_errors(self._path):
            yield


def look_at(answer: bytes | Failed) -> Picture:
    """What the filters ask about a picture, or why there is none; never raises."""
    if isinstance(answer, Failed):
        return Picture(failure=answer.reason)
    try:
        with _decoding:
            image = read_image(answer)
            return Picture(sha256_bytes(answer), image.width, image.height, perceptual_hash(image))
    except DataError as error:
        return Picture(failure=f"not a picture: {error}")


def _key(url: str) -> str:
    """An address; a long one (`data:`) by its hash."""
    return url if len(url) <= 2048 else f"sha256:{sha256_bytes(url.encode('utf-8', 'surrogatepass'))}"
