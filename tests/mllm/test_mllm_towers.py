"""Towers of the kind `mllm:`, on a Qwen2-VL and an InternVL."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.embeddings.embed import embed_images
from mella_retrieval.embeddings.settings import EmbedSettings
from mella_retrieval.encoders.loading import load_image_tower, load_text_tower
from mella_retrieval.encoders.mllm_towers import POOLS, pool_states
from mella_retrieval.encoders.towers import ImageTower, TextTower, same_model
from mella_retrieval.errors import ConfigError, DataError, EncoderError

MODELS = ("qwen", "internvl")
SIZES = ((60, 60), (40, 200), (300, 100), (112, 112))
SENTENCES = ("egy piros ház", "two dogs", "บ้าน", "a" * 50, "x")
MARKS = "two <|im_end|> dogs <|image_pad|><IMG_CONTEXT>"


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest) -> Path:
    """The model's folder, one after the other."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    """Noise in several shapes."""
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in SIZES]


def copied(folder: Path, to: Path) -> Path:
    """The model, to be changed."""
    return shutil.copytree(folder, to)


def changed(path: Path, **values: Any) -> None:
    """Other values in a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def library(folder: Path, content: list[dict[str, str]], images: list[Image.Image]) -> torch.Tensor:
    """The last hidden states of a question, as transformers alone computes them."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    asked = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
    inputs = processor(text=[asked], **({"images": [images]} if images else {}), return_tensors="pt")
    with torch.inference_mode():
        states: torch.Tensor = model(**inputs, output_hidden_states=True).hidden_states[-1][0]
    return states


def unit(vector: torch.Tensor) -> np.ndarray:
    """A vector as towers return it."""
    return torch.nn.functional.normalize(vector, dim=-1).numpy()


def test_vectors_are_the_models_states_before_it_answers(folder: Path, pictures: list[Image.Image]):
    spec = f"mllm:{folder}?prompt=What%20is%20it%3F&text_prompt=Read {{text}} now"
    image, text = load_image_tower(spec, device="cpu"), load_text_tower(spec, device="cpu")
    assert isinstance(image, ImageTower) and isinstance(text, TextTower) and same_model(image.info, text.info)
    about_picture = library(folder, [{"type": "image"}, {"type": "text", "text": "What is it?"}], pictures[1:2])
    seen = image.encode([image.prepare(pictures[1])]).pooled[0]
    np.testing.assert_allclose(seen, unit(about_picture[-1]), atol=1e-6)
    about_text = library(folder, [{"type": "text", "text": "Read two dogs now"}], [])
    read = text.encode(["two dogs"], tokens=True)
    np.testing.assert_allclose(read.pooled[0], unit(about_text[-1]), atol=1e-6)
    assert image.info.dim == text.info.dim == 64 and read.tokens is not None
    (count,) = text.count_tokens(["two dogs"])
    assert read.tokens[0].shape == (count, 64)
    assert any(np.allclose(window, read.tokens[0], atol=1e-5) for window in about_text.unfold(0, count, 1).mT.numpy())


def test_the_answers_opening_may_be_pooled(folder: Path, pictures: list[Image.Image]):
    spec = f"mllm:{folder}?pool=answer&prompt=Well&text_prompt={{text}} now"
    image, text = load_image_tower(spec, device="cpu"), load_text_tower(spec, device="cpu")
    processor = AutoProcessor.from_pretrained(folder)
    message = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    asked, opened = (
        processor.tokenizer(processor.apply_chat_template(message, add_generation_prompt=answer, tokenize=False))["input_ids"]
        for answer in (False, True)
    )
    count = len(opened) - len(asked)
    assert count > 1
    about_picture = library(folder, [{"type": "image"}, {"type": "text", "text": "Well"}], pictures[:1])
    about_text = library(folder, [{"type": "text", "text": "two dogs now"}], [])
    seen, read = image.encode([image.prepare(pictures[0])]).pooled[0], text.encode(["two dogs"]).pooled[0]
    np.testing.assert_allclose(seen, unit(about_picture[-count:].mean(0)), atol=1e-6)
    np.testing.assert_allclose(read, unit(about_text[-count:].mean(0)), atol=1e-6)


