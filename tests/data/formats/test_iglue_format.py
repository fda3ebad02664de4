from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reading import column, imported, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import DataError

URL = "https://upload.wikimedia.org/wikipedia/commons/5/57/Karvin%C3%A1-ORP.jpg"


def lines(path: Path, *rows: object) -> Path:
    return write(path, *(json.dumps(row, ensure_ascii=False) for row in rows))


def flickr(name: str, key: int | str, *sentences: str) -> dict[str, Any]:
    return {"sentences": list(sentences), "id": key, "img_path": name}


def wit(number: int, text: str | None, lang: str = "bg", url: str = URL) -> dict[str, Any]:
    return {
        "image_idx": 4 * number, "image_url": url, "meta_url": "http://commons.wikimedia.org/x",
        "caption_reference_description": text, "language": lang, "page_url": f"https://{lang}.wikipedia.org/wiki/x",
        "wit_ix": f"wit-test_{number}",
    }  # fmt: skip


def test_iglue__xflickrco_by_language(tmp_path: Path) -> None:
    source = tmp_path / "xFlickrCO"
    lines(
        source / "annotations" / "ja" / "test.jsonl",
        flickr("1007129816.jpg", "1007129816", "帽子の男"),
        flickr("COCO_val2014_000000205230.jpg", 205230, "少女"),
    )
    lines(source / "annotations" / "de" / "test.jsonl", flickr("1007129816.jpg", "1007129816", "Der Mann."))
    lines(source / "annotations" / "de" / "train_1.jsonl", flickr("9.jpg", "9", "Nein."))
    lines(source / "annotations_machine-translate" / "de" / "test_gmt.jsonl", flickr("1007129816.jpg", "1007129816", "The man."))
    (source / "images" / "val2014").mkdir(parents=True)
    assert detect(source) == detect(source / "annotations") == detect(source / "annotations" / "de" / "test.jsonl") == "iglue"
    rows, _ = imported(source, tmp_path / "r")
    assert rows == [
        ("1007129816", "de", "1007129816#de#0", "Der Mann."),
        ("1007129816", "ja", "1007129816#ja#0", "帽子の男"),
        ("COCO_val2014_000000205230", "ja", "COCO_val2014_000000205230#ja#0", "少女"),
    ]
    assert column(tmp_path / "r", "image")[1:] == ["images/1007129816.jpg", "images/val2014/COCO_val2014_000000205230.jpg"]
    assert [row[3] for row in imported(source, tmp_path / "r2", split="train_1")[0]] == ["Nein."]
    assert imported(source / "annotations" / "de" / "test.jsonl", tmp_path / "r3")[0] == rows[:1]


def test_iglue__wit_keeps_two_captions_of_a_picture(tmp_path: Path) -> None:
    source = tmp_path / "wit"
    lines(source / "annotations" / "test_bg.jsonl", wit(8, "Карвина"), wit(8, "Карвина"), wit(50, "Портрет"))
    lines(source / "annotations" / "test_en.jsonl", wit(50, "A portrait", "en"))
    lines(source / "annotations" / "val_en.jsonl", wit(1, "No", "en"))
    assert detect(source) == detect(source / "annotations" / "test_bg.jsonl") == "iglue"
    rows, _ = imported(source, tmp_path / "r")
    assert rows == [
        ("wit-test_8", "bg", "wit-test_8#bg#0", "Карвина"),
        ("wit-test_8", "bg", "wit-test_8#bg#1", "Карвина"),
        ("wit-test_50", "bg", "wit-test_50#bg#0", "Портрет"),
        ("wit-test_50", "en", "wit-test_50#en#0", "A portrait"),
    ]
    assert set(column(tmp_path / "r", "image")) == {URL}
    assert column(tmp_path / "r", "page_url")[3] == "https://en.wikipedia.org/wiki/x"


def test_iglue__wit_pictures_by_number_or_by_the_name_in_their_address(tmp_path: Path) -> None:
    source = tmp_path / "wit"
    far = "https://upload.wikimedia.org/far.jpg"
    lines(source / "test_bg.jsonl", wit(1, "a", url=far), wit(2, "b"), wit(3, "c", url=far))
    for name in ("wit-test_1.png", "Karviná-ORP.jpg"):
        write(source / "images" / name, "x")
    _, report = imported(source, tmp_path / "r")
    assert column(tmp_path / "r", "image") == ["images/wit-test_1.png", "images/Karviná-ORP.jpg", far]
    assert "1 pictures have no file" in report.notes[0]


def test_iglue__broken_rows_are_counted_and_a_missing_split_named(tmp_path: Path) -> None:
    source = tmp_path / "x"
    no_caption, no_url = wit(1, None), {**wit(2, "x"), "image_url": None}
    bad = [{"sentences": ["x"]}, flickr("a.jpg", 1), {**wit(1, "x"), "wit_ix": 5}, no_url, no_caption, 3]
    lines(source / "de" / "test.jsonl", flickr("a.jpg", 1, "gut"), *bad)
    report = import_records(source, tmp_path / "r", format="iglue")
    assert report.kept == 1 and report.rejected == {
        "no caption_reference_description": 1, "no image_url": 1, "no img_path": 1, "no sentences": 1, "no wit_ix": 1,
        "not a JSON object": 1,
    }  # fmt: skip
    with pytest.raises(DataError, match="holds no annotations of the split 'dev'"):
        import_records(source, tmp_path / "r2", format="iglue", split="dev")
    with pytest.raises(DataError, match="the file's name gives no language"):
        import_records(lines(tmp_path / "nowhere" / "test.jsonl", flickr("a.jpg", 1, "x")), tmp_path / "r2", format="iglue")
