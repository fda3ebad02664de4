from __future__ import annotations

from pathlib import Path

import pytest

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError


def _pictures(folder: Path, data: bytes, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def test_folder__bare_pictures_become_records_without_a_text(tmp_path: Path, red_png: bytes) -> None:
    source = _pictures(
        tmp_path / "photos", red_png, "b.PNG", "a.jpg", "sub/a.jpg", "sub/c.webp", ".hidden/x.jpg", ".y.jpg", "notes.txt"
    )
    _pictures(source, red_png, "old records/images/z.png", "old records/manifest.json")
    assert detect(source) == "folder"
    report = import_records(source, tmp_path / "r")
    records = Records.load(tmp_path / "r")
    rows = records.table().to_pylist()
    assert [(row["image_id"], row["image"]) for row in rows] == [
        ("a.jpg", "a.jpg"),
        ("b", "b.PNG"),
        ("sub/a", "sub/a.jpg"),
        ("c", "sub/c.webp"),
    ]
    assert {(row["text"], row["lang"]) for row in rows} == {("", "")}
    assert report.counts["without_text"] == 4 and report.counts["images"] == 4
    assert records.image_path("sub/a.jpg").read_bytes() == red_png


@pytest.mark.parametrize("key", ["image_id", "file_name"])
@pytest.mark.parametrize("form", ["images/a.png", "a.png", "a"])
def test_folder__captions_find_their_pictures(tmp_path: Path, red_png: bytes, key: str, form: str) -> None:
    source = _pictures(tmp_path / "photos", red_png, "images/a.png", "images/b.png")
    (source / "captions.csv").write_text(f"{key},caption,lang\n{form},kutya,hu\n{form},dog,en\nnone,x,en\n")
    report = import_records(source, tmp_path / "r")
    rows = Records.load(tmp_path / "r").table().to_pylist()
    assert [(row["image"], row["text"]) for row in rows] == [
        ("images/a.png", "kutya"),
        ("images/a.png", "dog"),
        ("images/b.png", ""),
    ]
    assert rows[0]["image_id"] == form and rows[2]["image_id"] == "b"
    assert report.rejected == {"no picture in the folder": 1}
    assert report.notes == ["1 of 2 pictures have no caption in captions.csv; they are records without a text."]


def test_folder__ambiguous_name_is_rejected(tmp_path: Path, red_png: bytes) -> None:
    source = _pictures(tmp_path / "photos", red_png, "x/a.png", "y/a.png")
    (source / "metadata.jsonl").write_text(
        '{"image_id": "a", "text": "t", "lang": "en"}\n{"image_id": "x/a", "text": "t", "lang": "en"}\n'
    )
    report = import_records(source, tmp_path / "r")
    assert report.rejected == {"the name fits several pictures": 1}
    assert report.counts["images"] == 2


def test_folder__which_table(tmp_path: Path, red_png: bytes) -> None:
    source = _pictures(tmp_path / "photos", red_png, "a.png")
    for name in ("one.csv", "two.csv"):
        (source / name).write_text(f"image_id,text,lang\na,{name},en\n")
    with pytest.raises(DataError, match=r"several tables \(one.csv, two.csv\)"):
        import_records(source, tmp_path / "r")
    import_records(source, tmp_path / "r", captions="two.csv")
    assert Records.load(tmp_path / "r").table()["text"].to_pylist() == ["two.csv"]
    assert import_records(source, tmp_path / "bare", captions="").counts["without_text"] == 1
    with pytest.raises(DataError, match="no file"):
        import_records(source, tmp_path / "x", captions="three.csv")


def test_folder__no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no known format"):
        import_records(tmp_path / "empty", tmp_path / "r")
    with pytest.raises(DataError, match="no picture files"):
        import_records(tmp_path / "empty", tmp_path / "r", format="folder")