def test_the_batch_does_not_change_a_vector(folder: Path, pictures: list[Image.Image]):
    spec = f"mllm:{folder}"
    image, text = load_image_tower(spec, device="cpu"), load_text_tower(spec, device="cpu")
    with ThreadPoolExecutor(4) as threads:
        prepared = list(threads.map(image.prepare, pictures))
    for tower, items in ((image, prepared), (text, [*SENTENCES, MARKS])):
        together = tower.encode(items, tokens=True)
        alone = [tower.encode([item], tokens=True) for item in items]
        np.testing.assert_allclose(together.pooled, np.concatenate([one.pooled for one in alone]), atol=1e-6)
        assert together.tokens is not None
        for both, one in zip(together.tokens, alone, strict=True):
            np.testing.assert_allclose(both, one.tokens[0], atol=1e-5)
        assert np.linalg.norm(together.pooled, axis=1) == pytest.approx(1, abs=1e-6)
        assert np.abs(together.pooled - together.pooled[0]).max(axis=1)[1:].min() > 1e-3


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_does_not_depend_on_the_padded_side(pool: str):
    states = torch.randn(3, 6, 4)
    lengths = (6, 2, 3)
    left, right = (torch.full((3, 9, 4), torch.nan) for _ in range(2))  # what stands in padding must not be read
    left_mask, right_mask = torch.zeros(3, 9, dtype=torch.long), torch.zeros(3, 9, dtype=torch.long)
    for row, length in enumerate(lengths):
        left[row, 9 - length :], left_mask[row, 9 - length :] = states[row, :length], 1
        right[row, :length], right_mask[row, :length] = states[row, :length], 1
    opens = torch.tensor([2, 2, 1])
    wanted = [
        {"last": one[-1], "answer": one[-int(count) :].mean(0), "mean": one.mean(0)}[pool]
        for one, count in ((states[row, :length], opens[row]) for row, length in enumerate(lengths))
    ]
    for padded, mask in ((left, left_mask), (right, right_mask)):
        torch.testing.assert_close(pool_states(padded, mask, pool, opens), torch.stack(wanted))


def test_the_tokenizers_own_side_of_padding_decides_nothing(folder: Path, tmp_path: Path):
    vectors = []
    for side in ("left", "right"):
        own = copied(folder, tmp_path / side)
        changed(own / "tokenizer_config.json", padding_side=side)
        vectors.append(load_text_tower(f"mllm:{own}", device="cpu").encode(SENTENCES).pooled)
    np.testing.assert_array_equal(*vectors)


def test_token_vectors_of_a_picture_are_those_of_its_own_tokens(folder: Path, pictures: list[Image.Image]):
    tower = load_image_tower(f"mllm:{folder}", device="cpu")
    encoded = tower.encode([tower.prepare(picture) for picture in pictures], tokens=True)
    assert encoded.tokens is not None
    assert [len(tokens) for tokens in encoded.tokens] == ([4, 7, 12, 16] if "qwen" in folder.name else [16, 96, 64, 16])


def test_marks_of_the_chat_in_a_text_are_letters(folder: Path):
    tower = load_text_tower(f"mllm:{folder}", device="cpu")
    encoded = tower.encode([MARKS], tokens=True)
    assert encoded.tokens is not None and len(encoded.tokens[0]) == tower.count_tokens([MARKS])[0] > 30


