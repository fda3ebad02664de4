"""Indexes and folders of other programs, for tests of import and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mella_retrieval.indexes.index import Index
from mella_retrieval.indexes.library import faiss

SPEC = "open_clip:ViT-B-32/openai"
DIM = 32
COUNT = 1200


def pictures(count: int = COUNT, seed: int = 0) -> np.ndarray:
    """Unit vectors (count, 32) around thirty directions that share much, as those of pictures do."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(30, DIM)) + 1.0
    return unit(centres[generator.integers(0, 30, count)] + 0.7 * generator.normal(size=(count, DIM)))


def captions(vectors: np.ndarray) -> np.ndarray:
    """Each nearest to its picture of all pictures, but far from all of them."""
    apart = np.linalg.svd(vectors, full_matrices=True)[2][-1]
    return unit(0.35 * vectors + 0.9 * apart)


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def faiss_index(vectors: np.ndarray, kind: str, metric: int = 0) -> Any:
    library = faiss()
    index = library.index_factory(vectors.shape[1], kind, metric)
    index.train(vectors)
    index.add(vectors)
    return index


def write_folder(folder: Path, vectors: np.ndarray, index: Any | None, *, shards: int = 3, plain: bool = True) -> Path:
    """What clip-retrieval and autofaiss leave: half-precision vectors in shards, their metadata, an index."""
    (folder / "metadata").mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(len(vectors)), shards)):
        table = pa.table({"image_path": [f"p/{row:04d}.jpg" for row in rows], "caption": [f"number {row}" for row in rows]})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")
        if plain:
            (folder / "img_emb").mkdir(exist_ok=True)
            np.save(folder / "img_emb" / f"img_emb_{number}.npy", vectors[rows].astype(np.float16))
    if index is not None:
        faiss().write_index(index, str(folder / "image.index"))
    return folder


def found_rows(index: Index, queries: np.ndarray, k: int = 5) -> list[list[int]]:
    return index.search(queries, k).rows.tolist()


KINDS = ("Flat", "HNSW16", "IVF8,Flat", "IVF8,PQ8x4", "PCA16,IVF8,PQ8x4", "IVF8,PQ8x4fs", "SQ8", "PQ8x4fs", "IVF8,RaBitQ")
