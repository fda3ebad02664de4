from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mella_retrieval.data.formats import detect, xm3600
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Note, RawRecord, Records
from mella_retrieval.errors import DataError


def _line(key: str, **captions: Any) -> dict[str, Any]:
    languages = {lang: {"caption": texts, "caption/tokenized": [str(texts).lower()]} for lang, texts in captions.items()}
    return {"image/key": key, "image/locale": "hu", **languages}


def _captions(folder: Path, *lines: dict[str, Any] | str) -> Path:
    path = folder / "captions.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_xm3600__captions_languages_ids_and_locale(tmp_path: Path) -> None:
    path = _captions(
        tmp_path, _line("k1", hu=["Kakas és tyúk.", "Két madár"], fil=["Dalawang tandang"]), _line("k2", no=["Hane"])
    )
    assert detect(path) == detect(tmp_path) == "xm3600"
    report = import_records(path, tmp_path / "r")
    rows = Records.load(tmp_path / "r").table().to_pylist()
    assert [(row["image_id"], row["lang"], row["text"], row["text_id"]) for row in rows] == [
        ("k1", "hu", "Kakas és tyúk.", "k1#hu#0"),
        ("k1", "hu", "Két madár", "k1#hu#1"),
        ("k1", "fil", "Dalawang tandang", "k1#fil#0"),
        ("k2", "no", "Hane", "k2#no#0"),
    ]
    assert {row["locale"] for row in rows} == {"hu"} and {row["image"] for row in rows} == {""}
    assert report.notes[0].startswith("2 pictures and 4 captions in 3 languages: a set of its own in the form of XM3600")


def test_xm3600__pictures_beside_or_elsewhere(tmp_path: Path, red_png: bytes) -> None:
    path = _captions(tmp_path, _line("k1", hu=["a"]), _line("k2", hu=["b"]))
    for folder in ("images", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "k1.jpg").write_bytes(red_png)
    report = import_records(path, tmp_path / "r", check_images=True)
    records = Records.load(tmp_path / "r")
    assert records.table()["image"].to_pylist() == ["images/k1.jpg"] and report.rejected == {"picture not found": 1}
    assert records.image_path("images/k1.jpg").is_file()
    import_records(path, tmp_path / "r2", images="elsewhere")
    assert Records.load(tmp_path / "r2").table()["image"].to_pylist() == ["elsewhere/k1.jpg", "elsewhere/k2.jpg"]
    with pytest.raises(DataError, match="no folder of pictures"):
        import_records(path, tmp_path / "r3", images="gone")


def test_xm3600__a_test_set_does_not_shrink(tmp_path: Path) -> None:
    path = _captions(tmp_path, _line("k1", vi=["same", "same", "back\bspace"]))
    report = import_records(path, tmp_path / "r")
    assert report.kept == 3 and report.warnings == {"control characters kept": 1}
    assert import_records(path, tmp_path / "r2", duplicates="reject", control_characters="remove").kept == 2


def test_xm3600__broken_lines(tmp_path: Path) -> None:
    lines = [
        _line("k1", hu=["a"]),
        "{cut",
        {"hu": {"caption": ["x"]}},
        _line("k1", hu=["again"]),
        _line("k2", hu="no list"),
        _line("k3"),
    ]
    report = import_records(_captions(tmp_path, *lines), tmp_path / "r")
    assert report.kept == 1
    assert report.rejected == {
        "not valid JSON": 1,
        "no image/key": 1,
        "duplicate image/key": 1,
        "caption is not a list": 1,
        "no captions": 1,
    }


def test_xm3600__counts_of_the_release(tmp_path: Path) -> None:
    assert sum(xm3600.CAPTIONS_OF.values()) == xm3600.CAPTIONS and len(xm3600.CAPTIONS_OF) == 36
    lines = []
    left = dict(xm3600.CAPTIONS_OF)
    for number in range(xm3600.IMAGES):
        share = {lang: -(-left[lang] // (xm3600.IMAGES - number)) for lang in left}
        left = {lang: left[lang] - share[lang] for lang in left}
        lines.append(_line(f"k{number}", **{lang: ["t"] * count for lang, count in share.items()}))
    items = list(xm3600.read(_captions(tmp_path, *lines), xm3600.XM3600Options()))
    assert sum(isinstance(item, RawRecord) for item in items) == xm3600.CAPTIONS
    assert items[-1] == Note("3600 pictures and 261375 captions in 36 languages: the complete release of XM3600.")


def test_xm3600__a_users_own_set_is_told_what_it_covers(tmp_path: Path, red_png: bytes) -> None:
    """Any number of pictures, some languages, pictures of any ending: the note neither alarms nor lists 36 languages."""
    source = tmp_path / "mine"
    (source / "images").mkdir(parents=True)
    for name in ("k1.png", "k2.jpg", "k2.webp", "k3.jpg"):
        (source / "images" / name).write_bytes(red_png)
    _captions(
        source,
        _line("k1", hu=["a"], th=["b"]),
        _line("k2", hu=["c", "d"], th=[]),
        _line("k3.jpg", hu=["e"]),
        _line("k4", hu=["f"]),
    )
    assert detect(source) == "xm3600"
    report = import_records(source, tmp_path / "r")
    table = Records.load(tmp_path / "r").table(where={"lang": "hu"})
    assert table["image"].to_pylist() == ["images/k1.png", "images/k2.jpg", "images/k2.jpg", "images/k3.jpg", "images/k4.jpg"]
    assert report.notes == [
        "4 pictures and 6 captions in 2 languages: a set of its own in the form of XM3600 (whose release has 3600 pictures in 36 "
        "languages). Languages with captions for fewer than all pictures: th 1.",
        "1 of 4 pictures have no file in images; their captions are read all the same.",
    ]
    _captions(source, _line("k1", hu=["a"]), _line("k2", hu=["c"]))
    assert import_records(source, tmp_path / "r2").notes[0].endswith("in 36 languages). Each covers all pictures.")


def test_xm3600__a_release_with_changes_is_told_which(tmp_path: Path) -> None:
    lines = [_line(f"k{number}", hu=["t"], sr=["t"]) for number in range(xm3600.IMAGES)]
    note = list(xm3600.read(_captions(tmp_path, *lines), xm3600.XM3600Options()))[-1]
    assert isinstance(note, Note) and "It differs in: ar 0 of 7367, " in note.text
    assert "hu 3600 of 7216" in note.text and note.text.endswith("languages that the release does not have: sr.")


def test_xm3600__packed_and_not_this_format(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(_line("k", hu=["a"])).encode()))
    assert detect(path) == "xm3600"
    other = tmp_path / "other.csv"
    other.write_text("image_id,text\n")
    with pytest.raises(DataError, match="not XM3600"):
        import_records(other, tmp_path / "r", format="xm3600")
