from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reading import column, imported, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import DataError


def image(name: str, split: str, *texts: str, first: int = 0, **more: Any) -> dict[str, Any]:
    """One entry, keys in the order of the published files."""
    sentences = [
        {"tokens": text.lower().split(), "raw": text, "imgid": 7, "sentid": first + number} for number, text in enumerate(texts)
    ]
    sentids = [sentence["sentid"] for sentence in sentences]
    return {**more, "sentids": sentids, "filename": name, "imgid": 7, "split": split, "sentences": sentences}


def splits(path: Path, *images: object, dataset: str = "coco") -> Path:
    return write(path, json.dumps({"images": list(images), "dataset": dataset}))


def test_karpathy__test_pictures_of_coco(tmp_path: Path) -> None:
    source = tmp_path / "coco"
    name = "COCO_val2014_000000391895.jpg"
    splits(
        source / "dataset_coco.json",
        image("COCO_train2014_000000000009.jpg", "train", "no", filepath="train2014", cocoid=9),
        image(name, "test", "A man.", "A man on a moped.", first=770337, filepath="val2014", cocoid=391895),
        image("COCO_val2014_000000000042.jpg", "restval", "no", filepath="val2014", cocoid=42),
    )
    (source / "images" / "val2014").mkdir(parents=True)
    assert detect(source) == detect(source / "dataset_coco.json") == "karpathy"
    rows, report = imported(source, tmp_path / "r")
    key = name.removesuffix(".jpg")
    assert rows == [(key, "en", f"{key}#en#0", "A man."), (key, "en", f"{key}#en#1", "A man on a moped.")]
    assert column(tmp_path / "r", "sentid") == [770337, 770338] and column(tmp_path / "r", "cocoid") == [391895, 391895]
    assert column(tmp_path / "r", "image") == [f"images/val2014/{name}"] * 2
    assert report.notes == ["the split test was read; pictures of other splits: restval (1), train (1)."]


def test_karpathy__flickr30k_has_neither_folder_nor_number(tmp_path: Path) -> None:
    path = splits(tmp_path / "dataset_flickr30k.json", image("1007129816.jpg", "val", "A man."), dataset="flickr30k")
    rows, _ = imported(path, tmp_path / "r", split="val", lang="hu")
    assert rows == [("1007129816", "hu", "1007129816#hu#0", "A man.")]
    with pytest.raises(DataError, match=r"no pictures of the split 'test'; it has: val \(1\)"):
        import_records(path, tmp_path / "r2")


def test_karpathy__broken_entries_are_counted(tmp_path: Path) -> None:
    good = image("a.jpg", "test", "A")
    broken = [
        3,
        {"split": "test"},
        {**image("b.jpg", "test"), "sentences": "x"},
        {**image("c.jpg", "test"), "sentences": [{}, 1]},
    ]
    report = import_records(splits(tmp_path / "dataset_x.json", good, *broken), tmp_path / "r")
    assert report.kept == 1 and report.rejected == {"no filename or split": 2, "no raw sentence": 2, "no sentences": 1}


def test_karpathy__another_file_or_several(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no Karpathy split file \(dataset_\*\.json\)"):
        import_records(tmp_path, tmp_path / "r", format="karpathy")
    splits(tmp_path / "dataset_coco.json", image("a.jpg", "test", "A"))
    splits(tmp_path / "dataset_flickr30k.json", image("b.jpg", "test", "B"))
    with pytest.raises(DataError, match=r'say which has the captions: captions="dataset_coco\.json"'):
        import_records(tmp_path, tmp_path / "r", format="karpathy")
    rows, _ = imported(tmp_path, tmp_path / "r", format="karpathy", captions="dataset_flickr30k.json")
    assert [row[0] for row in rows] == ["b"]
    with pytest.raises(DataError, match="is no Karpathy split file"):
        import_records(write(tmp_path / "dataset_list.json", "[]"), tmp_path / "r2", format="karpathy")
