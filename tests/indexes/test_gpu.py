"""Search on GPUs; see `gpu_material` for the stand-in."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from gpu_material import DIM, EXACT, KINDS, ROWS, made, same_neighbours, unit
from index_material import TOWER, vector_set

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.devices import Devices, GpuOptions
from mella_retrieval.indexes.gpu import LIMIT, Placed, halved, on_cpu, on_devices
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.kinds import innermost
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import delete_from_index


@pytest.mark.parametrize(("gpus", "spread"), [(1, "shards"), (2, "shards"), (2, "replicas")])
@pytest.mark.parametrize("factory", KINDS)
def test_search__neighbours_of_the_processor(machine, factory, gpus, spread):
    index, queries = made(factory), unit(101, seed=1)
    placed = on_devices(index, machine.devices(gpus), EXACT.model_copy(update={"spread": spread}))
    assert isinstance(placed, Placed)
    assert (placed.d, placed.ntotal) == (DIM, ROWS)
    assert innermost(placed.there).ntotal == ROWS
    wanted = graphless(index).search(queries, 10)
    same_neighbours(placed.search(queries, 10), wanted, 1e-4)
    same_neighbours(placed.search(queries[:1], 3), (wanted[0][:1, :3], wanted[1][:1, :3]), 1e-4)


def graphless(index: Any) -> Any:
    """The same index with its lists found exactly: as a GPU finds them."""
    found = innermost(index)
    if not hasattr(found, "nlist") or not isinstance(faiss().downcast_index(found.quantizer), faiss().IndexHNSW):
        return index
    copy = faiss().clone_index(index)
    faiss().downcast_index(copy.quantizer).hnsw.efSearch = 64
    return copy


@pytest.mark.parametrize("factory", ["Flat", "IVF16,Flat"])
def test_search__float16_is_near(machine, factory):
    index, queries = made(factory), unit(101, seed=1)
    placed = on_devices(index, machine.devices(), GpuOptions(temporary_memory=64 << 20))
    same_neighbours(placed.search(queries, 10), index.search(queries, 10), 2e-3)


def test_search__leaves_the_index_as_it_is(machine):
    for factory in KINDS:
        index = made(factory)
        before = faiss().serialize_index(index).tobytes()
        placed = on_devices(index, machine.devices())
        placed.search(unit(3, seed=1), 5)
        assert on_cpu(placed) is index
        assert faiss().serialize_index(on_cpu(placed)).tobytes() == before, factory
        del placed


def test_search__a_file_is_loaded_to_either(machine, tmp_path):
    index, queries = made("IVF16,Flat"), unit(20, seed=1)
    faiss().write_index(index, str(tmp_path / "vectors.faiss"))
    here = faiss().read_index(str(tmp_path / "vectors.faiss"), faiss().IO_FLAG_MMAP_IFC)
    there = on_devices(here, machine.devices(), EXACT)
    del here
    same_neighbours(there.search(queries, 10), index.search(queries, 10), 1e-5)


def test_search__mapped_flat_vectors(machine, tmp_path):
    index, queries = made("Flat"), unit(20, seed=1)
    faiss().write_index(index, str(tmp_path / "vectors.faiss"))
    here = faiss().read_index(str(tmp_path / "vectors.faiss"), faiss().IO_FLAG_MMAP_IFC | faiss().IO_FLAG_READ_ONLY)
    same_neighbours(on_devices(here, machine.devices(), EXACT).search(queries, 10), index.search(queries, 10), 1e-5)


@pytest.mark.parametrize("gpus", [1, 2])
def test_search__parameters_hold_for_one_call(machine, gpus):
    index, queries = made("IVF16,Flat"), unit(50, seed=1)
    placed = on_devices(index, machine.devices(gpus), EXACT)
    usual = placed.search(queries, 10)
    everything = placed.search(queries, 10, {"nprobe": 16})
    exact = made("Flat").search(queries, 10)
    same_neighbours(everything, exact, 1e-5)
    assert (usual[1] != everything[1]).any()
    np.testing.assert_array_equal(placed.search(queries, 10)[1], usual[1])
    with pytest.raises(ConfigError, match="efSearch does not fit"):
        placed.search(queries, 10, {"efSearch": 16})


def test_search__threads_do_not_mix_their_parameters(machine):
    index, queries = made("IVF16,Flat"), unit(8, seed=1)
    placed = on_devices(index, machine.devices(), EXACT)
    wanted = {nprobe: placed.search(queries, 10, {"nprobe": nprobe})[1] for nprobe in (1, 16)}
    assert (wanted[1] != wanted[16]).any()
    wrong: list[int] = []

    def ask(nprobe: int) -> None:
        for _ in range(100):
            if (placed.search(queries, 10, {"nprobe": nprobe})[1] != wanted[nprobe]).any():
                wrong.append(nprobe)

    threads = [threading.Thread(target=ask, args=(nprobe,)) for nprobe in (1, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_search__more_hits_than_a_gpu_selects_come_from_the_processor(machine):
    index, queries = made("Flat"), unit(2, seed=1)
    placed = on_devices(index, machine.devices(), EXACT)
    placed.there = None  # nobody asks it
    np.testing.assert_array_equal(placed.search(queries, LIMIT + 1)[1], index.search(queries, LIMIT + 1)[1])


def test_search__fewer_vectors_than_hits(machine):
    placed = on_devices(made("Flat", rows=3), machine.devices(), EXACT)
    scores, rows = placed.search(unit(2, seed=1), 5)
    assert (rows[:, 3:] == -1).all()
    assert np.isneginf(scores[:, 3:]).all()
    assert (np.sort(rows[:, :3], axis=1) == [0, 1, 2]).all()


def test_search__an_empty_index(machine):
    placed = on_devices(made("Flat", rows=0), machine.devices(2), EXACT)
    assert (placed.search(unit(2, seed=1), 5)[1] == -1).all()


def test_search__temporary_memory_bounds_the_batches(machine):
    index, queries = made("Flat"), unit(200, seed=1)
    placed = on_devices(index, machine.devices(), EXACT.model_copy(update={"temporary_memory": 1 << 16}))
    there, sizes = placed.there, []

    class Recorded:
        def search(self, batch: np.ndarray, k: int, params: Any = None) -> Any:
            sizes.append(batch.nbytes + len(batch) * k * 12)
            return there.search(batch, k, params=params)

    placed.there = Recorded()
    same_neighbours(placed.search(queries, 10), index.search(queries, 10), 1e-5)
    assert len(sizes) > 1
    assert max(sizes) <= (1 << 16) // 4
    if not machine.real:
        assert machine.temporary == [1 << 16]


def test_search__indexes_on_a_gpu_share_its_temporary_memory(machine):
    first, second = made("Flat"), made("IVF16,Flat")
    options = EXACT.model_copy(update={"temporary_memory": 1 << 22})
    placed = [on_devices(index, machine.devices(), options) for index in (first, second)]
    same_neighbours(placed[1].search(unit(5, seed=1), 10), second.search(unit(5, seed=1), 10), 1e-5)
    same_neighbours(placed[0].search(unit(5, seed=1), 10), first.search(unit(5, seed=1), 10), 1e-5)
    if not machine.real:
        assert machine.temporary == [1 << 22]


def test_halved__has_the_codes_and_rows_of_sqfp16():
    index, twin = made("IVF16,Flat"), faiss().index_factory(DIM, "IVF16,SQfp16", faiss().METRIC_INNER_PRODUCT)
    other = faiss().IndexIVFScalarQuantizer(
        index.quantizer, DIM, 16, faiss().ScalarQuantizer.QT_fp16, faiss().METRIC_INNER_PRODUCT, False
    )
    other.is_trained = True
    other.add(unit(ROWS))
    found = halved(index)
    assert type(found) is type(twin)
    for number in range(16):
        count = other.invlists.list_size(number)
        assert found.invlists.list_size(number) == count
        ids = [faiss().rev_swig_ptr(kind.invlists.get_ids(number), count).copy() for kind in (found, other)]
        codes = [faiss().rev_swig_ptr(kind.invlists.get_codes(number), 2 * DIM * count).copy() for kind in (found, other)]
        np.testing.assert_array_equal(*ids)
        values = [code.view(np.float16).astype(np.float32) for code in codes]
        np.testing.assert_allclose(*values, rtol=2**-10)  # FAISS rounds another way where two are as near
        assert (values[0] == values[1]).mean() > 0.99


def test_memory__too_little_is_one_sentence(machine, monkeypatch):
    if machine.real:
        import torch

        free = torch.cuda.mem_get_info(0)[0]
        hog = torch.empty(free - (32 << 20), dtype=torch.uint8, device="cuda:0")
    else:
        hog = None
        text = (
            "Error in virtual void* faiss::gpu::StandardGpuResourcesImpl::allocMemory(const AllocRequest&) at a.cpp:1: Error: "
            "'err == cudaSuccess' failed: StandardGpuResources: alloc fail type FlatData dev 0 space Device stream 0x1 size "
            "384000 bytes (cudaMalloc error out of memory [2])\n"
        )

        def fails(*_: Any) -> None:
            raise RuntimeError(text)

        monkeypatch.setattr(faiss(), "index_cpu_to_gpu", fails)
    index = made("Flat")
    message = (
        r"3,000 vectors, about .* did not fit into the memory of cuda:0: .* MB more.*float16=true.*shards.*--index-device cpu"
    )
    with pytest.raises(ConfigError, match=message):
        on_devices(index, machine.devices(), EXACT)
    said: list[str] = []
    assert on_devices(index, Devices((0,), automatic=True), EXACT, say=said.append) is index
    assert "did not fit" in said[0]
    del hog


def test_memory__another_error_keeps_its_reason(machine, monkeypatch):
    def fails(*_: Any) -> None:
        raise RuntimeError("Error in f at a.cpp:1: Error: 'x' failed: Invalid GPU device 0")

    monkeypatch.setattr(faiss(), "index_cpu_to_gpu", fails)
    with pytest.raises(ConfigError, match=r"on cuda:0 failed: Invalid GPU device 0\.$"):
        on_devices(made("Flat"), machine.devices(), EXACT)


def test_an_index_folder__is_searched_there_after_deletions_too_and_filtered_here(machine, tmp_path, monkeypatch):
    tower = TOWER.model_copy(update={"dim": DIM})
    vectors = vector_set(tmp_path / "set", unit(900), [f"v{row:03d}" for row in range(900)], tower, n=list(range(900)))
    exact = IndexRecipe(gpu=EXACT)
    build_index(vectors, tmp_path / "index", exact)
    here = delete_from_index(tmp_path / "index", [f"v{row:03d}" for row in range(0, 900, 3)])
    there = Index.load(tmp_path / "index", str(machine.devices()))
    calls: list[int] = []
    own = Placed.search
    monkeypatch.setattr(Placed, "search", lambda self, *asked: calls.append(1) or own(self, *asked))
    queries = unit(20, seed=1)
    for where, searched in ((None, True), ("n < 300", False)):
        calls.clear()
        found, wanted = there.search(queries, 10, where=where), here.search(queries, 10, where=where)
        same_neighbours((found.scores, found.rows), (wanted.scores, wanted.rows), 1e-5)
        assert bool(calls) == searched and not any(int(key[1:]) % 3 == 0 for keys in found.ids for key in keys)
