"""`mella score`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image
from program import Mella

from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records

PAGE = Path(__file__).parents[2] / "docs" / "scoring-text.md"
TEXTS = {
    "p0": "A Lánchíd este Budapesten",
    "p1": "Az egri vár és Dobó István szobra",
    "p2": "Matyó hímzés piros rózsákkal",
}


@pytest.fixture(autouse=True)
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A test set, and the answers of two models."""
    for number, name in enumerate(TEXTS):
        Image.new("RGB", (8, 8), (number * 40, 0, 0)).save(tmp_path / f"{name}.png")
    items = [RawRecord(name, f"../{name}.png", text, "hu", "know", extras={"split": "test"}) for name, text in TEXTS.items()]
    write_records(tmp_path / "test", items)
    for model, words in (("before", 1), ("after", 4)):
        lines = [{"image_id": name, "lang": "hu", "answer": " ".join(text.split()[:words])} for name, text in TEXTS.items()]
        (tmp_path / f"{model}.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


QUICK = ("identify=false", "signs=null", "bootstrap.resamples=100")
ANSWERS = ("--answers", "before=before.jsonl", "--answers", "after=after.jsonl")


def test_the_table_and_the_files(mella: Mella, material: Path):
    ran = mella("score", "test", "out", *ANSWERS, *QUICK)
    assert ran.code == 0, ran.err
    head, *lines = ran.out.splitlines()
    assert head.split() == ["text", "metric", "lang", "pictures", "model", "score", "chance", "difference", "p", "(Holm)"]
    place = next(number for number, line in enumerate(lines) if line.startswith("know  keywords  "))
    before, after = (line.split() for line in lines[place : place + 2])
    assert before[2:5] == ["hu", "3", "before"] and after[0] == "after" and after[5].startswith("+")
    assert max(map(len, [head, *lines[: lines.index("")]])) <= 120
    assert "nothing is known of the decoding of before, after" in ran.out
    assert "out.work" not in ran.out  # nobody was asked
    assert {"scores.md", "scores.csv", "scores.json", "skipped.csv"} <= {path.name for path in (material / "out").iterdir()}


def test_as_json_with_another_baseline(mella: Mella):
    ran = mella("score", "test", "out", *ANSWERS, *QUICK, "--json", "--baseline", "after", "--where", "split=test")
    row = next(row for row in ran.json["rows"] if row["metric"] == "keywords")
    assert list(row["cells"]) == ["after", "before"] and list(row["differences"]) == ["before"]
    assert row["differences"]["before"]["value"] < 0


def test_texts_of_records_as_answers(mella: Mella):
    """Descriptions that exist are a model of the kind `records`."""
    ran = mella("score", "test", "out", "--model", "same=records:test", *QUICK, "--json")
    assert ran.code == 0, ran.err
    row = next(row for row in ran.json["rows"] if row["metric"] == "keywords")
    assert (
        "out2.work" in mella("score", "test", "out2", "--model", "same=records:test", *QUICK).out and Path("out2.work").is_dir()
    )
    assert row["cells"]["same"]["score"]["value"] == 100 and row["cells"]["same"]["chance"] < 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no model to score"),
        (("--model", "spec"), "--model 'spec' is not of the form KEY=VALUE"),
        (("--model", "x=transformer:y"), "Did you mean 'transformers'"),
        ((*ANSWERS, "--model", "after=records:test"), "after is named by --model and by --answers"),
        ((*ANSWERS, "--baseline", "befor"), "Did you mean 'before'"),
        (("--answers", "x=nothing"), "there is no folder nothing"),
        (("--answers", "x=nothing", "--model", "y=records:test", "prompts=no.yaml"), "there is no folder nothing"),
        ((*ANSWERS, "metrics.know=[keyword]"), "Did you mean 'keywords'"),
        ((*ANSWERS, "--recipe", "scor"), "Did you mean 'score'"),
        ((*ANSWERS, "--where", "split=train"), "no text to score answers against"),
    ],
)
def test_what_is_wrong_is_said(mella: Mella, arguments: tuple[str, ...], message: str):
    ran = mella("score", "test", "out", *arguments, *QUICK)
    assert ran.code == 1 and message in ran.err


def test_help(mella: Mella):
    ran = mella("score", "--help")
    assert ran.code == 0 and "keyword accuracy" in ran.out.lower()


def test_the_first_commands_of_the_page(mella: Mella):
    lines = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("mella score") and "--answers" in line
    ]
    assert lines
    for number, line in enumerate(lines):
        arguments = shlex.split(line)[1:]
        arguments[2] = f"out{number}"
        ran = mella(*arguments, *QUICK)
        assert ran.code == 0, ran.err
