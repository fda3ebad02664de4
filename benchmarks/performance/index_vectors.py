"""Vectors for measuring indexes: as many as wanted, drawn around real CLIP vectors.

`python benchmarks/performance/index_vectors.py` draws and compares them with the real ones.

With m the mean and S the covariance of the 891 real image vectors, and a, b two of them picked at random, a drawn vector is

    m + sqrt(1 - s) (sqrt(t) (a - m) + sqrt(1 - t) (b - m)) + sqrt(s) z,    t uniform in [0.5, 1],    z normal with covariance S,

divided by its length. Before the division its mean and covariance are m and S, whatever s and t are. s says how far vectors lie
from the real ones: 0 repeats pictures, 1 forgets them. `SPREAD` is the s at which as many drawn vectors as there are real ones
have nearest neighbours as near as those of the real ones. Queries are drawn in the same way around the 1,896 real text vectors,
with their own mean and covariance: they lie where texts lie, far from all pictures, and lean to the pictures that real texts
lean to.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file

from mella_retrieval.artifacts import fingerprint, sha256_file
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.encoders.towers import TowerInfo

Floats = np.ndarray

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY.parent / "shared" / "data" / "flickr8k-clip"
IMAGES, TEXTS = "clip_vit_b32_openai_image.safetensors", "clip_vit_b32_openai_english_anchors.safetensors"
TOWER = TowerInfo(spec="open_clip:ViT-B-32/openai", modality="image", dim=512, weights=None, precision="drawn around real ones")
SPREAD = 0.25
BLOCK = 16_384
QUERIES = 1_024
"""Of each kind: to measure with, and to choose search parameters with."""

ADDED = 1_000
K = 10
_VERSION = 1


@dataclass(frozen=True)
class Drawn:
    """The files of one draw.

    Attributes:
        folder: of all of them.
        rows: image vectors in `images`.
        images: folder with one file, vectors.npy (rows, 512) float32.
    """

    folder: Path
    rows: int

    @property
    def images(self) -> Path:
        """Folder of the image vectors."""
        return self.folder / "images"

    def vectors(self) -> Floats:
        """(rows, 512), memory-mapped."""
        return np.load(self.images / "vectors.npy", mmap_mode="r")

    def load(self, name: str) -> Floats:
        """`queries`, `tuning` (1024, 512), their nearest rows `queries-truth`, `tuning-truth` (1024, 10); `added` (1000, 512)."""
        return np.load(self.folder / f"{name}.npy")


class Source:
    """Draws around some real vectors (n, d); see the module."""

    def __init__(self, real: Floats) -> None:
        self.mean = real.mean(axis=0)
        self.deviations = real - self.mean

    def draw(self, rows: int, seed: list[int], spread: float = SPREAD) -> Floats:
        """Unit vectors (rows, d) float32."""
        rng = np.random.default_rng(seed)
        count = len(self.deviations)
        first, second = self.deviations[rng.integers(count, size=(2, rows))]
        share = rng.uniform(0.5, 1, (rows, 1)).astype(np.float32)
        noise = rng.standard_normal((rows, count), dtype=np.float32) @ self.deviations / np.float32(np.sqrt(count))
        mixed = np.sqrt(share) * first + np.sqrt(1 - share) * second
        return unit(self.mean + np.sqrt(1 - spread) * mixed + np.sqrt(spread) * noise)

    def blocks(self, rows: int, seed: int) -> Iterator[Floats]:
        """`rows` vectors, a block at a time; each block has its own seed."""
        for number, start in enumerate(range(0, rows, BLOCK)):
            yield self.draw(min(BLOCK, rows - start), [seed, number])


def unit(vectors: Floats) -> Floats:
    """Rows of length one, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def real_vectors() -> tuple[Floats, Floats]:
    """The real image and text vectors, L2-normalised float32."""
    images, texts = load_file(REAL / IMAGES)["image"], load_file(REAL / TEXTS)["text"]
    return unit(images.astype(np.float32)), unit(texts.astype(np.float32))


