"""Near-duplicate pictures: a hash that survives other sizes, compression and colours, and all pairs of close hashes.

The hash is the 64-bit DCT hash of the library ImageHash: the picture as 32 x 32 greys, the 8 x 8 lowest frequencies of its
cosine transform, one bit each for lying above their median. Mirrored and turned pictures have other hashes.
"""

from __future__ import annotations

import functools
import itertools
import math
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.data.extra import data_package
from mella_retrieval.data.near.bands import equal_key_pairs, first_holders, shared_key_pairs

if TYPE_CHECKING:
    from PIL import Image

BITS = 64
FLAT = 0
"""Stands for "no hash": of a picture with too little in it. No hash of a picture is 0 (half of its bits lie above the median)."""

DISTANCE = 4
"""Default Hamming distance: the widest at which a million unrelated pictures are expected to give less than one false pair.

For hashes of 32 set bits, P(distance <= 2k) = sum_{i<=k} C(32, i)^2 / C(64, 32): times 5e11 pairs 0.07 for 4, and 7 for 6.
"""

_SIZE, _LOW = 32, 8
_NOISE = 1.0  # grey level: rounding the greys to 8 bits alone moves a coefficient by 0.3, a JPEG's loss by about as much again
_TELLING = 32  # coefficients that must stand out of the noise: half of the bits
_POPULATION = np.array([number.bit_count() for number in range(1 << 16)], dtype=np.uint8)


