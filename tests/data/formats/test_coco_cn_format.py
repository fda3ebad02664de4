from __future__ import annotations

from pathlib import Path

import pytest
from reading import column, imported, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import DataError

CAT, DOG, SKY = (f"COCO_val2014_00000000000{number}" for number in (1, 2, 3))


def release(folder: Path) -> Path:
    """The files of version 201805 v1.1 that are read, with two test pictures."""
    write(folder / "coco-cn_test.txt", CAT, DOG)
    write(folder / "coco-cn_train.txt", SKY)
    write(
        folder / "imageid.human-written-caption.txt", f"{SKY}#0\t天空", f"{CAT}#0\t一只 猫", f"{CAT}#1\t白猫", f"{DOG}#0\t一条狗"
    )
    write(folder / "imageid.manually-translated-caption.txt", f"{CAT}#zhm#0\t猫在睡", f"{DOG}#0 狗在跑")
    write(folder / "imageid.human-written-tags.txt", f"{CAT} 猫")
    return folder


def test_coco_cn__human_written_sentences_of_the_test_pictures(tmp_path: Path) -> None:
    source = release(tmp_path / "coco-cn-version1805v1.1")
    (source / "images" / "val2014").mkdir(parents=True)
    assert detect(source) == "coco-cn"
    rows, report = imported(source, tmp_path / "r")
    assert rows == [
        (CAT, "zh", f"{CAT}#zh#0", "一只 猫"),
        (CAT, "zh", f"{CAT}#zh#1", "白猫"),
        (DOG, "zh", f"{DOG}#zh#0", "一条狗"),
    ]
    assert column(tmp_path / "r", "image")[2] == f"images/val2014/{DOG}.jpg" and set(column(tmp_path / "r", "source")) == {""}
    assert report.notes == ["1 sentences on pictures outside the split test were left out."]


def test_coco_cn__translations_and_other_splits(tmp_path: Path) -> None:
    source = release(tmp_path / "cn")
    rows, _ = imported(source, tmp_path / "r", captions="manually-translated")
    assert [row[3] for row in rows] == ["猫在睡", "狗在跑"] and set(column(tmp_path / "r", "source")) == {"translated"}
    assert [row[3] for row in imported(source, tmp_path / "r2", split="train")[0]] == ["天空"]
    with pytest.raises(DataError, match=r"no file .*coco-cn_val\.txt"):
        import_records(source, tmp_path / "r3", split="val")


def test_coco_cn__lines_of_another_form_and_pictures_without_a_sentence(tmp_path: Path) -> None:
    source = release(tmp_path / "cn")
    write(source / "imageid.human-written-caption.txt", f"{CAT}#0\t猫", f"{CAT} no number", "", "#0\tx", f"{CAT}#x\ty")
    report = import_records(source, tmp_path / "r")
    assert report.kept == 1
    assert report.rejected == {
        "listed picture without a sentence": 1,
        "not of the form imageid#number, tab, sentence": 3,
    }
    (source / "imageid.human-written-caption.txt").unlink()
    with pytest.raises(DataError, match=r"no file .*imageid\.human-written-caption\.txt"):
        import_records(source, tmp_path / "r2", format="coco-cn")
