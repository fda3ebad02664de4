"""Captioners of transformers: batches, draws, pictures that are not shown, memory, and models that cannot be asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from PIL import Image
from speaking import ASKED, COLOURS, SIZES, answer, picture
from transformers import AutoTokenizer, RepetitionPenaltyLogitsProcessor

from mella_retrieval import languages
from mella_retrieval.data.ling.asking import Asker
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.ling.contracts import Ask, Captioner, Failed, Picture
from mella_retrieval.encoders.image_text_models import ImageTextModel, load_image_text_model
from mella_retrieval.encoders.transformers_models import Identity
from mella_retrieval.errors import ConfigError, EncoderError, UnavailableError
from mella_retrieval.mllm import local_captioner
from mella_retrieval.mllm.captioners import captioners
from mella_retrieval.mllm.decoding import Decoding
from mella_retrieval.mllm.generation import Draw, Penalty, write

PICTURES = [Picture(colour, picture(colour, SIZES[place % 2])) for place, colour in enumerate(COLOURS)]
SHORT = "max_new_tokens=14"


@pytest.fixture(autouse=True)
def loaded_once(taught: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The taught model is frozen, and read from the disk once for each way of loading it."""

    def loaded(name: str, **options: Any) -> ImageTextModel:
        return _kept(name, **options) if name == str(taught) else load_image_text_model(name, **options)

    monkeypatch.setattr(local_captioner, "load_image_text_model", loaded)


_kept = cache(load_image_text_model)


def load(folder: Path, options: str = SHORT, **others: str) -> Captioner:
    return load_captioner(f"transformers:{folder}?{options}", captioners("cpu", **others))


def ask(*prompts: str, lang: str = "en", seed: int = 0) -> Ask:
    return Ask(languages.get(lang), prompts or (ASKED[lang],), seed)


@pytest.mark.parametrize("lang", ["en", "hu"])
def test_every_picture_of_a_batch_gets_its_own_description(taught: Path, lang: str):
    """Pictures of different sizes, so that questions have different lengths."""
    captioner = load(taught)
    assert captioner.describe(PICTURES, ask(lang=lang)) == [[answer(colour, lang)] for colour in COLOURS]
    assert captioner.describe(PICTURES[2:3], ask(lang=lang)) == [[answer("blue", lang)]]


def test_several_prompts_are_several_descriptions(taught: Path):
    captioner = load(taught)
    both = ask(ASKED["en"], ASKED["hu"], ASKED["en"])
    assert captioner.describe(PICTURES[:2], both) == [[answer(name), answer(name, "hu")] for name in ("red", "green")]


def test_after_close_it_can_be_asked_again(taught: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local_captioner, "load_image_text_model", load_image_text_model)
    captioner = load(taught)
    first = captioner.describe(PICTURES[:1], ask())
    captioner.close()
    captioner.close()
    assert captioner.describe(PICTURES[:1], ask()) == first


def test_a_draw_depends_on_seed_and_picture_not_on_the_batch(internvl: Path):
    captioner = load(internvl, "max_new_tokens=6&temperature=1.2&top_p=0.95")
    together = captioner.describe(PICTURES, ask("What?", "What?"))
    assert together == [captioner.describe([one], ask("What?", "What?"))[0] for one in PICTURES]
    assert together == list(reversed(captioner.describe(PICTURES[::-1], ask("What?", "What?"))))
    assert all(first != second for first, second in together)  # type: ignore[misc]
    assert captioner.describe(PICTURES, ask("What?", "What?", seed=1)) != together


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.8), (2.0, 0.5)])
def test_draws_follow_the_distribution(temperature: float, top_p: float):
    """Against the tokens that hold `top_p` of the probability, by their definition."""
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0, 1.5]])
    probability = torch.softmax(scores[0] / temperature, dim=0)
    order = probability.argsort(descending=True)
    before = probability[order].cumsum(0) - probability[order]
    kept = order[before < top_p]
    wanted = torch.zeros(5)
    wanted[kept] = probability[kept] / probability[kept].sum()
    many = 20_000
    draw = Draw(Decoding(temperature=temperature, top_p=top_p), [Random(number) for number in range(many)])
    drawn = draw(torch.zeros(many, 1, dtype=torch.long), scores.expand(many, -1)).argmax(dim=1)
    share = torch.bincount(drawn, minlength=5) / many
    assert torch.allclose(share, wanted, atol=0.012)
    assert (share[wanted == 0] == 0).all()


