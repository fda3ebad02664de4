"""How fast this machine does what building and searching consist of: measured in a fraction of a second, once per process.

FAISS is measured on one core: on several, what else runs on the machine would be measured too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.indexes.library import faiss

_ROWS = 4096
_TAUGHT = 1024
GRAPH_ROWS = 1000
_SCANNED = 1 << 25
"""Bytes that a scan of whole vectors is measured on: more than the fast caches hold."""

_PATIENCE = 0.03
"""Seconds that a short measurement may be repeated for."""


def cores() -> int:
    """Processor cores that FAISS uses in this process."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine, int(faiss().omp_get_max_threads()))


@cache
def multiplications() -> float:
    """Multiplications with addition per second in a product of float32 matrices, on all cores."""
    left = np.random.default_rng(0).standard_normal((1024, 512), dtype=np.float32)
    seconds = _shortest(lambda: left @ left.T, 3)
    return 1024 * 1024 * 512 / seconds


@cache
def short_seconds() -> float:
    """Seconds of one comparison between vectors of eight numbers, as k-means of sub-vectors does them; on one core."""
    points = _vectors(_ROWS, 8)
    with _one_core() as library:
        centroids = library.IndexFlatL2(8)
        centroids.add(points[:256])
        return _shortest(lambda: centroids.search(points, 1), 3) / (_ROWS * 256)


@cache
def scan_seconds(code: str, dim: int) -> float:
    """Seconds that one item costs one query where items of this code are scored one after the other.

    Args:
        code: `Flat`, `SQ8`, `SQfp16`, `PQ64x4fs`, `RaBitQ` ...
        dim: of the vectors.
    """
    vectors = _vectors(_ROWS, dim)
    with _one_core() as library:
        index = library.index_factory(dim, code, library.METRIC_INNER_PRODUCT)
        index.train(vectors[:_TAUGHT])
        copies = max(1, min(8, _SCANNED // (4 * dim * _ROWS))) if code == "Flat" else 1
        for _ in range(copies):
            index.add(vectors)
        return _shortest(lambda: index.search(vectors[:1], 10), 5) / int(index.ntotal)


@cache
def graph_seconds(dim: int, links: int) -> float:
    """Seconds that an item costs when a small graph (`GRAPH_ROWS` items) is built, on one core."""
    vectors = _vectors(GRAPH_ROWS, dim)
    with _one_core() as library:
        index = library.IndexHNSWFlat(dim, links, library.METRIC_INNER_PRODUCT)
        begin = perf_counter()
        index.add(vectors)
        return max((perf_counter() - begin) / GRAPH_ROWS, 1e-9)


def _vectors(rows: int, dim: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, dim), dtype=np.float32) / np.float32(np.sqrt(dim))


@contextmanager
def _one_core() -> Iterator[Any]:
    library = faiss()
    before = library.omp_get_max_threads()
    library.omp_set_num_threads(1)
    try:
        yield library
    finally:
        library.omp_set_num_threads(before)


def _shortest(job: Callable[[], object], times: int) -> float:
    """The shortest of some runs, and of more while they are short: what else runs on the machine only makes them longer."""
    seconds: list[float] = []
    while len(seconds) < times or (len(seconds) < 20 * times and sum(seconds) < _PATIENCE):
        begin = perf_counter()
        job()
        seconds.append(perf_counter() - begin)
    return max(min(seconds), 1e-9)