def drawn(work: Path, rows: int) -> Drawn:
    """Draw, or take what was drawn before into the same folder."""
    result = Drawn(work / f"{rows}", rows)
    note = result.folder / "drawn.json"
    real = fingerprint([sha256_file(REAL / name) for name in (IMAGES, TEXTS)])
    made = {"version": _VERSION, "rows": rows, "spread": SPREAD, "real": real}
    if note.exists() and json.loads(note.read_text()) == made:
        return result
    result.images.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    images, texts = map(Source, real_vectors())
    stored = np.lib.format.open_memmap(result.images / "vectors.npy", "w+", np.float32, (rows, images.mean.shape[0]))
    for number, block in enumerate(images.blocks(rows, seed=1)):
        stored[number * BLOCK : number * BLOCK + len(block)] = block
    stored.flush()
    np.save(result.folder / "added.npy", images.draw(ADDED, [2]))
    for seed, name in ((3, "queries"), (4, "tuning")):
        queries = texts.draw(QUERIES, [seed])
        np.save(result.folder / f"{name}.npy", queries)
        np.save(result.folder / f"{name}-truth.npy", nearest(queries, stored, K))
    note.write_text(json.dumps(made))
    return result


def nearest(queries: Floats, vectors: Floats, k: int) -> np.ndarray:
    """(q, k) rows of the largest inner products, best first: all are computed."""
    scores, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = queries @ vectors[start : start + BLOCK].T
        scores = np.concatenate([scores, block], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)], axis=1)
        best = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
    return np.take_along_axis(rows, np.argsort(-scores, axis=1, kind="stable"), axis=1)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours that were found."""
    return float(
        np.mean([len(set(row) & set(true)) / len(true) for row, true in zip(found.tolist(), truth.tolist(), strict=True)])
    )


def embedding_set(folder: Path, name: str, vectors: Floats) -> EmbeddingSet:
    """An embedding set with ids and two record columns, as a crawl has them."""

    def blocks() -> Iterator[tuple[Floats, pa.Table]]:
        for start in range(0, len(vectors), BLOCK):
            part = vectors[start : start + BLOCK]
            rows = range(start, start + len(part))
            columns = {
                "id": [f"{name}-{row:09d}" for row in rows],
                "url": [f"https://example.org/{name}/{row}.jpg" for row in rows],
            }
            yield part, pa.table({**columns, "year": [2000 + row % 25 for row in rows]})

    return import_vectors(folder, TOWER, blocks(), fingerprint([name, str(len(vectors)), str(vectors[-1].tolist())]))


def compare(data: Drawn) -> None:
    """Print how near neighbours are in the real and in the drawn vectors: as many drawn as real ones, then all."""
    images, texts = real_vectors()
    few, queries = np.asarray(data.vectors()[: len(images)]), data.load("queries")
    same = data.load("queries-truth")[:, 0]
    print(f"{'cosines, quantiles':52}" + "".join(f"{f'{part:.0%}':>7}" for part in _QUANTILES))
    _line(f"picture to nearest other, {len(images)} real", _neighbours(images))
    _line(f"picture to nearest other, {len(few)} drawn", _neighbours(few))
    sample = np.asarray(data.vectors()[: min(500, data.rows)])
    second = nearest(sample, data.vectors(), 2)[:, 1]
    _line(f"picture to nearest other, {data.rows} drawn", (sample * data.vectors()[second]).sum(axis=1))
    _line("any two pictures, real", (images @ images.T)[np.triu_indices(len(images), 1)])
    _line("any two pictures, drawn", (few @ few.T)[np.triu_indices(len(few), 1)])
    _line(f"text to nearest of {len(images)} pictures, real", (texts @ images.T).max(axis=1))
    _line(f"text to nearest of {len(few)} pictures, drawn", (queries @ few.T).max(axis=1))
    _line(f"text to nearest of {data.rows} pictures, drawn", (queries * data.vectors()[same]).sum(axis=1))


_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def _neighbours(vectors: Floats) -> Floats:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines.max(axis=1)


def _line(name: str, values: Floats) -> None:
    print(f"{name:52}" + "".join(f"{value:7.3f}" for value in np.quantile(values, _QUANTILES)))


def main() -> None:
    """Draw and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs" / "indexes")
    arguments = parser.parse_args()
    compare(drawn(arguments.work, arguments.rows))


if __name__ == "__main__":
    main()
