"""Exports around the real text tower, with a fitted map and with a folded head of uCLIP's shape."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from export_material import adapter_of
from planted import names
from safetensors.numpy import load_file
from torch import nn

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.export.formats import ExportRequest, export
from mella_retrieval.adapters.heads import Head, fold
from mella_retrieval.adapters.sources import Sources
from mella_retrieval.adapters.training import load_method, train
from mella_retrieval.embeddings.imports import import_vectors
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.encoders.towers import TextTower, TowerInfo

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
BED, MODEL = SHARED / "data" / "flickr8k-clip", SHARED / "models" / "minimulti"
CLIP = TowerInfo(spec="open_clip:/not/here", modality="text", dim=512)

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (BED.is_dir() and MODEL.is_dir()), reason=f"the real material is not at {SHARED}"),
]


@pytest.fixture(scope="module")
def tower() -> TextTower:
    return load_text_tower(f"sentence-transformers:{MODEL}", device="cpu")


@pytest.fixture(scope="module")
def captions() -> list[str]:
    rows = pq.read_table(BED / "captions.parquet", filters=[("split", "=", "validation")]).to_pylist()
    return [row["text"] for row in rows[::20]]


def fitted(tower: TextTower, folder: Path) -> Adapter:
    """Procrustes from 300 English anchors."""
    with (BED / "english_anchors.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)][:300]
    ids = names(len(texts), "a")
    clip = load_file(BED / "clip_vit_b32_openai_english_anchors.safetensors")["text"][: len(texts)].astype(np.float32)
    table = pa.table({"id": ids, "lang": ["en"] * len(ids)})
    import_vectors(folder / "english", tower.info, [(tower.encode(texts).pooled, table)], "english")
    import_vectors(folder / "clip", CLIP, [(clip, table)], "clip")
    sources = Sources(english_text=str(folder / "english"), clip_text=str(folder / "clip"))
    return train(*load_method("procrustes"), sources, folder / "adapter")


def uclip(tower: TextTower) -> Adapter:
    """Linear, BatchNorm, ReLU, Linear, with statistics as training leaves them, folded."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(tower.info.dim, 1024), nn.BatchNorm1d(1024), nn.ReLU(), nn.Linear(1024, 512))
    with torch.no_grad():
        head(torch.randn(256, tower.info.dim))
    return adapter_of(tower.info, CLIP.model_copy(update={"modality": "image", "weights": "c" * 64}), fold(head.eval()), Head())


@pytest.mark.parametrize("kind", ["procrustes", "uclip"])
def test_both_formats_have_the_adapters_vectors(tower: TextTower, captions: list[str], tmp_path: Path, kind: str):
    import onnxruntime
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    adapter = fitted(tower, tmp_path) if kind == "procrustes" else uclip(tower)
    ours = adapter.map_text(tower.encode(captions).pooled)
    request = ExportRequest(adapter, text_only=True)
    export(request, tmp_path / "folder", "sentence-transformers")
    model = SentenceTransformer(str(tmp_path / "folder"), device="cpu")
    assert np.abs(model.encode(captions) - ours).max() < 1e-5
    export(request, tmp_path / "onnx", "onnx")
    encoded = Tokenizer.from_file(str(tmp_path / "onnx" / "tokenizer.json")).encode_batch(captions)
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "text.onnx"))
    feed = {"input_ids": [row.ids for row in encoded], "attention_mask": [row.attention_mask for row in encoded]}
    found = session.run(None, {name: np.array(rows) for name, rows in feed.items()})[0]
    assert np.abs(found - ours).max() < 1e-4
