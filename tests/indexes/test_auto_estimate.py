"""Estimated sizes against what FAISS really writes."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from mella_retrieval.errors import ConfigError
from mella_retrieval.indexes.auto.estimate import BOOKKEEPING, estimate
from mella_retrieval.indexes.recipe import IndexRecipe

DIM = 32


def real_size(factory: str, rows: int) -> int:
    vectors = np.random.default_rng(0).standard_normal((rows, DIM), dtype=np.float32)
    index = faiss.index_factory(DIM, factory, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    return int(faiss.serialize_index(index).size)


@pytest.mark.parametrize(
    "factory",
    [
        "Flat",
        "SQfp16",
        "SQ8",
        "SQ4",
        "HNSW32",
        "HNSW16",
        "HNSW32,SQ8",
        "HNSW32_SQfp16",
        "IVF64,Flat",
        "IVF64,SQ8",
        "IVF64_HNSW32,Flat",
        "PQ16x4fs",
        "IVF64,PQ16x4fs",
        "IVF64,PQ8x4np",
        "IVF64,PQ16x4fsr",
        "OPQ4_16,PQ8x4fs",
        "RaBitQ",
        "RaBitQ4",
        "RR32,IVF64,RaBitQ",
        "IVF64,RaBitQ3",
        "PCA16,SQ8",
        "PCAR16,IVF64,Flat",
    ],
)
def test_estimate__memory_is_what_faiss_takes(factory: str) -> None:
    rows = 300 if factory.startswith("OPQ") else 3000  # learning a rotation takes long
    recipe = IndexRecipe(factory=factory)
    found = estimate(recipe, rows, DIM)
    assert found.memory_bytes - rows * BOOKKEEPING == pytest.approx(real_size(factory, rows), rel=0.03)


@pytest.mark.parametrize(
    ("factory", "store", "stored"), [("Flat", "auto", 0), ("SQ8", "auto", 2), ("SQ8", "none", 0), ("Flat", "float32", 4)]
)
def test_estimate__disk_counts_stored_vectors__memory_does_not(factory: str, store: str, stored: int) -> None:
    plain = estimate(IndexRecipe(factory=factory, store="none"), 1000, DIM)
    found = estimate(IndexRecipe.model_validate({"factory": factory, "store": store}), 1000, DIM)
    assert found.memory_bytes == plain.memory_bytes
    assert found.disk_bytes - plain.disk_bytes == stored * 1000 * DIM


def test_estimate__times_grow_with_rows_and_effort() -> None:
    small, large = (estimate(IndexRecipe(factory="IVF64,Flat"), rows, DIM) for rows in (10_000, 1_000_000))
    assert 0 < small.build_seconds < large.build_seconds and 0 < small.query_ms < large.query_ms
    thorough = estimate(IndexRecipe(factory="IVF64,Flat", search={"nprobe": 64}), 1_000_000, DIM)
    assert thorough.query_ms > 5 * large.query_ms
    graph = [estimate(IndexRecipe(factory="HNSW32"), rows, DIM).build_seconds for rows in (10_000, 1_000_000)]
    assert graph[1] > 100 * graph[0] > 0


def test_estimate__nothing_costs_next_to_nothing() -> None:
    found = estimate(IndexRecipe(), 0, 512)
    assert found.memory_bytes < 1000 and found.build_seconds == 0 and found.query_ms == 0


@pytest.mark.parametrize("factory", ["LSH", "auto", "IVF64,Flat,RFlat", "NSG32", ""])
def test_estimate__unknown_kinds_are_refused(factory: str) -> None:
    with pytest.raises(ConfigError, match="cannot be estimated"):
        estimate(IndexRecipe(factory=factory), 1000, DIM)
