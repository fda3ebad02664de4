from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from mella_retrieval.data.records import COLUMNS, RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ArtifactError, DataError


def _items(count: int = 10) -> list[RawRecord]:
    langs = ("hu", "en")
    return [
        RawRecord(
            f"p{number // 2}",
            f"a/{number // 2}.jpg",
            f"szöveg {number}",
            langs[number % 2],
            "know",
            extras={"split": "train", "n": number},
        )
        for number in range(count)
    ]


@pytest.fixture
def records(tmp_path: Path) -> Records:
    write_records(
        tmp_path / "r", [*_items(), RawRecord("alone", "a/alone.jpg", None, ""), RawRecord("bare", "", "text", "ru")], part_rows=4
    )
    return Records.load(tmp_path / "r")


def test_records__rows_come_back_in_order_with_types(records: Records) -> None:
    table = records.table()
    assert table.column_names == [*COLUMNS, "split", "n"]
    assert table.schema.field("n").type == pa.int64()
    assert table["text"].to_pylist() == [f"szöveg {number}" for number in range(10)] + ["", "text"]
    assert len(records) == 12 and len(records.parts) == 3
    assert records.languages == ("en", "hu", "ru")
    assert records.counts == {"records": 12, "images": 7, "without_text": 1, "languages": {"en": 5, "hu": 5, "ru": 1}}


def test_records__another_folder_is_told_to_be_imported(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"is not a finished records folder\. Make one with `mella data import`"):
        Records.load(tmp_path)


def test_records__table_filters_by_values_in_any_known_form(records: Records) -> None:
    assert records.table(["text"], where={"lang": "hun", "n": ["2", 4, 5]})["text"].to_pylist() == ["szöveg 2", "szöveg 4"]
    assert records.table(where={"lang": ""})["image_id"].to_pylist() == ["alone"]


def test_records__unknown_column_or_value_is_explained(records: Records) -> None:
    with pytest.raises(DataError, match=r"no column 'txet'\. Did you mean 'text'"):
        records.table(["txet"])
    with pytest.raises(DataError, match="no column 'splt'"):
        records.table(where={"splt": "train"})
    with pytest.raises(DataError, match="holds int64"):
        records.table(where={"n": "many"})


def test_records__batches_cover_all_rows_in_order(records: Records) -> None:
    batches = list(records.batches(3, ["text"]))
    assert all(batch.num_rows <= 3 for batch in batches)
    assert [text for batch in batches for text in batch["text"].to_pylist()] == records.table()["text"].to_pylist()


def test_records__images_are_listed_once_in_order_of_appearance(records: Records) -> None:
    images = records.images()
    assert images["image_id"].to_pylist() == ["p0", "p1", "p2", "p3", "p4", "alone"]
    assert images.column_names == ["image_id", "image"]
    assert records.images(where={"lang": "ru"}).num_rows == 0
    assert records.image_path("a/0.jpg") == records.folder / "a" / "0.jpg"


def test_records__image_path_refuses_urls_and_absence(records: Records) -> None:
    with pytest.raises(DataError, match="URL"):
        records.image_path("https://example.org/a.jpg")
    with pytest.raises(DataError, match="no picture"):
        records.image_path("")


def test_records__fingerprint_follows_the_content_only(tmp_path: Path, records: Records) -> None:
    same = [*_items(), RawRecord("alone", "a/alone.jpg", None, ""), RawRecord("bare", "", "text", "ru")]
    write_records(tmp_path / "again", same, part_rows=4, made_by={"format": "other"})
    assert Records.load(tmp_path / "again").fingerprint == records.fingerprint
    write_records(tmp_path / "less", same[:-1], part_rows=4)
    assert Records.load(tmp_path / "less").fingerprint != records.fingerprint


def test_records__fingerprint_follows_stored_pictures(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    for name, data in (("red", red_png), ("blue", blue_png)):
        write_records(tmp_path / name, [RawRecord("p", data, "text", "en")])
    red, blue = Records.load(tmp_path / "red"), Records.load(tmp_path / "blue")
    assert red.table().equals(blue.table())
    assert red.fingerprint != blue.fingerprint


@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_records__damaged_part_is_found(records: Records, damage: str) -> None:
    part = records.parts[1]
    content = part.read_bytes()
    if damage == "gone":
        part.unlink()
    else:
        part.write_bytes(content[:-10] if damage == "cut" else content[:50] + bytes([content[50] ^ 1]) + content[51:])
    with pytest.raises(ArtifactError, match=r"part-00001\.parquet"):
        Records.load(records.folder).verify(deep=True)


def test_records__changed_stored_picture_is_found(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    write_records(tmp_path / "r", [RawRecord("p", red_png, "text", "en")])
    records = Records.load(tmp_path / "r")
    records.verify(deep=True)
    records.image_path(records.table()["image"][0].as_py()).write_bytes(blue_png)
    with pytest.raises(ArtifactError, match="the pictures in"):
        records.verify(deep=True)


def test_records__texts_leaves_out_pictures_alone(records: Records) -> None:
    assert records.texts(["text"])["text"].to_pylist() == [f"szöveg {number}" for number in range(10)] + ["text"]
    assert records.texts(where={"lang": ["", "ru"]})["image_id"].to_pylist() == ["bare"]


@pytest.mark.parametrize("key", ["parts", "counts", "stored_images"])
def test_records__manifest_that_lacks_something_is_refused(records: Records, key: str) -> None:
    manifest = json.loads((records.folder / "manifest.json").read_text())
    manifest[key] = {}
    (records.folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="corrupted"):
        Records.load(records.folder)


def test_records__readable_by_hugging_face_datasets(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    loaded = datasets.load_dataset(
        "parquet", data_files=[str(path) for path in records.parts], split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.to_list() == records.table().to_pylist()
    assert records.to_datasets().column_names == records.schema.names


def test_records__found_from_a_linked_folder(tmp_path: Path, red_png: bytes) -> None:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "p.png").write_bytes(red_png)
    (tmp_path / "link").symlink_to(tmp_path / "source" / "deep", target_is_directory=True)
    write_records(tmp_path / "link" / "r", [RawRecord("p", "p.png", "text", "en")], image_root=tmp_path / "source")
    assert Records.load(tmp_path / "link" / "r").image_path("p.png").read_bytes() == red_png
