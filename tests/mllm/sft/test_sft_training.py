import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import everything
from safetensors.torch import load_file
from sft_world import KILLED_AT, prepared, quick, stop_at

from mella_retrieval.artifacts import read_manifest
from mella_retrieval.data.records import Records
from mella_retrieval.encoders.image_text_models import load_image_text_model
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MissingDependencyError, TrainingError
from mella_retrieval.mllm.sft import SftReport, fine_tune, running, saving
from mella_retrieval.mllm.sft.card import write_card
from mella_retrieval.mllm.sft.collating import ROW, TIME, Collator
from mella_retrieval.mllm.sft.drawing import draw, times_before
from mella_retrieval.mllm.sft.parts import Parts
from mella_retrieval.mllm.sft.running import Order


def weights(folder: Path, **options: Any) -> dict[str, torch.Tensor]:
    return load_image_text_model(str(folder), device="cpu", **options).model.state_dict()


def logits(folder: Path, **options: Any) -> torch.Tensor:
    from PIL import Image

    loaded = load_image_text_model(str(folder), device="cpu", **options)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Mi ez?"}]}]
    text = loaded.processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    given = loaded.processor(text=[text], images=[[Image.new("RGB", (60, 60), "red")]], return_tensors="pt")
    with torch.no_grad():
        return loaded.model(**given).logits


def test_lora__the_loss_falls_and_only_layers_of_the_language_model_have_additions(lora: SftReport) -> None:
    losses = lora.losses()
    assert losses[-1] < losses[0] - 0.2
    assert lora.steps == 6
    stored = load_file(lora.folder / "adapter_model.safetensors")
    assert sum(tensor.numel() for tensor in stored.values()) == lora.trained_parameters
    assert all(".language_model.layers." in name for name in stored)
    assert {name.split(".")[-3] for name in stored} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }


