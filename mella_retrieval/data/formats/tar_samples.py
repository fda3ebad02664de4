"""Members of a tar file grouped by key, one group in memory at a time: what webdataset calls samples.

The key of a member is its path up to the first dot of its file name, the rest is its ending; members of one sample follow one
another (webdataset's own rule).
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mella_retrieval.data.records import Rejected

MAX_MEMBER = 256 << 20
"""Bytes of one member: what is larger is not read."""

FAILURES = (tarfile.TarError, EOFError, OSError, zlib.error, ValueError, OverflowError)
"""What reading a damaged tar file raises."""

_BLOCK = 1 << 20
_NAME = re.compile(r"(?P<key>(?:.*/)?[^/.][^/.]*)\.(?P<ending>[^/]+)", re.DOTALL)
_OWN = re.compile(r"__[^/]*__(?:/.*)?|(?:.*/)?\.[^/]*", re.DOTALL)  # webdataset's own, and a Mac's


class Sample:
    """Members of one key: ending in small letters -> content; `skipped`: endings of members that were not wanted."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.members: dict[str, bytes] = {}
        self.skipped: list[str] = []
        self.problem = ""


def split_name(name: str) -> tuple[str, str]:
    """Key and ending of a member; the key is "" where the name has no ending."""
    found = _NAME.fullmatch(name.removeprefix("./"))
    return (found["key"], found["ending"].lower()) if found is not None else ("", "")


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar file, plain or gzip, to be read from its beginning to its end, which is where gzip keeps its checksum."""
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        with gzip.open(plain) if packed else plain as file, tarfile.open(fileobj=file, mode="r|", tarinfo=_Member) as tar:
            yield tar


def read_samples(path: Path, wanted: Callable[[str], bool]) -> Iterator[Sample | Rejected]:
    """The samples of a tar file, plain or gzip.

    A file that is damaged or ends without its end mark gives what stands before, and one rejected row that says so: the sample at
    which it broke off is part of it, since what is missing of it cannot be known.

    Args:
        path: the file.
        wanted: whether members of an ending are to be read.
    """
    done = 0
    sample: Sample | None = None
    try:
        with open_tar(path) as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep the header of every member
                if not member.isreg() or _OWN.fullmatch(member.name):
                    continue
                key, ending = split_name(member.name)
                if not key:
                    yield Rejected(path.name, f"member without an ending: {member.name}"[:200])
                    continue
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                        done += 1
                    sample = Sample(key)
                _take(tar, member, sample, ending, wanted)
            if not getattr(tar, "ended", False):
                raise tarfile.ReadError(getattr(tar, "damage", "") or "it ends without its end mark")
            while tar.fileobj.read(_BLOCK):  # to the checksum
                pass
    except FAILURES as error:
        last = f", in the sample {sample.key}" if sample is not None else ""
        reason = f"damaged shard: {error or type(error).__name__} (after {done:,} samples{last})"
        yield Rejected(path.name, reason, sample.key if sample is not None else "")
        return
    if sample is not None:
        yield sample


class _Member(tarfile.TarInfo):
    """Tells an end mark from a damaged header; tarfile takes both for the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                tarfile_.ended = True  # type: ignore[attr-defined]
            else:
                tarfile_.damage = str(error)  # type: ignore[attr-defined]
            raise


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, sample: Sample, ending: str, wanted: Callable[[str], bool]) -> None:
    if not wanted(ending):
        sample.skipped.append(ending)
        return
    if ending in sample.members:
        sample.problem = f"two members of one ending: {ending}"
        return
    if member.size > MAX_MEMBER:
        sample.problem = f"member larger than {MAX_MEMBER >> 20} MiB: {member.name} has {member.size} bytes"
        return
    file = tar.extractfile(member)
    content = file.read() if file is not None else b""
    if len(content) != member.size:
        raise tarfile.ReadError("unexpected end of data")
    sample.members[ending] = content
