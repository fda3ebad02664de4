from __future__ import annotations

import json
from pathlib import Path

import pytest
from reading import column, imported, write
from test_karpathy_format import image, splits

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import ConfigError, DataError

NAMES = {391895: "COCO_val2014_000000391895.jpg", 42: "COCO_val2014_000000000042.jpg"}


def annotations(path: Path, *captions: object) -> Path:
    """A STAIR or COCO file; a caption is (image_id, text)."""
    images = [{"license": 3, "file_name": name, "height": 4, "width": 3, "id": key} for key, name in NAMES.items()]
    rows = [
        {"image_id": caption[0], "id": number, "caption": caption[1]} if isinstance(caption, tuple) else caption
        for number, caption in enumerate(captions)
    ]
    return write(path, json.dumps({"info": {}, "images": images, "licenses": [], "annotations": rows}, ensure_ascii=False))


def test_coco_captions__stair_in_japanese(tmp_path: Path) -> None:
    source = tmp_path / "stair"
    path = annotations(source / "stair_captions_v1.2_val.json", (42, "猫"), (391895, "男"), (42, "白い猫"))
    assert detect(source) == detect(path) == "coco-captions"
    rows, _ = imported(source, tmp_path / "r", lang="ja")
    cat, man = NAMES[42].removesuffix(".jpg"), NAMES[391895].removesuffix(".jpg")
    assert rows == [(cat, "ja", f"{cat}#ja#0", "猫"), (man, "ja", f"{man}#ja#0", "男"), (cat, "ja", f"{cat}#ja#1", "白い猫")]
    with pytest.raises(ConfigError, match="lang"):
        import_records(source, tmp_path / "r2")


def test_coco_captions__only_karpathys_test_pictures(tmp_path: Path) -> None:
    source = tmp_path / "coco"
    annotations(source / "captions_val2014.json", (42, "a cat"), (391895, "a man"))
    annotations(source / "captions_train2014.json", (42, "other"))
    listed = [image(NAMES[391895], "test", "x"), image(NAMES[42], "val", "x"), image("COCO_val2014_7.jpg", "test", "x")]
    splits(source / "dataset_coco.json", *listed)
    (source / "images").mkdir()
    with pytest.raises(DataError, match="say which has the captions"):
        import_records(source, tmp_path / "r", format="coco-captions", lang="en")
    options = {"format": "coco-captions", "lang": "en", "captions": "captions_val2014.json", "only": "dataset_coco.json"}
    rows, report = imported(source, tmp_path / "r", **options)
    assert [row[3] for row in rows] == ["a man"] and column(tmp_path / "r", "image") == [f"images/{NAMES[391895]}"]
    assert report.rejected == {"listed picture without a caption": 1}
    assert report.notes == ["1 captions of pictures that dataset_coco.json does not list were left out."]
    assert [row[3] for row in imported(source, tmp_path / "r2", split="val", **options)[0]] == ["a cat"]
    with pytest.raises(DataError, match="lists no pictures of the split 'tset'"):
        import_records(source, tmp_path / "r3", split="tset", **options)
    write(source / "karpathy_test_images.txt", NAMES[42])
    rows, report = imported(source, tmp_path / "r4", **{**options, "only": "karpathy_test_images.txt"})
    assert [row[3] for row in rows] == ["a cat"] and not report.rejected


def test_coco_captions__broken_annotations_are_counted(tmp_path: Path) -> None:
    path = annotations(tmp_path / "captions_x.json", (42, "a cat"), (8, "no such picture"), {"image_id": 42}, 5, (None, "x"))
    report = import_records(path, tmp_path / "r", lang="en")
    assert report.kept == 1 and report.rejected == {"no such image": 2, "no caption": 2}


def test_coco_captions__files_of_another_form(tmp_path: Path) -> None:
    for content in ("[]", '{"images": []}', '{"images": {}, "annotations": []}'):
        with pytest.raises(DataError, match="holds no COCO annotations"):
            import_records(write(tmp_path / "captions_x.json", content), tmp_path / "r", format="coco-captions", lang="en")
