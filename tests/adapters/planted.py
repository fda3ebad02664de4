"""Planted problems: vectors of two towers that are rotations of one hidden cause, so that what can be learnt is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mella_retrieval.artifacts import fingerprint, sha256_bytes
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo

TEXT_TOWER = "sentence-transformers:planted/text"
IMAGE_TOWER = "open_clip:planted/clip"


def write_set(
    folder: Path, vectors: np.ndarray, ids: list[str], spec: str = TEXT_TOWER, modality: Any = "text", **columns: list[Any]
) -> str:
    """An embedding set of the given vectors and columns; returns its path as a source."""
    tower = TowerInfo(spec=spec, modality=modality, dim=vectors.shape[1], weights=fingerprint(spec), precision="fp32")
    key = fingerprint([sha256_bytes(vectors.tobytes()), ids, columns])
    import_vectors(folder, tower, [(vectors.astype(np.float32), pa.table({"id": ids, **columns}))], key)
    return str(folder)


def rotation(rows: int, columns: int, seed: int) -> np.ndarray:
    """Orthonormal rows (rows <= columns)."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(columns, rows)))[0].T


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass
class Planted:
    """A hidden cause of `k` numbers for each of n pictures, and how each tower shows it.

    Every view is a rotation of the cause plus the tower's own offset (the modality gap) and noise.
    """

    cause: np.ndarray
    d_x: int = 24
    d: int = 16
    noise: float = 0.02

    def view(self, number: int, dim: int, noise_seed: int, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        generator = np.random.default_rng(100 * number + noise_seed)
        cause = self.cause[rows]
        offset = np.random.default_rng(number).normal(size=dim)
        turned = cause @ rotation(cause.shape[1], dim, number)
        return unit(turned + 0.5 * offset + self.noise * generator.normal(size=turned.shape))

    def text(self, seed: int = 0, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return self.view(1, self.d_x, seed, rows)

    def image(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        return self.view(2, self.d, 0, rows)

    def clip_text(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The space of the pictures, with an offset of its own."""
        offset = np.random.default_rng(3).normal(size=self.d)
        return unit(self.view(2, self.d, 1, rows) + 0.1 * offset)


def planted(n: int = 300, k: int = 12, seed: int = 0, **options: Any) -> Planted:
    return Planted(np.random.default_rng(seed).normal(size=(n, k)), **options)


def names(n: int, start: str = "i") -> list[str]:
    return [f"{start}{row:04d}" for row in range(n)]


def recall_at_1(queries: np.ndarray, gallery: np.ndarray) -> float:
    """Share of rows whose own row of the gallery is the nearest."""
    return float(((queries @ gallery.T).argmax(axis=1) == np.arange(len(queries))).mean())


def load(folder: Path | str) -> EmbeddingSet:
    return EmbeddingSet.load(folder)
