from __future__ import annotations

from pathlib import Path

import pytest

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError


def pictures(folder: Path, data: bytes, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def rows(folder: Path) -> list[tuple[str, str, str]]:
    table = Records.load(folder).table().to_pylist()
    return [(row["image_id"], row["label"], row["split"]) for row in table]


def test_class_folder__the_class_is_the_folder(tmp_path: Path, red_png: bytes) -> None:
    source = pictures(tmp_path / "s", red_png, "dog/1.png", "cat/1.png", "cat/more/2.JPG", ".git/x.png", "cat/.y.png")
    report = import_records(source, tmp_path / "r", "class-folder")
    assert rows(tmp_path / "r") == [("cat/1", "cat", ""), ("cat/more/2", "cat", ""), ("dog/1", "dog", "")]
    records = Records.load(tmp_path / "r")
    assert records.image_path(records.table(["image"])["image"][1].as_py()).read_bytes() == red_png
    assert report.notes == ["3 pictures in 2 of 2 classes."] and report.counts["without_text"] == 3


def test_class_folder__a_level_of_splits(tmp_path: Path, red_png: bytes) -> None:
    source = pictures(tmp_path / "s", red_png, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png")
    report = import_records(source, tmp_path / "r", "class-folder")
    assert rows(tmp_path / "r") == [
        ("test/cat/1", "cat", "test"),
        ("train/cat/1", "cat", "train"),
        ("train/dog/1", "dog", "train"),
    ]
    assert "test: no pictures of dog: nothing can be said about these classes." in report.notes
    import_records(source, tmp_path / "r2", "class-folder", splits=["train"])
    assert [row[0] for row in rows(tmp_path / "r2")] == ["train/cat/1", "train/dog/1"]
    import_records(source, tmp_path / "r3", "class-folder", split_level=False)
    assert {row[1] for row in rows(tmp_path / "r3")} == {"train", "test"}
    with pytest.raises(DataError, match="no split val; it has test, train"):
        import_records(source, tmp_path / "r4", "class-folder", splits=["val"])


def test_class_folder__what_does_not_belong_is_said(tmp_path: Path, red_png: bytes) -> None:
    source = pictures(tmp_path / "s", red_png, "cat/1.png", "cat/1.jpg", "stray.png", "cat/list.txt", "README", "empty/x.txt")
    pictures(source, red_png, "records/images/a.png", "records/manifest.json")
    report = import_records(source, tmp_path / "r", "class-folder")
    assert [row[0] for row in rows(tmp_path / "r")] == ["cat/1.jpg", "cat/1.png"]
    assert report.rejected == {"picture outside any class": 1} and report.examples[0].where == "stray.png"
    assert report.notes == [
        "2 pictures in 1 of 2 classes.",
        "no pictures of empty: nothing can be said about these classes.",
        "files that are no pictures: 2 x .txt, 1 x no ending.",
    ]


def test_class_folder__beside_the_splits(tmp_path: Path, red_png: bytes) -> None:
    source = pictures(tmp_path / "s", red_png, "train/cat/1.png", "test/cat/1.png", "x.png", "test/y.png")
    report = import_records(source, tmp_path / "r", "class-folder", splits=["test"])
    assert [row[0] for row in rows(tmp_path / "r")] == ["test/cat/1"]
    assert report.rejected == {"picture outside any class": 2}


def test_class_folder__is_never_guessed(tmp_path: Path, red_png: bytes) -> None:
    source = pictures(tmp_path / "s", red_png, "train/cat/1.png", "test/cat/1.png")
    assert detect(source) == "folder"


@pytest.mark.parametrize("names", [(), ("a.png",), ("cat/notes.txt",)])
def test_class_folder__nothing_there(tmp_path: Path, red_png: bytes, names: tuple[str, ...]) -> None:
    (tmp_path / "s").mkdir()
    source = pictures(tmp_path / "s", red_png, *names)
    with pytest.raises(DataError, match=r"no sub-folders|no picture files"):
        import_records(source, tmp_path / "r", "class-folder")


def test_class_folder__a_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="not a folder with one sub-folder per class"):
        import_records(tmp_path / "x.csv", tmp_path / "r", "class-folder")
