from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from card_material import make_records
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.artifacts import write_json
from mella_retrieval.data.card.elements import escaped
from mella_retrieval.data.card.facts import public
from mella_retrieval.data.card.options import CardOptions
from mella_retrieval.data.card.writing import write_card
from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.collect.judging import FilterCount
from mella_retrieval.data.collect.report import FILE, FOLDER, CollectReport
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ArtifactError

TOLD = CardOptions(
    name="Our data",
    description="For tests.",
    licence="cc-by-4.0",
    citation="@misc{ours,\n  title = {``Ours''}\n}",
    url="https://example.org/data",
    contact="someone@example.org",
    published="2024-01-02",  # type: ignore[arg-type]
    version="1.0.0",
)


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_write_card__states_what_is_known_and_marks_what_is_not(tmp_path: Path) -> None:
    records = make_records(tmp_path / "r")
    made = write_card(records)
    card = made.readme.read_text(encoding="utf-8")
    assert len(made.unfilled) == 5 == card.count("[to be filled in: ")
    assert "5 texts about 6 pictures in 5 languages (en, hu, sr, sr-Latn, th)." in card
    assert "| `hu` | Hungarian | 1 | 1 | 1 | 5 | 5 | 1 | Latn 100.0% |" in section(card, "Languages")
    assert "| `th` | Thai | 1 | 1 | 1 | 2 | 2 |  | Thai 100.0% |" in section(card, "Languages")
    assert "| know | 3 |" in section(card, "Sources") and "`ling`: descriptions" in section(card, "Sources")
    assert "| train | 2 | 2 |" in section(card, "Splits") and "| (not said) | 1 |" in section(card, "Splits")
    assert "7 candidates were read, 6 records kept, 1 rejected." in section(card, "How it was made")
    assert "| duplicate record | 1 |" in section(card, "How it was made")
    assert "6 picture files lie in this folder (6 .png)." in section(card, "Pictures")
    assert "| (none seen) | 3 |" in section(card, "Licence") and "| cc0 | 3 |" in section(card, "Licence")
    assert "Nothing in the manifest says that personal data was looked for" in section(card, "Personal data")
    assert "1 records are pictures without a text" in section(card, "Known limits")
    assert section(card, "Columns").count("\n| ") == 2 + len(records.schema)
    assert str(tmp_path) not in card and str(tmp_path) not in made.croissant.read_text(encoding="utf-8")
    assert check_folder(records.folder).ok  # a card is no foreign file


def test_write_card__with_all_told_nothing_is_left(tmp_path: Path) -> None:
    made = write_card(make_records(tmp_path / "r", {"recipe": "know", "filters": ["length", "personal"]}), TOLD)
    card = made.readme.read_text(encoding="utf-8")
    assert made.unfilled == [] and "to be filled in" not in card
    for told in (
        "# Our data",
        "For tests.",
        "cc-by-4.0",
        "@misc{ours,",
        "<https://example.org/data> on 2024-01-02",
        "version 1.0.0",
    ):
        assert told in card
    assert "looks for personal data" in section(card, "Personal data")


def test_write_card__rejections_for_personal_data_are_counted(tmp_path: Path) -> None:
    from mella_retrieval.data.records import Rejected

    rows = [RawRecord("a", "a.jpg", "dog", "en"), Rejected("line 2", "personal: an e-mail address")]
    write_records(tmp_path / "r", rows)
    card = write_card(Records.load(tmp_path / "r")).readme.read_text(encoding="utf-8")
    assert "1 candidates were rejected for personal data" in section(card, "Personal data")


def test_write_card__filters_of_a_collection_with_their_counts(tmp_path: Path) -> None:
    records = make_records(tmp_path / "r")
    filters = [FilterCount("length", 12, 2, "x"), FilterCount("personal", 10, 3, "call me"), FilterCount("icon", 7, 0)]
    report = CollectReport({"pages": 4}, {}, 12, filters, 6, {"duplicate record": 1})
    write_json(records.folder / FOLDER / FILE, report.as_dict())
    card = write_card(records).readme.read_text(encoding="utf-8")
    made = section(card, "How it was made")
    assert "4 pages had 12 candidates (texts of pictures), 6 records kept, 6 rejected." in made
    rows = [line for line in made.split("\n") if line.startswith("| ")]
    assert rows[2:] == ["| length | 2 | 12 |", "| personal | 3 | 10 |", "| icon | 0 | 7 |", "| duplicate record | 1 |  |"]
    assert "3 candidates were rejected for personal data" in section(card, "Personal data")


