"""An index of vectors that do not fit into memory: everything in a process that may not hold half of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from index_material import TOWER

from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet

ROWS, DIM, SHARD = 240_000, 128, 40_000
BYTES = 4 * ROWS * DIM
"""123 MB."""

ALLOWED = 76 << 20
"""Beyond what the interpreter and its libraries take: memory that may be written to, memory maps of files not counted."""

BUILD_MEMORY = 60 << 20

GIVING_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "262144", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""So that what is freed no longer counts: allocators keep some of it otherwise, how much depends on the order of things."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited with RLIMIT_DATA as Linux counts it")

CHILD = """
import json, resource, sys
from pathlib import Path
import numpy as np
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.errors import MellaError
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.update import add_to_index, delete_from_index
from mella_retrieval.indexes.writing import Resources

work, allowed, memory = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
recipes = {"flat": IndexRecipe(), "ivf": IndexRecipe(factory="IVF16,Flat", train_rows=5_000, search={"nprobe": 16})}
# What the libraries take for themselves (buffers of BLAS, stacks of Arrow's threads) is there before memory is limited.
warm = build_index(EmbeddingSet.load(work / "more"), work / "warm", recipes["ivf"])
warm.search(np.eye(warm.manifest.dim, dtype=np.float32), 10, where="n >= 0").records(0)
compact_index(work / "warm")
status = Path("/proc/self/status").read_text()
used = int(status.split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + allowed, used + allowed))

vectors, queries = EmbeddingSet.load(work / "set"), np.load(work / "queries.npy")
told = {}
try:
    vectors.vectors()
    told["control"] = "all vectors fit into memory"
except MemoryError:
    told["control"] = "MemoryError"

def answers(index, **options):
    found = index.search(queries, 10, **options)
    return {"ids": found.ids, "scores": found.scores.tolist(), "record": found.records(0)[0]}

for name, recipe in recipes.items():
    folder, resources = work / name, Resources(memory=memory)
    built = build_index(vectors, folder, recipe, resources=resources)
    del built
    index = Index.load(folder)
    steps = {"segments": len(index.segments), "built": answers(index), "half": answers(index, where="n >= 120000")}
    steps["few"] = answers(index, where="n == 77 or n == 200077")
    del index
    ids = [f"v{row}" for row in range(0, 240_000, 18)]
    delete_from_index(folder, ids)
    index = add_to_index(folder, EmbeddingSet.load(work / "more"), resources=resources)
    steps["changed"] = answers(index)
    del index
    index = compact_index(folder, resources=resources)
    index.verify()
    steps |= {"compacted": answers(index), "rows": sum(segment.rows for segment in index.segments)}
    del index
    told[name] = steps
(work / "told.json").write_text(json.dumps(told))
"""


def block(start: int, count: int) -> np.ndarray:
    vectors = np.random.default_rng(start).standard_normal((count, DIM), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_set(folder: Path, starts: range, size: int) -> EmbeddingSet:
    def parts() -> Any:
        for start in starts:
            numbers = np.arange(start, start + size)
            ids = pa.array([f"v{row}" for row in numbers.tolist()])
            yield block(start, size), pa.table({"id": ids, "n": numbers})

    return import_vectors(folder, TOWER.model_copy(update={"dim": DIM}), parts(), f"{starts}")


def best(scores: np.ndarray, keep: Any) -> tuple[list[list[str]], np.ndarray]:
    """Ids and scores of the ten best of all rows that `keep` says yes to."""
    scores = np.where(keep(np.arange(scores.shape[1])), scores, -np.inf)
    order = np.argpartition(-scores, 10, axis=1)[:, :10]
    order = np.take_along_axis(order, np.argsort(-np.take_along_axis(scores, order, axis=1), axis=1), axis=1)
    found = np.take_along_axis(scores, order, axis=1)
    ids = [[f"v{row}" for row, score in zip(*pair, strict=True) if score > -np.inf] for pair in zip(order, found, strict=True)]
    return ids, found


def test_vectors_larger_than_memory_are_built_searched_and_compacted(tmp_path: Path):
    vectors = write_set(tmp_path / "set", range(0, ROWS, SHARD), SHARD)
    assert vectors.rows_bytes == BYTES > 1.5 * ALLOWED
    write_set(tmp_path / "more", range(ROWS, ROWS + 1, 1000), 1000)
    queries = block(7, 4)
    np.save(tmp_path / "queries.npy", queries)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **GIVING_BACK}
    command = [sys.executable, "-X", "faulthandler", "-c", CHILD, str(tmp_path), str(ALLOWED), str(BUILD_MEMORY)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    own = [queries @ block(start, SHARD).T for start in range(0, ROWS, SHARD)]
    everything = np.concatenate([*own, queries @ block(ROWS, 1000).T], axis=1)
    assert told["control"] == "MemoryError"  # without it the limit would prove nothing
    for name in ("flat", "ivf"):
        steps = told[name]
        assert steps["segments"] > 2 and steps["rows"] == ROWS - len(range(0, ROWS, 18)) + 1000
        for step, keep in (
            ("built", lambda n: n < ROWS),
            ("half", lambda n: (n >= 120_000) & (n < ROWS)),
            ("few", lambda n: np.isin(n, (77, 200_077))),
            ("changed", lambda n: (n % 18 != 0) | (n >= ROWS)),
            ("compacted", lambda n: (n % 18 != 0) | (n >= ROWS)),
        ):
            ids, scores = best(everything, keep)
            assert steps[step]["ids"] == ids, (name, step)
            np.testing.assert_allclose(np.array(steps[step]["scores"])[:, : len(ids[0])], scores[:, : len(ids[0])], atol=1e-5)
            assert steps[step]["record"]["id"] == ids[0][0]


IN_ONE = """
import resource, sys
from pathlib import Path
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.recipe import IndexRecipe
from mella_retrieval.indexes.writing import Resources

work, memory, factory = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
recipe = IndexRecipe(factory=factory, build={"efConstruction": 4} if "HNSW" in factory else {})
build_index(EmbeddingSet.load(work / "more"), work / "warm", recipe)
used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + memory, used + memory))
index = build_index(EmbeddingSet.load(work / "set"), work / "one", recipe, resources=Resources(memory=memory))
print(len(index.segments), len(index))
"""


@pytest.mark.parametrize("factory", ["Flat", "HNSW8"])
def test_one_segment_is_built_in_little_more_than_it_takes(tmp_path: Path, factory: str):
    # Arrays that grow double and are copied: of 70,000 vectors they would take 100 MB for a moment.
    write_set(tmp_path / "set", range(0, 70_000, 35_000), 35_000)
    write_set(tmp_path / "more", [0], 1000)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **GIVING_BACK}
    command = [sys.executable, "-c", IN_ONE, str(tmp_path), str(86 << 20), factory]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == ["1", "70000"], done.stderr[-2000:]
