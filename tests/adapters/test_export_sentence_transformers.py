"""The exported folder in plain sentence-transformers: stock modules, the vectors of the adapter."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
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
from sentence_transformers import SentenceTransformer

from mella_retrieval.adapters.adapter import Adapter
from mella_retrieval.adapters.export.formats import ExportRequest, export
from mella_retrieval.adapters.heads import Head, HubBias, Linear, Shift
from mella_retrieval.adapters.leccr.slot_file import SlotShape, StoredSlots
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import TowerInfo
from mella_retrieval.errors import ArtifactError, ConfigError, EncoderError, ExportError, MismatchError

TO = "sentence-transformers"
TEXTS = ["red fox", "Červená liška", unicodedata.normalize("NFD", "Červená liška"), "붉은 여우", "x " * 200, "VÖRÖS róka!"]
IMAGE = TowerInfo(spec="open_clip:nobody/nothing", modality="image", dim=20, weights="c" * 64)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_vit(tmp_path_factory.mktemp("towers") / "vit")


def sentence_adapter(spec: str, image: TowerInfo = IMAGE, **heads: Head):
    text = load_text_tower(spec, device="cpu").info
    return adapter_of(text, image, Head((Linear(numbers(20, text.dim), numbers(20)),)), **heads)


def test_the_pocket_worlds_texts_have_the_adapters_vectors_in_another_process(tmp_path: Path):
    adapter = adapter_between(POCKET_TEXT, POCKET_IMAGE)
    made = export(ExportRequest(adapter), tmp_path / "out", TO)
    np.save(tmp_path / "ours.npy", adapter.map_text(load_text_tower(POCKET_TEXT, device="cpu").encode(TEXTS).pooled))
    (tmp_path / "texts.json").write_text(json.dumps(TEXTS))
    code = (
        "import json, sys, numpy\n"
        "from sentence_transformers import SentenceTransformer\n"
        "model = SentenceTransformer('out', device='cpu')\n"
        "found = model.encode(json.load(open('texts.json')))\n"
        "assert not [name for name in sys.modules if name.startswith('mella_retrieval')]\n"
        "assert abs(found - numpy.load('ours.npy')).max() < 1e-5, abs(found - numpy.load('ours.npy')).max()\n"
        "assert abs(model.encode_query(['fox']) - model.encode_document(['fox'])).max() == 0\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert made.differences["text"] < 1e-5
    assert list(made.differences) == ["text"]
    (note,) = made.notes  # transformers has no ResNet of CLIP
    assert "Texts only: open_clip: a local folder `image`" in note
    assert "ModifiedResNet" in note


def test_the_folder_holds_stock_modules_and_is_open_to_all(tmp_path: Path):
    export(ExportRequest(adapter_between(POCKET_TEXT, POCKET_IMAGE)), tmp_path / "out", TO)
    kinds = [module["type"].rpartition(".")[2] for module in json.loads((tmp_path / "out" / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", "Normalize", "Dense", "Dense", "Normalize"]
    activations = [
        json.loads(path.read_text())["activation_function"] for path in sorted(tmp_path.glob("out/*_Dense/config.json"))
    ]
    assert [name.rpartition(".")[2] for name in activations] == ["ReLU", "Identity"]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o644}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "no trust_remote_code" in card
    assert str(Path(POCKET_TEXT.partition(":")[2]).parent) not in card  # no path of this machine


@pytest.mark.parametrize("kind", ["words", "bert", "xlm-r"])
def test_composed_and_decomposed_letters_stay_one_text(tmp_path: Path, kind: str):
    spec = write_sentence_tower(tmp_path / "tower", tokenizer=kind)
    decomposed = unicodedata.normalize("NFD", "é dog")
    plain = SentenceTransformer(str(tmp_path / "tower"), device="cpu")
    assert np.abs(plain.encode("é dog") - plain.encode(decomposed)).max() > 1e-3  # the tower alone tells them apart
    export(ExportRequest(sentence_adapter(spec)), tmp_path / "out", TO)
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert np.abs(model.encode("é dog") - model.encode(decomposed)).max() < 1e-6
    assert np.abs(model.encode("é dog") - model.encode("e dog")).max() > 1e-3


@pytest.mark.parametrize("include_prompt", [True, False])
def test_a_prompt_of_the_tower_is_put_before_every_text(tmp_path: Path, include_prompt: bool):
    spec = write_sentence_tower(tmp_path / "tower", prompts={"query": "query : "}, include_prompt=include_prompt)
    adapter = sentence_adapter(spec)
    export(ExportRequest(adapter), tmp_path / "out", TO)
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    ours = adapter.map_text(load_text_tower(spec, device="cpu").encode(["a red dog", "kutya"]).pooled)
    for found in (model.encode, model.encode_query, model.encode_document):
        assert np.abs(found(["a red dog", "kutya"]) - ours).max() < 1e-5
    assert np.abs(model.encode(["a red dog", "kutya"], prompt="") - ours).max() > 1e-3


def test_a_shorter_limit_of_the_spec_is_kept(tmp_path: Path):
    spec = write_sentence_tower(tmp_path / "tower") + "?max_length=5"
    adapter = sentence_adapter(spec)
    export(ExportRequest(adapter), tmp_path / "out", TO)
    model = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    long, cut = " ".join(WORDS), " ".join(WORDS[:5])
    assert model.max_seq_length == 5
    assert np.abs(model.encode(long) - model.encode(cut)).max() < 1e-6


@pytest.mark.parametrize("option", ["lower_case=true", "canonicalise=true"])
def test_a_preparation_that_stock_modules_lack_is_refused(tmp_path: Path, option: str):
    spec = f"{write_sentence_tower(tmp_path / 'tower')}?{option}"
    with pytest.raises(ExportError, match=option.partition("=")[0]):
        export(ExportRequest(sentence_adapter(spec)), tmp_path / "out", TO)
    assert not (tmp_path / "out").exists()


def check_pictures(folder: Path, adapter, spec: str) -> SentenceTransformer:
    model, tower = SentenceTransformer(str(folder), device="cpu"), load_image_tower(spec, device="cpu")
    generator = np.random.default_rng(3)
    pictures = [Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(5)]
    pictures.append(pictures[0].convert("L"))
    ours = adapter.map_image(tower.encode([tower.prepare(picture.convert("RGB")) for picture in pictures]).pooled)
    assert np.abs(model.encode(pictures) - ours).max() < 1e-5
    assert np.abs(ours[1:5] - ours[0]).max(axis=1).min() > 1e-3  # other pictures are farther than that
    return model


def test_pictures_of_an_open_clip_transformer_go_through_the_same_folder(tmp_path: Path, vit: str):
    adapter = adapter_between(POCKET_TEXT, vit)
    made = export(ExportRequest(adapter), tmp_path / "out", TO)
    assert list(made.differences) == ["text", "image"]
    assert not made.notes
    model = check_pictures(tmp_path / "out", adapter, vit)
    ours = adapter.map_text(load_text_tower(POCKET_TEXT, device="cpu").encode(TEXTS).pooled)
    assert np.abs(model.encode(TEXTS) - ours).max() < 1e-5
    assert not (tmp_path / "out" / "vision").exists()


def test_pictures_that_are_resized_agree_less(tmp_path: Path, vit: str):
    """Where the margin to crop is odd, transformers' image processor crops one pixel aside: the card says so."""
    adapter = adapter_between(POCKET_TEXT, vit)
    export(ExportRequest(adapter), tmp_path / "out", TO)
    model, tower = SentenceTransformer(str(tmp_path / "out"), device="cpu"), load_image_tower(vit, device="cpu")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 110, 3), dtype=np.uint8))
    ours = adapter.map_image(tower.encode([tower.prepare(picture)]).pooled)[0]
    assert 1e-4 < np.abs(model.encode([picture])[0] - ours).max() < 0.1
    assert "can crop one pixel aside" in (tmp_path / "out" / "README.md").read_text()


