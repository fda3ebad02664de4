"""Pictures and texts that stand in several languages, sources or splits, or in another record set too.

Texts are equal here if their normal forms are (NFKC, casefold, single spaces), pictures if their image_ids are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.artifacts import Json
from mella_retrieval.data.near.shingles import normal_form
from mella_retrieval.data.records import Records, Where
from mella_retrieval.data.statistics.rows import Column, Mask, Rows, digests_of

_KEYS = 16_384


def shared_between(rows: Rows, column: Column, chosen: Mask) -> list[Json]:
    """What the values of a column share, over the chosen rows.

    Returns:
        `between` (two values), `images` and `texts`: how many different ones stand under both. Pairs that share nothing are
        left out.
    """
    images = _shared(rows.pictures, column, chosen & (rows.pictures != 0))
    texts = _shared(rows.normal, column, chosen & (rows.normal != 0))
    order = np.argsort(np.array(column.values, dtype=object), kind="stable").tolist()
    return [
        {
            "between": [column.values[first], column.values[second]],
            "images": int(images[first, second]),
            "texts": int(texts[first, second]),
        }
        for first, second in itertools.combinations(order, 2)
        if images[first, second] or texts[first, second]
    ]


def _shared(keys: NDArray[np.uint64], column: Column, chosen: Mask) -> NDArray[np.int64]:
    """Shape (values, values): different keys under both."""
    count = len(column.values)
    _, numbers = np.unique(keys[chosen], return_inverse=True)
    pairs = np.unique(numbers.astype(np.int64) * max(count, 1) + column.codes[chosen])
    key, code = np.divmod(pairs, max(count, 1))
    several = np.bincount(key)[key] > 1 if len(key) else np.zeros(0, bool)
    key, code = np.unique(key[several], return_inverse=True)[1], code[several]
    total = np.zeros((count, count), dtype=np.int64)
    for start in range(0, int(key.max()) + 1 if len(key) else 0, _KEYS):
        begin, end = np.searchsorted(key, [start, start + _KEYS])
        table = np.zeros((_KEYS, count), dtype=np.float32)  # sums of ones, exact up to 2^24
        table[key[begin:end] - start, code[begin:end]] = 1
        total += (table.T @ table).astype(np.int64)
    return total


def shared_with(records: Records, other: Records, where: Where | None = None) -> Json:
    """What a record set shares with another one.

    Returns:
        `image_ids`: different ones that occur in both; `pictures`: different files or URLs that both point to; `texts`:
        different ones in both, whatever their languages; `records`: those of `records` with any of these.
    """
    theirs = [np.unique(np.concatenate(blocks)) for blocks in zip(*_keys(other, None), strict=True)]
    own: list[list[NDArray[np.uint64]]] = [[], [], []]
    shared_records = 0
    for keys in _keys(records, where):
        known = [_among(values, other_values) & (values != 0) for values, other_values in zip(keys, theirs, strict=True)]
        shared_records += int(np.count_nonzero(np.logical_or.reduce(known)))
        for found, values, mask in zip(own, keys, known, strict=True):
            found.append(np.unique(values[mask]))
    counts = [len(np.unique(np.concatenate(blocks))) if blocks else 0 for blocks in own]
    return {"records": shared_records, **dict(zip(("image_ids", "pictures", "texts"), counts, strict=True))}


def _among(values: NDArray[np.uint64], known: NDArray[np.uint64]) -> Mask:
    """Which values stand in a sorted array; `np.isin` would sort the array again for every batch."""
    found: Mask = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def _keys(records: Records, where: Where | None) -> Iterator[tuple[NDArray[np.uint64], ...]]:
    """Digests of image_ids, of where the pictures lie and of the texts, batch by batch."""
    for batch in records.batches(columns=["image_id", "image", "text"], where=where):
        yield (
            digests_of(batch["image_id"].to_pylist()),
            digests_of(map(records.place_of, batch["image"].to_pylist())),
            digests_of([normal_form(text) for text in batch["text"].to_pylist()]),
        )
