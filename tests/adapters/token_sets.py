"""Planted pictures with tokens and descriptions: only the description tells what a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from planted import IMAGE_TOWER, TEXT_TOWER, names, planted, rotation, unit, write_set

from mella_retrieval.adapters.sources import Sources
from mella_retrieval.artifacts import fingerprint, sha256_bytes
from mella_retrieval.embeddings.sets import EmbeddingSet
from mella_retrieval.embeddings.writing import EmbeddingWriter, Shard
from mella_retrieval.encoders.towers import TowerInfo


def write_token_set(
    folder: Path,
    vectors: np.ndarray,
    tokens: list[np.ndarray],
    ids: list[str],
    spec: str = TEXT_TOWER,
    modality: Any = "text",
    shard_rows: int = 50,
    **columns: list[Any],
) -> str:
    """An embedding set with tokens in shards of `shard_rows`; returns its path as a source."""
    tower = TowerInfo(spec=spec, modality=modality, dim=vectors.shape[1], weights=fingerprint(spec), precision="fp32")
    content = [sha256_bytes(vectors.tobytes()), [sha256_bytes(part.tobytes()) for part in tokens], ids, columns]
    writer = EmbeddingWriter(folder, tower, {"source": fingerprint(content), "dtype": "float32", "tokens": True})
    writer.open()
    table = pa.table({"id": ids, **columns})
    for start in range(0, len(ids), shard_rows):
        part = slice(start, start + shard_rows)
        rows = table.slice(start, shard_rows)
        shard = Shard(vectors[part].astype(np.float32), {name: rows[name] for name in rows.column_names}, tokens[part])
        writer.add(shard, inputs=len(rows))
    writer.finish()
    return str(folder)


@dataclass
class Scenery:
    """The sets of a planted problem, as paths."""

    images: str
    texts: str
    described: str

    @property
    def sources(self) -> Sources:
        return Sources(image_vectors=self.images, pairs=self.texts, descriptions=self.described)

    def load(self, name: str) -> EmbeddingSet:
        return EmbeddingSet.load(getattr(self, name))


def scenery(
    folder: Path, n: int = 120, undescribed: int = 0, langs: tuple[str, ...] = ("en", "cs"), token_dim: int = 10, seed: int = 0
) -> Scenery:
    """`n` pictures of noise (80 % train, then validation), a caption in each language, a description of all but the first few.

    Tokens of descriptions are ragged (1 to 4) and carry the hidden cause, so does the text; pictures do not.
    """
    generator = np.random.default_rng(seed)
    world, ids = planted(n, 6, seed), names(n)
    split = ["train" if row < 0.8 * n else "validation" for row in range(n)]
    noise = [generator.normal(size=(int(generator.integers(2, 6)), token_dim)) for _ in ids]
    turn = rotation(6, 8, 77)
    said = [world.cause[[row]] @ turn + 0.3 * generator.normal(size=(int(generator.integers(1, 5)), 8)) for row in range(n)]
    rows = np.repeat(np.arange(n), len(langs))
    kept = np.arange(undescribed, n)
    return Scenery(
        images=write_token_set(
            folder / "images", unit(generator.normal(size=(n, 16))), noise, ids, IMAGE_TOWER, "image", split=split
        ),
        texts=write_set(
            folder / "texts",
            world.text(rows=rows),
            names(len(rows), "t"),
            image_id=[ids[row] for row in rows],
            lang=list(langs) * n,
            split=[split[row] for row in rows],
            text=[f"caption {row} in {lang}" for row in range(n) for lang in langs],
        ),
        described=write_token_set(
            folder / "described",
            world.text(9)[kept],
            [said[row] for row in kept],
            names(len(kept), "d"),
            image_id=[ids[row] for row in kept],
            text=[f"description {row}" for row in kept],
            shard_rows=33,
        ),
    )
