"""The hard baseline on the real test bed: an orthogonal map from English anchors alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted import names, write_set
from safetensors.numpy import load_file

from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.encoders.towers import TextTower

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
BED, MODEL = SHARED / "data" / "flickr8k-clip", SHARED / "models" / "minimulti"
CLIP = "open_clip:ViT-B-32/openai"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (BED.is_dir() and MODEL.is_dir()), reason=f"the real material is not at {SHARED}"),
]


def read_csv(name: str) -> list[dict[str, str]]:
    with (BED / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def encode(tower: TextTower, texts: list[str]) -> np.ndarray:
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    vectors = np.empty((len(texts), tower.info.dim), np.float32)
    for start in range(0, len(texts), 64):
        rows = order[start : start + 64]
        vectors[rows] = tower.encode([texts[row] for row in rows]).pooled
    return vectors


def test_procrustes_from_english_anchors_reaches_its_measured_recall(tmp_path: Path):
    tower = load_text_tower(f"sentence-transformers:{MODEL}", device="cpu")
    anchors = read_csv("english_anchors.csv")
    ids = names(len(anchors), "a")
    clip = load_file(BED / "clip_vit_b32_openai_english_anchors.safetensors")["text"].astype(np.float32)
    columns = {"lang": ["en"] * len(anchors), "image_id": [row["image_id"] for row in anchors]}
    encoded = encode(tower, [row["text"] for row in anchors])
    sources = Sources(
        english_text=write_set(tmp_path / "english", encoded, ids, tower.info.spec, **columns),
        clip_text=write_set(tmp_path / "clip", clip, ids, CLIP, **columns),
    )
    adapter = train(*load_method("procrustes"), sources, tmp_path / "adapter")
    assert not adapter.projects_images

    pictures = read_csv("images.csv")
    vectors = load_file(BED / "clip_vit_b32_openai_image.safetensors")["image"].astype(np.float32)
    test = [row for row, picture in enumerate(pictures) if picture["split"] == "test"]
    gallery = adapter.map_image(vectors[test])
    place = {pictures[row]["image_id"]: position for position, row in enumerate(test)}
    captions = pq.read_table(BED / "captions.parquet", filters=[("split", "=", "test"), ("lang", "in", ["en", "cs"])]).to_pylist()
    recall = {}
    for lang in ("en", "cs"):
        chosen = [row for row in captions if row["lang"] == lang]
        scores = adapter.map_text(encode(tower, [row["text"] for row in chosen])) @ gallery.T
        own = scores[np.arange(len(chosen)), [place[row["image_id"]] for row in chosen]]
        recall[lang] = 100 * float(((scores > own[:, None]).sum(axis=1) < 10).mean())
    assert len(gallery) == 160
    assert (recall["en"] + recall["cs"]) / 2 >= 85, recall