def test_pictures_of_transformers_clip_go_through_the_same_folder(tmp_path: Path):
    spec = write_clip(tmp_path / "clip")
    adapter = adapter_between(POCKET_TEXT, spec, image_head=Head())
    made = export(ExportRequest(adapter), tmp_path / "out", TO)
    assert list(made.differences) == ["text", "image"]
    check_pictures(tmp_path / "out", adapter, spec)


def test_a_prompt_of_texts_does_not_trouble_pictures(tmp_path: Path, vit: str):
    spec = write_sentence_tower(tmp_path / "tower", prompts={"query": "query : "})
    adapter = sentence_adapter(spec, load_image_tower(vit, device="cpu").info)
    export(ExportRequest(adapter), tmp_path / "out", TO)
    check_pictures(tmp_path / "out", adapter, vit)


@pytest.mark.parametrize(
    "changes",
    [{"attentional_pool": True, "attn_pooler_heads": 2}, {"pool_type": "avg"}, {"no_ln_pre": True}, {"ls_init_value": 0.1}],
)
def test_a_transformer_that_clip_does_not_have_leaves_texts_only(tmp_path: Path, changes: dict[str, object]):
    adapter = adapter_between(POCKET_TEXT, write_vit(tmp_path / "vit", **changes))
    made = export(ExportRequest(adapter), tmp_path / "out", TO)
    assert list(made.differences) == ["text"]
    assert "transformers has no counterpart" in made.notes[0]


