"""Image-text-to-text models: whole ones and adapters, and what is no such model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from mella_retrieval.encoders.image_text_models import ADAPTER, ImageTextModel, identify, load_image_text_model
from mella_retrieval.errors import ConfigError, EncoderError
from mella_retrieval.pocket.models import tiny_internvl, tiny_nllb, tiny_qwen2_vl

TEXTS = ("a red house", "két alma", "บ้าน")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen2_vl(tmp_path_factory.mktemp("models") / "tiny-qwen", TEXTS)


@pytest.fixture(scope="module")
def adapter(qwen: Path) -> Path:
    """LoRA whose matrices are not zero, beside its base, which it names by a relative path."""
    peft = pytest.importorskip("peft")
    wanted = {"r": 4, "target_modules": r".*language_model.*\.(q_proj|v_proj)", "init_lora_weights": False}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = peft.get_peft_model(load(qwen).model, peft.LoraConfig(task_type="CAUSAL_LM", **wanted))
    folder = qwen.parent / "tuned"
    made.save_pretrained(folder)
    config = json.loads((folder / ADAPTER).read_text())
    (folder / ADAPTER).write_text(json.dumps({**config, "base_model_name_or_path": qwen.name}))
    made.merge_and_unload().save_pretrained(qwen.parent / "merged")
    for file in ("processor_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(qwen / file, qwen.parent / "merged" / file)
    return folder


def load(folder: Path, **options: str) -> ImageTextModel:
    return load_image_text_model(str(folder), device="cpu", **options)  # type: ignore[arg-type]


def logits(loaded: ImageTextModel) -> torch.Tensor:
    content = [{"type": "image"}, {"type": "text", "text": "a red house"}]
    text = loaded.processor.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    inputs = loaded.processor(text=[text], images=[[Image.new("RGB", (60, 60), (200, 0, 0))]], return_tensors="pt")
    with torch.inference_mode():
        found: torch.Tensor = loaded.model(**inputs.to("cpu", loaded.model.dtype)).logits.float()
    return found


def test_a_whole_model(qwen: Path, tmp_path: Path):
    loaded = load(qwen)
    assert (loaded.name, loaded.precision, type(loaded.model).__name__) == (
        "tiny-qwen",
        "fp32",
        "Qwen2VLForConditionalGeneration",
    )
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.fingerprint == identify(str(qwen)).fingerprint
    assert load(qwen, precision="bf16").model.dtype == torch.bfloat16
    intern = load(tiny_internvl(tmp_path / "intern", TEXTS))
    assert intern.fingerprint != loaded.fingerprint


def test_fingerprints_are_of_what_decides_answers(qwen: Path, tmp_path: Path):
    copy = shutil.copytree(qwen, tmp_path / "elsewhere")
    (copy / "README.md").write_text("a card")
    (copy / "manifest.json").write_text("{}")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "_name_or_path": "/home/me", "transformers_version": "9"}))
    assert identify(str(copy)).fingerprint == identify(str(qwen)).fingerprint
    (copy / "chat_template.jinja").write_text((copy / "chat_template.jinja").read_text() + " ")
    changed = identify(str(copy)).fingerprint
    assert changed != identify(str(qwen)).fingerprint
    tiny_qwen2_vl(copy, TEXTS, seed=1)
    assert identify(str(copy)).fingerprint not in {changed, identify(str(qwen)).fingerprint}


def test_an_adapter_is_put_onto_its_base(qwen: Path, adapter: Path):
    tuned, plain, merged = load(adapter), load(qwen), load(qwen.parent / "merged")
    assert tuned.name == "tuned"
    assert type(tuned.model) is type(plain.model)
    assert tuned.processor.chat_template == plain.processor.chat_template
    assert len({one.fingerprint for one in (tuned, plain, merged)}) == 3
    assert float((logits(tuned) - logits(plain)).abs().max()) > 1e-2
    assert float((logits(tuned) - logits(merged)).abs().max()) < 1e-4
    assert torch.equal(logits(load(adapter, base=str(qwen))), logits(tuned))
    assert load(adapter, base=str(qwen)).fingerprint == tuned.fingerprint


def test_an_adapter_of_another_model_is_refused(adapter: Path, tmp_path: Path):
    deeper = tiny_qwen2_vl(tmp_path / "deeper", TEXTS, layers=3)
    with pytest.raises(EncoderError, match="missing adapter keys"):
        load(adapter, base=str(deeper))
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load(adapter, base=str(tiny_qwen2_vl(tmp_path / "wider", TEXTS, width=128)))


def test_an_adapter_whose_matrices_fit_another_kind_of_model_is_refused(qwen: Path, tmp_path: Path):
    """The language models of the two have one shape, so that PEFT finds nothing amiss."""
    peft = pytest.importorskip("peft")
    intern = tiny_internvl(tmp_path / "intern", TEXTS)
    wanted = {"r": 4, "target_modules": r".*language_model.*\.(q_proj|v_proj)"}
    peft.get_peft_model(load(intern).model, peft.LoraConfig(task_type="CAUSAL_LM", **wanted)).save_pretrained(tmp_path / "lora")
    assert load(tmp_path / "lora", base=str(qwen)).name == "lora"  # without a processor it does not say what it is of
    load(intern).processor.save_pretrained(tmp_path / "lora")
    with pytest.raises(EncoderError, match=r"lora is an adapter of another model than .*tiny-qwen: its processor is InternVL"):
        load(tmp_path / "lora", base=str(qwen))
    assert type(load(tmp_path / "lora", base=str(intern)).model).__name__ == "InternVLForConditionalGeneration"


def test_an_adapter_that_does_not_say_whose_it_is(adapter: Path, tmp_path: Path):
    copy = shutil.copytree(adapter, tmp_path / "alone")
    with pytest.raises(EncoderError, match=r"alone is an adapter of tiny-qwen, .* say where: \?base=FOLDER_OR_NAME"):
        load(copy)
    with pytest.raises(EncoderError, match="there is no folder") as told:
        load(copy, base=str(tmp_path / "nowhere"))
    assert "neither beside it" not in str(told.value)
    config = json.loads((copy / ADAPTER).read_text())
    (copy / ADAPTER).write_text(json.dumps({**config, "base_model_name_or_path": None}))
    with pytest.raises(EncoderError, match="does not say which model it belongs to"):
        load(copy)
    (copy / ADAPTER).write_text("{")
    with pytest.raises(EncoderError, match="cannot be read"):
        load(copy)


def test_a_base_for_what_is_no_adapter(qwen: Path):
    with pytest.raises(EncoderError, match="is no adapter"):
        load(qwen, base="somebody/model")
    with pytest.raises(EncoderError, match="has no revision"):
        load(qwen, revision="main")


def test_what_is_no_image_text_to_text_model(qwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    translator = tiny_nllb(tmp_path / "nllb", TEXTS, ["eng_Latn", "hun_Latn"])
    with pytest.raises(EncoderError, match=r"type 'm2m_100', not one that answers about pictures \(image-text-to-text"):
        load(translator)
    with pytest.raises(EncoderError, match="there is no folder"):
        load(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EncoderError, match=r"has no config\.json"):
        load(tmp_path / "empty")
    with pytest.raises(EncoderError, match="hf download somebody/nothing"):
        load_image_text_model("somebody/nothing", device="cpu")
    with pytest.raises(ConfigError, match="no precision"):
        load(qwen, precision="fp8")


def test_what_is_missing_or_damaged_is_said(qwen: Path, tmp_path: Path):
    def copy_without(name: str, *files: str) -> Path:
        copy = shutil.copytree(qwen, tmp_path / name)
        for file in files:
            (copy / file).unlink()
        return copy

    with pytest.raises(EncoderError, match="no chat template"):
        load(copy_without("mute", "chat_template.jinja"))
    with pytest.raises(EncoderError, match="processor"):
        load(copy_without("blind", "processor_config.json"))
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load(copy_without("light", "model.safetensors"))
    damaged = copy_without("damaged")
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EncoderError, match="cannot be loaded"):
        load(damaged)
    deeper = copy_without("lacking")
    tiny_qwen2_vl(tmp_path / "three", TEXTS, layers=3)
    shutil.copy(tmp_path / "three" / "config.json", deeper / "config.json")
    with pytest.raises(EncoderError, match="the weights lack"):
        load(deeper)
