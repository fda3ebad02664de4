"""Search on GPUs: a copy of an index that lies on the processor, which still does what GPUs cannot.

Written against the interface of faiss-gpu 1.15.1. Two habits of it shape this module. Its GPU indexes pass over selectors
without a word, so filters are never given to them. And cloning to several GPUs leaves a kind that no GPU can hold on the
processor without a word, so `why_not` looks first.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.devices import Devices, GpuOptions
from mella_retrieval.indexes.found import Numbers, Scores
from mella_retrieval.indexes.kinds import innermost, reason, search_parameters
from mella_retrieval.indexes.library import faiss

Array = npt.NDArray[np.float32]

LIMIT = 2048
"""Most hits, and most lists, that FAISS's own GPU kernels select (`getMaxKSelection`)."""

ALONE = threading.Lock()
"""Held by whatever uses a GPU."""

_RESOURCES: weakref.WeakValueDictionary[tuple[int, int], Any] = weakref.WeakValueDictionary()
_GRAPH_LIMIT = 512  # candidates that cuVS's quicker CAGRA search has in hand
_CODE_SIZES = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)  # IVFPQ::isSupportedPQCodeLength
_FLOAT32_TABLES = 48  # sub-quantisers whose float32 tables of 256 entries fit into 48 KiB of shared memory
_BLOCK = 1 << 18  # vectors decoded at a time


