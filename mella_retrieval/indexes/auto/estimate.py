"""What an index will take: memory, disk and time, before it is built."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mella_retrieval.indexes.auto.factory import Parts, parse_factory
from mella_retrieval.indexes.auto.machine import GRAPH_ROWS, cores, graph_seconds, multiplications, scan_seconds, short_seconds
from mella_retrieval.indexes.kinds import GROWTH_LISTS, GROWTH_RESERVED
from mella_retrieval.indexes.recipe import IndexRecipe

BOOKKEEPING = 18
"""Bytes an item takes beside FAISS: 16 in the table from ids to rows, and two for the marks of deleted ones."""

_BLOCK = 16_384
_ROUNDS = 10
"""Of k-means."""

_PQ_ROUNDS = 25

_OPQ_ROUNDS, _OPQ_PQ_ROUNDS, _OPQ_ROWS = 50, 4, 65_536
"""FAISS learns a rotation in so many rounds with so many of k-means, with sub-vectors of eight bits whatever is stored later,
from at most so many vectors."""

_WRITING = 4e-9
"""Seconds a byte: written and hashed."""

_ANNEALING = 2.0
"""Seconds per sub-vector: FAISS orders the centroids of `PQ16` for polysemous search; `PQ16np` leaves that out."""


@dataclass(frozen=True)
class Estimate:
    """What an index will take.

    Attributes:
        memory_bytes: what searching keeps in memory when every part of the index has been used: codes, graph, centroids,
            learnt matrices, and `BOOKKEEPING`. Not in it: the stored vectors that re-ranking reads (they are memory-mapped,
            their pages can be dropped at any time), the records, and the scores of a batch of queries.
        disk_bytes: FAISS file, table of ids and stored vectors; without the record columns.
        build_memory_bytes: what building takes in one segment; given less, the index is built in several.
        build_seconds: of training, adding and writing; without reading the vectors.
        query_ms: of one query alone, at the search parameters of the recipe.
    """

    memory_bytes: int
    disk_bytes: int
    build_memory_bytes: int
    build_seconds: float
    query_ms: float


def estimate_bytes(recipe: IndexRecipe, rows: int, dim: int) -> int:
    """Memory alone, see `Estimate.memory_bytes`."""
    parts = parse_factory(recipe.factory, dim)
    return math.ceil(_faiss_bytes(parts, rows, dim) + rows * BOOKKEEPING)


def _faiss_bytes(parts: Parts, rows: int, dim: int) -> float:
    return _fixed_bytes(parts, dim) + rows * _bytes_each(parts) + _padding(parts, rows)


def estimate(recipe: IndexRecipe, rows: int, dim: int) -> Estimate:
    """Estimate what an index takes.

    Sizes follow FAISS's own layout of each kind and are exact up to the random parts of it (the levels of a graph, the fill
    of the last block of a list). Times are rough, to be right within a factor of two or three: operations are counted, and
    their speed is measured on this machine with a few thousand random vectors in a fraction of a second.

    Args:
        recipe: the kind of index; `factory` must not be `auto`.
        rows: how many vectors.
        dim: of them.

    Raises:
        ConfigError: a kind whose cost is not known.
    """
    parts = parse_factory(recipe.factory, dim)
    faiss_bytes = _faiss_bytes(parts, rows, dim)
    store = recipe.store if recipe.store != "auto" else "none" if parts.exact else "float16"
    stored = rows * dim * {"none": 0, "float16": 2, "float32": 4}[store]
    written = faiss_bytes + stored if rows else 0
    trained = min(rows, recipe.train_rows)
    growth = GROWTH_LISTS if parts.lists else GROWTH_RESERVED
    learns = parts.lists > 0 or parts.code != "Flat" or bool(parts.transform)
    return Estimate(
        memory_bytes=math.ceil(faiss_bytes + rows * BOOKKEEPING),
        disk_bytes=math.ceil(faiss_bytes + rows * 16 + stored),
        build_memory_bytes=math.ceil(
            growth * faiss_bytes + 24 * rows + 3 * 4 * min(_BLOCK, rows) * dim + (4 * trained * dim if learns else 0)
        ),
        build_seconds=train_seconds(parts, dim, trained) + add_seconds(parts, rows, dim) + written * _WRITING,
        query_ms=1000 * query_seconds(parts, rows, dim, recipe),
    )


def _code_bytes(parts: Parts) -> float:
    """Bytes of a code, as FAISS's quantisers lay them out."""
    dim, code = parts.dim, parts.code
    if parts.sub_vectors[0]:
        count, bits = parts.sub_vectors
        return math.ceil(2 * math.ceil(count / 2) * bits / 8) if parts.fast_scan else math.ceil(count * bits / 8)
    if code.startswith("RaBitQ"):
        bits = int(code.removeprefix("RaBitQ") or 1)
        # Signs and two factors; with more bits a second code and three more numbers.
        return math.ceil(dim / 8) + (8 if bits == 1 else math.ceil((bits - 1) * dim / 8) + 20)
    per_entry = {"Flat": 4.0, "SQfp16": 2.0, "SQ8": 1.0, "SQ6": 0.75, "SQ4": 0.5}
    return math.ceil(per_entry[code] * dim)


