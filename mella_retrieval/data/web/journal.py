"""What became of each URL so far, on the disk: a killed download goes on from here, and millions of URLs need no memory."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mella_retrieval.errors import ArtifactError

NAME = "journal.sqlite"


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one URL.

    Attributes:
        url: as the records have it.
        file: name of the picture's file, "" if there is none.
        size: its bytes.
        reason: why there is none.
        passing: whether that may be better next time.
    """

    url: str
    file: str = ""
    size: int = 0
    reason: str = ""
    passing: bool = False

    @property
    def kind(self) -> str:
        """The reason as it is counted."""
        return self.reason.partition(":")[0]

    @property
    def sha256(self) -> str:
        """Of the picture's content: its file is named after it."""
        return self.file.partition(".")[0]


class Journal:
    """The journal of one download; safe to use from many threads.

    Each entry is on the disk when `put` returns, as far as a killed process goes.
    """

    def __init__(self, folder: Path) -> None:
        """Args: folder: where it lies or is to lie.

        Raises:
            ArtifactError: the file is damaged.
        """
        self._path, self._lock = folder / NAME, threading.RLock()
        with self._explained():
            self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS pictures (url TEXT PRIMARY KEY, file TEXT NOT NULL, size INTEGER NOT NULL, "
                "reason TEXT NOT NULL, passing INTEGER NOT NULL) WITHOUT ROWID"
            )

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._database.close()

    def begin(self, job: str) -> None:
        """Start or go on: failures that may pass are forgotten, and if it is another job (options, records) all failures."""
        same = self.note("job") == job
        with self._explained():
            self._database.execute(f"DELETE FROM pictures WHERE file = ''{' AND passing' if same else ''}")
        self.set_note("job", job)

    def get(self, url: str) -> Entry | None:
        """What became of a URL."""
        with self._explained():
            row = self._database.execute("SELECT * FROM pictures WHERE url = ?", (url,)).fetchone()
        return None if row is None else _entry(row)

    def put(self, entry: Entry) -> None:
        """Note what became of a URL, in the place of what stood there."""
        values = (entry.url, entry.file, entry.size, entry.reason, entry.passing)
        with self._explained():
            self._database.execute("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?)", values)

    def failures(self) -> Iterator[Entry]:
        """All URLs that gave no picture, sorted."""
        with self._explained():
            for row in self._database.execute("SELECT * FROM pictures WHERE file = '' ORDER BY url"):
                yield _entry(row)

    def note(self, name: str) -> str:
        """A value that was noted, "" if none was."""
        with self._explained():
            row = self._database.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return "" if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        """Note a value by name."""
        with self._explained():
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        with self._lock, database_errors(self._path):
            yield


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """SQLite's errors about a file of finished work as sentences."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise ArtifactError(f"{path} cannot be written: {error}. What is finished is kept: start again.") from error
    except sqlite3.DatabaseError as error:
        raise ArtifactError(f"{path} is damaged: {error}. Remove {path.parent} to begin from the start.") from error


def _entry(row: tuple[str, str, int, str, int]) -> Entry:
    url, file, size, reason, passing = row
    return Entry(url, file, size, reason, bool(passing))
