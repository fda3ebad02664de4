from __future__ import annotations

from pathlib import Path

import pytest
from reading import column, imported, read, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import RawRecord
from mella_retrieval.errors import DataError

NAMES = ["COCO_train2014_000000000009.jpg", "COCO_val2014_000000129945.jpg"]


def release(folder: Path) -> Path:
    """The repository's arrangement, with two pictures."""
    write(folder / "XTD10" / "test_image_names.txt", *NAMES)
    write(folder / "XTD10" / "test_1kcaptions_tr.txt", "bir kedi", "bir köpek")
    write(folder / "MIC" / "test_1kcaptions_en.txt", "a cat", "a dog")
    write(folder / "STAIR" / "test_1kcaptions_jp.txt", "猫", "犬")
    write(folder / "README.md", "# XTD10")
    return folder


def test_xtd10__line_i_is_picture_i_in_every_folder(tmp_path: Path) -> None:
    source = release(tmp_path / "xtd")
    assert detect(source) == detect(source / "XTD10") == "xtd10"
    rows, report = imported(source, tmp_path / "r")
    first, second = (name.removesuffix(".jpg") for name in NAMES)
    assert rows == [
        (first, "en", f"{first}#en#0", "a cat"),
        (second, "en", f"{second}#en#0", "a dog"),
        (first, "ja", f"{first}#ja#0", "猫"),
        (second, "ja", f"{second}#ja#0", "犬"),
        (first, "tr", f"{first}#tr#0", "bir kedi"),
        (second, "tr", f"{second}#tr#0", "bir köpek"),
    ]
    assert not report.rejected and not report.warnings


def test_xtd10__coco_pictures_lie_in_two_folders(tmp_path: Path) -> None:
    source = release(tmp_path / "xtd")
    for name in ("train2014", "val2014"):
        (tmp_path / "coco" / name).mkdir(parents=True)
    imported(source, tmp_path / "r", images="../coco")
    assert column(tmp_path / "r", "image")[:2] == [f"../coco/train2014/{NAMES[0]}", f"../coco/val2014/{NAMES[1]}"]
    with pytest.raises(DataError, match="no folder of pictures"):
        import_records(source, tmp_path / "r2", images="gone")


def test_xtd10__a_line_too_few_or_too_many_is_an_error(tmp_path: Path) -> None:
    source = release(tmp_path / "xtd")
    for lines in (["tek"], ["bir", "iki", "üç"], []):
        write(source / "XTD10" / "test_1kcaptions_tr.txt", *lines)
        message = rf"test_1kcaptions_tr.txt has {len(lines)} lines, but test_image_names.txt names 2 pictures"
        with pytest.raises(DataError, match=message):
            import_records(source, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_xtd10__only_line_ends_end_a_line(tmp_path: Path) -> None:
    """`str.splitlines` would part the first caption and shift all that follow."""
    source = release(tmp_path / "xtd")
    write(source / "XTD10" / "test_1kcaptions_tr.txt", "\ufeffbir\u2028kedi", " bir\x0bköpek ", "", end="\r\n")
    texts = [item.text for item in read("xtd10", source) if isinstance(item, RawRecord) and item.lang == "tr"]
    assert texts == ["bir\u2028kedi", " bir\x0bköpek "]


def test_xtd10__an_empty_line_keeps_the_others_in_step(tmp_path: Path) -> None:
    source = release(tmp_path / "xtd")
    write(source / "XTD10" / "test_1kcaptions_tr.txt", "", "bir köpek")
    rows, report = imported(source, tmp_path / "r")
    assert report.rejected == {"empty text": 1} and rows[-1][3] == "bir köpek" and rows[-1][0] == "COCO_val2014_000000129945"


def test_xtd10__missing_files_and_two_of_a_language(tmp_path: Path) -> None:
    source = release(tmp_path / "xtd")
    write(source / "XTD10" / "test_1kcaptions_en.txt", "a cat", "a dog")
    assert import_records(source, tmp_path / "r").kept == 6  # the same content twice is read once
    write(source / "XTD10" / "test_1kcaptions_en.txt", "other", "words")
    with pytest.raises(DataError, match="both hold captions in en and differ"):
        import_records(source, tmp_path / "r2")
    (source / "XTD10" / "test_image_names.txt").unlink()
    with pytest.raises(DataError, match=r"holds no test_image_names\.txt"):
        import_records(source, tmp_path / "r2", format="xtd10")
    write(tmp_path / "alone" / "test_image_names.txt", *NAMES)
    with pytest.raises(DataError, match="holds no captions"):
        import_records(tmp_path / "alone", tmp_path / "r2", format="xtd10")