def test_a_very_low_temperature_is_greedy(taught: Path):
    assert load(taught, f"{SHORT}&temperature=0.001").describe(PICTURES, ask()) == load(taught).describe(PICTURES, ask())


def test_settings_beside_the_weights_are_not_heeded(taught: Path, tmp_path: Path):
    """Qwen's own ask for sampling and a penalty; two arms would be decoded differently in silence."""
    copy = shutil.copytree(taught, tmp_path / "own-settings")
    stored = json.loads((copy / "generation_config.json").read_text())
    own = {"do_sample": True, "temperature": 5.0, "repetition_penalty": 9.0, "max_new_tokens": 1, "min_length": 90}
    (copy / "generation_config.json").write_text(json.dumps({**stored, **own}))
    assert load(copy).describe(PICTURES, ask()) == [[answer(colour)] for colour in COLOURS]


def test_end_marks_beside_the_weights_are_heeded(taught: Path, tmp_path: Path):
    """Chat models have several: the end of a turn, and the end of a text, which the tokenizer does not call its own."""
    copy = shutil.copytree(taught, tmp_path / "own-ends")
    stored = json.loads((copy / "generation_config.json").read_text())
    house = AutoTokenizer.from_pretrained(copy)("A red house.")["input_ids"][2]
    ends = {"eos_token_id": [stored["eos_token_id"], house]}
    (copy / "generation_config.json").write_text(json.dumps({**stored, **ends}))
    assert load(copy).describe(PICTURES, ask()) == [[answer(colour).removesuffix(" house.")] for colour in COLOURS]


def test_a_repetition_penalty_changes_answers(taught: Path):
    assert load(taught, f"{SHORT}&repetition_penalty=8").describe(PICTURES[:1], ask()) != [[answer("red")]]


def test_padding_is_no_token_that_a_penalty_sees(taught: Path):
    """Many models are padded with their end mark: answers would be longer where the batch has a longer question."""
    loaded = load_image_text_model(str(taught), device="cpu")
    tokenizer = loaded.processor.tokenizer
    house = tokenizer("A red house.")["input_ids"][2]
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(house)
    text = loaded.processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ASKED["en"]}]}],
        **{"tokenize": False, "add_generation_prompt": True},
    )

    def answers(*names: str) -> list[str]:
        images = [[picture(name, SIZES[place % 2])] for place, name in enumerate(COLOURS) if name in names]
        inputs = loaded.processor(text=[text] * len(names), images=images, padding=True, padding_side="left", return_tensors="pt")
        decoding = Decoding(max_new_tokens=14, repetition_penalty=4)
        return [one.text for one in write(loaded.model, tokenizer, dict(inputs), decoding)]

    own = loaded.model.generation_config
    together = answers("red", "green")
    assert loaded.model.generation_config is own  # it is put back
    assert together == answers("red") + answers("green")
    assert "house" in together[0]


def test_a_penalty_is_that_of_transformers():
    generator = torch.Generator().manual_seed(0)
    said, scores = torch.randint(0, 25, (4, 9), generator=generator), torch.randn(4, 20, generator=generator)
    own = Penalty(1.7, torch.ones(4, 6, dtype=torch.long))(said, scores)
    torch.testing.assert_close(own, RepetitionPenaltyLogitsProcessor(1.7)(said, scores.clone()))
    behind = torch.tensor([[0] * 4 + [1] * 2] * 4)
    torch.testing.assert_close(Penalty(1.7, behind)(said, scores), Penalty(1.7, behind[:, 4:])(said[:, 4:], scores))


def test_without_seeing_pictures_every_answer_is_the_same(taught: Path):
    captioner = load(taught, f"{SHORT}&images=false")
    assert not captioner.reads_pictures
    answers = captioner.describe([Picture("one", None), Picture("two", None)], ask())
    assert answers[0] == answers[1]
    assert captioner.fingerprint != load(taught).fingerprint


