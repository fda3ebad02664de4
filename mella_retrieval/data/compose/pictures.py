"""What is known of pictures for telling which are the same: where they lie, the hash of their file, the look of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.images import read_image
from mella_retrieval.data.near.images import FLAT, perceptual_hash
from mella_retrieval.data.near.shingles import digests
from mella_retrieval.data.records import is_url
from mella_retrieval.errors import DataError

UNKNOWN = 0
"""Instead of a hash: there is no file to make it of."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The hashes of some pictures, each of shape (n,).

    Attributes:
        place: digest of path or URL; `UNKNOWN` where the record has no picture.
        content: first 64 bits of the file's SHA-256, or `UNKNOWN`.
        look: perceptual hash, or `FLAT` (also where it was not asked for or the file cannot be decoded).
    """

    place: NDArray[np.uint64]
    content: NDArray[np.uint64]
    look: NDArray[np.uint64]

    @classmethod
    def joined(cls, parts: Sequence[Looked]) -> Looked:
        """All pictures of the parts in order."""
        none = [np.zeros(0, dtype=np.uint64)]
        return cls(*(np.concatenate(none + [getattr(part, name) for part in parts]) for name in ("place", "content", "look")))


class PictureReader:
    """Reads picture files in a few threads and counts how that went.

    Attributes:
        found: pictures `hashed`, among them `flat` and `unreadable` ones (without a look); `urls`; files `missing` or empty.
    """

    def __init__(self, look: bool, workers: int = 4) -> None:
        """Args: look: make perceptual hashes, too."""
        self._look = look
        self._pool = ThreadPoolExecutor(workers)
        self.found: Counter[str] = Counter()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def read(self, places: Sequence[str]) -> Looked:
        """The hashes of the pictures at `places` (see `Records.place_of`)."""
        hashes = np.zeros((len(places), 2), dtype=np.uint64)
        for row, (content, look, how) in enumerate(self._pool.map(self._hash, places)):
            hashes[row] = content, look
            if how:
                self.found[how] += 1
            if content != UNKNOWN:
                self.found["hashed"] += 1
        known = np.array([bool(place) for place in places], dtype=bool)
        return Looked(np.where(known, digests(places), np.uint64(UNKNOWN)), hashes[:, 0], hashes[:, 1])

    def _hash(self, place: str) -> tuple[int, int, str]:
        if not place or is_url(place):
            return UNKNOWN, FLAT, "urls" if place else ""
        path = Path(place)
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError:
            data = b""
        if not data:
            return UNKNOWN, FLAT, "missing"
        content = int.from_bytes(hashlib.sha256(data).digest()[:8], "big") or 1
        if not self._look:
            return content, FLAT, ""
        try:
            look = perceptual_hash(read_image(data))
        except DataError:
            return content, FLAT, "unreadable"
        return content, look, "flat" if look == FLAT else ""
