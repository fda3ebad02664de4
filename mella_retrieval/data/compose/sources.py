"""The records folders that are composed, in order: opened, and read again where something of a few rows is wanted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mella_retrieval.data.compose.recipe import ComposeRecipe
from mella_retrieval.data.records import Records, Where


@dataclass(frozen=True)
class Source:
    """One records folder.

    Attributes:
        name: in the recipe.
        records: the folder.
        where: which of its records.
        value: of the column `source`.
    """

    name: str
    records: Records
    where: Where = field(default_factory=dict)
    value: str = ""


def open_sources(recipe: ComposeRecipe) -> list[Source]:
    """The sources of a recipe.

    Raises:
        ArtifactError: one of them is no records folder.
    """
    return [
        Source(name, Records.load(options.path), options.where, options.source or name)
        for name, options in recipe.sources.items()
    ]


def rows_again(
    sources: Sequence[Source], rows: NDArray[np.int64], columns: Sequence[str]
) -> Iterator[tuple[int, Records, dict[str, Any]]]:
    """Chosen rows, counted over all sources as they are read; `rows` is sorted. Yields the number, its folder and the row."""
    begin = 0
    for source, batch in batches(sources, columns):
        end = begin + batch.num_rows
        inside = rows[np.searchsorted(rows, begin) : np.searchsorted(rows, end)]
        if len(inside):
            found = batch.take(pa.array(inside - begin)).to_pylist()
            yield from ((int(number), source.records, row) for number, row in zip(inside, found, strict=True))
        begin = end


def batches(sources: Sequence[Source], columns: Sequence[str] | None = None) -> Iterator[tuple[Source, pa.RecordBatch]]:
    """All rows of all sources, always in the same order."""
    for source in sources:
        for batch in source.records.batches(4096, columns=columns, where=source.where):
            yield source, batch


def common_root(sources: Sequence[Source]) -> Path | None:
    """The deepest folder that holds the picture folders of all sources; None where that is the root of the file system."""
    shared = Path(os.path.commonpath([source.records.image_root for source in sources]))
    return shared if shared != Path(shared.anchor) else None


def first_rows(numbers: NDArray[np.int32], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first row of each wanted number, sorted; negative numbers stand for nothing."""
    rows = np.flatnonzero((numbers >= 0) & wanted[numbers]) if len(wanted) else np.zeros(0, dtype=np.int64)
    return np.sort(rows[np.unique(numbers[rows], return_index=True)[1]])