class Placed:
    """An index on GPUs.

    FAISS's GPU indexes are not safe for several threads at once, so searches wait for each other. Indexes on the same GPU share
    its temporary memory. The GPU's memory is given back with the last reference to them.

    Args:
        there: the FAISS index on the GPUs.
        here: the same on the processor, transforms included. It answers what GPUs cannot: more than `LIMIT` hits or lists.
        given: FAISS's resources of each GPU. They are kept, so that the next index finds them.
        devices: where `there` lies.
        options: how it lies there.

    Attributes:
        here: may be written, reconstructed from and searched with selectors.
        d: dimensions of queries.
        ntotal: vectors.
    """

    def __init__(self, there: Any, here: Any, given: list[Any], devices: Devices, options: GpuOptions) -> None:
        self.there, self.here, self.devices, self.options = there, here, devices, options
        self._given = given
        self.d, self.ntotal = int(here.d), int(here.ntotal)
        self._transforms = _transforms(here)
        self._own = _effort(innermost(here))
        self._set = dict(self._own)
        self._graph = "efSearch" in self._own
        self._limit = _GRAPH_LIMIT if self._graph else LIMIT

    def search(self, queries: Array, k: int, values: Mapping[str, int] | None = None) -> tuple[Scores, Numbers]:
        """Scores and rows (q, k) of the best vectors, best first; row -1 where there is none.

        Args:
            queries: (q, d).
            k: how many.
            values: FAISS search parameters of this call; on GPUs these are `nprobe`, and `efSearch` of CAGRA.

        Raises:
            ConfigError: a parameter does not fit, or the GPU's memory is too small.
        """
        values = dict(values or {})
        parameters = search_parameters(self.here, values) if values else None  # refuses what does not fit this kind
        wanted = {**self._own, **{name: value for name, value in values.items() if name in self._own}}
        if max(k, *wanted.values(), 0) > self._limit:
            scores, rows = self.here.search(np.ascontiguousarray(queries, np.float32), k, params=parameters)
            return scores, rows
        moved = np.ascontiguousarray(queries, np.float32)
        for transform in self._transforms:
            moved = transform.apply(moved)
        found = (np.empty((len(moved), k), np.float32), np.empty((len(moved), k), np.int64))
        step = _batch(moved.shape[1], k, self.options.temporary_memory)
        with ALONE, gpu_errors(f"a search for {k} hits of {min(step, len(moved))} queries", self.devices):
            parameters = self._adjusted(k, wanted)
            for start in range(0, len(moved), step):
                batch = slice(start, start + step)
                found[0][batch], found[1][batch] = self.there.search(moved[batch], k, params=parameters)
        found[0][found[1] < 0] = -np.inf
        return found

    def _adjusted(self, k: int, wanted: Mapping[str, int]) -> Any:
        """Parameters of a graph; those of lists are set on the index itself: shards and replicas take none with a search."""
        if self._graph:
            parameters = faiss().SearchParametersCagra()
            parameters.itopk_size = -(-max(k, wanted["efSearch"]) // 32) * 32  # candidates in hand, a multiple of 32
            return parameters
        for name, value in wanted.items():
            if self._set[name] != value:
                faiss().GpuParameterSpace().set_index_parameter(self.there, name, value)
                self._set[name] = value
        return None


def on_devices(
    index: Any, devices: Devices, options: GpuOptions | None = None, *, say: Callable[[str], None] | None = None
) -> Any:
    """An index where it is to be searched: itself on the processor, else a `Placed` copy on the GPUs.

    Args:
        index: trained and filled, on the processor. It stays as it is, and memory-mapped if it is.
        devices: where to.
        options: how it is to lie there.
        say: told why an index stays on the processor although `auto` found GPUs.

    Raises:
        ConfigError: GPUs cannot hold this kind, or their memory is too small; with `auto` the index stays where it is.
    """
    if not devices.gpus:
        return index
    options = options or GpuOptions()
    try:
        return _placed(index, devices, options)
    except ConfigError as error:
        if not devices.automatic:
            raise
        if say is not None:
            say(f"searched on the processor: {error}")
        return index


def _placed(index: Any, devices: Devices, options: GpuOptions) -> Placed:
    problem = why_not(index)
    if problem is not None:
        raise ConfigError(
            f"a GPU cannot hold this index: {problem}. It holds Flat, SQfp16, IVF with Flat, SQ8, SQ4 or SQfp16, and IVF with "
            f"PQ of 8 bits (no fast scan); all of them with OPQ or PCA before. Use one of these, or --index-device cpu."
        )
    found = innermost(index)
    if "efSearch" in _effort(found):
        devices = Devices(devices.gpus[:1])  # a graph lies on one
    each = bytes_on_each(found, devices, options)
    with ALONE, gpu_errors(f"{found.ntotal:,} vectors, about {_size(each)} for each GPU,", devices):
        given = [resources(gpu, options) for gpu in devices.gpus]
        return Placed(_copied(found, given, devices, options), index, given, devices, options)


def on_cpu(index: Any) -> Any:
    """The index on the processor, which can be written: exact whatever the GPUs round to."""
    return index.here if isinstance(index, Placed) else index


def why_not(index: Any) -> str | None:
    """Why a GPU cannot hold an index, or None where it can."""
    found = innermost(index)
    name = type(found).__name__
    if (nprobe := _effort(found).get("nprobe", 1)) > LIMIT:
        return f"it looks into {nprobe} lists, a GPU into at most {LIMIT}"
    if name == "IndexHNSWCagra":
        return None if hasattr(faiss(), "GpuIndexCagra") else "CAGRA graphs need a FAISS with cuVS (`pip install faiss-gpu-cuvs`)"
    checks: dict[str, Callable[[Any], str | None]] = {
        "IndexFlat": _nothing,
        "IndexFlatIP": _nothing,
        "IndexFlatL2": _nothing,
        "IndexIVFFlat": _nothing,
        "IndexScalarQuantizer": _scalar,
        "IndexIVFScalarQuantizer": _inverted_scalar,
        "IndexIVFPQ": _product,
    }
    return checks[name](found) if name in checks else f"{name.removeprefix('Index')} has no counterpart there"


def _effort(found: Any) -> dict[str, int]:
    """The parameter that says how hard is searched, as it is set; kinds that look at everything have none."""
    if hasattr(found, "nprobe"):
        return {"nprobe": int(found.nprobe)}
    return {"efSearch": int(found.hnsw.efSearch)} if type(found).__name__ == "IndexHNSWCagra" else {}


def _nothing(_: Any) -> str | None:
    return None


def _scalar(index: Any) -> str | None:
    return None if index.sq.qtype == faiss().ScalarQuantizer.QT_fp16 else "scalar quantisers without lists must be SQfp16"


def _inverted_scalar(index: Any) -> str | None:
    kinds = faiss().ScalarQuantizer
    known = (kinds.QT_8bit, kinds.QT_8bit_uniform, kinds.QT_8bit_direct, kinds.QT_4bit, kinds.QT_4bit_uniform, kinds.QT_fp16)
    return None if index.sq.qtype in known else "it has no scalar quantiser of this sort"


def _product(index: Any) -> str | None:
    if index.pq.nbits != 8:
        return f"a product quantiser there has 8 bits, not {index.pq.nbits}"
    if index.pq.M not in _CODE_SIZES:
        return f"PQ{index.pq.M} is no size that it knows ({', '.join(map(str, _CODE_SIZES))})"
    return None if index.by_residual and not index.polysemous_ht else "product codes there are of residuals, not polysemous"


def bytes_on_each(found: Any, devices: Devices, options: GpuOptions) -> int:
    """About what an index takes on each GPU, temporary memory included."""
    parts = len(devices.gpus) if options.spread == "shards" else 1
    if hasattr(found, "nlist"):
        halved = options.float16 and type(found).__name__ == "IndexIVFFlat"
        vector, lists = (found.code_size // 2 if halved else found.code_size) + 8, 4 * found.nlist * found.d
    else:
        vector, lists = found.d * (2 if options.float16 else 4) + 4, 0  # and the norm of each vector
    return int(-(-found.ntotal // parts) * vector + lists + options.temporary_memory)


def _batch(dim: int, k: int, memory: int) -> int:
    """Queries at a time: with their hits they take a quarter of the temporary memory, the rest is for FAISS's own tables."""
    return max(1, memory // (4 * (4 * dim + 12 * k)))


def _transforms(index: Any) -> list[Any]:
    """What stands before the innermost index: rotations are done on the processor."""
    library, found, chain = faiss(), faiss().downcast_index(index), []
    while isinstance(found, library.IndexPreTransform):
        chain += [library.downcast_VectorTransform(found.chain.at(place)) for place in range(found.chain.size())]
        found = library.downcast_index(found.index)
    return chain


# Copies ----------------------------------------------------------------------------------------------------------------


def resources(gpu: int, options: GpuOptions) -> Any:
    """FAISS's resources of one GPU: the same for all indexes that lie there at a time."""
    key = (gpu, options.temporary_memory)
    made = _RESOURCES.get(key)
    if made is None:
        made = faiss().StandardGpuResources()
        made.setTempMemory(options.temporary_memory)
        _RESOURCES[key] = made
    return made


def _copied(found: Any, given: list[Any], devices: Devices, options: GpuOptions) -> Any:
    library = faiss()
    if hasattr(found, "nlist"):
        return _copied_lists(found, given, devices, options)
    if "efSearch" in _effort(found):
        return library.index_cpu_to_gpu(given[0], devices.gpus[0], found)
    cloning = library.GpuClonerOptions()
    cloning.useFloat16 = options.float16 or not isinstance(found, library.IndexFlat)
    parts = []
    for number, (own, gpu) in enumerate(zip(given, devices.gpus, strict=True)):
        # Cloned empty and then filled: a filled index would be copied as float32 whole before it is rounded.
        empty = library.IndexFlat(found.d, found.metric_type)
        part = library.index_cpu_to_gpu(own, gpu, empty, cloning)
        count = len(devices.gpus) if options.spread == "shards" else 1
        place = number if options.spread == "shards" else 0
        for block in _blocks(found, found.ntotal * place // count, found.ntotal * (place + 1) // count):
            part.add(block)
        parts.append(part)
    return _joined(parts, options.spread)


def _blocks(found: Any, start: int, stop: int) -> Iterator[Array]:
    """Vectors of a flat index: all at once and without a copy where it has them as float32 (FAISS pages them itself)."""
    if isinstance(found, faiss().IndexFlat):
        if stop > start:
            yield faiss().rev_swig_ptr(found.get_xb(), found.ntotal * found.d).reshape(found.ntotal, found.d)[start:stop]
        return
    for first in range(start, stop, _BLOCK):
        yield found.reconstruct_n(first, min(_BLOCK, stop - first))


def _joined(parts: list[Any], spread: str) -> Any:
    """One index over those of several GPUs; they are searched at the same time."""
    if len(parts) == 1:
        return parts[0]
    if spread == "replicas":
        whole = faiss().IndexReplicas()
        for part in parts:
            whole.addIndex(part)
        return whole
    whole = faiss().IndexShards(parts[0].d, True, True)  # threaded, and rows are counted on from shard to shard
    for part in parts:
        whole.add_shard(part)
    return whole


def _copied_lists(found: Any, given: list[Any], devices: Devices, options: GpuOptions) -> Any:
    library = faiss()
    source = halved(found) if options.float16 and type(found).__name__ == "IndexIVFFlat" else found
    with flat_quantizer(source):
        if len(devices.gpus) == 1:
            cloning = library.GpuClonerOptions()
            cloning.useFloat16 = _float16_tables(source, options)
            return library.index_cpu_to_gpu(given[0], devices.gpus[0], source, cloning)
        cloning = library.GpuMultipleClonerOptions()
        cloning.useFloat16 = _float16_tables(source, options)
        cloning.shard = options.spread == "shards"
        return library.index_cpu_to_gpu_multiple_py(given, source, cloning, list(devices.gpus))


def _float16_tables(found: Any, options: GpuOptions) -> bool:
    return options.float16 or (type(found).__name__ == "IndexIVFPQ" and found.pq.M > _FLOAT32_TABLES)


def halved(found: Any) -> Any:
    """An `IVF,SQfp16` of an `IVF,Flat`: on a GPU the latter is float32 whatever is asked for."""
    library = faiss()
    made = library.IndexIVFScalarQuantizer(
        found.quantizer, found.d, found.nlist, library.ScalarQuantizer.QT_fp16, found.metric_type, False
    )
    lists, taken = found.invlists, made.invlists
    for number in range(found.nlist):
        count = lists.list_size(number)
        if count:
            codes, ids = lists.get_codes(number), lists.get_ids(number)
            vectors = library.rev_swig_ptr(codes, count * found.code_size).view(np.float32)
            rounded = vectors.astype(np.float16).view(np.uint8)
            taken.add_entries(number, count, ids, library.swig_ptr(rounded))
            lists.release_codes(number, codes)
            lists.release_ids(number, ids)
    made.ntotal, made.nprobe, made.is_trained = found.ntotal, found.nprobe, found.is_trained
    made.referenced_objects.append(found)  # whose quantizer it is
    return made


@contextmanager
def flat_quantizer(found: Any) -> Iterator[None]:
    """For the time of a copy the centroids lie in a flat index: GPUs have no graph to find lists by, and need none."""
    graph = faiss().downcast_index(found.quantizer)
    if isinstance(graph, faiss().IndexFlat):
        yield
        return
    flat = faiss().IndexFlat(graph.d, graph.metric_type)
    flat.add(graph.reconstruct_n(0, graph.ntotal))
    found.quantizer = flat
    flat.this.own(True)  # the assignment took it from Python
    try:
        yield
    finally:
        found.quantizer = graph


# Errors ----------------------------------------------------------------------------------------------------------------


@contextmanager
def gpu_errors(what: str, devices: Devices) -> Iterator[None]:
    """FAISS's errors on GPUs as one sentence; memory that does not suffice with the ways out of it.

    Args:
        what: was asked for.
        devices: where.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if "out of memory" not in text and "alloc fail" not in text:
            raise ConfigError(f"{what} on {devices} failed: {reason(error)}.") from None
        matched = re.search(r"dev (\d+).* size (\d+) bytes", text)
        more = f": {_size(int(matched[2]))} more could not be had on cuda:{matched[1]}" if matched else ""
        raise ConfigError(
            f"{what} did not fit into the memory of {devices}{more}{_free(devices)}. Ways out: gpu.float16=true, several GPUs "
            f"with gpu.spread=shards (--index-device cuda:0,1), less gpu.temporary_memory, a smaller kind (IVF with PQ), or "
            "--index-device cpu."
        ) from None


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"


def _free(devices: Devices) -> str:
    """What torch says is free; FAISS itself cannot tell."""
    import torch

    if not torch.cuda.is_available():
        return ""
    free = [f"cuda:{gpu} {_size(torch.cuda.mem_get_info(gpu)[0])}" for gpu in devices.gpus]
    return f" (free now: {', '.join(free)})"
