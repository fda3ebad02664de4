from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mella_retrieval.data.formats import detect
from mella_retrieval.data.formats.pocket import PocketOptions, read
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Note, RawRecord, Records, Rejected
from mella_retrieval.errors import ArtifactError, DataError
from mella_retrieval.pocket.drawing.backgrounds import BACKGROUNDS, TURNS
from mella_retrieval.pocket.drawing.sheet import DRAWINGS, PAINTS, PICTURE, background, sprite
from mella_retrieval.pocket.vocabulary import BACKGROUNDS as NAMED_BACKGROUNDS
from mella_retrieval.pocket.vocabulary import COLOURS, CULTURE, KINDS, LANGUAGES
from mella_retrieval.pocket.world import generate_world


def copy_of(world: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("world.json", "scenes.jsonl"):
        (target / name).write_bytes((world / name).read_bytes())
    return target


def test_the_same_seed_gives_the_same_bytes(world: Path, tmp_path: Path) -> None:
    generate_world(tmp_path / "again", seed=0, scenes=60)
    files = sorted(path.relative_to(world) for path in world.rglob("*") if path.is_file())
    assert len(files) == 62
    assert all((world / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)


def test_another_seed_gives_another_world(world: Path, tmp_path: Path) -> None:
    other = generate_world(tmp_path / "other", seed=1, scenes=60)
    assert other["fingerprint"] != json.loads((world / "world.json").read_text())["fingerprint"]


def test_every_scene_has_its_picture(world: Path, scenes: list[dict]) -> None:
    for scene in scenes:
        with Image.open(world / scene["image"]) as picture:
            assert (picture.size, picture.mode) == ((PICTURE, PICTURE), "RGB")
    assert len(list((world / "images").iterdir())) == len(scenes)


def test_pictures_show_their_scenes(world: Path, scenes: list[dict]) -> None:
    """Two scenes never share a picture, and a picture is more than its background."""
    pictures = {np.asarray(Image.open(world / scene["image"])).tobytes() for scene in scenes}
    assert len(pictures) == len(scenes)


def test_everything_nameable_is_drawn_and_looks_different() -> None:
    assert set(DRAWINGS) == {*KINDS, *CULTURE}
    assert set(BACKGROUNDS) == set(NAMED_BACKGROUNDS)
    assert set(PAINTS) == set(COLOURS)
    drawn = [sprite(name, "red", 48).tobytes() for name in DRAWINGS]
    drawn += [sprite("cat", colour, 48).tobytes() for colour in COLOURS[1:]]
    drawn += [background(name, turn).tobytes() for name in BACKGROUNDS for turn in range(TURNS)]
    assert len(set(drawn)) == len(drawn)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    generate_world(tmp_path / "w", scenes=12, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(number, 12) for number in range(1, 13)]


def test_an_existing_folder_is_left_alone(world: Path) -> None:
    before = (world / "world.json").read_bytes()
    with pytest.raises(ArtifactError, match="already exists"):
        generate_world(world, seed=5, scenes=12)
    assert (world / "world.json").read_bytes() == before


def test_the_reader_gives_every_caption(world: Path, scenes: list[dict]) -> None:
    records = list(read(world, PocketOptions()))
    stored = {
        f"{scene['image_id']}#{lang}#{number}": (lang, text["text"], text["kind"], scene["split"], scene["item"])
        for scene in scenes
        for lang, own in scene["captions"].items()
        for number, text in enumerate(own)
    }
    assert all(isinstance(record, RawRecord) for record in records)
    assert {r.text_id: (r.lang, r.text, r.source, r.extras["split"], r.extras["item"]) for r in records} == stored
    assert len(records) == len(stored)
    assert all((world / record.image).is_file() for record in records)
    assert {record.lang for record in records} == set(LANGUAGES)
    counted = json.loads((world / "world.json").read_text())["texts"]
    assert counted == {kind: sum(r.source == kind for r in records) for kind in ("know", "ling")}


def test_the_reader_takes_only_the_splits_asked_for(world: Path) -> None:
    assert {record.extras["split"] for record in read(world, PocketOptions(splits=["test"]))} == {"test"}
    with pytest.raises(DataError, match="no split dev"):
        list(read(world, PocketOptions(splits=["dev"])))


def test_the_format_is_recognised_and_imported(world: Path, tmp_path: Path) -> None:
    assert detect(world) == "pocket"
    import_records(world, tmp_path / "records")
    records = Records.load(tmp_path / "records")
    assert len(records) == len(list(read(world, PocketOptions())))
    assert set(records.languages) == set(LANGUAGES)
    assert records.image_path(records.images()["image"][0].as_py()).is_file()


def test_a_world_cut_short_is_noticed(world: Path, tmp_path: Path) -> None:
    broken = copy_of(world, tmp_path / "cut")
    text = (broken / "scenes.jsonl").read_text(encoding="utf-8")
    (broken / "scenes.jsonl").write_text(text[: len(text) // 2], encoding="utf-8")
    found = list(read(broken, PocketOptions()))
    assert sum(isinstance(item, Rejected) for item in found) == 1
    assert isinstance(found[-1], Note) and "world.json counts 60" in found[-1].text


def test_a_newer_or_foreign_world_is_refused(world: Path, tmp_path: Path) -> None:
    newer = copy_of(world, tmp_path / "newer")
    content = json.loads((newer / "world.json").read_text())
    (newer / "world.json").write_text(json.dumps({**content, "format_version": 2}))
    with pytest.raises(DataError, match="format 2"):
        list(read(newer, PocketOptions()))
    (newer / "world.json").write_text(json.dumps({"kind": "planet"}))
    with pytest.raises(DataError, match="not a pocket world"):
        list(read(newer, PocketOptions()))