def test_lora__what_is_frozen_stays_to_the_bit_and_merging_changes_nothing(
    qwen: Path, world: Records, lora: SftReport, half_way: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = weights(qwen)
    kept = []

    def look(model: Any, *arguments: Any) -> None:
        inside = {name.replace(".base_layer", ""): value for name, value in model.get_base_model().state_dict().items()}
        kept.append([name for name in base if not torch.equal(inside[name], base[name])])
        store(model, *arguments)

    store = saving.save_adapter
    monkeypatch.setattr(saving, "save_adapter", look)
    shutil.copytree(half_way, tmp_path / "merged.work")  # how it is stored in the end is nothing to the training
    merged = fine_tune(str(qwen), world, tmp_path / "merged", quick(save="merged"), device="cpu")
    assert merged.resumed_at == 4
    assert kept == [[]]

    assert merged.losses() == lora.losses()
    changed = {name for name, value in weights(merged.folder).items() if not torch.equal(value, base[name])}
    assert changed == {name for name in base if ".language_model.layers." in name and "proj.weight" in name}
    applied = logits(lora.folder, base=str(qwen))
    assert (logits(merged.folder) - applied).abs().max() < 1e-4
    assert (logits(qwen) - applied).abs().max() > 1e-2


def test_full__vision_tower_and_connector_stay_to_the_bit(internvl: Path, full: SftReport) -> None:
    losses = full.losses()
    assert losses[-1] < losses[0] - 0.2
    before, after = weights(internvl), weights(full.folder)
    model = load_image_text_model(str(internvl), device="cpu").model
    parts = Parts(model, "internvl")
    changed = {name: not torch.equal(before[name], after[name]) for name in before}
    assert {parts.of(name) for name in before} == {"vision", "connector", "language"}
    assert not [name for name, did in changed.items() if did and parts.of(name) != "language"]
    assert all(did for name, did in changed.items() if parts.of(name) == "language" and "bias" not in name)
    language = [one.numel() for name, one in model.named_parameters() if parts.of(name) == "language"]
    assert full.trained_parameters == sum(language)


def test_full__a_part_that_is_not_frozen_is_trained(
    qwen: Path, world: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel as Model

    parts = Parts(load_image_text_model(str(qwen), device="cpu").model, "qwen")
    forward, seen = Model.forward, []

    def look(self: Any, *arguments: Any, **inputs: Any) -> Any:
        if self.training:
            of = {parts.of(f"model.{name}") for name, module in self.named_modules() if module.training and module._parameters}
            types = {value.dtype for value in self.parameters()}
            seen.append((of, types, self.is_activation_checkpointing, torch.is_autocast_enabled("cpu")))
        return forward(self, *arguments, **inputs)

    monkeypatch.setattr(Model, "forward", look)
    recipe = quick(method="full", frozen=["vision"], steps=2, precision="bf16", activation_checkpointing=True)
    report = fine_tune(str(qwen), world, tmp_path / "out", recipe, device="cpu")
    assert seen == [({"connector", "language"}, {torch.float32}, True, True)] * 2
    before, after = weights(qwen), weights(report.folder)
    halved = {name: value.to(torch.bfloat16).float() for name, value in before.items()}
    changed = {parts.of(name) for name in before if not torch.equal(halved[name], after[name])}
    assert changed == {"connector", "language"}
    config = json.loads((report.folder / "config.json").read_text())
    assert config.get("use_cache", True)
    assert config["dtype"] == "bfloat16"


def test_qlora__trains_additions_on_four_bits_and_goes_on_with_the_same(qwen: Path, world: Records, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    recipe = quick(method="qlora", evaluation={"share": 0})
    report = fine_tune(str(qwen), world, tmp_path / "out", recipe, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        fine_tune(str(qwen), world, tmp_path / "two", recipe, device="cpu", progress=stop_at(KILLED_AT))
    assert fine_tune(str(qwen), world, tmp_path / "two", recipe, device="cpu").resumed_at == 4
    assert everything(tmp_path / "two") == everything(report.folder)
    assert {value.dtype for value in load_file(report.folder / "adapter_model.safetensors").values()} == {torch.float32}
    assert report.losses()[-1] < report.losses()[0] - 0.2
    assert (logits(report.folder, base=str(qwen)) - logits(qwen)).abs().max() > 1e-2
    assert report.parameters > sum(value.numel() for value in weights(qwen).values())


@pytest.mark.parametrize("name", ["qwen", "internvl"])
def test_four_bits__are_the_language_models_alone(name: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("bitsandbytes")
    model = load_image_text_model(str(request.getfixturevalue(name)), device="cpu", quantize=True).model
    small = [path for path, layer in model.named_modules() if type(layer).__name__ == "Linear4bit"]
    assert len(small) == 14
    assert all("language_model.layers." in path for path in small)


def test_qlora__without_bitsandbytes_says_how_to_get_it(
    qwen: Path, world: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingDependencyError, match=r"bitsandbytes.*pip install mella-retrieval\[mllm\]"):
        fine_tune(str(qwen), world, tmp_path / "out", quick(method="qlora"), device="cpu")


def test_folder__has_card_log_manifest_and_no_path_of_this_machine(
    qwen: Path, internvl: Path, lora: SftReport, full: SftReport, world: Records
) -> None:
    models = {model.name: model for model in (qwen, internvl)}
    for report in (lora, full):
        folder = report.folder
        manifest = read_manifest(folder, "mllm", 1)
        assert manifest["records"] == world.fingerprint
        assert manifest["steps"] == 6
        assert set(manifest["files"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
        assert [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] == report.log
        modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
        assert modes == {(folder / "README.md").stat().st_mode & 0o777}
        root = str(folder.parents[1])
        assert not [path.name for path in folder.rglob("*") if path.is_file() and root.encode() in path.read_bytes()]
        card = (folder / "README.md").read_text()
        assert "| know | hu |" in card
        assert "| ling | th |" in card
        assert not folder.with_name(folder.name + ".work").exists()
        assert (folder / "tokenizer.json").read_bytes() == (models[report.model] / "tokenizer.json").read_bytes()
    config = json.loads((lora.folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-qwen2-vl"
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 32, 0.05)


def test_card__says_how_a_base_of_the_hub_and_one_in_a_folder_are_loaded(lora: SftReport, full: SftReport) -> None:
    made_by = read_manifest(lora.folder, "mllm", 1)
    assert 'base = AutoModelForImageTextToText.from_pretrained("path/to/tiny-qwen2-vl")' in write_card(lora, made_by)
    made_by["base"]["name"] = "owner/name@abc"
    card = write_card(lora, made_by)
    assert '\nbase_model: "owner/name"\n' in card
    assert "\n# name, fine-tuned on hu, th\n" in card
    assert 'base = AutoModelForImageTextToText.from_pretrained("owner/name", revision="abc")' in card
    assert 'model = AutoModelForImageTextToText.from_pretrained("this-folder")' in (full.folder / "README.md").read_text()


def test_settings__are_those_of_the_recipe(tmp_path: Path) -> None:
    how = {"learning_rate": 3e-3, "weight_decay": 0.125, "max_grad_norm": 0.5, "seed": 7, "activation_checkpointing": True}
    recipe = quick(**how, schedule="constant_with_warmup", warmup=0.25, log_every=5, checkpoint_every=9, evaluation={"every": 11})
    args = running.settings(recipe, tmp_path, per_device=3, accumulation=2, bf16=False, cpu=True)
    assert {name: getattr(args, name) for name in how} == how
    assert (args.lr_scheduler_type, args.warmup_steps) == ("constant_with_warmup", 0.25)
    assert (args.logging_steps, args.save_steps, args.eval_steps) == (5, 9, 11)
    assert (args.per_device_train_batch_size, args.per_device_eval_batch_size, args.gradient_accumulation_steps) == (3, 3, 2)
    assert not args.bf16
    assert running.settings(recipe, tmp_path, per_device=3, accumulation=2, bf16=True, cpu=True).bf16


def test_settings__have_no_more_readers_than_there_are_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 3, 5})
    for workers, taken in ((2, 2), (64, 3)):
        recipe = quick(workers=workers)
        args = running.settings(recipe, tmp_path, per_device=1, accumulation=1, bf16=False, cpu=True)
        assert args.dataloader_num_workers == taken


def test_log__evaluation_stands_before_during_and_after_training(lora: SftReport) -> None:
    assert [line["step"] for line in lora.log if "eval_loss" in line] == [0, 3, 6]
    assert [line["step"] for line in lora.log if "loss" in line] == [1, 2, 3, 4, 6]  # with every state, and every third
    assert lora.prepared.train + lora.prepared.evaluation == lora.prepared.read == 24
    assert lora.prepared.evaluation == 4


def test_order__is_the_one_that_was_drawn(qwen: Path, world: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = quick(steps=7, evaluation={"share": 0.5, "limit": 3, "every": 99}, images=False)
    examples, _ = prepared(qwen, world, tmp_path / "prepared", recipe)
    trained, held_out = ([row for row in range(24) if examples[row].part == part] for part in ("train", "validation"))
    assert (len(trained), len(held_out)) == (12, 12)
    order = draw([examples[row].source for row in trained], {}, batch=4, epochs=1, steps=7, seed=0)
    collate, asked = Collator.__call__, []

    def spy(self: Collator, rows: Any) -> Any:
        asked.append([(row[ROW], row[TIME]) for row in rows])
        return collate(self, rows)

    monkeypatch.setattr(Collator, "__call__", spy)
    fine_tune(str(qwen), world, tmp_path / "out", recipe, device="cpu")
    looked_at, *steps, at_last = asked
    assert looked_at == at_last
    assert len({row for row, _ in looked_at} & set(held_out)) == 3
    times = Counter[int]()
    for number, step in enumerate(steps):
        rows = [trained[row] for row in order[4 * number : 4 * number + 4]]
        assert step == [(row, times[row]) for row in rows]
        times.update(rows)
    assert (len(steps), set(times.values())) == (7, {2, 3})


def test_tokens__are_those_that_were_trained_on(qwen: Path, world: Records, lora: SftReport, tmp_path: Path) -> None:
    examples, collator = prepared(qwen, world, tmp_path, quick())
    drawn = Order.of(examples, quick()).train
    rows = [{ROW: int(row), TIME: int(time)} for row, time in zip(drawn, times_before(drawn), strict=True)]
    assert {row[TIME] for row in rows} == {0, 1}
    assert lora.tokens == int(collator(rows)["attention_mask"].sum())


def test_memory__fewer_at_a_time_give_the_same_steps(
    internvl: Path, world: Records, full: SftReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    from transformers.models.internvl.modeling_internvl import InternVLModel

    forward, sizes = InternVLModel.forward, []

    def short_of_memory(self: Any, *arguments: Any, **inputs: Any) -> Any:
        if self.training:
            sizes.append(len(inputs["input_ids"]))
            if len(sizes) > 2 and sizes[-1] > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nmore")
        return forward(self, *arguments, **inputs)

    monkeypatch.setattr(InternVLModel, "forward", short_of_memory)
    recipe = quick(method="full", learning_rate=1e-3)
    report = fine_tune(str(internvl), world, tmp_path / "out", recipe, device="cpu")
    assert sizes == [4, 4, 4] + [2] * 8
    assert (report.per_device, report.batch, report.resumed_at) == (2, 4, 2)
    said = [record.getMessage() for record in caplog.records if record.name == "mella_retrieval.mllm.sft.tuning"]
    assert len(said) == 1
    assert "memory was not enough for 4 conversations at a time" in said[0]
    assert "2 are computed at a time from now on, and each step still has 4" in said[0]
    assert report.losses() == pytest.approx(full.losses(), rel=1e-4)


def test_memory__not_enough_for_one_is_an_error(
    internvl: Path, world: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.internvl.modeling_internvl import InternVLModel

    def none_left(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(InternVLModel, "forward", none_left)
    with pytest.raises(TrainingError, match=r"memory is not enough for one conversation.*picture.max_pixels"):
        fine_tune(str(internvl), world, tmp_path / "out", quick(per_device=1), device="cpu")


def test_loss__that_is_no_number_ends_the_training(qwen: Path, world: Records, tmp_path: Path) -> None:
    recipe = quick(method="full", learning_rate=1e30, max_grad_norm=1e30, log_every=1)
    with pytest.raises(TrainingError, match=r"loss of step \d is no number: use a lower learning_rate"):
        fine_tune(str(qwen), world, tmp_path / "out", recipe, device="cpu")
    assert not (tmp_path / "out").exists()


def test_fine_tune__refuses_before_it_begins(
    qwen: Path, world: Records, lora: SftReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"is an adapter; train the model that it was merged into"):
        fine_tune(str(lora.folder), world, tmp_path / "out", quick(), device="cpu")
    with pytest.raises(DataError, match="would replace the model, records or pictures"):
        fine_tune(str(qwen), world, qwen.parent, quick(), device="cpu", overwrite=True)
    with pytest.raises(ArtifactError, match="already exists"):
        fine_tune(str(qwen), world, lora.folder, quick(), device="cpu")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ArtifactError, match="is not a finished mllm folder"):
        fine_tune(str(qwen), world, tmp_path / "mine", quick(), device="cpu", overwrite=True)
    with pytest.raises(ConfigError, match=r"Qwen2VL.* cuts no tiles"):
        fine_tune(str(qwen), world, tmp_path / "tiles", quick(picture={"max_patches": 2}), device="cpu")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="a batch of 4 cannot be shared evenly by 3 processes"):
        fine_tune(str(qwen), world, tmp_path / "odd", quick(), device="cpu")
