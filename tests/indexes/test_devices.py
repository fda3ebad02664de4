"""Indexes on GPUs. Each test runs twice: on real GPUs, where there are some, and on a stand-in that keeps the "GPU" copies on
the processor. The stand-in shows that our side of the work is right (what is cloned, split, set and refused), and nothing of
what FAISS does on a GPU."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mella_retrieval.errors import ConfigError, MissingDependencyError
from mella_retrieval.indexes.cagra import cagra_degree, empty_cagra
from mella_retrieval.indexes.devices import Devices, GpuOptions, gpu_count
from mella_retrieval.indexes.gpu import LIMIT, Placed, halved, on_cpu, on_devices, why_not
from mella_retrieval.indexes.gpu_building import adder, train_on
from mella_retrieval.indexes.kinds import innermost, set_parameters
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.recipes import build_config

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


# Names of devices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "gpus", "name"),
    [("cpu", (), "cpu"), ("cuda", (0,), "cuda:0"), ("cuda:2", (2,), "cuda:2"), ("cuda:2,0", (2, 0), "cuda:2,0")],
)
def test_parse__names_gpus(monkeypatch, text, gpus, name):
    pretend(monkeypatch, 3)
    assert Devices.parse(text) == Devices(gpus)
    assert str(Devices.parse(text)) == name


@pytest.mark.parametrize(("count", "gpus"), [(0, ()), (1, (0,)), (3, (0, 1, 2))])
def test_parse__auto_takes_what_there_is(monkeypatch, count, gpus):
    pretend(monkeypatch, count)
    assert Devices.parse("auto") == Devices(gpus, automatic=True)


def test_parse__auto_is_the_processor_without_gpu_support(monkeypatch):
    monkeypatch.delattr(faiss(), "StandardGpuResources", raising=False)
    assert not Devices.parse("auto").gpus
    with pytest.raises(MissingDependencyError, match=r"no GPU support.*pip install mella-retrieval\[gpu\].*--device cpu"):
        Devices.parse("cuda:0")


@pytest.mark.parametrize(
    ("count", "text", "message"),
    [
        (0, "cuda", "sees no GPU .*driver.*no cuda"),
        (1, "cuda:1", "sees one GPU, cuda:0, so there is no cuda:1"),
        (2, "cuda:0,2", "sees 2 GPUs, numbered from 0, so there is no cuda:0,2"),
        (2, "cuda:1,1", "names a GPU twice"),
        *[
            (2, text, "searches on auto, cpu")
            for text in ("", "gpu", "mps", "cuda:", "cuda:-1", "cuda:0,", "cuda:x", "CUDA", "cpu:0")
        ],
    ],
)
def test_parse__says_what_is_wrong(monkeypatch, count, text, message):
    pretend(monkeypatch, count)
    with pytest.raises(ConfigError, match=message):
        Devices.parse(text)


def pretend(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(faiss(), "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss(), "get_num_gpus", lambda: count)


@pytest.mark.parametrize(
    ("value", "size"),
    [("512MiB", 512 << 20), ("1GB", 10**9), ("64mb", 64 * 10**6), (4096, 4096), ("4096", 4096), ("1.5GiB", 1536 << 20)],
)
def test_options__read_sizes(value, size):
    assert GpuOptions(temporary_memory=value).temporary_memory == size


@pytest.mark.parametrize(
    ("value", "message"),
    [(0, "above 0"), ("2GB", "1536MiB"), ("much", "not a size"), ("-1", "not a size"), ("1TB", "1536MiB")],
)
def test_options__refuse_what_is_no_size(value, message):
    with pytest.raises(ConfigError, match=message):
        build_config(GpuOptions, {"temporary_memory": value}, "recipe")


# What a GPU can hold -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", KINDS)
def test_why_not__kinds_of_gpus(factory):
    assert why_not(made(factory, 0)) is None


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("HNSW8", "HNSWFlat has no"),
        ("IVF16,PQ8x4fs", "no counterpart"),
        ("IVF16,RaBitQ", "no counterpart"),
        ("SQ8", "must be SQfp16"),
        ("IVF16,PQ8x4np", "8 bits, not 4"),
        ("IVF16,SQ6", "of this sort"),
    ],
)
def test_on_devices__refuses_other_kinds_but_auto_stays_on_the_processor(machine, factory, message):
    index = made(factory)
    with pytest.raises(ConfigError, match=rf"cannot hold this index.*{message}.*--device cpu"):
        on_devices(index, machine.devices(), EXACT)
    said: list[str] = []
    assert on_devices(index, Devices((0,), automatic=True), EXACT, say=said.append) is index
    assert len(said) == 1
    assert "on the processor" in said[0]


def test_on_devices__refuses_more_lists_than_a_gpu_looks_into(machine):
    index = faiss().index_factory(DIM, "IVF16,Flat", faiss().METRIC_INNER_PRODUCT)
    index.nprobe = LIMIT + 1
    with pytest.raises(ConfigError, match=f"2049 lists, a GPU into at most {LIMIT}"):
        on_devices(index, machine.devices(), EXACT)


def test_why_not__code_sizes_of_product_quantisers():
    index = faiss().IndexIVFPQ(faiss().IndexFlatIP(60), 60, 4, 15, 8, faiss().METRIC_INNER_PRODUCT)
    assert "PQ15 is no size" in str(why_not(index))


# Search ------------------------------------------------------------------------------------------------------------------


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


# Memory ------------------------------------------------------------------------------------------------------------------


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
    message = r"3,000 vectors, about .* did not fit into the memory of cuda:0: .* MB more.*float16=true.*shards.*--device cpu"
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


# Building ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gpus", [1, 2])
@pytest.mark.parametrize(
    "factory",
    [
        "Flat",
        "SQ8",
        "IVF16,Flat",
        "IVF16_HNSW8,Flat",
        "IVF16,SQ8",
        "IVF16,PQ8np",
        "RR32,IVF16,PQ8np",
        "IVF16,RaBitQ",
        "IVF16,PQ8x4fs",
    ],
)
def test_building__an_index_of_the_processor(machine, factory, gpus):
    vectors, queries, devices = unit(ROWS), unit(64, seed=1), machine.devices(gpus)
    index = faiss().index_factory(DIM, factory, faiss().METRIC_INNER_PRODUCT)
    train_on(index, vectors, devices, EXACT)
    assert index.is_trained
    add = adder(index, devices, EXACT)
    for start in range(0, ROWS, 700):
        add(vectors[start : start + 700])
    add.finish()
    assert index.ntotal == innermost(index).ntotal == ROWS
    other = faiss().deserialize_index(faiss().serialize_index(index))  # it can be written
    twin = made(factory)
    for searched in (other, twin):
        if hasattr(innermost(searched), "nprobe"):
            innermost(searched).nprobe = 4
    exact = made("Flat").search(queries, 10)[1]
    recalls = [recall(searched.search(queries, 10)[1], exact) for searched in (other, twin)]
    assert recalls[0] > recalls[1] - 0.05  # trained and filled as well as on the processor


def recall(rows: np.ndarray, exact: np.ndarray) -> float:
    return float(
        np.mean(
            [len(set(found) & set(wanted)) / len(wanted) for found, wanted in zip(rows.tolist(), exact.tolist(), strict=True)]
        )
    )


def test_building__rows_keep_their_order(machine):
    index = faiss().index_factory(DIM, "IVF16,Flat", faiss().METRIC_INNER_PRODUCT)
    train_on(index, unit(ROWS), machine.devices(), EXACT)
    add = adder(index, machine.devices(), EXACT)
    add(unit(ROWS)[:1000])
    add(unit(ROWS)[1000:])
    index.nprobe = 16
    np.testing.assert_array_equal(index.search(unit(ROWS), 1)[1].ravel(), np.arange(ROWS))


# CAGRA -------------------------------------------------------------------------------------------------------------------

has_cuvs = hasattr(faiss(), "GpuIndexCagra")


def test_cagra__factory_strings():
    assert cagra_degree("CAGRA64") == 64
    assert cagra_degree("HNSW32") is None
    assert empty_cagra("HNSW32", DIM, Devices()) is None
    for text in ("CAGRA", "CAGRA0", "CAGRA7", "CAGRA64,Flat", "CAGRA1024"):
        with pytest.raises(ConfigError, match="even degree from 4 to 512"):
            empty_cagra(text, DIM, Devices((0,)))


@pytest.mark.skipif(has_cuvs, reason="the installed FAISS has cuVS")
def test_cagra__says_what_is_missing():
    with pytest.raises(MissingDependencyError, match=r"CAGRA16 is built by a FAISS with cuVS.*pip install faiss-gpu-cuvs.*hnsw"):
        empty_cagra("CAGRA16", DIM, Devices((0,)))
    graph = faiss().IndexHNSWCagra(DIM, 8, faiss().METRIC_INNER_PRODUCT)
    with pytest.raises(ConfigError, match="CAGRA graphs need a FAISS with cuVS"):
        on_devices(graph, Devices((0,)))


def test_cagra__is_extended_without_a_gpu():
    graph = faiss().IndexHNSWCagra(DIM, 8, faiss().METRIC_INNER_PRODUCT)
    add = adder(graph, Devices())
    add(unit(ROWS)[:2000])
    add(unit(ROWS)[2000:])
    add.finish()
    assert_answers(graph)


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuvs or gpu_count() == 0, reason="needs a FAISS with cuVS and a GPU that it sees")
def test_cagra__is_built_on_a_gpu_and_searched_on_either():
    with pytest.raises(ConfigError, match="--device cuda"):
        empty_cagra("CAGRA16", DIM, Devices())
    graph = empty_cagra("CAGRA16", DIM, Devices((0,)))
    add = adder(graph, Devices((0,)), EXACT)
    add(unit(ROWS)[:2000])
    add(unit(ROWS)[2000:])
    add.finish()
    assert_answers(graph)
    assert_answers(on_devices(graph, Devices((0,)), EXACT))
    few = empty_cagra("CAGRA16", DIM, Devices((0,)))
    add = adder(few, Devices((0,)), EXACT)
    add(unit(10))
    add.finish()
    assert few.ntotal == 10


def assert_answers(graph: Any) -> None:
    here = on_cpu(graph)
    reloaded = faiss().deserialize_index(faiss().serialize_index(here))
    assert reloaded.ntotal == ROWS
    searched = reloaded if here is graph else graph
    here.hnsw.efSearch = reloaded.hnsw.efSearch = 128
    assert recall(searched.search(unit(64, seed=1), 10)[1], made("Flat").search(unit(64, seed=1), 10)[1]) > 0.9


# Recipes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpu-flat", "gpu-ivf-flat", "gpu-ivf-pq"])
def test_recipes__are_kinds_that_a_gpu_holds(name):
    recipe = load_recipe(IndexRecipe, "indexes", name)
    index = faiss().index_factory(512, recipe.factory, faiss().METRIC_INNER_PRODUCT)
    set_parameters(index, recipe.factory, recipe.search)
    assert why_not(index) is None
    assert recipe.rerank  # float16 alone would order near scores wrongly


def test_recipes__cagra():
    assert cagra_degree(load_recipe(IndexRecipe, "indexes", "cagra").factory) == 64