def perceptual_hash(image: Image.Image) -> int:
    """The 64-bit hash of a picture (`imagehash.phash`), or `FLAT`.

    `FLAT` is the answer where most of the 64 coefficients are no larger than rounding errors, so that most bits would be chance
    or the same for all such pictures: one colour, a gradient, stripes, a symmetrical sign. Those are duplicates only if their
    files are equal.

    Raises:
        MissingDependencyError: ImageHash is not installed.
    """
    from PIL import Image

    imagehash = data_package("imagehash")
    small = image.convert("L").resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)  # phash's own first step
    basis = _cosines()
    coefficients = basis @ np.asarray(small, dtype=np.float64) @ basis.T
    telling = np.count_nonzero(np.abs(coefficients) > _NOISE) - 1  # the mean grey tells nothing: its bit is always set
    if telling < _TELLING:
        return FLAT
    bits = imagehash.phash(small, hash_size=_LOW, highfreq_factor=_SIZE // _LOW).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@functools.cache
def _cosines() -> NDArray[np.float64]:
    """The lowest rows of the orthonormal cosine transform, shape (8, 32)."""
    angles = np.pi * np.arange(_LOW)[:, None] * (2 * np.arange(_SIZE) + 1) / (2 * _SIZE)
    scales = np.full((_LOW, 1), math.sqrt(2 / _SIZE))
    scales[0] = math.sqrt(1 / _SIZE)
    return scales * np.cos(angles)


def hamming(first: NDArray[np.uint64], second: NDArray[np.uint64] | np.uint64) -> NDArray[np.int64]:
    """Number of different bits, element by element, shape (n,)."""
    different = np.atleast_1d(first ^ second)
    distances: NDArray[np.int64] = _POPULATION[different.view(np.uint16).reshape(-1, 4)].sum(axis=1, dtype=np.int64)
    return distances


def image_pairs(hashes: NDArray[np.uint64], distance: int = DISTANCE) -> NDArray[np.int64]:
    """Pairs of pictures whose hashes differ in at most `distance` bits; exact. `FLAT` is close to nothing, itself included.

    Of several equal hashes each is paired with the first, and only the first with others: the groups are those of all pairs,
    and a picture that stands there a thousand times gives a thousand pairs, not half a million.

    The bits are cut into blocks; hashes within the distance agree in all bits of some of them (the pigeonhole principle), so
    only those that share the bits of such a choice are compared. How many blocks follows from the number of hashes; the work
    grows with its square only where very many different hashes share those bits.

    Returns:
        Shape (n, 2), each pair once, smaller number first, sorted.
    """
    hashes = np.ascontiguousarray(hashes, dtype=np.uint64)
    known = np.flatnonzero(hashes != FLAT)
    first, equal = first_holders(hashes[known])
    found = [known[equal]]
    unique = hashes[known[first]]
    for key in _keys(unique, distance, len(unique)):
        for rows in equal_key_pairs(key):
            near = rows[hamming(unique[rows[:, 0]], unique[rows[:, 1]]) <= distance]
            if len(near):
                found.append(known[first[near]])
    return np.unique(np.concatenate(found), axis=0)


def image_matches(hashes: NDArray[np.uint64], others: NDArray[np.uint64], distance: int = DISTANCE) -> NDArray[np.int64]:
    """For each picture the closest one of another collection within the distance; exact, `FLAT` as for `image_pairs`.

    Returns:
        Shape (len(hashes),): row of `others` (the first of equals), or -1.
    """
    known, shown = np.flatnonzero(hashes != FLAT), np.flatnonzero(others != FLAT)
    count = len(shown)
    best = np.full((len(hashes), 2), [distance + 1, len(others)], dtype=np.int64)
    for own, other in zip(_keys(hashes[known], distance, count), _keys(others[shown], distance, count), strict=True):
        for pairs in shared_key_pairs(own, other):
            rows, met = known[pairs[:, 0]], shown[pairs[:, 1]]
            found = np.stack([hamming(hashes[rows], others[met]), met], axis=1)
            better = (found[:, 0] < best[rows, 0]) | ((found[:, 0] == best[rows, 0]) & (found[:, 1] < best[rows, 1]))
            best[rows[better]] = found[better]  # a row stands once in a step
    return np.where(best[:, 0] <= distance, best[:, 1], -1)


def _keys(hashes: NDArray[np.uint64], distance: int, count: int) -> Iterator[NDArray[np.uint64]]:
    """The bits of each choice of blocks, of which close hashes share at least one."""
    if distance >= BITS:
        yield np.zeros(len(hashes), dtype=np.uint64)
        return
    shared = _shared_blocks(count, distance)
    for chosen in itertools.combinations(_blocks(distance + shared), shared):
        yield hashes & np.uint64(functools.reduce(int.__or__, chosen))


def _shared_blocks(count: int, distance: int) -> int:
    """In how many of `distance` + so many blocks to look for agreement: more give fewer candidates and more passes."""

    def work(shared: int) -> float:
        passes = math.comb(distance + shared, shared)
        return passes * count * (math.log2(count + 2) + count / 2 ** (BITS * shared / (distance + shared)))

    return min(range(1, min(3, BITS - distance) + 1), key=work)


def _blocks(number: int) -> list[int]:
    """Masks that cut 64 bits into so many runs of nearly equal length."""
    edges = [BITS * place // number for place in range(number + 1)]
    return [(1 << end) - (1 << begin) for begin, end in itertools.pairwise(edges)]


class SeenImages:
    """Pictures met so far, for finding the near-duplicates of a stream. About 50 bytes a picture at a distance of 4."""

    def __init__(self, distance: int = DISTANCE) -> None:
        """Args: distance: different bits up to which two pictures count as one, 0 to 16."""
        if not 0 <= distance <= 16:
            raise ValueError(f"a distance of 0 to 16 bits is of use, not {distance}")
        self._distance = distance
        self._masks = _blocks(distance + 1)
        self._buckets: list[dict[int, array[int]]] = [{} for _ in self._masks]
        self._hashes = array("Q")
        self._numbers = array("Q")
        self._asked = 0

    def seen(self, hash: int) -> int | None:
        """The closest earlier picture within the distance (the first of equals), as the number of its call from 0; else None.

        A near-duplicate is not remembered itself: what comes later is compared with the picture that was kept, so that a chain
        of small changes does not lead from one picture to another. `FLAT` is never near anything.
        """
        number, self._asked = self._asked, self._asked + 1
        if hash == FLAT:
            return None
        keys = [hash & mask for mask in self._masks]
        found = self._closest(hash, keys)
        if found is not None:
            return found
        place = len(self._hashes)
        self._hashes.append(hash)
        self._numbers.append(number)
        for bucket, key in zip(self._buckets, keys, strict=True):
            bucket.setdefault(key, array("I")).append(place)
        return None

    def _closest(self, hash: int, keys: list[int]) -> int | None:
        held: list[Any] = [bucket[key] for bucket, key in zip(self._buckets, keys, strict=True) if key in bucket]
        if not held:
            return None
        places = np.concatenate([np.frombuffer(places, dtype=np.uint32) for places in held])
        hashes = np.frombuffer(self._hashes, dtype=np.uint64)[places]
        distances = hamming(hashes, np.uint64(hash))
        best = int(np.lexsort((places, distances))[0])
        return self._numbers[int(places[best])] if distances[best] <= self._distance else None
