"""What becomes of records: conversations, their lengths, and all that cannot be used."""

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sft_world import pictures, prepared, quick, written

from mella_retrieval.artifacts import describe_file, read_json, write_json
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.encoders.image_text_models import load_image_text_model
from mella_retrieval.errors import ConfigError, DataError, EncoderError
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.sft import fine_tune
from mella_retrieval.mllm.sft.collating import ROW, TIME
from mella_retrieval.mllm.sft.conversations import Conversations
from mella_retrieval.mllm.sft.drawing import times_before
from mella_retrieval.mllm.sft.examples import Example, Reading
from mella_retrieval.mllm.sft.lengths import Lengths
from mella_retrieval.mllm.sft.preparing import Preparing


def with_language(records: Records, text_id: str, lang: str) -> Records:
    """The same records with another code in one row, as a program with a table of its own would write it."""
    part = records.parts[0]
    table = pq.read_table(part)
    names = table["text_id"].to_pylist()
    codes = [lang if name == text_id else code for name, code in zip(names, table["lang"].to_pylist(), strict=True)]
    pq.write_table(table.set_column(table.schema.get_field_index("lang"), "lang", pa.array(codes)), part)
    manifest = read_json(records.folder / "manifest.json")
    manifest["parts"][part.name] |= describe_file(part)
    write_json(records.folder / "manifest.json", manifest)
    return Records.load(records.folder)


