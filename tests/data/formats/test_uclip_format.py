from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import column, imported, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import DataError


def entry(name: str, english: str, translated: str) -> dict[str, str]:
    return {"filename": name, "captions_en": english, "captions_translated": translated}


def captions(folder: Path, lang: str, *entries: object) -> Path:
    return write(folder / f"captions_{lang}.json", json.dumps(list(entries), indent=2, ensure_ascii=False))


def test_uclip__one_text_a_picture_and_language(tmp_path: Path) -> None:
    source = tmp_path / "xm3600"
    captions(source, "quz", entry("fff.jpg", "A market.", "Huk runa"))
    captions(source, "cs", entry("fff.jpg", "A market.", "Trh"), entry("eee.jpg", "A dog.", "Pes"))
    assert detect(source) == detect(source / "captions_cs.json") == "uclip"
    rows, report = imported(source, tmp_path / "r")
    assert rows == [("fff", "cs", "fff#cs#0", "Trh"), ("eee", "cs", "eee#cs#0", "Pes"), ("fff", "quz", "fff#quz#0", "Huk runa")]
    assert not report.rejected and column(tmp_path / "r", "image") == ["", "", ""]


def test_uclip__coco_pictures_in_their_folders_translations_and_english(tmp_path: Path) -> None:
    source = tmp_path / "mscoco"
    name = "COCO_val2014_000000266847.jpg"
    captions(source, "cs", entry(name, "A boy.", "Chlapec"), entry(name, "A child.", "Dítě"))
    captions(source, "hu", entry(name, "A boy.", "Fiú"))
    (source / "images" / "val2014").mkdir(parents=True)
    rows, _ = imported(source, tmp_path / "r", source="translated", english=True)
    key = name.removesuffix(".jpg")
    assert [row[1:] for row in rows] == [
        ("cs", f"{key}#cs#0", "Chlapec"),
        ("en", f"{key}#en#0", "A boy."),
        ("cs", f"{key}#cs#1", "Dítě"),
        ("en", f"{key}#en#1", "A child."),
        ("hu", f"{key}#hu#0", "Fiú"),
    ]
    assert column(tmp_path / "r", "source") == ["translated", "", "translated", "", "translated"]
    assert set(column(tmp_path / "r", "image")) == {f"images/val2014/{name}"}


def test_uclip__entries_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    captions(tmp_path, "hu", entry("a.jpg", "A", "B"), {"captions_translated": "x"}, {"filename": "c.jpg"}, 7)
    report = import_records(tmp_path, tmp_path / "r")
    assert report.kept == 1 and report.rejected == {"no filename": 2, "no captions_translated": 1}


def test_uclip__files_of_another_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no captions_<language>"):
        import_records(tmp_path, tmp_path / "r", format="uclip")
    bad = write(tmp_path / "captions_hu.json", '{"a": 1}')
    with pytest.raises(DataError, match=r"captions_hu\.json holds no list"):
        import_records(bad, tmp_path / "r", format="uclip")
    write(bad, '[{"filename": "a.jpg"')
    with pytest.raises(DataError, match=r"captions_hu\.json is not valid JSON"):
        import_records(bad, tmp_path / "r", format="uclip")
    with pytest.raises(DataError, match=r"captions_zz9\.json: the file's name gives no language"):
        import_records(captions(tmp_path / "b", "zz9", entry("a.jpg", "", "x")), tmp_path / "r", format="uclip")
