"""Building with GPUs: k-means and the search for each vector's list are done there; the index stays on the processor.

So no GPU has to hold the vectors, the codes are those of the processor, every kind with inverted lists gains (fast scan and
RaBitQ in training), and the result is written like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.indexes.cagra import build_cagra, builds_cagra
from mella_retrieval.indexes.devices import Devices, GpuOptions
from mella_retrieval.indexes.gpu import ALONE, Placed, gpu_errors, on_devices
from mella_retrieval.indexes.kinds import innermost
from mella_retrieval.indexes.library import faiss

Array = npt.NDArray[np.float32]

# Kinds that take vectors whose lists are known. Fast scan is none of them: its memory would be corrupted (FAISS 1.15.1).
_ASSIGNABLE = ("IndexIVFFlat", "IndexIVFPQ", "IndexIVFScalarQuantizer", "IndexIVFRaBitQ")


def train_on(index: Any, sample: Array, devices: Devices, options: GpuOptions | None = None) -> None:
    """Train an index; where it has inverted lists, k-means runs on the GPUs, each with a part of the sample.

    So do those of its product quantiser. Rotations are trained on the processor.

    Args:
        index: on the processor; trained in place.
        sample: (n, dim) to learn from.
        devices: where.
        options: only the temporary memory counts; distances are float32, as on the processor.

    Raises:
        ConfigError: the GPU's memory is too small.
        RuntimeError: FAISS's own, for a sample that does not suffice (without GPUs).
    """
    found = innermost(index)
    if not devices.gpus or not isinstance(found, faiss().IndexIVF):
        index.train(np.ascontiguousarray(sample))
        return
    with gpu_errors(f"training on {len(sample):,} vectors", devices), _clustering(found, devices, options), ALONE:
        index.train(np.ascontiguousarray(sample))


@dataclass(frozen=True)
class Adder:
    """Fills an index: called with each block of vectors (b, dim), and finished after the last."""

    add: Callable[[Array], None]
    finish: Callable[[], None] = lambda: None

    def __call__(self, block: Array) -> None:
        """Add vectors (b, dim)."""
        self.add(block)


def adder(index: Any, devices: Devices, options: GpuOptions | None = None) -> Adder:
    """What adds blocks of vectors to a trained index.

    Where it has inverted lists GPUs find the list of each vector. A CAGRA graph is built at the end, from all of them.

    Args:
        index: on the processor; filled in place.
        devices: where. Kinds that cannot be helped are filled on the processor.
        options: only the temporary memory counts.

    Raises:
        ConfigError: the GPU's memory is too small.
    """
    found = innermost(index)
    if builds_cagra(index, devices):
        kept: list[Array] = []
        return Adder(kept.append, lambda: build_cagra(index, np.concatenate(kept), devices, options))
    if not devices.gpus or type(found).__name__ not in _ASSIGNABLE:
        return Adder(lambda block: index.add(np.ascontiguousarray(block)))
    library = faiss()
    finder = _centroids(found, devices, options)
    outer = _outside(index)

    def add(block: Array) -> None:
        moved = np.ascontiguousarray(block, np.float32)
        for pre in outer:
            for place in range(pre.chain.size()):
                moved = library.downcast_VectorTransform(pre.chain.at(place)).apply(moved)
        lists = np.ascontiguousarray(finder.search(moved, 1)[1].ravel())
        found.add_core(len(moved), library.swig_ptr(moved), None, library.swig_ptr(lists))
        for pre in outer:
            pre.ntotal = found.ntotal

    return Adder(add)


def _outside(index: Any) -> list[Any]:
    """The indexes with transforms around the innermost one, outermost first."""
    library, at, outer = faiss(), faiss().downcast_index(index), []
    while isinstance(at, library.IndexPreTransform):
        outer.append(at)
        at = library.downcast_index(at.index)
    return [index, *outer[1:]] if outer else []  # the caller's own object, so that it sees the count


def _exact(options: GpuOptions | None) -> GpuOptions:
    given = options or GpuOptions()
    return given.model_copy(update={"float16": False, "spread": "replicas"})


def _centroids(found: Any, devices: Devices, options: GpuOptions | None) -> Placed:
    """The centroids on every GPU."""
    graph = faiss().downcast_index(found.quantizer)
    flat = faiss().IndexFlat(graph.d, graph.metric_type)
    flat.add(graph.reconstruct_n(0, graph.ntotal))
    placed: Placed = on_devices(flat, devices, _exact(options))
    return placed


@contextmanager
def _clustering(found: Any, devices: Devices, options: GpuOptions | None) -> Iterator[None]:
    """K-means of `found`, of its lists and of its product quantiser, assigns with indexes on the GPUs."""
    library = faiss()
    lists = on_devices(library.IndexFlat(found.d, found.metric_type), devices, _exact(options))
    found.clustering_index = lists.there
    lists.there.this.own(True)  # the assignment took it from Python
    codes = on_devices(library.IndexFlatL2(found.pq.dsub), devices, _exact(options)) if hasattr(found, "pq") else None
    if codes is not None:
        found.pq.assign_index = codes.there
        codes.there.this.own(True)
    try:
        yield
    finally:
        found.clustering_index = None
        if codes is not None:
            found.pq.assign_index = None
