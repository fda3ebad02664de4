"""Index folders with a CAGRA graph. The GPU is a stand-in: it shows what is handed to FAISS and what becomes of the answer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from index_material import vector_set

from mella_retrieval.errors import ConfigError, MissingDependencyError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.library import faiss
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index
from mella_retrieval.indexes.writing import Resources

RECIPE = IndexRecipe(factory="CAGRA16", search={"efSearch": 64})
ROWS = 20_000  # more than one block


def unit(rows: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def keys(rows: int, name: str = "a") -> list[str]:
    return [f"{name}{row:06d}" for row in range(rows)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(hasattr(faiss(), "GpuIndexCagra"), reason="the installed FAISS has cuVS")
def test_build__without_cuvs_one_sentence_and_nothing_changes(tmp_path):
    vectors = vector_set(tmp_path / "vectors", unit(50), keys(50))
    build_index(vectors, tmp_path / "index")
    before = files(tmp_path)
    for out in ("index", "new"):
        with pytest.raises(MissingDependencyError, match=r"^CAGRA16 is built by a FAISS with cuVS: .*faiss-gpu-cuvs.*") as raised:
            build_index(vectors, tmp_path / out, RECIPE, overwrite=True)
        assert "\n" not in str(raised.value)
    assert files(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_build__a_wrong_degree_changes_nothing(tmp_path):
    vectors = vector_set(tmp_path / "vectors", unit(50), keys(50))
    before = files(tmp_path)
    with pytest.raises(ConfigError, match="even degree"):
        build_index(vectors, tmp_path / "index", IndexRecipe(factory="CAGRA7"))
    assert files(tmp_path) == before


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """A GPU with cuVS; the vectors of each graph that it builds."""
    graphs: list[np.ndarray] = []

    class Graph:
        def __init__(self, *_: Any) -> None:
            pass

        def train(self, vectors: np.ndarray) -> None:
            graphs.append(vectors.copy())

        def copyTo(self, index: Any) -> None:
            index.add(graphs[-1])

    class Given:
        def setTempMemory(self, size: int) -> None:
            pass

    parts = {
        "GpuIndexCagra": Graph,
        "GpuIndexCagraConfig": SimpleNamespace,
        "StandardGpuResources": Given,
        "get_num_gpus": lambda: 1,
    }
    for name, value in parts.items():
        monkeypatch.setattr(faiss(), name, value, raising=False)
    return graphs


def test_build__the_graph_gets_all_vectors_at_once(tmp_path, gathered):
    vectors = vector_set(tmp_path / "vectors", unit(ROWS), keys(ROWS))
    index = build_index(vectors, tmp_path / "index", RECIPE, resources=Resources(device="cuda"))
    assert len(gathered) == len(index.segments) == 1
    np.testing.assert_allclose(gathered[0], unit(ROWS), atol=1e-6)
    assert sorted(path.name for path in index.segments[0].folder.iterdir()) == ["lookup.npy", "rows.arrow", "vectors.faiss"]
    assert [hits[0].id for hits in index.search(unit(ROWS)[:200], 1)] == keys(200)


def test_change__the_processor_adds_to_the_graph(tmp_path, gathered):
    build_index(
        vector_set(tmp_path / "vectors", unit(300), keys(300)), tmp_path / "index", RECIPE, resources=Resources(device="cuda")
    )
    more = vector_set(tmp_path / "more", unit(100, seed=1), keys(100, "b"))
    add_to_index(tmp_path / "index", more)
    delete_from_index(tmp_path / "index", keys(10))
    compact_index(tmp_path / "index")
    index = Index.load(tmp_path / "index")
    assert len(gathered) == 1
    assert len(index) == 390
    assert [hits[0].id for hits in index.search(unit(100, seed=1), 1)] == keys(100, "b")
