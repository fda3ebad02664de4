"""Tiny models of the real classes: stored in the real formats, the same for the same seed, small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoModelForSeq2SeqLM, AutoProcessor, AutoTokenizer
from transformers.utils import logging

from mella_retrieval.pocket.models import tiny_internvl, tiny_nllb, tiny_qwen2_vl

TEXTS = ("egy piros ház", "หมาสีแดง", "a red house")
MAKERS = {"Qwen2VLForConditionalGeneration": tiny_qwen2_vl, "InternVLForConditionalGeneration": tiny_internvl}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize(("name", "make"), MAKERS.items(), ids=MAKERS)
def test_an_mllm_sees_the_picture_and_its_template_marks_the_answer(tmp_path: Path, name: str, make: Callable[..., Path]):
    folder = make(tmp_path / "model", TEXTS, width=128, layers=4)
    model, processor = AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    assert type(model).__name__ == name
    assert sum(one.numel() for one in model.parameters()) < 2_000_000
    question = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Mi ez?"}]}]
    asked = processor.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    answered = [*question, {"role": "assistant", "content": [{"type": "text", "text": "egy piros ház"}]}]
    assert processor.apply_chat_template(answered, tokenize=False) == asked + "egy piros ház<|im_end|>\n"
    answers = []
    for colour in ("red", "blue"):
        inputs = processor(text=[asked], images=[Image.new("RGB", (112, 112), colour)], return_tensors="pt")
        assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 16
        answers.append(model(**inputs).logits)
    assert (answers[0] - answers[1]).abs().max() > 1e-3


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_seed_decides_the_weights(tmp_path: Path, make: Callable[..., Path]):
    first, same, other = (weights(make(tmp_path / str(n), TEXTS, seed=seed)) for n, seed in enumerate((1, 1, 2)))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_saving_shows_no_bars(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    shown = logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    try:
        tiny_qwen2_vl(tmp_path / "model", TEXTS)
        assert logging.is_progress_bar_enabled()  # as it was
    finally:
        if not shown:
            logging.disable_progress_bar()
    assert capfd.readouterr().err == ""


def test_a_translator_knows_its_languages(tmp_path: Path):
    folder = tiny_nllb(tmp_path / "nllb", TEXTS, ["eng_Latn", "hun_Latn", "tha_Thai"])
    tokenizer, model = AutoTokenizer.from_pretrained(folder, src_lang="hun_Latn"), AutoModelForSeq2SeqLM.from_pretrained(folder)
    codes = [tokenizer.convert_tokens_to_ids(code) for code in ("eng_Latn", "hun_Latn", "tha_Thai", "fra_Latn")]
    assert len(set(codes)) == 4
    assert codes[3] == tokenizer.unk_token_id
    ids = tokenizer("egy piros ház").input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[0] == "hun_Latn"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "egy piros ház"
    made = model.generate(torch.tensor([ids]), forced_bos_token_id=codes[2], max_new_tokens=3)
    assert made[0, 1] == codes[2]