def test_texts_are_brought_to_one_form_and_cut_before_the_prompt(qwen: Path):
    tower = load_text_tower(f"mllm:{qwen}?max_length=4", device="cpu")
    assert tower.max_tokens == 4
    (length,) = tower.count_tokens(["egy piros ház"])
    assert length > 4  # what is cut is counted by whoever embeds
    start, longer, other = tower.encode(["abcd", "abcdefgh", "xbcd"]).pooled
    np.testing.assert_array_equal(start, longer)
    assert np.abs(start - other).max() > 1e-3
    one, two = load_text_tower(f"mllm:{qwen}", device="cpu").encode(["h\u00e1z", "ha\u0301z"]).pooled
    np.testing.assert_array_equal(one, two)
    with pytest.raises(EncoderError, match="is empty after the text preparation"):
        tower.encode(["ház", "  "])
    with pytest.raises(EncoderError, match=r"max_length 2000 is more than the \d+ positions that the prompt leaves"):
        load_text_tower(f"mllm:{qwen}?max_length=2000", device="cpu")
    with pytest.raises(EncoderError, match=r"the prompt has \d+ tokens, and the model has 1024 positions"):
        load_text_tower(f"mllm:{qwen}?text_prompt={{text}} {'x ' * 1024}", device="cpu")


def test_what_decides_the_vectors_decides_the_fingerprint(qwen: Path, tmp_path: Path):
    heavier = copied(qwen, tmp_path / "heavier")
    state = load_file(heavier / "model.safetensors")
    name = next(name for name in state if name.endswith("layers.1.mlp.down_proj.weight"))
    save_file({**state, name: state[name] * 1.01}, heavier / "model.safetensors", metadata={"format": "pt"})
    chatty = copied(qwen, tmp_path / "chatty")
    template = (chatty / "chat_template.jinja").read_text(encoding="utf-8")
    (chatty / "chat_template.jinja").write_text("Be short.\n" + template, encoding="utf-8")
    ways = (
        "",
        "?pool=mean",
        "?prompt=In short:",
        "?text_prompt={text}!",
        "?max_length=8",
        "?max_pixels=3000",
        "?lower_case=true",
    )
    specs = [f"mllm:{qwen}{way}" for way in ways] + [f"mllm:{heavier}", f"mllm:{chatty}"]
    images = [load_image_tower(spec, device="cpu").info for spec in specs]
    texts = [load_text_tower(spec, device="cpu").info for spec in specs]
    plain = [images[0].fingerprint(), texts[0].fingerprint()]
    other = [[image.fingerprint() != plain[0], text.fingerprint() != plain[1]] for image, text in zip(images, texts, strict=True)]
    #                  plain,         pool,         image prompt,  text prompt,   max_length,    max_pixels,    lower_case
    assert other == [[False, False], [True, True], [True, False], [False, True], [False, True], [True, False], [False, True],
                     [True, True], [True, True]]  # fmt: skip
    assert not same_model(images[0], images[1]) and not same_model(images[0], images[7])
    moved = load_text_tower(f"mllm:{copied(qwen, tmp_path / 'moved')}", device="cpu").info
    assert moved.fingerprint() == plain[1] and moved.spec != texts[0].spec


def test_limits_of_size(internvl: Path, qwen: Path, pictures: list[Image.Image]):
    large = Image.new("RGB", (560, 560))
    few = load_image_tower(f"mllm:{internvl}?max_patches=2", device="cpu")
    assert [few.prepare(picture)["pixel_values"].shape[0] for picture in (pictures[1], large)] == [3, 1]  # tiles and the whole
    small = load_image_tower(f"mllm:{qwen}?max_pixels={56 * 56}", device="cpu")
    assert small.prepare(large)["image_grid_thw"].tolist() == [[1, 4, 4]]
    with pytest.raises(ConfigError, match=r"Qwen2VL.* cuts no tiles"):
        load_image_tower(f"mllm:{qwen}?max_patches=2", device="cpu")
    with pytest.raises(ConfigError, match="max_patches must be a whole number above 0"):
        load_image_tower(f"mllm:{internvl}?max_patches=few", device="cpu")
    with pytest.raises(DataError, match="processor does not take a picture of 1500 x 5 pixels"):
        small.prepare(Image.new("RGB", (1500, 5)))


