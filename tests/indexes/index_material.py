"""Vectors whose inner products are exact in float32, so that ties are ties whatever the order of summation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mella_retrieval.artifacts import fingerprint, sha256_bytes
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.indexes.build import build_index
from mella_retrieval.indexes.compact import compact_index
from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.merge import merge_indexes
from mella_retrieval.indexes.update import add_to_index, delete_from_index

TOWER = TowerInfo(spec="open_clip:ViT-B-32/openai", modality="image", dim=8, weights="a" * 64)


def exact_vectors(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors (count, 8) with four entries of +-0.5; among many of them are equal ones."""
    generator = np.random.default_rng(seed)
    vectors = np.zeros((count, 8), np.float32)
    for vector in vectors:
        vector[generator.choice(8, 4, replace=False)] = generator.choice([-0.5, 0.5], 4)
    return vectors


def vector_set(
    folder: Path, vectors: np.ndarray, ids: Sequence[str], tower: TowerInfo = TOWER, **columns: list[Any]
) -> EmbeddingSet:
    key = fingerprint([sha256_bytes(vectors.tobytes()), list(ids), tower.to_json(), columns])
    table = pa.table({"id": pa.array(ids, pa.string()), **columns})
    return import_vectors(folder, tower.model_copy(update={"dim": vectors.shape[1]}), [(vectors, table)], key)


def brute_force(items: dict[str, np.ndarray], queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
    """The k best of the items by score, ties by id."""
    found = []
    for query in queries:
        scored = [(key, float(np.dot(vector.astype(np.float64), query))) for key, vector in items.items()]
        found.append(sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k])
    return found


def answers(index: Index, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
    return [[(match.id, match.score) for match in matches] for matches in index.search(queries, k)]


# Jobs that `crashing` kills at every step -----------------------------------------------------------------------------


def _prepare(folder: Path) -> None:
    vectors = exact_vectors(9)
    vector_set(folder / "first", vectors[:5], list("abcde"))
    vector_set(folder / "second", vectors[5:], list("fghi"))


def _prepare_index(folder: Path) -> None:
    _prepare(folder)
    build_index(EmbeddingSet.load(folder / "first"), folder / "out" / "index")
    delete_from_index(folder / "out" / "index", ["e"])


def _rebuild(folder: Path) -> None:
    build_index(EmbeddingSet.load(folder / "second"), folder / "out" / "index", overwrite=True)


def _add(folder: Path) -> None:
    index = Index.load(folder / "out" / "index")
    if not index.find(["f"]):
        add_to_index(folder / "out" / "index", EmbeddingSet.load(folder / "second"))


def _delete(folder: Path) -> None:
    index = Index.load(folder / "out" / "index")
    delete_from_index(folder / "out" / "index", list(index.find("ad")))


def _prepare_changed(folder: Path) -> None:
    """Two segments and a tombstone; beside it an index whose items clash with none."""
    _prepare_index(folder)
    vectors = exact_vectors(14)
    add_to_index(folder / "out" / "index", EmbeddingSet.load(folder / "second"))
    vector_set(folder / "changed", vectors[9:12], ["a", "g", "n"])
    build_index(vector_set(folder / "third", vectors[10:], list("wxyz")), folder / "other")
    delete_from_index(folder / "other", ["x"])


def _replace(folder: Path) -> None:
    index = Index.load(folder / "out" / "index")
    if not index.find(["n"]):
        add_to_index(folder / "out" / "index", EmbeddingSet.load(folder / "changed"), replace=True)


def _compact(folder: Path) -> None:
    compact_index(folder / "out" / "index")


def _merge(folder: Path) -> None:
    index = Index.load(folder / "out" / "index")
    if not index.find(["w"]):
        merge_indexes(folder / "out" / "index", [folder / "other"])


def _state(folder: Path) -> Any:
    """What the index answers, and the files that lie in and beside it but locks."""
    out = folder / "out"
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and path.suffix != ".lock")
    if not (out / "index").exists():
        return {"answers": None, "files": files}
    index = Index.load(out / "index")
    index.verify()
    return {"answers": answers(index, exact_vectors(3, seed=4), 20), "files": files}


jobs = {
    "build": (_prepare, _rebuild, _state),
    "rebuild": (_prepare_index, _rebuild, _state),
    "add": (_prepare_index, _add, _state),
    "delete": (_prepare_index, _delete, _state),
    "replace": (_prepare_changed, _replace, _state),
    "compact": (_prepare_changed, _compact, _state),
    "merge": (_prepare_changed, _merge, _state),
}
