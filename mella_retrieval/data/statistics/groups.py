"""Counts and lengths of groups of records."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mella_retrieval.artifacts import Json
from mella_retrieval.data.statistics.rows import Column, Mask, Rows

LISTED = 100
"""Values of a column that are described each; the rest together."""

OTHERS = "(others)"


def describe_group(rows: Rows, chosen: Mask | slice = slice(None)) -> Json:
    """A group of records.

    Returns:
        `records`, `images` (different image_ids), `without_image`, `without_text`, `texts` (different ones), and `characters`
        and `words` of its texts (min, median, mean, p95, max; None where there is none). Words are counted only in languages
        that are written with spaces between them.
    """
    texts, pictures = rows.texts[chosen], rows.pictures[chosen]
    written = texts != 0
    spaced = written & rows.spaced[chosen]
    return {
        "records": len(texts),
        "images": _different(pictures),
        "without_image": int(np.count_nonzero(~rows.pictured[chosen])),
        "without_text": int(np.count_nonzero(~written)),
        "texts": _different(texts),
        "characters": spread(rows.characters[chosen][written]),
        "words": spread(rows.words[chosen][spaced]),
    }


def describe_values(rows: Rows, column: Column, parts: bool = False) -> Json:
    """Value -> its group. The 100 values with most records are described each, all others together under `(others)`.

    With `parts` a record whose value has a `|` stands in the group of each part.
    """
    groups = column.groups(parts)
    sizes = np.bincount(column.codes, minlength=len(column.values))
    largest = sorted(groups, key=lambda value: (-int(sizes[groups[value]].sum()), value))
    found = {value: describe_group(rows, groups[value][column.codes]) for value in sorted(largest[:LISTED])}
    if others := largest[LISTED:]:
        rest = np.logical_or.reduce([groups[value] for value in others])
        found[OTHERS] = {"values": len(others), **describe_group(rows, rest[column.codes])}
    return found


def count_values(column: Column, chosen: Mask) -> dict[str, int]:
    """Value -> records, of the chosen rows; values that do not occur among them are left out."""
    sizes = np.bincount(column.codes[chosen], minlength=len(column.values))
    counts = {value: int(sizes[members].sum()) for value, members in column.groups().items()}
    return {value: count for value, count in counts.items() if count}


def texts_on_several_images(rows: Rows, chosen: Mask) -> int:
    """Different texts that stand on more than one picture."""
    both = chosen & (rows.texts != 0) & (rows.pictures != 0)
    pairs = np.unique(np.stack([rows.texts[both], rows.pictures[both]], axis=1), axis=0)
    _, pictures = np.unique(pairs[:, 0], return_counts=True)
    return int(np.count_nonzero(pictures > 1))


def spread(values: NDArray[np.integer[Any]]) -> Json | None:
    """Smallest, median, mean, 95th percentile and largest; None of nothing."""
    if not len(values):
        return None
    return {
        "min": int(values.min()),
        "median": float(np.median(values)),
        "mean": round(float(values.mean()), 2),
        "p95": float(np.percentile(values, 95)),
        "max": int(values.max()),
    }


def length_edges(longest: int) -> list[int]:
    """Edges of a histogram on a logarithmic axis: halves of octaves from 1 to beyond the longest text."""
    edges = [1]
    step = 0
    while edges[-1] <= longest:
        step += 1
        edges = sorted({*edges, round(2 ** (step / 2))})
    return edges


def _different(values: NDArray[np.uint64]) -> int:
    """Different digests but 0."""
    return len(np.unique(values[values != 0]))
