"""Indexes for tests on GPUs, and GPUs for tests.

Tests that take `machine` run twice: on real GPUs, where there are some, and on a stand-in that keeps the "GPU" copies on the
processor. The stand-in shows that our side of the work is right (what is cloned, split, set and refused), and nothing of what
FAISS does on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mella_retrieval.indexes.devices import Devices, GpuOptions, gpu_count
from mella_retrieval.indexes.kinds import innermost
from mella_retrieval.indexes.library import faiss

DIM, ROWS = 32, 3000
EXACT = GpuOptions(float16=False, temporary_memory=64 << 20)
KINDS = ["Flat", "SQfp16", "IVF16,Flat", "IVF16_HNSW8,Flat", "IVF16,SQ8", "IVF16,PQ8np", "RR32,IVF16,PQ8np"]


def unit(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def empty(factory: str) -> Any:
    index = faiss().index_factory(DIM, factory, faiss().METRIC_INNER_PRODUCT)
    if hasattr(innermost(index), "pq"):
        innermost(index).pq.cp.niter = 2  # rough codes do for these tests
    return index


@cache
def trained(factory: str) -> Any:
    index = empty(factory)
    index.train(unit(ROWS))
    return index


def made(factory: str, rows: int = ROWS) -> Any:
    index = faiss().clone_index(trained(factory))
    if rows:
        index.add(unit(rows))
    if hasattr(innermost(index), "nprobe"):
        innermost(index).nprobe = 4
    return index


@dataclass
class Machine:
    """What a test sees of the GPUs."""

    real: bool
    count: int
    temporary: list[int] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)

    def devices(self, wanted: int = 1) -> Devices:
        if wanted > self.count:
            pytest.skip(f"needs {wanted} GPUs, there is {self.count}")
        return Devices(tuple(range(wanted)))


def recall(rows: np.ndarray, exact: np.ndarray) -> float:
    return float(
        np.mean(
            [len(set(found) & set(wanted)) / len(wanted) for found, wanted in zip(rows.tolist(), exact.tolist(), strict=True)]
        )
    )


real_gpu = pytest.param(
    "real",
    marks=[pytest.mark.gpu, pytest.mark.skipif(gpu_count() == 0, reason="the installed FAISS sees no GPU")],
)


@pytest.fixture(params=["stand-in", real_gpu])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    if request.param == "real":
        yield Machine(True, gpu_count())
        return
    found = Machine(False, 2)
    for name, value in stand_in(found).items():
        monkeypatch.setattr(faiss(), name, value, raising=False)
    yield found


def stand_in(machine: Machine) -> dict[str, Any]:
    """FAISS's GPU functions with copies on the processor; what a GPU refuses is refused."""

    class Resources:
        def setTempMemory(self, size: int) -> None:
            machine.temporary.append(size)

    def clone(_: Resources, gpu: int, index: Any, options: Any = None) -> Any:
        assert 0 <= gpu < machine.count
        if isinstance(index, faiss().IndexIVF) and not isinstance(faiss().downcast_index(index.quantizer), faiss().IndexFlat):
            raise RuntimeError("Error in here at a.cpp:1: This index type is not implemented on GPU.")
        return faiss().clone_index(index)

    def clone_all(resources: list[Resources], index: Any, options: Any, gpus: list[int]) -> Any:
        clones = [clone(own, gpu, index) for own, gpu in zip(resources, gpus, strict=True)]
        whole = faiss().IndexShards(index.d, True, False) if options.shard else faiss().IndexReplicas()
        for number, part in enumerate(clones):
            if options.shard:
                part.reset()
                index.copy_subset_to(part, faiss().InvertedLists.SUBSET_TYPE_ID_MOD, len(gpus), number)
            (whole.add_shard if options.shard else whole.addIndex)(part)
        return whole

    return {
        "get_num_gpus": lambda: machine.count,
        "StandardGpuResources": Resources,
        "GpuClonerOptions": SimpleNamespace,
        "GpuMultipleClonerOptions": SimpleNamespace,
        "index_cpu_to_gpu": clone,
        "index_cpu_to_gpu_multiple_py": clone_all,
        "GpuParameterSpace": faiss().ParameterSpace,
    }


def same_neighbours(found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray], tolerance: float) -> None:
    """The same rows but where scores are nearer than the tolerance, and the same scores within it."""
    np.testing.assert_allclose(found[0], wanted[0], atol=tolerance)
    differ = found[1] != wanted[1]
    assert np.abs(found[0] - wanted[0])[differ].max(initial=0.0) <= tolerance
    assert differ.mean() < 0.02 if tolerance < 1e-3 else differ.mean() < 0.1