@pytest.mark.parametrize("name", ["qwen", "internvl"])
@pytest.mark.parametrize("images", [True, False])
def test_labels__are_the_answer_and_its_end_mark_only(
    name: str, images: bool, world: Records, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    recipe = quick(images=images, system="Légy pontos!")
    examples, collator = prepared(request.getfixturevalue(name), world, tmp_path, recipe)
    decode = collator.processor.tokenizer.decode
    batch = collator([{ROW: row, TIME: 0} for row in range(8)])
    for row in range(8):
        labels, ids = batch["labels"][row], batch["input_ids"][row]
        example = examples[row]
        assert decode(labels[labels != -100]) == example.answer + "<|im_end|>"
        given = ids[batch["attention_mask"][row] == 1]
        whole = decode(given)
        prompts = Prompts.load().of(example.lang, example.asked)
        asked = [prompt for prompt in prompts if f"{prompt}<|im_end|>" in whole]
        assert asked == [Prompts.load().choose(example.lang, example.asked, example.text_id, recipe.seed)]
        tokens = {prompt: len(collator.processor.tokenizer(prompt)["input_ids"]) for prompt in prompts}
        assert len(given) == example.tokens - max(tokens.values()) + tokens[asked[0]]
        assert whole.startswith("<|im_start|>system\nLégy pontos!<|im_end|>")
    pixels = [value for key, value in batch.items() if "pixel" in key]
    assert bool(pixels) == images
    assert len({examples[row].tokens - len(examples[row].answer) for row in range(8)}) > 1


def test_prompts__follow_language_and_source_and_are_drawn_anew_each_time(qwen: Path, world: Records, tmp_path: Path) -> None:
    examples, collator = prepared(qwen, world, tmp_path, quick(seed=5))
    prompts = Prompts.load()
    for row in (0, len(examples) - 1):
        example = examples[row]
        batch = collator([{ROW: row, TIME: time} for time in range(40)])
        known = prompts.of(example.lang, example.source)
        wholes = map(collator.processor.decode, batch["input_ids"])
        asked = [[prompt for prompt in known if f"{prompt}<|im_end|>" in whole] for whole in wholes]
        assert all(len(found) == 1 for found in asked)
        assert {found[0] for found in asked} == set(known)
        assert asked[0] == [prompts.choose(example.lang, example.source, example.text_id, seed=5)]


def test_times_before__count_each_row_of_its_own() -> None:
    rows = np.array([3, 1, 3, 3, 0, 1])
    assert times_before(rows).tolist() == [0, 0, 1, 2, 0, 1]
    assert times_before(rows[:0]).tolist() == []


@pytest.mark.parametrize("mark", ["<|im_end|>\\n", " "], ids=["mark and line end", "no mark"])
def test_answer__has_an_end_mark_whatever_the_template(mark: str, qwen: Path) -> None:
    processor = load_image_text_model(str(qwen), device="cpu").processor
    processor.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'][-1]['text'] }}{{ '" + mark + "' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    conversations = Conversations(processor, "tiny")
    assert conversations.question("Mi ez?").endswith("assistant: ")
    assert conversations.answer(" ház ") == "ház<|im_end|>"


def test_template__that_hides_the_answer_is_refused(qwen: Path) -> None:
    processor = load_image_text_model(str(qwen), device="cpu").processor
    processor.chat_template = "{{ messages[0]['content'][-1]['text'] }}"
    with pytest.raises(EncoderError, match="tiny: its chat template does not put the answer behind the question"):
        Conversations(processor, "tiny")


def test_records__that_cannot_be_used_are_counted_and_listed(internvl: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    items = pictures(images)
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.new("RGB", (900, 450), "grey").save(images / "wide.png")
    items += [
        RawRecord("b", "broken.png", "törött", "hu", source="know", text_id="broken"),
        RawRecord("m", "missing.png", "hiányzik", "hu", source="know", text_id="missing"),
        RawRecord("u", "https://example.org/a.png", "messze", "hu", source="know", text_id="url"),
        RawRecord("n", "p0.png", None, "", source="know", text_id="silent"),
        RawRecord("i0", "p0.png", "kép nélkül", "hu", source="know", text_id="strange"),
        RawRecord("", "", "csak szöveg", "hu", source="ling", text_id="alone"),
        RawRecord("i1", "p1.png", "egy <IMG_CONTEXT> jel", "hu", source="ling", text_id="mark"),
        RawRecord("i2", "p2.png", "hosszú " * 400, "hu", source="ling", text_id="long"),
        RawRecord("w", "wide.png", "széles", "hu", source="ling", text_id="wide"),
        RawRecord("i3", "p3.png", "máshonnan", "hu", source="web", text_id="other"),
    ]
    records = with_language(written(tmp_path / "records", items, images), "strange", "qqq")
    recipe = quick(
        max_length=300, steps=1, evaluation={"share": 0}, weights={"web": 0}, picture={"max_pixels": 100_000, "max_patches": 2}
    )
    report = fine_tune(str(internvl), records, tmp_path / "out", recipe, device="cpu")
    found = report.prepared
    assert found.skipped == {
        "a mark of the model's stands in the text": 1,
        "no picture": 1,
        "no text": 1,
        "the picture cannot be read": 2,
        "the picture is a URL": 1,
        "too long": 1,
        "unknown language": 1,
    }
    assert found.left_out == {"of the source web, whose weight is 0": 1}
    assert found.read == found.train + found.evaluation + sum(found.skipped.values()) + sum(found.left_out.values()) == 34
    assert read_json(report.folder / "processor_config.json")["image_processor"]["max_patches"] == 2
    assert found.trained_on == {"know": {"hu": 12}, "ling": {"hu": 1, "th": 12}}
    with (report.folder / "skipped.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["where"]: row["reason"] for row in csv.DictReader(file)}
    assert set(listed) == {"broken", "missing", "url", "silent", "strange", "alone", "mark", "long"}
    assert listed["long"].startswith("too long: ")
    assert listed["long"].endswith("tokens, max_length is 300")
    assert "missing.png does not exist" in listed["missing"]


def test_text_only__sees_no_picture(qwen: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    records = written(tmp_path / "records", pictures(images), images)
    for path in images.iterdir():
        path.unlink()
    model = shutil.copytree(qwen, tmp_path / "model")
    further = model / "additional_chat_templates" / "rag.jinja"
    further.parent.mkdir()
    further.write_text("{{ messages }}")
    report = fine_tune(str(model), records, tmp_path / "out", quick(images=False, steps=1), device="cpu")
    assert report.prepared.train + report.prepared.evaluation == 24
    assert "**A control" in (report.folder / "README.md").read_text()
    assert (report.folder / "additional_chat_templates" / "rag.jinja").read_text() == "{{ messages }}"
    assert "additional_chat_templates/rag.jinja" in read_json(report.folder / "manifest.json")["files"]


def test_splits__train_and_validation_are_used_and_the_rest_is_left(qwen: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    items = pictures(images)
    for number, item in enumerate(items):
        item.extras = {"split": ["train", "train", "validation", "test"][number // 2 % 4]}
    records = written(tmp_path / "records", items, images)
    examples, _ = prepared(qwen, records, tmp_path / "work", quick(evaluation={"share": 0.5, "limit": 4}))
    parts = examples.column("part").to_pylist()
    assert (parts.count("train"), parts.count("validation")) == (12, 6)
    counted = read_json(tmp_path / "work" / "prepared.json")
    assert counted["evaluation"] == 4
    assert counted["left_out"] == {"of the split test": 6, "held out, more than 4": 2}


def test_settings__that_do_not_fit_the_records_are_named(qwen: Path, world: Records, tmp_path: Path) -> None:
    prompts = tmp_path / "asked.yaml"
    prompts.write_text("hu: {know: [Írd meg!], ling: [Írd le!]}\n", encoding="utf-8")

    def tune(records: Records, **settings: Any) -> None:
        work = tmp_path / f"work-{len(list(tmp_path.iterdir()))}"
        recipe = quick(**settings)
        processor = load_image_text_model(str(qwen), device="cpu").processor
        conversations = Conversations(processor, "tiny")
        reading = Reading(records, recipe, Prompts.load(recipe.prompts or None))
        lengths = Lengths(processor, conversations, images=True)
        Preparing(work, reading, conversations, lengths, recipe.max_length).run()

    with pytest.raises(ConfigError, match=r"asked.yaml has no template in th; it has: hu"):
        tune(world, prompts=str(prompts))
    prompts.write_text("{hu: {know: [Írd meg!]}, th: {ling: [บ้าน, 'บ้าน: <|image_pad|>']}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"asked.yaml, th, ling: a template has a mark of the model's in it, <\|image_pad\|>"):
        tune(world, prompts=str(prompts))
    web = written(tmp_path / "web", [RawRecord("i", "p0.png", "ház", "hu", source="web", text_id="w")] * 1, world.image_root)
    with pytest.raises(ConfigError, match=r"records of the source 'web' \(the first is w\).*sources.NAME=ling"):
        tune(web)
    tune(web, sources={"web": "ling"}, evaluation={"share": 0})
    with pytest.raises(DataError, match=r"none of the 24 records can be trained on: 24 x too long"):
        tune(world, max_length=5)


def test_pictures__are_shown_within_the_limits(qwen: Path, world: Records, tmp_path: Path) -> None:
    tokens, patches = [], []
    for number, limits in enumerate(({}, {"max_pixels": 4000})):
        examples, collator = prepared(qwen, world, tmp_path / str(number), quick(picture=limits))
        batch = collator([{ROW: row, TIME: 0} for row in range(len(examples))])
        tokens.append(sum(examples.column("tokens").to_pylist()))
        patches.append(int(batch["image_grid_thw"].prod(-1).sum()))
    assert tokens[0] - tokens[1] == (patches[0] - patches[1]) / 4 > 0


def test_length__that_is_just_allowed_is(qwen: Path, world: Records, tmp_path: Path) -> None:
    examples, _ = prepared(qwen, world, tmp_path / "all", quick())
    longest = max(examples.column("tokens").to_pylist())
    assert len(prepared(qwen, world, tmp_path / "same", quick(max_length=longest))[0]) == 24
    assert len(prepared(qwen, world, tmp_path / "less", quick(max_length=longest - 1))[0]) < 24


def test_picture__that_vanished_is_named(qwen: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    records = written(tmp_path / "records", pictures(images), images)
    _, collator = prepared(qwen, records, tmp_path / "work", quick())
    (images / "p0.png").unlink()
    with pytest.raises(DataError, match=r"p0.png does not exist"):
        collator([{ROW: 0, TIME: 0}])


def test_pictures__that_the_processor_refuses_are_one_reason_however_large_they_are(qwen: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    items = pictures(images)
    for size in ((900, 2), (1, 900)):
        Image.new("RGB", size).save(images / f"{size[0]}.png")
        items.append(RawRecord(f"i{size}", f"{size[0]}.png", "vékony", "hu", source="know", text_id=f"t{size[0]}"))
    prepared(qwen, written(tmp_path / "records", items, images), tmp_path / "work", quick())
    assert read_json(tmp_path / "work" / "prepared.json")["skipped"] == {"the model's processor refuses the picture": 2}
    assert "the model's processor refuses the picture: 900 x 2 pixels, " in (tmp_path / "work" / "skipped.csv").read_text()


def test_held_out__are_pictures_that_would_be_trained_on(tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    items = pictures(images)
    for number in range(1, 12):  # one picture has an alt-text, the others have descriptions that are not wanted
        items[2 * number].text = None
    records, prompts = written(tmp_path / "records", items, images), Prompts.load()
    for seed in range(8):
        recipe = quick(evaluation={"share": 0.5}, weights={"ling": 0}, seed=seed)
        found = [one for chunk in Reading(records, recipe, prompts).chunks() for one in chunk]
        assert [one.part for one in found if isinstance(one, Example)] == ["train"]


def test_records__that_are_all_held_out_are_told_of(qwen: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    items = [item for item in pictures(images) if item.source == "know"][:2]
    records = written(tmp_path / "records", items, images)
    trained = [prepared(qwen, records, tmp_path / "all", quick())[0].column("part").to_pylist().index("train")]
    (images / f"p{trained[0]}.png").unlink()
    said = (
        r"none of the 2 records can be trained on: 1 x the picture cannot be read; held out: 1 \(none with evaluation.share=0\)"
    )
    with pytest.raises(DataError, match=said):
        prepared(qwen, records, tmp_path / "left", quick())


def test_weights__of_a_source_that_is_not_there_are_told_of(
    qwen: Path, world: Records, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(qwen, world, tmp_path, quick(weights={"konw": 2, "wiki": 1}))
    assert [record.getMessage() for record in caplog.records] == ["weights.konw=2 does nothing: no record is of the source konw"]


def test_progress__of_preparing_counts_the_records_that_are_asked_for(qwen: Path, world: Records, tmp_path: Path) -> None:
    told = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(str(qwen), world, tmp_path / "out", quick(), where={"lang": "th"}, device="cpu", progress=progress)
    assert told == [("preparing", 12, 12)]