def test_a_system_message_and_limits_of_size_reach_the_model(taught: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[int, ...]] = []
    write = local_captioner.write
    monkeypatch.setattr(local_captioner, "write", lambda *given: seen.append(tuple(given[2]["input_ids"].shape)) or write(*given))
    large = [Picture("large", Image.new("RGB", (112, 112)))]
    lengths = []
    for options in ("", "&max_pixels=4000", "&min_pixels=0&max_pixels=0", "&system=You describe pictures."):
        load(taught, SHORT + options).describe(large, ask())
        lengths.append(seen[-1][1])
    assert lengths[1] < lengths[0] == lengths[2] < lengths[3]
    assert load(taught, f"{SHORT}&max_pixels=400").prepare(large[0].image).size == (20, 20)  # type: ignore[attr-defined]


def test_tiles_are_for_models_that_cut_pictures(taught: Path, internvl: Path):
    with pytest.raises(ConfigError, match="leave max_patches out"):
        load(taught, f"{SHORT}&max_patches=2").describe(PICTURES[:1], ask())
    assert load(internvl, "max_new_tokens=2&max_patches=1").describe(PICTURES[:1], ask()) == [[""]]


def test_names_carry_no_path_and_what_decides_the_answers(taught: Path):
    captioner = load(taught, "temperature=0.5&max_new_tokens=9&device=cpu&precision=fp32")
    assert captioner.name == "transformers:taught?max_new_tokens=9&temperature=0.5"
    assert captioner.decoding == Decoding(max_new_tokens=9, temperature=0.5)  # type: ignore[attr-defined]
    prints = {load(taught, options).fingerprint for options in (SHORT, "max_new_tokens=15", f"{SHORT}&system=x")}
    prints.add(load(taught, precision="bf16").fingerprint)
    assert len(prints) == 4
    assert load(taught, f"{SHORT}&images=true").fingerprint in prints


def test_options_reach_the_loader(monkeypatch: pytest.MonkeyPatch):
    given: list[Any] = []

    def refuse(name: str, **options: Any) -> None:
        given.append((name, options))
        raise EncoderError("enough")

    monkeypatch.setattr(local_captioner, "identify", lambda name, revision, base: Identity(name, f"{revision} on {base}"))
    monkeypatch.setattr(local_captioner, "load_image_text_model", refuse)
    for options in ("", "&revision=v2&base=b/ase&quantize=true&precision=bf16"):
        with pytest.raises(UnavailableError, match="enough"):
            load(Path("a/b"), SHORT + options, precision="fp32").describe(PICTURES[:1], ask())
    plain = {"revision": None, "device": "cpu", "precision": "fp32", "base": None, "quantize": False}
    named = {"revision": "v2", "device": "cpu", "precision": "bf16", "base": "b/ase", "quantize": True}
    assert given == [("a/b", plain), ("a/b", named)]


def test_bfloat16(taught: Path):
    assert load(taught, precision="bf16").describe(PICTURES, ask()) == [[answer(colour)] for colour in COLOURS]


def test_cut_answers_are_counted(taught: Path, caplog: pytest.LogCaptureFixture):
    captioner = load(taught, "max_new_tokens=2")
    assert captioner.describe(PICTURES[:2], ask()) == [["A red"], ["A"]]
    captioner.close()
    assert "2 answers reached max_new_tokens=2 and may be cut" in caplog.text
    assert "views" not in caplog.text


def test_views_that_would_say_the_same_are_told(taught: Path, caplog: pytest.LogCaptureFixture):
    question = ask(*ask().prompts * 3)
    captioner = load(taught)
    assert captioner.describe(PICTURES[:1], question) == [[answer("red")]]
    captioner.close()
    assert "1 of 3 views of each picture were asked" in caplog.text
    caplog.clear()
    captioner.close()
    drawing = load(taught, f"{SHORT}&temperature=0.5")
    assert len(drawing.describe(PICTURES[:1], question)[0]) == 3
    drawing.close()
    assert "views" not in caplog.text


def test_a_question_that_is_too_long_is_a_failure_of_its_picture(taught: Path):
    """1,024 positions: a large picture has more tokens than a small one."""
    small, large = Picture("small", picture("red")), Picture("large", picture("green", (112, 112)))
    captioner = load(taught, "max_new_tokens=994")
    found = captioner.describe([large, small, large], ask())
    too_long = Failed("the question has 38 tokens with its picture, the model has room for 30")
    assert found == [too_long, [answer("red")], too_long]
    assert load(taught, f"max_new_tokens={1024 - 38}").describe([large], ask()) == [[answer("green")]]  # it just fits
    with pytest.raises(ConfigError, match="1024 positions, which max_new_tokens alone would fill"):
        load(taught, "max_new_tokens=1024").describe(PICTURES, ask())


