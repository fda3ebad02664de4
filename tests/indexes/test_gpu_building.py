"""Building with GPUs; see `gpu_material` for the stand-in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gpu_material import DIM, EXACT, ROWS, made, recall, unit

from mella_retrieval.errors import ConfigError, MissingDependencyError
from mella_retrieval.indexes.cagra import cagra_degree, empty_cagra
from mella_retrieval.indexes.devices import Devices, gpu_count
from mella_retrieval.indexes.gpu import on_cpu, on_devices
from mella_retrieval.indexes.gpu_building import adder, train_on
from mella_retrieval.indexes.kinds import innermost
from mella_retrieval.indexes.library import faiss


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
    with pytest.raises(ConfigError, match="--index-device cuda"):
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
