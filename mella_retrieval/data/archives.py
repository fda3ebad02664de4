"""Archives from elsewhere (zip, tar, and tar compressed by gzip, bzip2 or xz), unpacked without trusting them.

Only plain files and folders come out, never above the folder that they are unpacked into, and never more bytes than an
honest archive of that size could hold. Owners, modes and dates are not taken over.
"""

from __future__ import annotations

import lzma
import secrets
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from mella_retrieval.errors import DataError

_BLOCK = 1 << 20
RATIO = 250
"""How many times its own size an archive may become: captions shrink to a tenth or so, a bomb to a thousandth."""
SLACK = 64 << 20
"""Bytes that any archive may become, however small it is."""


class _Member(NamedTuple):
    name: str
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path | str, folder: Path | str, *, limit: int | None = None) -> dict[str, int]:
    """Unpack an archive into a folder: first aside, then each file is renamed to its place.

    Args:
        archive: a zip or tar file, recognised by its content.
        folder: where the content goes; what is there already stays, but for files of the same names.
        limit: bytes that the content may have; by default 250 times the archive's and 64 MiB.

    Returns:
        Path in the folder, `/` between the parts -> bytes, sorted, of every file that came out.

    Raises:
        DataError: it is no archive, is damaged or encrypted, holds a link, a device or a path that leads out of the folder,
            grows past the limit, or the disk is full. Nothing came out of it then.
    """
    archive, folder = Path(archive), Path(folder)
    allowed = limit if limit is not None else archive.stat().st_size * RATIO + SLACK
    aside = folder / f".{archive.name}.{secrets.token_hex(6)}.tmp"
    try:
        aside.mkdir(parents=True)
        sizes = _write_all(archive, aside, allowed)
        for name in sizes:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (aside / name).replace(target)
    except OSError as error:
        raise DataError(f"{archive} cannot be unpacked into {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return dict(sorted(sizes.items()))


def _write_all(archive: Path, aside: Path, allowed: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    written = 0
    with _reading(archive):
        for member in _members(archive):
            target = aside / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            source = member.open()
            if source is None:
                raise DataError(f"{archive}: {member.name} cannot be read.")
            with source, target.open("wb") as file:
                while block := source.read(_BLOCK):
                    written += len(block)
                    if written > allowed:
                        raise DataError(
                            f"{archive} has {archive.stat().st_size} bytes and unpacks to more than {allowed}, which no honest "
                            "archive does; it was not unpacked."
                        )
                    file.write(block)
                sizes[member.name] = file.tell()
    return sizes


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir():
                    _safe(archive, entry.filename)
                    continue
                if kind not in {0, stat.S_IFREG}:
                    raise DataError(f"{archive} holds a link or device, {entry.filename!r}; it was not unpacked.")
                if entry.flag_bits & 1:
                    raise DataError(f"{archive} is encrypted; unpack it by hand.")
                yield _Member(_safe(archive, entry.filename), lambda entry=entry: zipped.open(entry))  # type: ignore[misc]
        return
    if not tarfile.is_tarfile(archive):
        raise DataError(f"{archive} is neither a zip nor a tar archive, or is damaged.")
    with tarfile.open(archive, "r:*") as tarred:
        for item in tarred:
            name = _safe(archive, item.name)
            if item.isdir():
                continue
            if not item.isreg():
                raise DataError(f"{archive} holds a link or device, {item.name!r}; it was not unpacked.")
            yield _Member(name, lambda item=item: tarred.extractfile(item))  # type: ignore[misc]
        while tarred.fileobj is not None and tarred.fileobj.read(_BLOCK):  # to the end, where the compression's checksum is
            pass


def _safe(archive: Path, name: str) -> str:
    """The name in plain form; refused where it is absolute, goes upwards or is none."""
    pure = PurePosixPath(name.replace("\\", "/"))
    drive = len(name) > 1 and name[1] == ":"
    if pure.is_absolute() or ".." in pure.parts or drive or "\0" in name:
        raise DataError(f"{archive} holds the path {name!r}, which leads out of the folder; it was not unpacked.")
    return str(pure)


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise DataError(f"{archive} is damaged ({error}); remove it and download it again.") from error
    except (NotImplementedError, RuntimeError, ValueError) as error:  # zip's rarer compressions, impossible headers
        raise DataError(f"{archive} cannot be unpacked: {error}.") from error
