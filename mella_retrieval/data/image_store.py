"""Pictures that came as bytes, or are to be copied: stored once per image_id under a name that every file system accepts."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from pathlib import Path

from mella_retrieval.artifacts import Json, sha256_file

_PLAIN = re.compile(r"[a-z0-9_][a-z0-9._-]{0,99}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_REMEMBERED = 4096

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
)


def image_suffix(data: bytes) -> str:
    """File name ending by the first bytes of a picture; `bin` if they are of no known kind."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return next((suffix for start, suffix in _SIGNATURES if data.startswith(start)), "bin")


def safe_name(image_id: str) -> str:
    """A file name (no ending) for any image_id: the id itself where it is plain, else a readable part of it and a hash.

    Ids with capital letters get a hash as well: `A` and `a` are one file on some file systems.
    """
    if _PLAIN.fullmatch(image_id):
        return image_id
    readable = _UNSAFE.sub("-", image_id).strip("-._")[:60]
    digest = hashlib.sha256(image_id.encode()).hexdigest()[:20]
    return f"{readable}-{digest}" if readable else digest


class ImageStore:
    """Writes pictures into a folder and sums up what it wrote, in memory that does not grow with their number."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: where the pictures go; made with the first of them."""
        self._folder = folder
        self._known: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._files = self._bytes = self._sum = 0

    def add(self, image_id: str, data: bytes) -> str | None:
        """Store the picture of `image_id` unless that was done before.

        Returns:
            The file's name, or None if `image_id` already has another picture.
        """
        content = hashlib.sha256(data).digest()
        known = self._known.get(image_id)
        if known is None:
            known = self._stored(image_id) or self._write(image_id, data, content)
            self._known[image_id] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known[0] if known[1] == content else None

    def _stored(self, image_id: str) -> tuple[str, bytes] | None:
        """What an earlier record stored for this id and `_known` has forgotten since."""
        stem = safe_name(image_id)
        suffixes = [*dict.fromkeys(suffix for _, suffix in _SIGNATURES), "webp", "avif", "bin"]
        for path in (self._folder / f"{stem}.{suffix}" for suffix in suffixes):
            if path.is_file():
                return path.name, bytes.fromhex(sha256_file(path))
        return None

    def _write(self, image_id: str, data: bytes, content: bytes) -> tuple[str, bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{safe_name(image_id)}.{image_suffix(data)}"
        (self._folder / name).write_bytes(data)
        self._files += 1
        self._bytes += len(data)
        self._sum += _term(name, content.hex())
        return name, content

    def describe(self) -> Json:
        """Number, size and digest of the stored pictures, as `folder_digest` finds them."""
        return _description(self._files, self._bytes, self._sum)


def folder_digest(folder: Path) -> Json:
    """Number, size and digest of the files of a picture folder (none if it is absent)."""
    files = size = total = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        files += 1
        size += path.stat().st_size
        total += _term(path.name, sha256_file(path))
    return _description(files, size, total)


def _term(name: str, content: str) -> int:
    # A sum of hashes needs no order, so neither the writer nor the check has to hold and sort a million names.
    return int.from_bytes(hashlib.sha256(f"{content} {name}".encode()).digest(), "big")


def _description(files: int, size: int, total: int) -> Json:
    return {"files": files, "bytes": size, "digest": f"{total % (1 << 256):064x}"}
