"""Translation models of four families, each told of languages in its own way; real classes that were taught a few sentences."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import translation_models
from transformers import AutoTokenizer, M2M100Config
from translation_models import ENGLISH, SAID

from mella_retrieval import languages
from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.data.ling.translators import load_translator
from mella_retrieval.errors import ConfigError, DataError, EncoderError, MissingDependencyError, UnavailableError
from mella_retrieval.mllm.language_tokens import LanguageTokens
from mella_retrieval.mllm.seq2seq import Seq2SeqTranslator
from mella_retrieval.mllm.translators import translators

EN, HU, TH = map(languages.get, ("en", "hu", "th"))
QUICK = "beams=2&max_new_tokens=40"


@pytest.fixture(scope="module")
def model(taught_translator: Path) -> Path:
    return taught_translator


def load(folder: Path, options: str = QUICK) -> Seq2SeqTranslator:
    found = load_translator(f"transformers:{folder}?{options}", translators("cpu"))
    assert isinstance(found, Seq2SeqTranslator)
    return found


MAKERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "m2m100": (translation_models.m2m100, "M2M100"),
    "madlad": (translation_models.madlad, "MADLAD"),
    "opus-mt-en-mul": (lambda folder: translation_models.marian(folder, ["hu", "th"]), "Marian"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_each_family_is_told_the_target(name: str, tmp_path: Path):
    make, family = MAKERS[name]
    translator = load(make(tmp_path / name))
    for lang in (HU, TH):
        translator.require(EN, lang)
        assert tuple(translator.translate(ENGLISH, EN, lang)) == SAID[lang.code]
    assert translator.name == f"transformers:{name}?{QUICK}"
    with pytest.raises(DataError, match=rf"transformers:{name}.*\({family}\) does not write Bavarian.*It knows "):
        translator.require(EN, languages.get("bar"))


def test_a_marian_of_two_languages_knows_these_alone(tmp_path: Path):
    translator = load(translation_models.marian(tmp_path / "opus-mt-en-hu", ["hu"]))
    translator.require(EN, HU)
    assert tuple(translator.translate(ENGLISH, EN, HU)) == SAID["hu"]
    with pytest.raises(DataError, match="does not write Thai"):
        translator.require(EN, TH)
    with pytest.raises(DataError, match="does not read Thai"):
        translator.require(TH, HU)


def test_nllb_is_told_by_flores_codes(model: Path):
    translator = load(model)
    translator.require(EN, TH)
    assert tuple(translator.translate(ENGLISH, EN, TH)) == SAID["th"]
    assert tuple(translator.translate(ENGLISH[::-1], EN, HU)) == SAID["hu"][::-1]
    with pytest.raises(DataError, match=r"\(NLLB\) does not write Serbian \(sr, FLORES srp_Cyrl\). It knows en, hu, th"):
        translator.require(EN, languages.get("sr"))


def test_what_the_model_is_told(model: Path, monkeypatch: pytest.MonkeyPatch):
    """Both languages, also after other ones; and how it searches."""
    translator = load(model, "beams=3&max_new_tokens=5000")
    generate, asked = translator._loaded().generate, list[tuple[str, str, int, int]]()
    name = translator._tokenizer.convert_ids_to_tokens

    def told(*, generation_config: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        search = generation_config.num_beams, generation_config.max_new_tokens
        asked.append((name(int(input_ids[0, 0])), name(generation_config.forced_bos_token_id), *search))
        generation_config.update(max_new_tokens=1, num_beams=1)
        return generate(generation_config=generation_config, input_ids=input_ids, attention_mask=attention_mask)

    monkeypatch.setattr(translator._model, "generate", told)
    for source, target in ((TH, HU), (EN, TH), (HU, TH)):
        translator.translate(["x"], source, target)
    positions = translator._config.max_position_embeddings
    pairs = (("tha_Thai", "hun_Latn"), ("eng_Latn", "tha_Thai"), ("hun_Latn", "tha_Thai"))
    assert asked == [(*pair, 3, positions - 1) for pair in pairs]


def test_scripts_of_a_language_are_kept_apart():
    class Tokenizer:
        def get_vocab(self) -> dict[str, int]:
            return {
                token: place
                for place, token in enumerate(
                    ("zho_Hant", "cmn_Hans", "zho_Hans", "srp_Cyrl", "eng_Latn", "tgl_Latn", "house")  # cmn is another name
                )
            }

    known = LanguageTokens(Tokenizer())
    assert known.targets == {
        "zh-Hant": "zho_Hant", "zh": "zho_Hans", "sr": "srp_Cyrl", "en": "eng_Latn", "fil": "tgl_Latn",
    }  # fmt: skip
    with pytest.raises(DataError, match="Latin script"):
        known.require(languages.get("en"), languages.get("sr-Latn"), "it")


def test_a_long_text_is_translated_sentence_by_sentence_and_joined(model: Path):
    text = f"{ENGLISH[0]} {ENGLISH[1]}\n{ENGLISH[2]}"
    said = SAID["hu"]
    assert load(model).translate([text], EN, HU) == [f"{said[0]} {said[1]}\n{said[2]}"]
    longest = max(map(len, AutoTokenizer.from_pretrained(model)(list(ENGLISH))["input_ids"]))
    whole = load(model, f"{QUICK}&unit=text&max_source_tokens={longest}")
    assert whole.translate([text, ENGLISH[1]], EN, HU) == [f"{said[0]} {said[1]}\n{said[2]}", said[1]]


def test_nothing_is_cut_in_silence(model: Path):
    short = load(model, "max_source_tokens=4")
    found = short.translate([ENGLISH[0], f"It. {ENGLISH[0]}"], EN, HU)
    assert all(isinstance(one, Failed) and "tokens without an end mark between, 4 fit" in one.reason for one in found)
    of_tokenizer = load(model)
    of_tokenizer._tokenizer.model_max_length = 5
    (found,) = of_tokenizer.translate([ENGLISH[0]], EN, HU)
    assert isinstance(found, Failed) and "5 fit" in found.reason
    (cut,) = load(model, "max_new_tokens=3").translate([ENGLISH[0]], EN, HU)
    assert cut == Failed("the translation of a sentence has no end within 3 tokens")


def test_texts_of_one_batch_do_not_touch_each_other(model: Path):
    translator = load(model)
    together = translator.translate([*ENGLISH, ENGLISH[0]], EN, HU)
    assert together == [translator.translate([text], EN, HU)[0] for text in (*ENGLISH, ENGLISH[0])]


def test_memory_that_does_not_suffice_is_passed_on_to_who_halves_the_batch(model: Path, monkeypatch: pytest.MonkeyPatch):
    translator = load(model)
    translator.translate(ENGLISH[:1], EN, HU)

    def too_much(**_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(translator._model, "generate", too_much)
    with pytest.raises(torch.OutOfMemoryError):
        translator.translate(ENGLISH[1:], EN, HU)


def test_bf16_and_closing(model: Path):
    translator = load(model, f"{QUICK}&precision=bf16")
    assert translator.translate(ENGLISH[:1], EN, HU) == [SAID["hu"][0]]
    assert translator._model.dtype is torch.bfloat16
    translator.close()
    assert translator.translate(ENGLISH[2:], EN, HU) == [SAID["hu"][2]]


def test_the_fingerprint_is_that_of_all_that_decides(model: Path, tmp_path: Path):
    moved = shutil.copytree(model, tmp_path / "elsewhere" / model.name)
    same = {load(folder, f"{QUICK}&device=cpu").fingerprint for folder in (model, moved)} | {load(model).fingerprint}
    assert len(same) == 1
    others = {load(model, f"{QUICK}&{option}").fingerprint for option in ("unit=text", "precision=bf16", "max_source_tokens=9")}
    by_command = load_translator(f"transformers:{model}?{QUICK}", translators("cpu", "bf16"))
    assert by_command.fingerprint == load(model, f"{QUICK}&precision=bf16").fingerprint
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "scale_embedding": not config.get("scale_embedding")}))
    assert len(same | others | {load(moved).fingerprint}) == 5
    assert str(tmp_path) not in load(moved).name


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ("beam=3", ConfigError, "unknown key 'beam'. Did you mean 'beams'"),
        ("beams=none", ConfigError, "beams"),
        ("unit=page", ConfigError, "unit"),
        ("precision=fp8", ConfigError, "'fp8' is no precision"),
        ("device=tpu", EncoderError, "'tpu' is no device"),
        ("revision=main", EncoderError, "it has no revision main"),
    ],
)
def test_options_are_checked(model: Path, options: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        load(model, options)


def test_a_model_that_is_no_translation_model_is_refused(qwen: Path, tmp_path: Path):
    with pytest.raises(EncoderError, match=r"of type 'qwen2_vl', no translation model.*chat:"):
        load(qwen)
    with pytest.raises(EncoderError, match="there is no folder"):
        load(tmp_path / "nothing")


def test_a_model_without_languages_is_refused(tmp_path: Path):
    from transformers import BartConfig, PreTrainedTokenizerFast

    from mella_retrieval.pocket import models

    BartConfig(d_model=16).save_pretrained(tmp_path / "bart")
    tokenizer: PreTrainedTokenizerFast = models._chat_tokenizer(ENGLISH, (), [])
    tokenizer.save_pretrained(tmp_path / "bart")
    with pytest.raises(EncoderError, match="names no languages"):
        load(tmp_path / "bart").require(EN, HU)


def test_damaged_weights_end_the_work(model: Path, tmp_path: Path):
    broken = shutil.copytree(model, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    translator = load(broken)
    translator.require(EN, HU)
    with pytest.raises(UnavailableError, match="cannot be loaded"):
        translator.translate(ENGLISH, EN, HU)


def test_registering_costs_no_torch():
    module = importlib.import_module("mella_retrieval.mllm.translators")
    assert not {"torch", "transformers"} & set(vars(module))


def test_a_missing_sentencepiece_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    M2M100Config(d_model=16).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "M2M100Tokenizer"}')

    def lacking(*_: Any, **__: Any) -> None:
        raise ImportError("M2M100Tokenizer requires the SentencePiece library but it was not found in your environment.")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lacking)
    with pytest.raises(MissingDependencyError, match="needs a package that is not installed: M2M100Tokenizer requires"):
        load(tmp_path).require(EN, HU)
