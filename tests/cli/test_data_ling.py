"""`mella data ling`: what it prints, and the command of its page."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from mella_retrieval.cli import data_ling
from mella_retrieval.data.ling.plugins import Request
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ConfigError, EncoderError
from mella_retrieval.mllm.captioners import CAPTIONERS

PAGE = Path(__file__).parents[2] / "docs" / "making-ling.md"
SAID = {
    "p1": ("A brown dog runs over the wet grass.", "Egy barna kutya szalad a nedves fűben.", "สุนัขสีน้ำตาลวิ่งบนหญ้าเปียก"),
    "p2": ("Two boats lie in the small harbour.", "Két hajó fekszik a kis kikötőben.", "เรือสองลำจอดอยู่ในท่าเรือเล็ก"),
    "p3": ("An old woman sells bread at the market.", "Egy idős asszony kenyeret árul a piacon.", "หญิงชราขายขนมปังที่ตลาด"),
}
QUICK = "checks.language=null"


@pytest.fixture(autouse=True)
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures, their descriptions, and parallel texts; in the working folder."""
    for number, name in enumerate(SAID):
        Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(tmp_path / f"{name}.png")
    write_records(tmp_path / "records", [RawRecord(name, f"../{name}.png", "alt", "en", "know") for name in SAID])
    _write(tmp_path / "descriptions.csv", [("image_id", "text"), *((name, texts[0]) for name, texts in SAID.items())])
    _write(tmp_path / "parallel.csv", [("en", "hu", "th"), *SAID.values()])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(path: Path, rows: list[Any]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(data_ling.ling)
    return CliRunner().invoke(app, list(map(str, arguments)))


BOTH = ("-c", "table:descriptions.csv", "-t", "table:parallel.csv")


def test_the_command_of_the_page():
    pytest.importorskip("lingua")
    line = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("mella data ling"))
    ran = run(*shlex.split(line)[3:])
    assert ran.exit_code == 0, ran.output
    assert "ling: 9 records; 3 of 3 pictures described" in ran.output
    assert [row["text"] for row in Records.load("ling").table().to_pylist()] == [
        text for texts in SAID.values() for text in texts
    ]
    assert "not checked: agreement: no text tower was given (--tower)" in ran.output


def test_what_was_rejected_is_shown_by_check_with_an_example(material: Path):
    rows = [list(texts) for texts in SAID.values()]
    rows[0][1] = "Egy barna kutya runs over the wet grass."
    _write(material / "parallel.csv", [("en", "hu", "th"), *rows])
    (material / "p3.png").write_bytes(b"no picture")
    ran = run("records", "out", *BOTH, "translate.languages=[hu]", QUICK, "checks.echo=null")
    assert ran.exit_code == 0, ran.output
    lines = ran.output.splitlines()
    assert next(line.split() for line in lines if line.startswith("hu ")) == ["hu", "3", "2", "0", "1"]
    (found,) = (line for line in lines if line.startswith("untranslated"))
    assert found.split()[:3] == ["untranslated", "3", "1"]
    assert "hu: 5 words of the source in a row: Egy barna kutya runs" in found
    assert "not checked: echo" not in ran.output  # whoever says echo=null knows


def test_texts_that_stand_twice_are_told(material: Path):
    """Two descriptions of one picture that were translated alike."""
    one, other = "A brown dog runs over the wet grass.", "Over the wet grass runs a brown dog."
    _write(material / "descriptions.csv", [("image_id", "text"), ("p1", one), ("p1", other), ("p2", SAID["p2"][0])])
    _write(material / "parallel.csv", [("en", "hu"), (one, SAID["p1"][1]), (other, SAID["p1"][1]), SAID["p2"][:2]])
    ran = run("records", "out", *BOTH, "translate.languages=[hu]", "describe.views=2", QUICK)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.splitlines()[:3] == [
        "out: 5 records; 2 of 3 pictures described",
        "  not described 1: no description",
        "  not written 1: the same text of the same picture, or one that cannot be stored",
    ]
    assert run("records", "two", *BOTH, "translate.languages=[]", QUICK).output.count("not written") == 0


def test_as_json_and_again():
    first = run("records", "out", *BOTH, "translate.languages=[hu,th]", QUICK, "--json")
    found = json.loads(first.stdout)
    assert found["pictures"] == 3
    assert {lang: one["kept"] for lang, one in found["texts"].items()} == {"en": 3, "hu": 3, "th": 3}
    assert found["records"]["kept"] == 9
    again = run("records", "out", *BOTH, "translate.languages=[hu,th]", QUICK, "--json", "--overwrite")
    assert json.loads(again.stdout) == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("translate.languages=[xx]",), "'xx' is not a known language code"),
        (("checks.lenght.low=1",), "lenght"),
        (("--recipe", "lingg"), "Did you mean 'ling'"),
        (("-t", "tabel:x"), "Did you mean 'table'"),
        (("--tower", "nothing"), "kind of an encoder"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], message: str):
    ran = run("records", "out", *BOTH, *arguments)
    assert ran.exit_code == 1
    assert message in str(ran.exception)


def test_kinds_from_above_are_registered_here(monkeypatch: pytest.MonkeyPatch):
    class Chat:
        name = fingerprint = "chat"
        reads_pictures = False

        def describe(self, pictures: Any, ask: Any) -> list[list[str]]:
            return [[f"{ask.prompts[0]} No: a dog, {picture.image_id}."] for picture in pictures]

        def close(self) -> None:
            pass

    def load(request: Request) -> Chat:
        return Chat()

    monkeypatch.setitem(CAPTIONERS, "chat", load)
    prompt = "describe.prompts.en=['What is it?']"
    ran = run("records", "out", "-c", "chat:any/model", prompt, "translate.languages=[]", QUICK)
    assert ran.exit_code == 0, ran.output
    assert Records.load("out").table(["captioner"])["captioner"].to_pylist() == ["chat"] * 3


@pytest.fixture
def own_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The classes of the page, in a file of the user's own."""
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    helpers = (
        "def text_for(picture, prompt):\n    return f'A picture of {picture.image.width} pixels, {picture.image_id}.'\n"
        "def translate(text, source, target):\n    return f'{target} kép, képpontok: {text[-3:]}'\n"
    )
    (tmp_path / "own_models.py").write_text(code + helpers, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("own_models", None)


@pytest.mark.usefixtures("own_classes")
def test_the_classes_of_the_page():
    arguments = ("records", "out", "-c", "module:own_models:MyCaptioner", "-t", "module:own_models:MyTranslator")
    options = ("translate.languages=[hu]", QUICK)
    assert isinstance(run(*arguments, *options).exception, EncoderError)
    ran = run(*arguments, *options, "--allow-module")
    assert ran.exit_code == 0, ran.output
    texts = Records.load("out").table(["text"])["text"].to_pylist()
    assert texts[:2] == ["A picture of 8 pixels, p1.", "hun_Latn kép, képpontok: p1."]


def test_a_recipe_of_ones_own(material: Path):
    (material / "my.yaml").write_text("translate:\n  languages: [hu]\nchecks:\n  language: null\n", encoding="utf-8")
    assert run("records", "out", *BOTH, "--recipe", "my.yaml").exit_code == 0
    (material / "my.yaml").write_text("translation: {}\n", encoding="utf-8")
    assert isinstance(run("records", "two", *BOTH, "--recipe", "my.yaml").exception, ConfigError)
