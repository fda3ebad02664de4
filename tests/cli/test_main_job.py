"""The main job from the command line: old vectors without pictures learn a new language."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import THINGS, TOWER, Mella

from mella_retrieval.recipes import KINDS


@pytest.fixture
def built(trained: Path, mella: Mella, old_vectors: Path) -> Path:
    """The index stands in `trained / "index"`."""
    ran = mella("index", "build", old_vectors, trained / "index", "--adapter", trained / "adapter")
    assert ran.code == 0, ran.err
    return trained


def test_hungarian_queries_find_the_pictures_that_were_only_known_as_vectors(mella: Mella, built: Path):
    for number, (_, thing) in enumerate(THINGS):
        ran = mella("search", built / "index", f"piros {thing}", "--lang", "hu", "-k", 6, "--json", "--device", "cpu")
        assert ran.code == 0, ran.err
        assert len(ran.json) == 6
        assert [hit["rank"] for hit in ran.json] == [1, 2, 3, 4, 5, 6]
        assert all(int(hit["id"][5:7]) % 10 == number + 5 for hit in ran.json), ran.json
        assert ran.json[0]["record"]["caption"] == f"red {THINGS[number][0]}"


def test_a_search_for_people_is_a_table(mella: Mella, built: Path):
    ran = mella("search", built / "index", "nagy kutya", "-k", 2, "--device", "cpu")
    head, first, second = ran.out.splitlines()
    assert head.split() == ["rank", "score", "id", "record"]
    assert first.split()[0] == "1"
    assert "gone/" in first
    assert "caption: big dog" in first
    assert second.split()[0] == "2"


def test_what_the_commands_say(mella: Mella, built: Path, old_vectors: Path, captions: Path):
    ran = mella("data", "import", captions, built / "again", "--json")
    assert ran.json["kept"] == 60
    ran = mella(
        "train", "procrustes", built / "p", "--pairs", built / "texts", "--image-vectors", built / "images", "gallery=centred"
    )
    assert f"procrustes adapter, sentence-transformers:{built}" not in ran.out
    assert "image vectors are re-projected" in ran.out
    assert "mean reciprocal rank" in ran.out
    ran = mella("index", "build", old_vectors, built / "p-index", "--adapter", built / "p")
    assert f"the vectors of {old_vectors} are taken to be those of {TOWER}" in ran.out
    assert f'mella search {built / "p-index"} "..."' in ran.out
    ran = mella("embed", "import", old_vectors, built / "images", "-t", TOWER)
    assert "60 image vectors of 16 dimensions" in ran.out


def test_index_info(mella: Mella, built: Path):
    ran = mella("index", "info", built / "index", "--json")
    assert ran.code == 0
    assert ran.json["items"] == 60
    assert ran.json["image_tower"]["spec"] == TOWER
    shown = mella("index", "info", built / "index").out
    assert "items" in shown
    assert TOWER in shown
    assert "every file has the content that the manifest lists" in mella("index", "verify", built / "index").out


def test_a_damaged_index_is_an_error(mella: Mella, built: Path):
    victim = max((built / "index").rglob("*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:-1])
    ran = mella("search", built / "index", "kutya", "--device", "cpu")
    assert ran.code == 1
    assert victim.name in ran.err


def test_an_unknown_language_and_an_empty_query(mella: Mella, built: Path):
    ran = mella("search", built / "index", "kutya", "--lang", "hungarien", "--device", "cpu")
    assert ran.code == 1
    assert "hungarien" in ran.err
    assert mella("search", built / "index", "  ", "--device", "cpu").code == 1


def test_an_adapter_that_is_there_is_kept_unless_asked(mella: Mella, built: Path):
    again = ("train", "ridge", built / "adapter", "--pairs", built / "texts", "--image-vectors", built / "images")
    before = (built / "adapter" / "config.json").read_bytes()
    ran = mella(*again, "penalties=[5]")
    assert ran.code == 1
    assert "--overwrite" in ran.err
    assert (built / "adapter" / "config.json").read_bytes() == before
    assert mella(*again, "penalties=[5]", "--overwrite").code == 0
    assert json.loads((built / "adapter" / "config.json").read_text())["options"]["penalties"] == [5]


def test_vectors_of_another_tower_are_refused(mella: Mella, built: Path, old_vectors: Path):
    ran = mella("index", "build", old_vectors, built / "x", "--adapter", built / "adapter", "--tower", "open_clip:other/clip")
    assert ran.code == 1
    assert TOWER in ran.err
    assert "open_clip:other/clip" in ran.err


def test_a_clip_retrieval_folder_does_not_say_its_encoder(mella: Mella, old_vectors: Path, tmp_path: Path):
    ran = mella("index", "build", old_vectors, tmp_path / "x")
    assert ran.code == 1
    assert "--tower" in ran.err


def test_without_an_adapter_the_index_answers_pictures_only(mella: Mella, old_vectors: Path, tmp_path: Path):
    ran = mella("index", "build", old_vectors, tmp_path / "x", "--tower", TOWER)
    assert "it answers pictures only" in ran.out
    ran = mella("search", tmp_path / "x", "kutya")
    assert ran.code == 1
    assert "--adapter" in ran.err


# Records ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def records(mella: Mella, tmp_path: Path) -> Path:
    for name in ("a", "b"):
        Image.new("RGB", (4, 4), "red").save(tmp_path / f"{name}.png")
    table = "image_id,image,caption,lang\na,a.png,egy kutya,hu\nb,b.png,a cat,en\nb,b.png,,en\nc,c.png,a tree,xx\n"
    (tmp_path / "t.csv").write_text(table)
    ran = mella("data", "import", tmp_path / "t.csv", tmp_path / "r", "columns.text=caption", "source=know")
    assert ran.code == 0, ran.err
    assert "2 of 4 rows kept" in ran.out
    assert "skipped.csv" in ran.out
    return tmp_path / "r"


def test_rejected_rows_are_listed(records: Path):
    with (records / "skipped.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_stats(mella: Mella, records: Path):
    found = mella("data", "stats", records, "--json").json
    assert found["records"] == 2
    assert list(found["by_source"]) == ["know"]
    assert mella("data", "stats", records, "--json", "--where", "lang=hu").json["records"] == 1
    ran = mella("data", "stats", records, "--where", "lang")
    assert ran.code == 1
    assert "not of the form COLUMN=VALUE" in ran.err
    shown = mella("data", "stats", records).out
    assert "Hungarian" in shown
    assert ["know", "2", "2", "2"] in [line.split()[:4] for line in shown.splitlines()]


def test_check_finds_a_broken_picture(mella: Mella, records: Path, tmp_path: Path):
    ran = mella("data", "check", records)
    assert ran.code == 0
    assert "problems: none" in ran.out
    (tmp_path / "a.png").write_bytes(b"")
    ran = mella("data", "check", records)
    assert ran.code == 1
    assert "problems: picture 1" in ran.out
    assert mella("data", "check", records, "--json").code == 1
    assert mella("data", "check", records, "--no-images").code == 0


# Vectors from files -------------------------------------------------------------------------------------------------


def test_vectors_and_a_table_of_rows_are_imported(mella: Mella, tmp_path: Path):
    np.save(tmp_path / "v.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "rows.csv").write_text("name,place\nx,1\ny,2\nz,3\n")
    ran = mella(
        "embed", "import", tmp_path / "v.npy", tmp_path / "s", "-t", TOWER, "--rows", tmp_path / "rows.csv", "--id-column", "name"
    )
    assert ran.code == 0, ran.err
    assert "3 image vectors of 3 dimensions" in ran.out
    ran = mella("embed", "import", tmp_path / "v.npy", tmp_path / "s2", "-t", TOWER, "--rows", tmp_path / "rows.csv")
    assert ran.code == 1
    assert "no column 'id'; it has name, place" in ran.err


# Recipes ------------------------------------------------------------------------------------------------------------


def test_recipes_are_listed_with_what_they_are(mella: Mella):
    lines = mella("recipes", "list").out.splitlines()
    assert lines[0].split() == ["kind", "recipe", "what", "it", "is"]
    for wanted in ("adapters    ridge", "indexes     flat", "benchmarks  xm3600", "mllm        score"):
        (line,) = (line for line in lines if line.startswith(wanted + " "))
        assert len(line.split(maxsplit=2)[2]) > 20
    told = " ".join(mella("recipes", "list", "--help").out.split())
    assert all(kind in told for kind in KINDS)


def test_a_copied_recipe_is_used_by_its_path(mella: Mella, built: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(built)
    ran = mella("recipes", "copy", "adapters", "ridge", "new/mine.yaml")
    assert ran.out == "new/mine.yaml\n"
    mine = built / "new" / "mine.yaml"
    mine.write_text(mine.read_text().replace("gallery: untouched", "gallery: centred"))
    assert mella("recipes", "copy", "adapters", "ridge", mine).code == 1
    assert "gallery: centred" in mine.read_text()
    ran = mella("train", mine, "own", "--pairs", "texts", "--image-vectors", "images", "penalties=[2]")
    assert "re-projected" in ran.out
    assert mella("recipes", "copy", "adapters", "ridge", mine, "--overwrite").code == 0
    assert "gallery: untouched" in mine.read_text()
    assert mella("recipes", "copy", "indexes", "flat").out == "flat.yaml\n"