def _bytes_each(parts: Parts) -> float:
    """Bytes that each vector takes: code, number in its list, links (2 M at the ground, M on each level above)."""
    return _code_bytes(parts) + (8 if parts.lists else 0) + _links_bytes(parts.links)


def _links_bytes(links: int) -> float:
    if not links:
        return 0
    level, offset = 4, 8
    return level + offset + 4 * (2 * links + links / (links - 1))


def _padding(parts: Parts, rows: int) -> float:
    """Blocks of 32 codes are filled up: in every list half a block on average."""
    if not parts.fast_scan:
        return 0
    if not parts.lists:
        return (-rows % 32) * _code_bytes(parts)
    return min(parts.lists, rows) * 15.5 * _code_bytes(parts)


def _fixed_bytes(parts: Parts, dim: int) -> float:
    """What does not grow with the vectors: centroids, tables of the quantiser, matrices of the transform."""
    inner = parts.dim
    size: float = 160 + parts.lists * (4 * inner + (24 if parts.fast_scan else 8) + _links_bytes(parts.list_links))
    count, bits = parts.sub_vectors
    if count:
        size += 4 * (1 << bits) * inner  # tables for residuals are not made for inner products
    if parts.code in ("SQ4", "SQ6", "SQ8"):
        size += 8 * inner
    if parts.code.startswith("RaBitQ") and not parts.lists:
        size += 4 * inner
    if parts.transform:
        size += 4 * inner * dim + (4 * (dim * dim + 2 * dim) if parts.transform.startswith("PCA") else 0)
    return size


def train_seconds(parts: Parts, dim: int, trained: int) -> float:
    """Seconds of training: k-means of lists and sub-vectors, rotations."""
    inner = parts.dim
    count = _ROUNDS * min(trained, 256 * parts.lists) * parts.lists * inner
    if parts.transform.startswith("PCA"):
        count += trained * dim * dim + 30 * dim**3
    sub_vectors, bits = parts.sub_vectors
    comparisons = _PQ_ROUNDS * min(trained, 256 * (1 << bits)) * (1 << bits) * sub_vectors
    if parts.transform.startswith("OPQ"):
        rows = min(trained, _OPQ_ROWS)
        split = int(parts.transform.removeprefix("OPQ").split("_")[0])
        count += _OPQ_ROUNDS * (3 * rows * dim * inner + 30 * dim**3)
        comparisons += _OPQ_ROUNDS * (_OPQ_PQ_ROUNDS + 1) * rows * 256 * split
    annealed = bits == 8 and not parts.fast_scan and not parts.code.endswith("np")
    seconds = count / multiplications() + comparisons * short_seconds() / cores()
    return seconds + (_ANNEALING * sub_vectors if annealed else 0)


def add_seconds(parts: Parts, rows: int, dim: int) -> float:
    """Seconds of adding: rotation, nearest centroid, code, graph."""
    count = dim * parts.dim if parts.transform else 0.0
    if parts.lists:
        count += (64 * math.log2(parts.lists) if parts.list_links else parts.lists) * parts.dim
    sub_vectors, bits = parts.sub_vectors
    comparisons = (1 << bits) * sub_vectors
    seconds = rows * (count / multiplications() + (comparisons * short_seconds() + 4 * parts.dim * 1e-9) / cores())
    if parts.code.startswith("RaBitQ"):
        seconds += rows * parts.dim * 2e-7 / cores() * (parts.code != "RaBitQ")  # the best of several scales is searched for
    if parts.links and rows:
        # The paths grow with the logarithm of the size; items that no longer lie in the caches cost more.
        growth = math.log(max(rows, GRAPH_ROWS)) / math.log(GRAPH_ROWS)
        memory = 1 + min(1.0, rows * _bytes_each(parts) / 2**28)
        slower = scan_seconds(parts.plain_code, parts.dim) / scan_seconds("Flat", parts.dim)
        seconds += rows * graph_seconds(parts.dim, parts.links) * growth * memory * max(1.0, slower) / cores()
    return seconds


def query_seconds(parts: Parts, rows: int, dim: int, recipe: IndexRecipe) -> float:
    """Seconds of one query alone."""
    if not rows:
        return 0.0
    each = scan_seconds(parts.plain_code, parts.dim)
    looked_at = float(rows)
    if parts.links:
        looked_at = min(rows, recipe.search.get("efSearch", 16) * parts.links)
        each *= 3  # items far apart in memory, and the bookkeeping of the path
    elif parts.lists:
        looked_at = rows * min(1.0, recipe.search.get("nprobe", 1) / parts.lists)
    seconds = looked_at * each + parts.lists * parts.dim * 0.25e-9 + 20e-6
    if parts.transform:
        seconds += dim * parts.dim * 0.5e-9
    return seconds + recipe.rerank * 10 * (1e-6 + dim * 2e-9)