def test_out_of_memory_halves_the_batch_and_says_so(
    taught: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    write, sizes = local_captioner.write, list[int]()

    def fits_two(model: Any, tokenizer: Any, inputs: Any, *others: Any) -> Any:
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        sizes.append(len(inputs["input_ids"]))
        return write(model, tokenizer, inputs, *others)

    monkeypatch.setattr(local_captioner, "write", fits_two)
    captioner = load(taught)
    asker = Asker[Picture, Sequence[str]](captioner.name, lambda some: captioner.describe(some, ask()), lambda text: "", batch=4)
    assert [text for _, text in asker.all(PICTURES * 2)] == [[answer(colour)] for colour in COLOURS] * 2
    assert sizes == [2, 2, 2, 2]
    assert f"{captioner.name}: 4 at a time do not fit into memory; going on with 2" in caplog.text


def test_weights_that_cannot_be_loaded_are_an_end_and_no_twenty_failures(taught: Path, tmp_path: Path):
    damaged = shutil.copytree(taught, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"no weights")
    captioner = load(damaged)
    asker = Asker[Picture, Sequence[str]](captioner.name, lambda some: captioner.describe(some, ask()), lambda text: "", batch=4)
    with pytest.raises(UnavailableError, match="cannot be loaded"):
        list(asker.all(PICTURES))


def test_a_model_that_is_not_image_text_to_text_is_refused_at_once(nllb: Path, tmp_path: Path):
    with pytest.raises(EncoderError, match="not one that answers about pictures"):
        load(nllb)
    with pytest.raises(EncoderError, match="there is no folder"):
        load(tmp_path / "gone")


def llava(folder: Path) -> Path:
    """A LLaVA of random weights, whose template and tokenizer both write the token that begins a text."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForImageTextToText, CLIPImageProcessor, LlavaConfig, LlavaProcessor, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        **{"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
        extra_special_tokens={"image_token": "<|image_pad|>"},
    )
    begin = ("<|im_start|>", tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{begin[0]} $A", special_tokens=[begin])
    text = (
        "{% for m in messages %}{% for part in m['content'] %}{{ '<|image_pad|>' if part['type'] == 'image' else part['text'] }}"
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}),
        tokenizer,
        **{"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        chat_template="<|im_start|>" + text + "{% endfor %}{% endfor %}:",
    )
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "image_size": 56, "patch_size": 14, **size},
        text_config={"model_type": "llama", "vocab_size": len(tokenizer), "max_position_embeddings": 256, **size},
        **{"image_token_index": tokenizer.convert_tokens_to_ids("<|image_pad|>"), "image_seq_length": 16},
        vision_feature_layer=-1,
    )
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder.parent / "llava")
    processor.save_pretrained(folder.parent / "llava")
    return folder.parent / "llava"


def test_the_beginning_of_a_text_is_written_once(qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = llava(shutil.copytree(qwen, tmp_path / "tokenizer"))
    seen: list[list[int]] = []
    write = local_captioner.write
    monkeypatch.setattr(local_captioner, "write", lambda *given: seen.extend(given[2]["input_ids"].tolist()) or write(*given))
    captioner = load(folder, "max_new_tokens=4&temperature=1")
    together = captioner.describe(PICTURES, ask())
    assert together == [captioner.describe([one], ask())[0] for one in PICTURES]
    (begin,) = {row[0] for row in seen}
    assert all(row.count(begin) == 1 for row in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("max_new_token=5", "Did you mean 'max_new_tokens'"),
        ("max_new_tokens=0", "max_new_tokens"),
        ("temperature=hot", "temperature"),
        ("images=perhaps", "images"),
        ("top_p=0", "top_p"),
        ("precision=fp8", "no precision"),
        ("min_pixels=9&max_pixels=4", "is more than max_pixels"),
    ],
)
def test_wrong_options(taught: Path, options: str, message: str):
    with pytest.raises(ConfigError, match=message):
        load(taught, options)
