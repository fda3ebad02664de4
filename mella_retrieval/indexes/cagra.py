"""CAGRA (Ootomo et al. 2023, https://arxiv.org/abs/2308.15136): graphs that are built on a GPU by a FAISS with cuVS.

On the processor such a graph is an `IndexHNSWCagra`, which is written, searched and added to like HNSW; so a machine without
GPU serves and extends what another one built.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import ConfigError, MissingDependencyError
from mella_retrieval.indexes.devices import Devices, GpuOptions
from mella_retrieval.indexes.gpu import ALONE, gpu_errors, resources
from mella_retrieval.indexes.library import faiss

Array = npt.NDArray[np.float32]


def cagra_degree(factory: str) -> int | None:
    """The degree in a factory string of ours, `CAGRA64`; None for FAISS's own strings.

    Raises:
        ConfigError: a degree that is no even number from 4 to 512.
    """
    if not factory.startswith("CAGRA"):
        return None
    text = factory.removeprefix("CAGRA")
    if not text.isdigit() or not 4 <= int(text) <= 512 or int(text) % 2:
        raise ConfigError(f"{factory!r} is not CAGRA with an even degree from 4 to 512, such as CAGRA64.")
    return int(text)


def empty_cagra(factory: str, dim: int, devices: Devices) -> Any:
    """An empty graph index for `CAGRA64`, or None for FAISS's own factory strings.

    Args:
        factory: string of a recipe.
        dim: of the vectors.
        devices: where the graph will be built.

    Raises:
        MissingDependencyError: the installed FAISS has no cuVS.
        ConfigError: no GPU was asked for, or no valid degree.
    """
    degree = cagra_degree(factory)
    if degree is None:
        return None
    library = faiss()
    if not hasattr(library, "GpuIndexCagra"):
        raise MissingDependencyError(
            f"{factory} is built by a FAISS with cuVS: on Linux with an NVIDIA GPU run `pip uninstall faiss-cpu faiss-gpu` and "
            "`pip install faiss-gpu-cuvs` (CUDA 13), or take the recipe hnsw."
        )
    if not devices.gpus:
        raise ConfigError(f"{factory} is built on a GPU: use --index-device cuda, or take the recipe hnsw.")
    return library.IndexHNSWCagra(dim, degree // 2, library.METRIC_INNER_PRODUCT)


def builds_cagra(index: Any, devices: Devices) -> bool:
    """Whether vectors for this empty index become a graph on a GPU; else the processor adds them one by one."""
    return bool(devices.gpus) and hasattr(faiss(), "GpuIndexCagra") and type(index).__name__ == "IndexHNSWCagra"


def build_cagra(index: Any, vectors: Array, devices: Devices, options: GpuOptions | None = None) -> None:
    """Build a graph of all vectors on the first GPU and put it into `index`.

    Args:
        index: an empty `IndexHNSWCagra` on the processor. Few vectors, up to four times its degree, are added to it there.
        vectors: (n, dim); the GPU has to hold them as float32.
        devices: where.
        options: only the temporary memory counts.

    Raises:
        ConfigError: the GPU's memory is too small.
    """
    library = faiss()
    degree = index.hnsw.nb_neighbors(0)
    if len(vectors) <= 4 * degree:
        index.add(np.ascontiguousarray(vectors))
        return
    config = library.GpuIndexCagraConfig()
    config.device = devices.gpus[0]
    config.graph_degree, config.intermediate_graph_degree = degree, 2 * degree
    with ALONE, gpu_errors(f"a CAGRA graph of {len(vectors):,} vectors", Devices(devices.gpus[:1])):
        given = resources(devices.gpus[0], options or GpuOptions())
        there = library.GpuIndexCagra(given, index.d, library.METRIC_INNER_PRODUCT, config)
        there.train(np.ascontiguousarray(vectors, np.float32))
        there.copyTo(index)
