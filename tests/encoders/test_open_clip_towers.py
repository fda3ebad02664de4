import json
import logging
import shutil
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from conftest import SENTENCES, write_open_clip
from PIL import Image
from safetensors.torch import load_file, save_file

from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import ImageTower, TextTower, same_model
from mella_retrieval.errors import EncoderError
from mella_retrieval.pocket.towers import IMAGE_TOWER


def library(folder: Path) -> tuple[torch.nn.Module, object, object]:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")


def by_library(folder: Path, texts: list[str]) -> np.ndarray:
    model, _, tokenizer = library(folder)
    with torch.no_grad():
        return model.encode_text(tokenizer(texts), normalize=True).numpy()


@pytest.mark.parametrize("name", ["open_clip_folder", "open_clip_hf_folder", "open_clip_siglip_folder"])
def test_text_vectors_are_the_librarys(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    tower = load_text_tower(f"open_clip:{folder}")
    assert isinstance(tower, TextTower)
    encoded = tower.encode(SENTENCES)
    np.testing.assert_allclose(encoded.pooled, by_library(folder, list(SENTENCES)), atol=1e-6)
    assert encoded.pooled.dtype == np.float32 and encoded.tokens is None
    assert tower.info.dim == 20 and tower.max_tokens == 16


def test_image_vectors_are_the_librarys(open_clip_folder: Path, pictures: list[Image.Image]) -> None:
    tower = load_image_tower(f"open_clip:{open_clip_folder}")
    assert isinstance(tower, ImageTower)
    model, transform, _ = library(open_clip_folder)
    with torch.no_grad():
        expected = model.encode_image(torch.stack([transform(p) for p in pictures]), normalize=True).numpy()
    with ThreadPoolExecutor(4) as pool:
        prepared = list(pool.map(tower.prepare, pictures))
    np.testing.assert_allclose(tower.encode(prepared).pooled, expected, atol=1e-6)
    assert tower.info.preparation["mean"] == [0.5, 0.4, 0.3]


def test_towers_are_frozen_and_repeat_themselves(open_clip_folder: Path, pictures: list[Image.Image]) -> None:
    tower = load_image_tower(f"open_clip:{open_clip_folder}")
    visual = tower._visual  # type: ignore[attr-defined]
    assert not visual.training and not any(parameter.requires_grad for parameter in visual.parameters())
    batch = [tower.prepare(picture) for picture in pictures]
    np.testing.assert_array_equal(tower.encode(batch).pooled, tower.encode(batch).pooled)


def test_both_towers_are_one_model(open_clip_folder: Path, open_clip_hf_folder: Path, tmp_path: Path) -> None:
    image = load_image_tower(f"open_clip:{open_clip_folder}").info
    text = load_text_tower(f"open_clip:{open_clip_folder}?prefix=a photo of ").info
    assert image.weights == text.weights and same_model(image, text)
    assert not same_model(image, load_text_tower(f"open_clip:{open_clip_hf_folder}").info)
    moved = shutil.copytree(open_clip_folder, tmp_path / "moved")
    torch.save(load_file(moved / "open_clip_model.safetensors"), moved / "open_clip_model.pth")
    (moved / "open_clip_model.safetensors").unlink()
    assert load_image_tower(f"open_clip:{moved}").info.fingerprint() == image.fingerprint()


def test_quick_gelu_is_part_of_the_fingerprint(open_clip_folder: Path, tmp_path: Path) -> None:
    other = write_open_clip(tmp_path / "quick", {"vocab_size": 49408}, quick_gelu=True)
    plain, quick = (load_image_tower(f"open_clip:{folder}").info for folder in (open_clip_folder, other))
    assert plain.weights == quick.weights and plain.traits == {"quick_gelu": False}
    assert plain.fingerprint() != quick.fingerprint() and not same_model(plain, quick)


@pytest.fixture
def registered(open_clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tiny model as one of open_clip's built-in names; the tag `openai` says that it was trained with QuickGELU."""
    from open_clip import factory, pretrained

    weights = open_clip_folder / "open_clip_model.safetensors"
    config = json.loads((open_clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    for name, quick in (("tiny-test", False), ("tiny-test-quickgelu", True)):
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, {**config, "quick_gelu": quick})
        tags = {"openai": {"file": str(weights), "quick_gelu": True}, "ours": {"file": str(weights)}}
        monkeypatch.setitem(pretrained._PRETRAINED, name, tags)
    return str(weights)


@pytest.mark.filterwarnings("ignore:QuickGELU mismatch")
def test_warns_where_name_and_weights_disagree_on_quick_gelu(registered: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mella_retrieval"):
        wrong = load_image_tower("open_clip:tiny-test/openai")
        assert "Use open_clip:tiny-test-quickgelu/openai" in caplog.text
        caplog.clear()
        right = load_image_tower("open_clip:tiny-test-quickgelu/openai")
        load_image_tower("open_clip:tiny-test/ours")
        assert not caplog.text
    assert wrong.info.fingerprint() != right.info.fingerprint()


def test_weights_file_as_tag(registered: str) -> None:
    by_path = load_image_tower(f"open_clip:tiny-test/{registered}").info
    assert by_path.weights == load_text_tower("open_clip:tiny-test/ours").info.weights


def test_names_and_tags_that_do_not_exist(registered: str) -> None:
    for spec, message in [
        ("open_clip:ViT-B-23/openai", "no model 'ViT-B-23'. Did you mean 'ViT-B-32'"),
        ("open_clip:tiny-test", "which weights.*Tags: openai, ours"),
        ("open_clip:tiny-test/openia", "no weights 'openia'. Did you mean 'openai'"),
        ("open_clip:tiny-test//no/such.bin", "there is no file /no/such.bin"),
    ]:
        with pytest.raises(EncoderError, match=message):
            load_image_tower(spec)


def test_unicode_forms_of_a_query_are_one(open_clip_hf_folder: Path) -> None:
    tower = load_text_tower(f"open_clip:{open_clip_hf_folder}")
    for text in ("egy kakas és két tyúk", "một con mèo đang ngủ", "개와 고양이"):
        both = tower.encode([unicodedata.normalize(form, text) for form in ("NFC", "NFD")]).pooled
        np.testing.assert_array_equal(both[0], both[1])


def test_configured_cleaning_is_shown_and_recorded(open_clip_siglip_folder: Path, open_clip_hf_folder: Path) -> None:
    siglip, plain = (load_text_tower(f"open_clip:{f}") for f in (open_clip_siglip_folder, open_clip_hf_folder))
    assert siglip.prepare("Two CATS, on a red sofa!") == "two cats on a red sofa"
    assert plain.prepare("Two  CATS!") == "Two CATS!"
    assert (siglip.info.preparation["cleaning"], plain.info.preparation["cleaning"]) == ("canonicalize", "whitespace")
    pair = siglip.encode(["Two CATS, on a red sofa!", "two cats on a red sofa"]).pooled
    np.testing.assert_array_equal(pair[0], pair[1])


def test_text_options_change_vectors_and_fingerprint(open_clip_hf_folder: Path) -> None:
    plain = load_text_tower(f"open_clip:{open_clip_hf_folder}")
    prefixed = load_text_tower(f"open_clip:{open_clip_hf_folder}?prefix=two ")
    lower = load_text_tower(f"open_clip:{open_clip_hf_folder}?lower_case=true")
    np.testing.assert_array_equal(prefixed.encode(["cats"]).pooled, plain.encode(["two cats"]).pooled)
    np.testing.assert_array_equal(lower.encode(["CATS"]).pooled, plain.encode(["cats"]).pooled)
    assert len({tower.info.fingerprint() for tower in (plain, prefixed, lower)}) == 3


def test_tokens_are_counted_before_they_are_cut(open_clip_folder: Path, open_clip_hf_folder: Path) -> None:
    for folder in (open_clip_folder, open_clip_hf_folder):
        tower = load_text_tower(f"open_clip:{folder}")
        short, long = tower.count_tokens(["a brown dog", "a brown dog runs " * 9])
        assert short == 5 and long == 38 and tower.count_tokens([]) == []
        assert tower.count_tokens([""]) == [2]


def test_a_text_of_100000_characters_is_read_at_once(open_clip_folder: Path) -> None:
    tower = load_text_tower(f"open_clip:{open_clip_folder}")
    letters = np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), 100_000)
    text = "a dog " + "".join(letters)  # one word: open_clip's tokenizer would need minutes
    assert tower.count_tokens([text])[0] > tower.max_tokens
    assert tower.encode([text]).pooled.shape == (1, 20)


def test_empty_texts_are_refused_by_position(open_clip_siglip_folder: Path) -> None:
    tower = load_text_tower(f"open_clip:{open_clip_siglip_folder}")
    assert tower.prepare("?!") == tower.prepare(" &nbsp; ") == ""
    with pytest.raises(EncoderError, match=r"text 1 of 2 \('\?!'\) is empty"):
        tower.encode(["cat", "?!"])


def test_no_input_gives_no_vectors(open_clip_folder: Path) -> None:
    assert load_text_tower(f"open_clip:{open_clip_folder}").encode([]).pooled.shape == (0, 20)
    assert load_image_tower(f"open_clip:{open_clip_folder}").encode([], tokens=True).tokens == []


def test_image_tokens(open_clip_folder: Path, pictures: list[Image.Image]) -> None:
    tower = load_image_tower(f"open_clip:{open_clip_folder}")
    batch = [tower.prepare(picture) for picture in pictures]
    plain, encoded = tower.encode(batch), tower.encode(batch, tokens=True)
    assert encoded.tokens is not None and [states.shape for states in encoded.tokens] == [(5, 20)] * 4
    np.testing.assert_allclose(encoded.pooled, plain.pooled, atol=1e-6)
    for pooled, states in zip(encoded.pooled, encoded.tokens, strict=True):  # CLIP pools the class token
        np.testing.assert_allclose(states[0] / np.linalg.norm(states[0]), pooled, atol=1e-6)


def test_image_tokens_of_a_resnet_are_the_cells_that_it_pools(pictures: list[Image.Image]) -> None:
    tower = load_image_tower(IMAGE_TOWER)
    batch = [tower.prepare(picture) for picture in pictures]
    encoded = tower.encode(batch, tokens=True)
    assert encoded.tokens is not None and [states.shape for states in encoded.tokens] == [(4, 512)] * 4
    np.testing.assert_array_equal(encoded.pooled, tower.encode(batch).pooled)
    cells = torch.tensor(np.stack(encoded.tokens)).mT.reshape(4, 512, 2, 2)
    with torch.inference_mode():
        pooled = torch.nn.functional.normalize(tower.model.attnpool(cells), dim=-1)  # type: ignore[attr-defined]
    np.testing.assert_allclose(pooled.numpy(), encoded.pooled, atol=1e-6)


@pytest.mark.parametrize("name", ["open_clip_folder", "open_clip_hf_folder"])
def test_text_tokens(name: str, request: pytest.FixtureRequest) -> None:
    tower = load_text_tower(f"open_clip:{request.getfixturevalue(name)}")
    texts = ["!! a brown dog", "a brown dog runs over the green grass and over the red sofa next to a lamp"]
    encoded = tower.encode(texts, tokens=True)
    assert encoded.tokens is not None
    lengths = [min(count, tower.max_tokens) for count in tower.count_tokens(texts)]
    assert [len(states) for states in encoded.tokens] == lengths and lengths[0] < lengths[1] == 16
    np.testing.assert_array_equal(encoded.pooled, tower.encode(texts).pooled)
    projected = encoded.tokens[0][-1] @ tower._model.text_projection.numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(projected / np.linalg.norm(projected), encoded.pooled[0], atol=1e-6)


def test_language_goes_to_the_tokenizer(nllb_folder: Path) -> None:
    tower = load_text_tower(f"open_clip:{nllb_folder}")
    model, _, tokenizer = library(nllb_folder)
    texts = ["kakas", "cat", "két tyúk"]
    encoded = tower.encode(texts, ["hu", "en", "hun_Latn"]).pooled
    for text, code, vector in zip(texts, ("hun_Latn", "eng_Latn", "hun_Latn"), encoded, strict=True):
        tokenizer.tokenizer.src_lang = code  # type: ignore[attr-defined]
        ids = tokenizer([text])  # type: ignore[operator]
        assert ids[0, 0] == tokenizer.tokenizer.convert_tokens_to_ids(code)  # type: ignore[attr-defined]
        with torch.no_grad():
            expected = model.encode_text(ids, normalize=True)[0].numpy()
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    assert not np.allclose(tower.encode(["kakas"], ["hu"]).pooled, tower.encode(["kakas"], ["en"]).pooled)


def test_language_missing_or_unknown(nllb_folder: Path) -> None:
    tower = load_text_tower(f"open_clip:{nllb_folder}")
    with pytest.raises(EncoderError, match="wants the language of every text"):
        tower.encode(["kakas"])
    with pytest.raises(EncoderError, match="xx-nonsense"):
        tower.encode(["kakas"], ["xx-nonsense"])
    fixed = load_text_tower(f"open_clip:{nllb_folder}?language=hu")
    np.testing.assert_array_equal(fixed.encode(["kakas"]).pooled, tower.encode(["kakas"], ["hu"]).pooled)
    assert fixed.info.fingerprint() != tower.info.fingerprint()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision(precision: str, open_clip_folder: Path, pictures: list[Image.Image]) -> None:
    full = load_image_tower(f"open_clip:{open_clip_folder}")
    half = load_image_tower(f"open_clip:{open_clip_folder}", precision=precision)
    batch = [full.prepare(picture) for picture in pictures]
    vectors = half.encode(batch, tokens=True).pooled
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, full.encode(batch).pooled, atol=0.03)
    assert not np.array_equal(vectors, full.encode(batch).pooled)
    assert half.info.weights == full.info.weights and half.info.fingerprint() != full.info.fingerprint()
    text = load_text_tower(f"open_clip:{open_clip_folder}", precision=precision)
    assert text.encode(["a dog"], tokens=True).pooled.shape == (1, 20)


def test_folders_that_are_no_models(open_clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="there is no folder"):
        load_image_tower(f"open_clip:{tmp_path / 'absent'}")
    with pytest.raises(EncoderError, match=r"no open_clip_config\.json"):
        load_image_tower(f"open_clip:{tmp_path}")
    shutil.copy(open_clip_folder / "open_clip_config.json", tmp_path)
    with pytest.raises(EncoderError, match=r"cannot be loaded.*missing, damaged"):  # and not random weights
        load_image_tower(f"open_clip:{tmp_path}")


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_damaged_weights(damage: str, open_clip_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(open_clip_folder, tmp_path / "model")
    weights = folder / "open_clip_model.safetensors"
    if damage == "foreign":
        state = load_file(weights)
        save_file({key: value for key, value in state.items() if "resblocks.1" not in key}, weights)
    else:
        weights.write_bytes(weights.read_bytes()[: 1000 if damage == "cut" else 0])
    with pytest.raises(EncoderError, match=r"cannot be loaded.*missing, damaged, or do not belong together"):
        load_image_tower(f"open_clip:{folder}")


def test_pictures_of_different_shape_are_named(open_clip_folder: Path) -> None:
    tower = load_image_tower(f"open_clip:{open_clip_folder}")
    with pytest.raises(EncoderError, match="prepared picture 1 has shape"):
        tower.encode([torch.zeros(3, 32, 32), torch.zeros(3, 16, 32)])
    with pytest.raises(EncoderError, match="the vector of picture 0 of 1: not finite"):
        tower.encode([torch.full((3, 32, 32), float("nan"))])