def test_write_card__the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_records(tmp_path / name / "r")
        write_card(Records.load(tmp_path / name / "r"), TOLD)
    for file in ("README.md", "croissant.json"):
        assert (tmp_path / "one" / "r" / file).read_bytes() == (tmp_path / "two" / "r" / file).read_bytes()


def test_write_card__what_a_person_wrote_is_not_replaced_unasked(tmp_path: Path) -> None:
    records = make_records(tmp_path / "r")
    (records.folder / "README.md").write_text("by hand", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"README\.md already exists.*--overwrite"):
        write_card(records)
    assert (records.folder / "README.md").read_text(encoding="utf-8") == "by hand"
    assert not (records.folder / "croissant.json").exists()
    write_card(records, overwrite=True)
    assert write_card(records, out=tmp_path / "elsewhere").readme == tmp_path / "elsewhere" / "README.md"


def test_write_card__pictures_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    items = [
        RawRecord("a", "a.jpg", "Пас", "sr", extras={"split": "train"}),
        RawRecord("b", "https://example.org/b.jpg", "pas i pas", "sr", extras={"split": "train"}),
        RawRecord("b", "https://example.org/b.jpg", "pas", "hr", extras={"split": "test"}),
    ]
    write_records(tmp_path / "r", items, image_root=tmp_path / "photos")
    made = write_card(Records.load(tmp_path / "r"))
    card = made.readme.read_text(encoding="utf-8")
    assert "1 pictures are URLs." in section(card, "Pictures") and "1 pictures are files outside" in section(card, "Pictures")
    assert "sr: 30.0% of the letters are of the language's usual script, Cyrl." in section(card, "Known limits")
    assert "1 pictures and 0 texts stand both in the splits test and train." in section(card, "Known limits")
    assert str(tmp_path) not in card


def test_write_card__records_without_texts(tmp_path: Path) -> None:
    write_records(tmp_path / "r", [RawRecord("a", "a.jpg", None, "")])
    card = write_card(Records.load(tmp_path / "r")).readme.read_text(encoding="utf-8")
    assert "1 pictures without texts." in card and "There are no texts." in section(card, "Languages")


NAME = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=20).filter(str.strip)


@given(source=NAME, column=NAME, split=NAME)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_write_card__names_from_the_data_have_no_effect(source: str, column: str, split: str, tmp_path: Path) -> None:
    rows = [
        RawRecord("a", "a.jpg", "dog", "en", source, extras={"split": split, column: "x"}),
        RawRecord("b", "b.jpg", "cat", "en"),
    ]
    write_records(tmp_path / "r", rows, overwrite=True)
    made = write_card(Records.load(tmp_path / "r"), CardOptions(name=source), overwrite=True)
    card = made.readme.read_text(encoding="utf-8")
    head, body = card[4:].split("\n---\n", 1)
    assert yaml.safe_load(head)["pretty_name"] == source
    assert [line for line in body.split("\n") if line.startswith("# ")] == [f"# {escaped(source)}"]
    for title in ("Sources", "Splits", "Columns"):
        rows_of = [line for line in section(card, title).split("\n") if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line.replace("\\\\", ""))) for line in rows_of}) == 1


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None)
def test_escaped__one_line_without_markup(text: str) -> None:
    found = escaped(text)
    assert "\n" not in found
    bare = re.sub(r"\\[\\`*_\[\]<>|#~&$]", "", found)
    assert not set(bare) & set("\\`*_[]<>|#~&$")
    assert re.sub(r"\\([\\`*_\[\]<>|#~&$])", r"\1", found) == " ".join(text.split())


def test_public__folders_of_a_machine_are_left_out() -> None:
    value = {
        "/data/sets/xm3600": "sha",
        "recipe": "/home/someone/my recipes/know.yaml",
        "tower": "sentence-transformers:/models/labse",
        "hub": "sentence-transformers:sentence-transformers/LaBSE",
        "page": "https://example.org/a/b",
        "list": ["C:\\data\\x", "~/y", "a/b", "/", 7, None, "and/or // comment"],
    }
    assert public(value) == {
        ".../xm3600": "sha",
        "recipe": ".../know.yaml",
        "tower": "sentence-transformers:.../labse",
        "hub": "sentence-transformers:sentence-transformers/LaBSE",
        "page": "https://example.org/a/b",
        "list": [".../x", ".../y", "a/b", ".../", 7, None, "and/or // comment"],
    }
