import json
import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import ImageTower, TextTower, same_model
from mella_retrieval.errors import ConfigError, EncoderError

FOLDERS = ("clip_folder", "siglip_folder", "siglip2_folder")


def text_features(folder: Path, texts: list[str], **arguments: object) -> np.ndarray:
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        vectors = model.get_text_features(**tokenizer(texts, return_tensors="pt", truncation=True, **arguments))
    return torch.nn.functional.normalize(vectors.pooler_output, dim=-1).numpy()


def test_clip_text_vectors_are_the_librarys(clip_folder: Path) -> None:
    tower = load_text_tower(f"transformers:{clip_folder}")
    assert isinstance(tower, TextTower) and tower.max_tokens == 20
    np.testing.assert_allclose(
        tower.encode(SENTENCES).pooled, text_features(clip_folder, list(SENTENCES), padding=True), atol=1e-6
    )


@pytest.mark.parametrize(("name", "length"), [("siglip_folder", 24), ("siglip2_folder", 64)])
def test_siglip_reads_prepared_text_padded_and_unmasked(name: str, length: int, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    tower = load_text_tower(f"transformers:{folder}")
    full = {"padding": "max_length", "max_length": length, "return_attention_mask": False}
    prepared = [tower.prepare(text) for text in SENTENCES]
    expected = text_features(folder, prepared, **full)
    np.testing.assert_allclose(tower.encode(SENTENCES).pooled, expected, atol=1e-6)
    for forgotten in ({"padding": True}, {"return_attention_mask": True}):  # the tests see either being forgotten
        assert np.abs(text_features(folder, prepared, **{**full, **forgotten}) - expected).max() > 1e-3
    assert tower.max_tokens == length


def test_siglip2_lower_cases_and_keeps_punctuation(siglip2_folder: Path) -> None:
    tower = load_text_tower(f"transformers:{siglip2_folder}")
    upper, lower, bare = tower.encode(["Két TYÚK, az udvaron!", "két tyúk, az udvaron!", "két tyúk az udvaron"]).pooled
    np.testing.assert_array_equal(upper, lower)
    assert not np.allclose(lower, bare, atol=1e-4)
    forgotten = load_text_tower(f"transformers:{siglip2_folder}?lower_case=false")
    assert not np.allclose(forgotten.encode(["Két TYÚK, az udvaron!"]).pooled[0], lower, atol=1e-4)
    assert forgotten.info.fingerprint() != tower.info.fingerprint()


def test_siglip_strips_punctuation(siglip_folder: Path) -> None:
    tower = load_text_tower(f"transformers:{siglip_folder}")
    vectors = tower.encode(["Two CATS, on a red sofa!", "two cats on a red sofa"]).pooled
    np.testing.assert_array_equal(vectors[0], vectors[1])
    with pytest.raises(EncoderError, match=r"text 0 of 1 \('\.\.\.'\) is empty"):
        tower.encode(["..."])


@pytest.mark.parametrize("name", FOLDERS)
def test_unicode_forms_of_a_query_are_one(name: str, request: pytest.FixtureRequest) -> None:
    tower = load_text_tower(f"transformers:{request.getfixturevalue(name)}")
    for text in ("egy kakas és két tyúk", "một con mèo đang ngủ"):
        both = tower.encode([unicodedata.normalize(form, text) for form in ("NFC", "NFD")]).pooled
        np.testing.assert_array_equal(both[0], both[1])


@pytest.mark.parametrize("name", FOLDERS)
def test_image_vectors_are_the_librarys(name: str, request: pytest.FixtureRequest, pictures: list[Image.Image]) -> None:
    folder = request.getfixturevalue(name)
    tower = load_image_tower(f"transformers:{folder}")
    assert isinstance(tower, ImageTower)
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoImageProcessor.from_pretrained(folder)
    with torch.no_grad():
        pixels = torch.cat([processor(images=picture, return_tensors="pt")["pixel_values"] for picture in pictures])
        expected = torch.nn.functional.normalize(model.get_image_features(pixel_values=pixels).pooler_output, dim=-1)
    with ThreadPoolExecutor(4) as pool:
        prepared = list(pool.map(tower.prepare, pictures))
    np.testing.assert_allclose(tower.encode(prepared).pooled, expected.numpy(), atol=1e-6)
    grey = pictures[0].convert("L")
    np.testing.assert_array_equal(tower.prepare(grey).numpy(), tower.prepare(grey.convert("RGB")).numpy())


@pytest.mark.parametrize("name", FOLDERS)
def test_both_towers_are_one_model_without_the_other_half(name: str, request: pytest.FixtureRequest) -> None:
    spec = f"transformers:{request.getfixturevalue(name)}"
    image, text = load_image_tower(spec), load_text_tower(spec)
    assert image.info.weights == text.info.weights and same_model(image.info, text.info)
    image_model, text_model = image._model, text._model  # type: ignore[attr-defined]
    assert image_model.text_model is None and text_model.vision_model is None
    for model in (image_model, text_model):
        assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())


