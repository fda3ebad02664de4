"""`mella data stats`, `card`, and what `check` compares with other sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from PIL import Image
from program import Mella
from typer.testing import CliRunner

from mella_retrieval.cli.data_card import card
from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records

SOURCES = ("اللغة العربية", "$x^{$ & <b>", "know", "中文", "", "x" * 90, "ling", "seven")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    items = [
        RawRecord(
            f"p{n}",
            f"https://example.org/{n}.jpg",
            text * (n + 1),
            lang,
            SOURCES[n % len(SOURCES)],
            f"{lang} {n}",
            extras={"split": "train" if n else "test", "category": "culture|scene" if n % 2 else "general"},
        )
        for n in range(9)
        for lang, text in (("en", "big red dog "), ("hu", "nagy piros kutya "), ("th", "หมาแดง"))
    ]
    write_records(tmp_path / "r", items)
    return tmp_path / "r"


def test_stats__tables(mella: Mella, records: Path, text_tower: Path) -> None:
    ran = mella("data", "stats", records, "--by", "category", "--tower", f"sentence-transformers:{text_tower}")
    assert ran.code == 0, ran.err
    assert f"{records}: 27 records, 9 pictures, 3 languages" in ran.out
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["th", "Thai", "9", "9", "9", "30", "54", "-", "Thai", "100%"] in lines
    assert ["culture", "12", "4", "12", "48", "136", "15"] in lines
    assert "reads 16 tokens; cut: 29.6% of 27 texts" in ran.out
    assert ["hu", "9", "44.4%", "15", "27", "1.00", "0.0%", "0"] in lines
    assert any(line[:1] == ["th"] and line[-3].endswith("*") for line in lines if len(line) == 8)


def test_stats__json_is_complete(mella: Mella, records: Path, text_tower: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "other", [RawRecord("x", "https://example.org/3.jpg", "BIG RED DOG", "en")])
    tower = f"sentence-transformers:{text_tower}"
    ran = mella("data", "stats", records, "--overlap-with", tmp_path / "other", "-t", tower, "--where", "lang=en", "--json")
    found = json.loads(ran.out)
    assert found["records"] == 9 and list(found["by_language"]) == ["en"]
    assert found["overlap"]["with"] == {str(tmp_path / "other"): {"records": 2, "image_ids": 0, "pictures": 1, "texts": 1}}
    assert [entry["spec"] for entry in found["towers"]] == [tower] and found["towers"][0]["texts"] == 9
    assert {name: group["records"] for name, group in found["by_split"].items()} == {"test": 1, "train": 8}


def test_stats__plots_of_names_in_any_script(
    mella: Mella, records: Path, text_tower: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    plots = tmp_path / "plots"
    ran = mella("data", "stats", records, "--tower", f"sentence-transformers:{text_tower}", "--plots", plots)
    assert ran.code == 0, ran.err
    names = [f"{name}.{suffix}" for name in ("lengths", "records", "truncation") for suffix in ("png", "svg")]
    assert sorted(path.name for path in plots.iterdir()) == names
    for name in names[::2]:
        with Image.open(plots / name) as image:
            assert image.width > 500 and len(set(image.convert("L").get_flattened_data())) > 10
    drawn = (plots / "records.svg").read_text(encoding="utf-8")
    assert "Hungarian" in drawn and "$x^{$ &amp; &lt;b&gt;" in drawn and "others" in drawn and "اللغة العربية" in drawn
    assert "tower (16 tokens)" in (plots / "truncation.svg").read_text(encoding="utf-8")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    before = {path: path.read_bytes() for path in plots.iterdir()}
    mella("data", "stats", records, "--tower", f"sentence-transformers:{text_tower}", "--plots", plots)
    assert before == {path: path.read_bytes() for path in plots.iterdir()}


def test_stats__nothing_to_draw(mella: Mella, tmp_path: Path) -> None:
    write_records(tmp_path / "r", [RawRecord("a", "a.jpg", None, "")])
    ran = mella("data", "stats", tmp_path / "r", "--plots", tmp_path / "plots")
    assert ran.code == 0 and "drawn" not in ran.out and not (tmp_path / "plots").exists()


def test_stats__an_unknown_column_is_named(mella: Mella, records: Path) -> None:
    ran = mella("data", "stats", records, "--by", "categry")
    assert ran.code == 1 and "categry" in ran.err and "'category'" in ran.err


def test_check__pictures_of_a_test_set_fail_it(mella: Mella, records: Path, tmp_path: Path) -> None:
    write_records(tmp_path / "test", [RawRecord("x", "https://example.org/3.jpg", "something else", "en")])
    write_records(tmp_path / "apart", [RawRecord("x", "https://example.org/y.jpg", "something else", "en")])
    assert mella("data", "check", records, "--disjoint-from", tmp_path / "apart").code == 0
    ran = mella("data", "check", records, "--disjoint-from", tmp_path / "test")
    assert ran.code == 1 and "benchmark picture 3" in ran.out and "it meets x of" in ran.out
    assert "note: " in ran.out  # there are no files of pictures to compare
    ran = mella("data", "check", records, "--disjoint-from", tmp_path / "gone")
    assert ran.code == 1 and "there is no folder" in ran.err


def test_card__options_and_what_is_left(records: Path, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(card)
    (tmp_path / "cite.bib").write_text("@misc{from-a-file}", encoding="utf-8")
    arguments = [str(records), "--licence", "mit", "--citation", str(tmp_path / "cite.bib"), "--contact", "me"]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert f"{records / 'README.md'}, {records / 'croissant.json'}: written" in ran.output
    assert "to be filled in: what this data is for" in ran.output and "whom to write to" not in ran.output
    assert "@misc{from-a-file}" in (records / "README.md").read_text(encoding="utf-8")
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1 and "already exists" in str(again.exception)
    wrong = CliRunner().invoke(app, [str(records), "--overwrite", "--published", "yesterday"])
    assert wrong.exit_code == 1 and "published" in str(wrong.exception)
