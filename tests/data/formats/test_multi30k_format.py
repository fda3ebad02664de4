from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from reading import imported, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import ConfigError, DataError

NAMES = ["1007129816.jpg", "1009434119.jpg"]


def packed(path: Path, *lines: str) -> None:
    write(path, *lines)
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def clone(folder: Path) -> Path:
    """The repository's arrangement, with two pictures."""
    task1, task2 = folder / "data" / "task1", folder / "data" / "task2"
    write(task1 / "image_splits" / "test_2016_flickr.txt", *NAMES)
    write(
        task1 / "image_splits" / "test_2017_mscoco.txt",
        "COCO_train2014_000000117071.jpg#367178",
        "COCO_val2014_000000398076.jpg#657409",
    )
    for lang, words in {"en": ("A man.", "A dog."), "de": ("Ein Mann.", "Ein Hund."), "cs": ("Muž.", "Pes.")}.items():
        packed(task1 / "raw" / f"test_2016_flickr.{lang}", *words)
    packed(task1 / "raw" / "test_2017_mscoco.fr", "Un train.", "Un vélo.")
    packed(task1 / "raw" / "val.en", "Not asked for.")
    write(task1 / "tok" / "test_2016_flickr.lc.norm.tok.en", "a man .", "a dog .")
    write(task2 / "image_splits" / "test_2016_images.txt", *reversed(NAMES))
    for lang in ("en", "de"):
        for number in range(1, 6):
            packed(task2 / "raw" / f"test_2016.{number}.{lang}", f"{lang} dog {number}", f"{lang} man {number}")
    return folder


def test_multi30k__task_1_from_the_clone_and_parts_of_it(tmp_path: Path) -> None:
    source = clone(tmp_path / "dataset")
    for place in (source, source / "data", source / "data" / "task1"):
        assert detect(place) == "multi30k"
        rows, report = imported(place, tmp_path / f"records of {place.name}")
        assert rows == [
            ("1007129816", "cs", "1007129816#cs#0", "Muž."),
            ("1009434119", "cs", "1009434119#cs#0", "Pes."),
            ("1007129816", "de", "1007129816#de#0", "Ein Mann."),
            ("1009434119", "de", "1009434119#de#0", "Ein Hund."),
            ("1007129816", "en", "1007129816#en#0", "A man."),
            ("1009434119", "en", "1009434119#en#0", "A dog."),
        ]
        assert not report.rejected


def test_multi30k__task_2_has_five_of_each_language(tmp_path: Path) -> None:
    source = clone(tmp_path / "dataset")
    rows, _ = imported(source, tmp_path / "r", format="multi30k", task=2)
    assert len(rows) == 20
    assert [row[2:] for row in rows if row[0] == "1007129816" and row[1] == "de"] == [
        (f"1007129816#de#{number - 1}", f"de man {number}") for number in range(1, 6)
    ]
    (source / "data" / "task2" / "raw" / "test_2016.3.de.gz").unlink()
    with pytest.raises(DataError, match="the de descriptions of test_2016 are not complete: number 3 of 5"):
        import_records(source, tmp_path / "r2", format="multi30k", task=2)


def test_multi30k__other_splits_and_unpacked_files_in_one_folder(tmp_path: Path) -> None:
    source = clone(tmp_path / "dataset")
    rows, _ = imported(source, tmp_path / "r", format="multi30k", split="test_2017_mscoco")
    assert [row[0] for row in rows] == ["COCO_train2014_000000117071", "COCO_val2014_000000398076"]
    flat = tmp_path / "flat"
    write(flat / "test_2016_flickr.txt", *NAMES)
    write(flat / "test_2016_flickr.en", "unpacked", "too")
    packed(flat / "test_2016_flickr.en", "packed", "copy")
    write(flat / "test_2016_flickr.en", "unpacked", "too")
    assert detect(flat) == "multi30k" and [row[3] for row in imported(flat, tmp_path / "r2")[0]] == ["unpacked", "too"]


def test_multi30k__what_is_missing_or_out_of_step_is_named(tmp_path: Path) -> None:
    source = clone(tmp_path / "dataset")
    with pytest.raises(DataError, match=r"no list of pictures train\.txt of task 1"):
        import_records(source, tmp_path / "r", format="multi30k", split="train")
    write(source / "data" / "task1" / "image_splits" / "train.txt", *NAMES)
    with pytest.raises(DataError, match=r"there are no sentences train\.\* of task 1"):
        import_records(source, tmp_path / "r", format="multi30k", split="train")
    packed(source / "data" / "task1" / "raw" / "train.de", "nur einer")
    with pytest.raises(DataError, match=r"train\.de\.gz has 1 lines, but train\.txt names 2"):
        import_records(source, tmp_path / "r", format="multi30k", split="train")
    (source / "data" / "task1" / "raw" / "train.de.gz").write_bytes(b"\x1f\x8b no gzip")
    with pytest.raises(DataError, match=r"train\.de\.gz cannot be read"):
        import_records(source, tmp_path / "r", format="multi30k", split="train")
    for options in ({"task": 3}, {"split": "../etc/passwd"}):
        with pytest.raises(ConfigError):
            import_records(source, tmp_path / "r", format="multi30k", **options)