def test_clip_tokens(clip_folder: Path, pictures: list[Image.Image]) -> None:
    image, text = load_image_tower(f"transformers:{clip_folder}"), load_text_tower(f"transformers:{clip_folder}")
    encoded = image.encode([image.prepare(picture) for picture in pictures], tokens=True)
    assert encoded.tokens is not None and encoded.tokens[0].shape == (5, 20)
    class_token = encoded.tokens[0][0]
    np.testing.assert_allclose(class_token / np.linalg.norm(class_token), encoded.pooled[0], atol=1e-6)
    texts = ["cat", "a dog"]
    words = text.encode(texts, tokens=True)
    assert words.tokens is not None and [len(states) for states in words.tokens] == text.count_tokens(texts) == [5, 6]


@pytest.mark.parametrize("name", FOLDERS[1:])
def test_siglip_tokens(name: str, request: pytest.FixtureRequest, pictures: list[Image.Image]) -> None:
    spec = f"transformers:{request.getfixturevalue(name)}"
    image, text = load_image_tower(spec), load_text_tower(spec)
    tokens = image.encode([image.prepare(pictures[0])], tokens=True).tokens
    assert tokens is not None and tokens[0].shape == (16, 32)
    states = text.encode(["a cat", "a brown dog on a red sofa"], tokens=True).tokens
    assert states is not None
    assert [len(array) for array in states] == text.count_tokens(["a cat", "a brown dog on a red sofa"])


def test_max_length(clip_folder: Path) -> None:
    short = load_text_tower(f"transformers:{clip_folder}?max_length=6")
    assert short.max_tokens == 6 and short.count_tokens(["a brown dog"]) == [11]
    dog, cat = short.encode(["brown dog", "brown cat"]).pooled
    np.testing.assert_array_equal(dog, cat)  # both are cut behind "brow"
    dog, cat = load_text_tower(f"transformers:{clip_folder}").encode(["brown dog", "brown cat"]).pooled
    assert not np.allclose(dog, cat, atol=1e-3)
    with pytest.raises(EncoderError, match="max_length 21 is more than the model's 20"):
        load_text_tower(f"transformers:{clip_folder}?max_length=21")
    with pytest.raises(ConfigError, match="max_length"):
        load_text_tower(f"transformers:{clip_folder}?max_length=many")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", FOLDERS)
def test_precision(name: str, precision: str, request: pytest.FixtureRequest, pictures: list[Image.Image]) -> None:
    spec = f"transformers:{request.getfixturevalue(name)}"
    full, half = load_image_tower(spec), load_image_tower(spec, precision=precision)
    batch = [full.prepare(picture) for picture in pictures]
    np.testing.assert_allclose(half.encode(batch).pooled, full.encode(batch).pooled, atol=0.06)
    assert half.info.weights == full.info.weights
    text = load_text_tower(spec, precision=precision)
    np.testing.assert_allclose(text.encode(SENTENCES).pooled, load_text_tower(spec).encode(SENTENCES).pooled, atol=0.06)


def test_weights_stored_in_half_precision_are_read_as_asked(clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "half")
    AutoModel.from_pretrained(clip_folder).half().save_pretrained(folder)
    tower = load_text_tower(f"transformers:{folder}")
    assert {parameter.dtype for parameter in tower._model.parameters()} == {torch.float32}  # type: ignore[attr-defined]
    assert tower.info.weights == load_image_tower(f"transformers:{folder}", precision="bf16").info.weights


def test_text_model_has_no_image_tower(sentence_folder: Path, siglip_folder: Path) -> None:
    with pytest.raises(EncoderError, match=r"type 'bert' and has no image tower.*sentence-transformers"):
        load_image_tower(f"transformers:{sentence_folder}")
    with pytest.raises(EncoderError, match="no text tower"):
        load_text_tower(f"transformers:{sentence_folder}")


def test_missing_tensors_are_not_made_up(clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in state.items() if "vision_model.encoder.layers.1" not in key}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match="the weights lack 16 of the model's tensors"):
        load_image_tower(f"transformers:{folder}")


def test_damaged_folders(clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(EncoderError, match=r"cannot be loaded.*missing, damaged"):
        load_image_tower(f"transformers:{folder}")
    weights.unlink()
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_image_tower(f"transformers:{folder}")
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    with pytest.raises(EncoderError, match=r"cannot be loaded.*no-such-type"):
        load_image_tower(f"transformers:{folder}")
    (folder / "config.json").unlink()
    with pytest.raises(EncoderError, match=r"no config\.json"):
        load_text_tower(f"transformers:{folder}")
