"""Jobs that `crashing` kills at every step."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fakes import FakeImageTower, FakeTextTower, files_of, picture_records, text_records, write_pictures

from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images, embed_texts
from mella_retrieval.embeddings.imports import import_vectors, imported_tower
from mella_retrieval.embeddings.settings import EmbedSettings

SETTINGS = EmbedSettings(shard_rows=4, batch_size=3)


def prepare_pictures(folder: Path) -> None:
    names = write_pictures(folder / "photos", 7)
    (folder / "photos" / names[2]).write_bytes(b"broken")
    picture_records(folder / "records", folder / "photos", names)


def prepare_changed_pictures(folder: Path) -> None:
    """A finished set, and records that have changed since."""
    prepare_pictures(folder)
    embed_pictures(folder)
    names = write_pictures(folder / "photos", 9, seed=1)
    picture_records(folder / "records", folder / "photos", names)


def embed_pictures(folder: Path) -> None:
    embed_images(Records.load(folder / "records"), FakeImageTower(), folder / "out" / "set", SETTINGS)


def prepare_texts(folder: Path) -> None:
    text_records(folder / "records", [("en", "x" * (1 + row % 11)) for row in range(7)])


def embed_tokens(folder: Path) -> None:
    records = Records.load(folder / "records")
    embed_texts(records, FakeTextTower(), folder / "out" / "set", EmbedSettings(shard_rows=4, batch_size=3, tokens=True))


def import_blocks(folder: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(9, 4))
    blocks = [
        (vectors[start : start + 4], pa.table({"id": [f"v{n}" for n in range(start, min(start + 4, 9))]})) for start in (0, 4, 8)
    ]
    import_vectors(folder / "out" / "set", imported_tower("open_clip:a/b", "image", 4), blocks, "key")


def state(folder: Path) -> dict[str, Any]:
    """Every file of the finished set by its hash, and what lies beside it but locks."""
    out = folder / "out"
    found = files_of(out) if out.is_dir() else {}
    return {name: hashlib.sha256(data).hexdigest() for name, data in found.items() if not name.endswith(".lock")}


jobs = {
    "changed": (prepare_changed_pictures, embed_pictures, state),
    "tokens": (prepare_texts, embed_tokens, state),
    "import": (lambda folder: folder.mkdir(parents=True), import_blocks, state),
}