def test_pictures_of_more_tokens_than_the_model_reads_are_listed(internvl: Path, tmp_path: Path):
    own = copied(internvl, tmp_path / "short")
    config = json.loads((own / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["max_position_embeddings"] = 100
    changed(own / "config.json", text_config=config["text_config"])
    for name, size in (("square", (50, 50)), ("long", (20, 60))):
        Image.new("RGB", size, (200, 30, 30)).save(tmp_path / f"{name}.png")
    (tmp_path / "all.csv").write_text("image_id,image,text,lang\na,square.png,one,en\nb,long.png,two,en\n", encoding="utf-8")
    import_records(tmp_path / "all.csv", tmp_path / "records")
    tower = load_image_tower(f"mllm:{own}", device="cpu")
    made = embed_images(Records.load(tmp_path / "records"), tower, tmp_path / "out", EmbedSettings(batch_size=2))
    assert list(made.ids) == ["a"]
    assert "tokens, and the model has 100 positions; set a smaller max_pixels" in (tmp_path / "out" / "skipped.csv").read_text()


def test_an_adapter_of_peft_on_its_base(qwen: Path, tmp_path: Path):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        AutoModelForImageTextToText.from_pretrained(qwen),
        LoraConfig(r=4, target_modules=r".*language_model.*\.(q_proj|v_proj)", init_lora_weights=False),
    )
    model.save_pretrained(tmp_path / "adapter")
    plain = load_text_tower(f"mllm:{qwen}", device="cpu")
    tuned = load_text_tower(f"mllm:{tmp_path / 'adapter'}?base={qwen}", device="cpu")
    assert np.abs(plain.encode(SENTENCES).pooled - tuned.encode(SENTENCES).pooled).max() > 1e-3
    assert plain.info.fingerprint() != tuned.info.fingerprint() and f"base={qwen}" in tuned.info.spec
    model.merge_and_unload().save_pretrained(tmp_path / "merged")
    AutoProcessor.from_pretrained(qwen).save_pretrained(tmp_path / "merged")
    merged = load_text_tower(f"mllm:{tmp_path / 'merged'}", device="cpu")
    np.testing.assert_allclose(merged.encode(SENTENCES).pooled, tuned.encode(SENTENCES).pooled, atol=1e-4)


def test_half_precision(folder: Path, pictures: list[Image.Image]):
    spec = f"mllm:{folder}"
    full, half = (load_image_tower(spec, device="cpu", precision=name) for name in ("fp32", "bf16"))
    np.testing.assert_allclose(
        half.encode([half.prepare(picture) for picture in pictures]).pooled,
        full.encode([full.prepare(picture) for picture in pictures]).pooled,
        atol=0.02,
    )
    assert full.info.weights == half.info.weights and full.info.fingerprint() != half.info.fingerprint()


def test_what_is_wrong_is_said(qwen: Path, nllb: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"unknown pool 'lats'\. Did you mean 'last'"):
        load_text_tower(f"mllm:{qwen}?pool=lats", device="cpu")
    with pytest.raises(ConfigError, match="must say once where the text stands"):
        load_text_tower(f"mllm:{qwen}?text_prompt=In short:", device="cpu")
    with pytest.raises(ConfigError, match=r"min_pixels .* is more than max_pixels"):
        load_image_tower(f"mllm:{qwen}?min_pixels=10&max_pixels=5", device="cpu")
    with pytest.raises(EncoderError, match="not one that answers about pictures"):
        load_image_tower(f"mllm:{nllb}", device="cpu")
    with pytest.raises(EncoderError, match="there is no folder"):
        load_image_tower(f"mllm:{tmp_path / 'gone'}", device="cpu")
    own = copied(qwen, tmp_path / "own")
    (own / "chat_template.jinja").write_text(
        "{% for message in messages %}{{ message['content'] }}{% endfor %}", encoding="utf-8"
    )
    with pytest.raises(EncoderError, match="does not open an answer"):
        load_text_tower(f"mllm:{own}", device="cpu")
    (own / "chat_template.jinja").write_text("question{% if add_generation_prompt %} answer:{% endif %}", encoding="utf-8")
    with pytest.raises(EncoderError, match="does not keep the text"):
        load_text_tower(f"mllm:{own}", device="cpu")
