"""Rows that stay on disk: they are the rows that would be in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mella_retrieval.embeddings.imports import import_vectors, imported_tower
from mella_retrieval.embeddings.mapped import MappedRows, in_order, rows_of
from mella_retrieval.embeddings.neighbours import mean_nearest, nearest
from mella_retrieval.embeddings.sets import EmbeddingSet


def stored(folder: Path, n: int, seed: int) -> EmbeddingSet:
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    blocks = [
        (vectors[start : start + 4], pa.table({"id": [f"v{row}" for row in range(start, min(start + 4, n))]}))
        for start in range(0, n, 4)
    ]
    return import_vectors(folder, imported_tower("open_clip:a/b", "image", 3), blocks, str(seed))


@pytest.fixture
def parts(tmp_path: Path) -> tuple[EmbeddingSet, EmbeddingSet]:
    return stored(tmp_path / "a", 10, 0), stored(tmp_path / "b", 7, 1)


@pytest.mark.parametrize("chosen", [np.array([16, 0, 10, 9, 3, 3]), np.array([], np.int64), slice(8, 12), slice(None)])
def test_mapped_rows_are_the_rows_in_memory(parts: tuple[EmbeddingSet, EmbeddingSet], chosen: np.ndarray | slice):
    first, second = parts[0].select(), parts[1].select({"id": ["v1", "v5", "v6", "v0", "v2", "v3", "v4"]})
    whole = rows_of(first, second)
    mapped = rows_of(first, second, in_memory=False)
    assert isinstance(mapped, MappedRows) and isinstance(whole, np.ndarray)
    assert mapped.shape == whole.shape == (17, 3)
    np.testing.assert_array_equal(mapped[chosen], whole[chosen])
    np.testing.assert_array_equal(np.asarray(mapped), whole)


def test_reordered_rows_stay_on_disk(parts: tuple[EmbeddingSet, EmbeddingSet]):
    order = np.random.default_rng(0).permutation(10)
    mapped = rows_of(parts[0].select(), in_memory=False)
    turned = in_order(mapped, order)
    assert isinstance(turned, MappedRows)
    np.testing.assert_array_equal(np.asarray(turned), parts[0].vectors()[order])
    np.testing.assert_array_equal(turned[np.array([2, 5])], parts[0].vectors()[order[[2, 5]]])
    assert len(turned) == 10


@pytest.mark.parametrize("block", [1, 3, 100])
def test_nearest_equals_a_full_sort_whatever_the_block(block: int):
    generator = np.random.default_rng(0)
    queries, bank = generator.normal(size=(7, 4)).astype(np.float32), generator.normal(size=(20, 4)).astype(np.float32)
    rows, values = nearest(queries, bank, 5, block)
    scores = queries @ bank.T
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(values, np.take_along_axis(scores, expected, 1), rtol=1e-5)
    np.testing.assert_allclose(mean_nearest(queries, bank, 5, block), values.mean(axis=1), rtol=1e-5)


def test_of_equal_neighbours_the_first_rows_are_taken_and_k_may_exceed_the_bank():
    bank = np.ones((6, 2), np.float32)
    assert nearest(bank[:1], bank, 4, block=2)[0].tolist() == [[0, 1, 2, 3]]
    assert nearest(bank[:1], bank, 99)[0].shape == (1, 6)
    assert mean_nearest(bank[:1], bank, 99).tolist() == [2.0]


LIMITED = """
import re, resource, sys
from pathlib import Path
import numpy as np
from mella_retrieval.embeddings.mapped import rows_of
from mella_retrieval.embeddings.sets import EmbeddingSet
mapped = rows_of(EmbeddingSet.load(sys.argv[1]).select(), in_memory=False)
mapped[np.arange(10)]
used = 1024 * int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_DATA, (used + 20_000_000,) * 2)  # a third of the vectors; memory maps do not count
for start in range(20):
    assert mapped[np.arange(start, 240_000, 100)].shape == (2400, 64)
try:
    mapped[:]
except MemoryError:
    print("the whole does not fit")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA means something else elsewhere")
def test_rows_of_a_set_that_does_not_fit_into_memory_are_gathered(tmp_path: Path):
    vectors = np.lib.format.open_memmap(tmp_path / "v.npy", "w+", np.float32, (240_000, 64))
    vectors[:] = 1
    blocks = [(vectors, pa.table({"id": [str(row) for row in range(len(vectors))]}))]
    import_vectors(tmp_path / "set", imported_tower("open_clip:a/b", "image", 64), blocks, "x")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "set")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stdout.strip()) == (0, "the whole does not fit"), ran.stderr[-2000:]