def test_an_image_tower_that_is_asked_for_by_name_must_go_in(tmp_path: Path):
    adapter = adapter_between(POCKET_TEXT, POCKET_IMAGE)
    with pytest.raises(ExportError, match="ModifiedResNet"):
        export(ExportRequest(adapter, image_tower=POCKET_IMAGE), tmp_path / "out", TO)
    with pytest.raises(EncoderError, match="no folder"):
        export(ExportRequest(adapter, image_tower="open_clip:/no/such/folder"), tmp_path / "out", TO)
    assert not (tmp_path / "out").exists()


def test_text_only_leaves_pictures_out_without_a_word(tmp_path: Path, vit: str):
    made = export(ExportRequest(adapter_between(POCKET_TEXT, vit), text_only=True), tmp_path / "out", TO)
    assert (list(made.differences), made.notes) == (["text"], [])


def test_an_image_tower_that_is_not_here_leaves_texts_only(tmp_path: Path):
    spec = write_sentence_tower(tmp_path / "tower")
    gone = IMAGE.model_copy(update={"spec": "open_clip:/no/such/folder"})
    made = export(ExportRequest(sentence_adapter(spec, gone)), tmp_path / "out", TO)
    assert "the image tower cannot be loaded" in made.notes[0]


def test_slots_need_descriptions_so_texts_go_alone(tmp_path: Path, vit: str):
    plain, spec = sentence_adapter(write_sentence_tower(tmp_path / "tower")), load_image_tower(vit, device="cpu").info
    sizes = dict.fromkeys(("pooled_dim", "token_dim", "description_dim", "sentence_dim", "queries", "width", "heads"), 4)
    slots = StoredSlots.of(b"weights", spec, plain.config.text_tower, SlotShape(**sizes, dim=20))
    config = plain.config.model_copy(update={"slots": slots.info, "image_tower": slots.info.tower()})
    adapter = Adapter(config, plain.text_head, plain.image_head, slots)
    made = export(ExportRequest(adapter), tmp_path / "out", TO)
    assert list(made.differences) == ["text"]
    assert made.notes == ["Texts only: the adapter's slots enrich pictures with descriptions, which a picture alone has not."]
    with pytest.raises(ExportError, match="slots enrich pictures"):
        export(ExportRequest(adapter, image_tower=vit), tmp_path / "other", TO)


def test_towers_of_others_are_refused(tmp_path: Path, vit: str):
    adapter = adapter_between(POCKET_TEXT, vit)
    other = write_sentence_tower(tmp_path / "tower")
    with pytest.raises(MismatchError, match="belongs to text tower"):
        export(ExportRequest(adapter, text_tower=other), tmp_path / "out", TO)
    with pytest.raises(MismatchError, match="text preparation"):
        export(ExportRequest(adapter, text_tower=f"{POCKET_TEXT}?prefix=x"), tmp_path / "out", TO)
    with pytest.raises(MismatchError, match="belongs to image tower"):
        export(ExportRequest(adapter, image_tower=POCKET_IMAGE), tmp_path / "out", TO)


def test_what_cannot_be_written_is_said(tmp_path: Path, vit: str):
    adapter = adapter_between(POCKET_TEXT, vit)
    with pytest.raises(ConfigError, match=r"there is no export format 'onx'\. Did you mean 'onnx'"):
        export(ExportRequest(adapter), tmp_path / "out", "onx")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ArtifactError, match="already exists"):
        export(ExportRequest(adapter), tmp_path / "full", TO)
    bias = HubBias(numbers(30, 20), np.array([0.5, 4], np.float32), np.array([0], np.float32))
    hubs = adapter_between(POCKET_TEXT, vit, Head((Linear(numbers(20, 128), numbers(20)), bias)))
    with pytest.raises(ExportError, match="Export with --to onnx"):
        export(ExportRequest(hubs), tmp_path / "out", TO)
    english = adapter_between(POCKET_IMAGE, vit, Head((Linear(numbers(20, 128), numbers(20)),)))
    with pytest.raises(ExportError, match="only text towers of the kind sentence-transformers"):
        export(ExportRequest(english), tmp_path / "out", TO)


def test_vectors_that_differ_are_not_handed_out(tmp_path: Path, vit: str, monkeypatch: pytest.MonkeyPatch):
    from mella_retrieval.adapters.export import sentence_transformers

    adapter = adapter_between(POCKET_TEXT, vit, Head((Shift(numbers(128)), Linear(numbers(20, 128), numbers(20)))))
    whole = sentence_transformers.steps_of
    monkeypatch.setattr(sentence_transformers, "steps_of", lambda head, dim: whole(Head(head.layers[1:]), dim))
    with pytest.raises(ExportError, match="gives other vectors than the adapter"):
        export(ExportRequest(adapter, text_only=True), tmp_path / "out", TO)
    assert not (tmp_path / "out").exists()
