"""Names of devices, options, and which kinds of index a GPU can hold."""

from __future__ import annotations

import pytest
from gpu_material import DIM, EXACT, KINDS, made

from mella_retrieval.errors import ConfigError, MissingDependencyError
from mella_retrieval.indexes.cagra import cagra_degree
from mella_retrieval.indexes.devices import Devices, GpuOptions
from mella_retrieval.indexes.gpu import LIMIT, on_devices, why_not
from mella_retrieval.indexes.kinds import set_parameters
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.recipes import build_config, load_recipe


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
    with pytest.raises(MissingDependencyError, match=r"no GPU support.*pip install mella-retrieval\[gpu\].*--index-device cpu"):
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
    with pytest.raises(ConfigError, match=rf"cannot hold this index.*{message}.*--index-device cpu"):
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


@pytest.mark.parametrize("name", ["gpu-flat", "gpu-ivf-flat", "gpu-ivf-pq"])
def test_recipes__are_kinds_that_a_gpu_holds(name):
    recipe = load_recipe(IndexRecipe, "indexes", name)
    index = faiss().index_factory(512, recipe.factory, faiss().METRIC_INNER_PRODUCT)
    set_parameters(index, recipe.factory, recipe.search)
    assert why_not(index) is None
    assert recipe.rerank  # float16 alone would order near scores wrongly


def test_recipes__cagra():
    assert cagra_degree(load_recipe(IndexRecipe, "indexes", "cagra").factory) == 64
