"""The exported ONNX files in onnxruntime, with nothing of ours around them."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from export_material import (
    POCKET_IMAGE,
    POCKET_TEXT,
    WORDS,
    adapter_between,
    adapter_of,
    numbers,
    write_clip,
    write_sentence_tower,
    write_vit,
)
from PIL import Image
from tokenizers import Tokenizer

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.export.formats import ExportRequest, export
from mella_retrieval.adapters.heads import Head, HubBias, Linear
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ExportError, MissingDependencyError

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TEXTS = ["red fox", "Červená liška", unicodedata.normalize("NFD", "Červená liška"), "붉은 여우", "x " * 200, "a"]
IMAGE = TowerInfo(spec="open_clip:/no/such/folder", modality="image", dim=20, weights="c" * 64)


def hub_bias(dim: int, side: int) -> HubBias:
    return HubBias(numbers(30, dim, seed=9), np.array([0.5, 4], np.float32), np.array([side], np.float32))


def session(path: Path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def encode(folder: Path, texts: list[str]) -> np.ndarray:
    """As the card of the folder says."""
    about = json.loads((folder / "onnx.json").read_text())["text"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = tokenizer.encode_batch([about["preparation"]["prefix"] + text for text in texts])
    ids = np.array([row.ids for row in encoded])
    mask = np.array([row.attention_mask for row in encoded])
    return session(folder / "text.onnx").run(None, {"input_ids": ids, "attention_mask": mask})[0]


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> tuple[Adapter, Path]:
    """The pocket world's towers, with the hubness correction on both sides."""
    out = tmp_path_factory.mktemp("onnx") / "out"
    text = Head((Linear(numbers(128, 128, seed=1), numbers(128)), hub_bias(128, 0)))
    adapter = adapter_between(POCKET_TEXT, POCKET_IMAGE, text, Head((hub_bias(128, 1),)))
    export(ExportRequest(adapter), out, "onnx")
    return adapter, out


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_texts_of_every_batch_and_length_have_the_adapters_vectors(pocket: tuple[Adapter, Path], rows: int):
    adapter, folder = pocket
    tower = load_text_tower(POCKET_TEXT, device="cpu")
    for start in range(0, len(TEXTS), rows):
        texts = TEXTS[start : start + rows]
        assert np.abs(encode(folder, texts) - adapter.map_text(tower.encode(texts).pooled)).max() < 1e-4


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_pictures_of_every_batch_have_the_adapters_vectors(pocket: tuple[Adapter, Path], rows: int):
    adapter, folder = pocket
    tower, generator = load_image_tower(POCKET_IMAGE, device="cpu"), np.random.default_rng(1)
    pictures = [Image.fromarray(generator.integers(0, 256, (90, 70, 3), dtype=np.uint8)) for _ in range(rows)]
    prepared = [tower.prepare(picture) for picture in pictures]
    found = session(folder / "image.onnx").run(None, {"pixel_values": torch.stack(prepared).numpy()})[0]
    assert np.abs(found - adapter.map_image(tower.encode(prepared).pooled)).max() < 1e-4


def test_the_folder_says_what_it_needs(pocket: tuple[Adapter, Path]):
    adapter, folder = pocket
    about = json.loads((folder / "onnx.json").read_text())
    assert (about["adapter"], about["dim"]) == (adapter.fingerprint, 144)
    assert (about["text"]["max_length"], about["image"]["shape"]) == (64, ["batch", 3, 64, 64])
    names = [place.shape for place in session(folder / "text.onnx").get_inputs()]
    assert names == [["batch", "length"], ["batch", "length"]]
    for name in ("onnx.json", "README.md"):
        assert str(Path(POCKET_TEXT.partition(":")[2]).parent) not in (folder / name).read_text()


@pytest.mark.parametrize("write", [write_vit, write_clip])
def test_other_image_towers(tmp_path: Path, write):
    adapter = adapter_between(POCKET_TEXT, write(tmp_path / "tower"))
    assert list(export(ExportRequest(adapter), tmp_path / "out", "onnx").differences) == ["text", "image"]


def test_prefix_limit_and_letter_case_are_kept(tmp_path: Path):
    spec = write_sentence_tower(tmp_path / "tower") + "?prefix=query : &max_length=5&lower_case=true"
    tower = load_text_tower(spec, device="cpu")
    adapter = adapter_of(tower.info, IMAGE, Head((Linear(numbers(20, 24), numbers(20)),)))
    made = export(ExportRequest(adapter), tmp_path / "out", "onnx")
    assert "the image tower cannot be loaded" in made.notes[0]
    assert json.loads((tmp_path / "out" / "onnx.json").read_text())["text"]["preparation"]["lower_case"] is True
    texts = ["a red dog", " ".join(WORDS), "é", unicodedata.normalize("NFD", "é")]
    assert np.abs(encode(tmp_path / "out", texts) - adapter.map_text(tower.encode(texts).pooled)).max() < 1e-4


def test_a_prompt_that_the_pooling_leaves_out_is_refused(tmp_path: Path):
    spec = write_sentence_tower(tmp_path / "tower", prompts={"query": "query : "}, include_prompt=False)
    adapter = adapter_of(load_text_tower(spec, device="cpu").info, IMAGE, Head((Linear(numbers(20, 24), numbers(20)),)))
    with pytest.raises(ExportError, match="leaves its prompt out of the pooling"):
        export(ExportRequest(adapter, text_only=True), tmp_path / "out", "onnx")


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from importlib import util

    whole = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *more: None if name == "onnxscript" else whole(name, *more))
    with pytest.raises(MissingDependencyError, match=r"needs onnxscript: pip install 'mella-retrieval\[onnx\]'"):
        export(ExportRequest(adapter_between(POCKET_TEXT, POCKET_IMAGE)), tmp_path / "out", "onnx")
