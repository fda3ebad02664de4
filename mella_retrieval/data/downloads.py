"""Downloads: one file from an address, resumed where it was cut and checked (from a hub: `hub_downloads`).

What has arrived lies beside the file as `<name>.part`; `<name>.part.json` says what it is a part of. It is only continued
where the rest certainly belongs to it: the server still has the file of that ETag (or date), the address names a commit,
or the SHA-256 of the whole is known. Otherwise the download starts over.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from mella_retrieval.artifacts import library_versions, read_json, sha256_file, write_json, writer_lock
from mella_retrieval.errors import DataError, MellaError

Progress = Callable[[int, int], None]

_BLOCK = 1 << 18
TRANSIENT = frozenset({408, 425, 429})
LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Patience:
    """How long to go on with a server that does not answer well.

    Attributes:
        attempts: in a row that bring nothing new, before giving up.
        pause: seconds before the second attempt; doubled each time, at most a minute.
        timeout: seconds without a byte that end an attempt.
    """

    attempts: int = 5
    pause: float = 1.0
    timeout: float = 30.0

    def before_next(self, failures: int, after: float = 0.0) -> float:
        """Seconds to wait after so many failures in a row; `after` is what the server asked for."""
        pause = self.pause * 2.0 ** (failures - 1)
        return min(max(pause, after if pause else 0.0), LONGEST_PAUSE)


PATIENCE = Patience()
"""What a person would wait."""


@dataclass(frozen=True)
class Downloaded:
    """What has arrived.

    Attributes:
        sha256: of the content.
        bytes: its size.
        etag: the server's name of the content, "" if it gave none.
        commit: of the hub's repository, "" for an address.
    """

    sha256: str
    bytes: int
    etag: str = ""
    commit: str = ""


def fetch(
    url: str,
    path: Path | str,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
    locked: bool = False,
) -> Downloaded:
    """Download the file at an address to `path`, which appears when it is whole and checked.

    Args:
        url: http or https.
        path: where it goes; a file there is replaced. Its folder is made.
        sha256: hexadecimal, of the content, where it is known.
        size: bytes, where it is known.
        progress: called with (bytes there, bytes in all; 0 = not known).
        patience: with a slow or broken server.
        locked: whether the caller holds the writer's lock of the folder.

    Raises:
        DataError: nothing there (404), no access, no answer, cut short each time, no space on the disk; or another size or
            content than expected, which the message gives beside the expected one, and the file is removed.
        LockedError: another process is downloading into the folder.
    """
    path = Path(path).absolute()
    with nullcontext() if locked else writer_lock(path.parent):
        return Download(url, path, size, sha256, patience).run(progress)


class TryAgain(Exception):
    """What may pass by itself; `after` seconds where the server named a time."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http, and takes no token to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in {"http", "https"} or (old.scheme == "https" and new.scheme != "https"):
            raise DataError(f"{req.full_url} redirects to {newurl}, which is not safe to follow.")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if request is not None and new.netloc != old.netloc:
            request.remove_header("Authorization")
        return request


