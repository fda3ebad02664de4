"""`mella benchmark` on what a user has: a folder of pictures with captions, original files, an index."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from program import Mella

from mella_retrieval.benchmarks.results import Result
from mella_retrieval.pocket.towers import IMAGE_TOWER
from mella_retrieval.pocket.world import generate_world

LANGS = ("en", "hu", "th")
MODEL = "open_clip:…/image"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures and their captions in three languages, as XM3600 has them."""
    top = tmp_path_factory.mktemp("own")
    generate_world(top / "world", seed=3, scenes=40)
    lines = []
    for line in (top / "world" / "scenes.jsonl").read_text(encoding="utf-8").splitlines():
        scene = json.loads(line)
        texts = {code: {"caption": [text["text"] for text in scene["captions"][code]]} for code in LANGS}
        lines.append(json.dumps({"image/key": scene["image_id"], "image/locale": "hu", **texts}))
    (top / "own").mkdir()
    (top / "own" / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (top / "world" / "images").rename(top / "own" / "images")
    return top / "own"


def run(mella: Mella, tmp_path: Path, *arguments: object) -> Result:
    ran = mella("benchmark", *arguments, "--model", IMAGE_TOWER, "--out", tmp_path / "out", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "report:" in ran.out
    return Result.load(tmp_path / "out")


def test_a_folder_in_xm3600_style_is_a_test_set(mella: Mella, folder: Path, tmp_path: Path):
    result = run(mella, tmp_path, folder, "--index", "flat")
    assert result.record.task.languages == LANGS
    assert result.record.data.images == 40
    assert result.score(MODEL, "en", "t2i", "R@10").value > 0.9  # the tower reads English
    assert result.score("shuffled pairs", "en", "t2i", "R@10").value < 0.6
    through = f"{MODEL} through flat"
    assert result.score(through, "en", "t2i", "R@10").value == result.score(MODEL, "en", "t2i", "R@10").value
    assert result.score(through, "hu", "i2t", "search recall@10").value == 1
    assert Result.load(tmp_path / "out" / "first").record.protocol == "first"
    assert (tmp_path / "out" / "report.html").is_file()


def test_another_protocol_is_the_headline(mella: Mella, folder: Path, tmp_path: Path):
    result = run(mella, tmp_path, folder, "--protocol", "all", "--language", "th")
    assert result.record.protocol == "all"
    assert result.record.data.languages == ("th",)
    assert result.score(MODEL, "th", "i2t", "recall@1000").value == 1


def test_a_recipe_with_original_files(mella: Mella, folder: Path, tmp_path: Path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\ntitle: Mine\nsource: here\nlicence: CC0\nprotocols: [all-hit]\nlanguages: [en, hu, th]\nformat: xm3600\n"
        "images: 40\n"
    )
    assert run(mella, tmp_path, recipe, "--data", folder).record.task.name == "mine"
    recipe.write_text(recipe.read_text().replace("40", "41"))
    ran = mella("benchmark", recipe, "--data", folder, "--model", IMAGE_TOWER, "--out", tmp_path / "out", "--device", "cpu")
    assert ran.code == 1
    assert "40 images instead of 41" in ran.err


def test_a_task_goes_before_a_folder_of_its_name(mella: Mella, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "xm3600").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    ran = mella("benchmark", "xm3600", "--data", folder, "--model", IMAGE_TOWER, "--out", tmp_path / "out", "--device", "cpu")
    assert ran.code == 1
    assert "40 images instead of 3600" in ran.err
    assert run(mella, tmp_path, "./xm3600", "-l", "en").record.data.images == 40


def test_a_folder_holds_the_results_of_one_run(mella: Mella, folder: Path, tmp_path: Path):
    run(mella, tmp_path, folder, "-l", "en", "-p", "all-hit", "-p", "first", "-p", "first")
    assert (tmp_path / "out" / "first" / "report.html").is_file()
    run(mella, tmp_path, folder, "-l", "en", "-p", "all")
    assert not (tmp_path / "out" / "first").exists()


def test_columns_of_a_folder_of_ones_own(mella: Mella, folder: Path, tmp_path: Path):
    """`category` and `source` of a line of captions.jsonl say something about its picture."""
    shutil.copytree(folder, tmp_path / "own")
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    marked = [{**line, "category": "food" if at % 2 else "dress", "source": "know"} for at, line in enumerate(lines)]
    (tmp_path / "own" / "captions.jsonl").write_text("\n".join(map(json.dumps, marked)), encoding="utf-8")
    result = run(mella, tmp_path, tmp_path / "own", "--breakdown", "source+category", "-l", "en")
    found = {cell.subset: len(cell.positions) for cell in result.ranks if (cell.system, cell.direction) == (MODEL, "t2i")}
    assert found["source+category=know+food"] + found["source+category=know+dress"] == found[""]


def test_pictures_that_are_missing_are_said_before_anything_is_embedded(mella: Mella, folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "own")
    victim = next((tmp_path / "own" / "images").iterdir())
    victim.unlink()
    ran = mella("benchmark", tmp_path / "own", "--model", IMAGE_TOWER, "--out", tmp_path / "out", "--device", "cpu")
    assert ran.code == 1
    assert "1 of 40 pictures are not there" in ran.err
    assert "--images" in ran.err
    assert "embedding" not in ran.err


def test_parts_of_a_test_set(mella: Mella, folder: Path, tmp_path: Path):
    result = run(mella, tmp_path, folder, "--breakdown", "locale")
    whole, part = (result.score(MODEL, "en", "t2i", "R@1", subset).value for subset in ("", "locale=hu"))
    assert whole == part  # every picture comes from there


def test_pictures_are_told_by_class_names(mella: Mella, tmp_path: Path):
    """Plain squares of two colours: the tower knows colours by their English names."""
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 60, 200))):
        (tmp_path / "squares" / name).mkdir(parents=True)
        for number in range(4):
            shade = tuple(value + 5 * number for value in colour)
            Image.new("RGB", (64, 64), shade).save(tmp_path / "squares" / name / f"{number}.png")
    (tmp_path / "colours.yaml").write_text(
        "name: colours\nsource: made here\ntemplates: {en: ['{}']}\nnames: {red: {en: red}, blue: {en: blue}}\n"
    )
    (tmp_path / "squares.yaml").write_text(
        f"name: squares\ntitle: Squares\nsource: here\nlicence: CC0\nkind: classification\nclasses: {tmp_path / 'colours.yaml'}\n"
        "protocols: [zero-shot]\nlanguages: [en]\nformat: class-folder\nimages: 8\n"
    )
    result = run(mella, tmp_path, tmp_path / "squares.yaml", "--data", tmp_path / "squares")
    assert result.score(MODEL, "en", "i2t", "top-1").value > 0.5
    assert result.score("chance", "en", "i2t", "top-1").value == 0.5
    assert (tmp_path / "out" / "classes.csv").is_file()
    assert (tmp_path / "out" / "report.html").is_file()
    retrieval = ("--index", "flat", "--protocol", "all-hit", "--out", tmp_path / "wrong")
    wrong = mella("benchmark", tmp_path / "squares.yaml", "--data", tmp_path / "squares", "--model", IMAGE_TOWER, *retrieval)
    assert wrong.code == 2
    assert "--protocol, --index cannot be used" in wrong.err
    ran = mella("compare", tmp_path / "out", tmp_path / "out", "--metric", "R@1")
    assert ran.code == 0, ran.err
    assert "+0.0" in ran.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}"], "--adapter and --model"),
        (["{folder}", "--model", "a", "--adapter", "b"], "--adapter and --model"),
        (["{folder}", "--model", "open_clip:a/b", "--data", "{folder}"], "test set itself"),
        (["xm3600", "--model", "open_clip:a/b", "--data", "{folder}", "--protocol", "al"], "Did you mean 'all'"),
        (["nowhere", "--model", "open_clip:a/b"], "nowhere"),
        (["nowhere/", "--model", "open_clip:a/b"], "there is no folder nowhere/"),
        (["{folder}", "--model", "open_clip:a/b", "--baseline", "chance=x"], "another name"),
        (["{folder}", "--model", "open_clip:a/b", "--baseline", "open_clip:a/b=x"], "another name"),
        (["cifar10", "--model", "open_clip:a/b", "--data", "{folder}", "--format", "x"], "No such option"),
    ],
)
def test_what_cannot_be_meant_is_said(mella: Mella, folder: Path, tmp_path: Path, arguments: list[str], message: str):
    ran = mella("benchmark", *(text.format(folder=folder) for text in arguments), "--out", tmp_path / "out")
    assert ran.code in (1, 2)
    assert message in ran.err
