"""What the parts of `indexes.py` share: the vectors, indexes that are built once, and times."""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from index_vectors import BLOCK, Drawn, K

from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import MellaError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe

Floats = np.ndarray


@dataclass(frozen=True)
class Bench:
    """What all parts begin with."""

    data: Drawn
    vectors: EmbeddingSet
    arguments: argparse.Namespace

    def index(self, factory: str) -> Path:
        """Folder of an index that is built once and kept; to be changed only in a `copy`."""
        folder, recipe = self.data.folder / f"ours-{factory.replace(',', '-')}", IndexRecipe(factory=factory)
        try:
            there = Index.load(folder).manifest.recipe == recipe
        except MellaError:
            there = False
        if not there:
            build_index(self.vectors, folder, recipe, overwrite=True)
        return folder

    def copy(self, folder: Path) -> Path:
        """The same index in another folder: the files are never changed, so links do."""
        target = folder.with_name(folder.name + "-copy")
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target, copy_function=os.link)
        return target

    def blocks(self) -> Iterator[Floats]:
        """The vectors in order."""
        vectors = self.data.vectors()
        yield from (np.asarray(vectors[start : start + BLOCK]) for start in range(0, len(vectors), BLOCK))


def seconds(work: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def per_query(index: Index, queries: Floats, parameters: dict[str, int], batch: int, budget: float = 10.0) -> float:
    """Milliseconds: median over the batches; ids and scores are taken out."""
    taken: list[float] = []
    for start in range(0, len(queries) - batch + 1, batch):
        taken.append(seconds(lambda start=start: index.search(queries[start : start + batch], K, parameters=parameters).ids))
        if sum(taken) > budget:
            break
    return 1e3 * statistics.median(taken) / batch