class Download:
    """The state of one download: the part on the disk and what it is a part of."""

    def __init__(
        self,
        url: str,
        path: Path,
        size: int | None,
        sha256: str | None,
        patience: Patience,
        headers: Mapping[str, str] | None = None,
        fixed: bool = False,
    ) -> None:
        if urlsplit(url).scheme not in {"http", "https"}:
            raise DataError(f"{url!r} is no address of the form https://...")
        self.url, self.path, self.size, self.sha256, self.patience = url, path, size, sha256, patience
        self.headers = {"Accept-Encoding": "identity", "User-Agent": user_agent(), **(headers or {})}
        self.trusted = fixed or sha256 is not None
        self.part = path.with_name(f"{path.name}.part")
        self.note = path.with_name(f"{path.name}.part.json")
        self.total = 0
        self.validator = ""
        self.done = 0

    def run(self, progress: Progress | None) -> Downloaded:
        """Go on until the file is whole, check it and rename it to its place; raises as `fetch` does."""
        with _writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._look_at_part()
        patiently(self.patience, lambda: self._continue(progress), lambda: self.done)
        found = Downloaded(sha256_file(self.part), self.part.stat().st_size, self.validator if '"' in self.validator else "")
        self._check("bytes", found.bytes, self.size)
        self._check("SHA-256", found.sha256, self.sha256)
        with _writing(self.path):
            self.part.replace(self.path)
            self.note.unlink(missing_ok=True)
        return found

    def _look_at_part(self) -> None:
        """Find out where to go on: at the end of a part of the same file, or at the beginning."""
        noted: dict[str, Any] = {}
        if self.part.is_file() and self.note.is_file():
            with suppress(MellaError):
                noted = dict(read_json(self.note))
        self.validator, self.total = str(noted.get("validator", "")), int(noted.get("total", 0))
        if noted.get("url") != self.url or not (self.validator or self.trusted):
            self._start_over()
        else:
            self.done = self.part.stat().st_size

    def _start_over(self) -> None:
        self.done, self.total, self.validator = 0, 0, ""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _continue(self, progress: Progress | None) -> None:
        """Ask for what is still missing and write it; raises TryAgain where another attempt may help."""
        if self.total and self.done == self.total:
            return
        if self.done and not (self.validator or self.trusted):
            self._start_over()
        headers = dict(self.headers)
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
            if self.validator:
                headers["If-Range"] = self.validator
        opener = urllib.request.build_opener(_Redirects)
        with _asking(self.url, self._start_over):
            response = opener.open(urllib.request.Request(self.url, headers=headers), timeout=self.patience.timeout)
        with response:
            self._begin(response.status, response.headers)
            self._require_space()
            with _writing(self.path):
                file = self.part.open("ab" if self.done else "wb")
            with file:
                self._copy(response, file, progress)
        if self.done < (self.total or self.size or 0):
            raise TryAgain(f"the connection was cut after {self.done} of {self.total or self.size} bytes")

    def _begin(self, status: int, headers: Message) -> None:
        if status == http.client.PARTIAL_CONTENT and self.done:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
            total = int(span[2]) if span and span[2] != "*" else self.total
            same = not (self.validator and headers.get("ETag", self.validator) != self.validator and '"' in self.validator)
            if span is None or int(span[1]) != self.done or (self.total and total != self.total) or not same:
                self._start_over()
                raise TryAgain("the file changed while it was being downloaded")
            self.total = total
        elif status == http.client.OK:
            with _writing(self.path):
                self._start_over()
            self.total = int(headers.get("Content-Length") or 0)
            self.validator = _validator(headers)
            if self.size is not None and self.total:
                self._check("bytes", self.total, self.size)
            write_json(self.note, {"url": self.url, "validator": self.validator, "total": self.total})
        else:
            raise DataError(f"{self.url} answers with the unexpected status {status}.")

    def _copy(self, response: IO[bytes], file: IO[bytes], progress: Progress | None) -> None:
        while True:
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise TryAgain(f"the connection was cut after {self.done} bytes ({reason(error)})") from error
            with _writing(self.path):
                if not block:
                    file.flush()
                    os.fsync(file.fileno())
                    return
                file.write(block)
            self.done += len(block)
            if progress is not None:
                progress(self.done, self.total or self.size or 0)

    def _require_space(self) -> None:
        needed, free = self.total - self.done, shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise DataError(
                f"{self.path} needs {needed} more bytes, but the disk has {free} left. Make room, or choose another folder."
            )

    def _check(self, what: str, found: object, expected: object) -> None:
        if expected is not None and found != expected:
            self._start_over()
            raise DataError(
                f"{self.url} is not the file that was expected: {what} {found} instead of {expected}. It changed at the source, "
                "or was damaged on the way; it was removed."
            )


def patiently(patience: Patience, attempt: Callable[[], Any], advanced: Callable[[], int] = int) -> Any:
    """Call `attempt` until it does not raise TryAgain; attempts that brought something new are not counted."""
    failures, furthest = 0, advanced()
    while True:
        try:
            return attempt()
        except TryAgain as again:
            failures = 1 if advanced() > furthest else failures + 1
            furthest = max(furthest, advanced())
            if failures >= patience.attempts:
                raise DataError(
                    f"{again}; attempts that brought nothing: {failures}. Start again later: what has arrived is kept."
                ) from again.__cause__
            time.sleep(patience.before_next(failures, again.after))


@contextmanager
def _asking(url: str, start_over: Callable[[], None]) -> Iterator[None]:
    """Errors of opening an address: those that may pass become TryAgain, the others say what is wrong."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in TRANSIENT or error.code >= 500:
            raise TryAgain(f"{url} answers with status {error.code}", retry_after(error.headers)) from error
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            start_over()
            raise TryAgain(f"{url} is shorter than what had arrived of it") from error
        if error.code in {http.client.NOT_FOUND, http.client.GONE}:
            raise DataError(f"there is nothing at {url} (status {error.code}): it was moved or taken away.") from error
        if error.code in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            raise DataError(f"{url} refuses access (status {error.code}); get the file by hand.") from error
        raise DataError(f"{url} answers with status {error.code}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise TryAgain(f"{url} cannot be reached ({reason(error)})") from error
    except ValueError as error:  # http.client.InvalidURL and the like
        raise DataError(f"{url!r} is no valid address: {error}.") from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}. What has arrived is kept: make room and start again."
        ) from error


def _validator(headers: Message) -> str:
    """What proves to the server that a part is of the file it has: a strong ETag, else the date of the last change."""
    etag = str(headers.get("ETag", ""))
    return etag if etag.startswith('"') else str(headers.get("Last-Modified", ""))


def reason(error: Exception) -> str:
    """What an error of the network says, in one line."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return (str(getattr(inner, "strerror", "") or inner) or type(inner).__name__).splitlines()[0][:200]


def retry_after(headers: Message) -> float:
    """Seconds that the server asks to wait, 0 if it names none. Dates are not heeded: they need two clocks that agree."""
    wait = str(headers.get("Retry-After", "")).strip()
    return float(wait) if wait.isascii() and wait.isdecimal() else 0.0


def user_agent() -> str:
    """How this package names itself to servers."""
    return f"mella-retrieval/{library_versions().get('mella-retrieval', '0')}"
