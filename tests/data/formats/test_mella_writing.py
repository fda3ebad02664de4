from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mella_retrieval.data.formats.mella import read
from mella_retrieval.data.formats.mella_writing import write_mella
from mella_retrieval.data.formats.sft_writing import write_sft
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ArtifactError, ConfigError, DataError
from mella_retrieval.pocket.vocabulary import LANGUAGES
from mella_retrieval.pocket.world import generate_world


def rows(records: Records, *columns: str) -> list[tuple[Any, ...]]:
    """The rows in the order of their text_ids, each with the hash of its picture instead of its path."""
    found = []
    for row in records.table().to_pylist():
        image = row["image"]
        content = hashlib.sha256(records.image_path(image).read_bytes()).hexdigest() if "://" not in image and image else image
        found.append((content, *(row[name] for name in columns)))
    return sorted(found, key=lambda row: str(row[1]))


def stored(folder: Path, *items: RawRecord) -> Records:
    write_records(folder, items, image_root=folder.parent)
    return Records.load(folder)


@pytest.fixture(scope="module")
def pocket(tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder = tmp_path_factory.mktemp("pocket")
    generate_world(folder / "world", scenes=36)
    import_records(folder / "world", folder / "records")
    return Records.load(folder / "records")


def test_pocket_world__exported_as_mella_and_imported_again_is_the_same(pocket: Records, tmp_path: Path) -> None:
    report = write_mella(pocket, tmp_path / "mella", part_rows=25)
    assert report.written.total() == len(pocket) and not report.left_out
    assert {name.split()[1] for name in report.written} == set(LANGUAGES) == set(pocket.counts["languages"])
    again = import_records(tmp_path / "mella", tmp_path / "again")
    assert (again.kept, again.rejected, again.warnings) == (len(pocket), {}, {})
    found = Records.load(tmp_path / "again")
    assert found.counts == pocket.counts
    columns = [name for name in pocket.schema.names if name != "image"]
    assert columns == ["image_id", "text", "lang", "source", "text_id", "split", "item"]
    assert rows(found, "text_id", *columns) == rows(pocket, "text_id", *columns)
    # Once more: the columns that an export adds (width, height ...) are there by now, and the files come out the same.
    write_mella(found, tmp_path / "second", part_rows=25)
    for path in sorted((tmp_path / "mella").rglob("*.*")):
        other = tmp_path / "second" / path.relative_to(tmp_path / "mella")
        assert sorted(other.read_bytes().splitlines()) == sorted(path.read_bytes().splitlines()), path.name
    assert write_mella(pocket, tmp_path / "mella", part_rows=25, overwrite=True).as_dict() == report.as_dict()


def test_mella_writing__files_are_in_the_form_of_the_release(pocket: Records, tmp_path: Path) -> None:
    write_mella(pocket, tmp_path / "m", where={"lang": ["hu"]})
    know = (tmp_path / "m" / "image_release_v2_hu_image_text_pair_json_in_part-00000.jsonl").read_text(encoding="utf-8")
    pure = (tmp_path / "m" / "image_release_v2_hu_image_pure_json_in_part-00000.jsonl").read_text(encoding="utf-8")
    trans = json.loads((tmp_path / "m" / "trans_hu.json").read_text(encoding="utf-8"))
    first = json.loads(know.splitlines()[0])
    assert first["captions"]["lang"] == "hu" and first["captions"]["content"] and first["image"]["resolution"] == [112, 112]
    assert first["image"]["path"] == first["img_id"] and first["image"]["format"] == "PNG" and first["image"]["size"] > 0
    assert (tmp_path / "m" / "images" / f"{first['img_id']}.png").is_file()
    assert all(json.loads(line)["captions"]["content"] == "" for line in pure.splitlines())
    assert [entry["img_id"] for entry in trans] == [json.loads(line)["img_id"] for line in pure.splitlines()]
    assert not list((tmp_path / "m").glob("*_cs_*"))


def test_mella_writing__every_field_of_a_line_comes_back(tmp_path: Path, red_png: bytes) -> None:
    labels = {"pjwk_cates": {"level1": ["文化类", "新"], "level2": ["民俗"]}, "safe": [1]}
    image = {"path": "https://e.org/x.jpg", "resolution": [5, 7], "size": 1.5, "format": "JPEG", "exif": {"iso": 100}}
    lines = [
        {
            "img_id": "A/b ő", "url": "http://e.org", "data_source": "web", "image": image, "labels": labels, "n": 3,
            "captions": {"content": "a\u2028b", "lang": "sr-Latn", "score": 0.5}, "text_id": "t", "list": [1, "x"],
        },
        {"img_id": "c", "image": {"path": ""}, "captions": {"content": "kép nélkül", "lang": "hu"}, "text_id": "u"},
    ]  # fmt: skip
    source = tmp_path / "s" / "image_release_v2_hu_image_text_pair.jsonl"
    source.parent.mkdir()
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_records(source.parent, tmp_path / "r")
    write_mella(Records.load(tmp_path / "r"), tmp_path / "m")
    written = [json.loads(line) for path in sorted((tmp_path / "m").glob("*.jsonl")) for line in path.open("rb")]
    assert written[1] == {**lines[0], "list": '[1, "x"]'}  # a records folder keeps lists as JSON text
    assert written[0] == lines[1]
    import_records(tmp_path / "m", tmp_path / "r2")
    columns = [name for name in Records.load(tmp_path / "r").schema.names if name != "image"]
    assert rows(Records.load(tmp_path / "r2"), "text_id", *columns) == rows(Records.load(tmp_path / "r"), "text_id", *columns)


def test_mella_writing__what_has_no_place_is_counted_or_refused(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(red_png)
    (tmp_path / "b.png").write_bytes(blue_png)
    (tmp_path / "odd.dat").write_bytes(b"no picture")
    items = [
        RawRecord("a", "a.png", "one", "en", "know"),
        RawRecord("a", "b.png", "two", "en", "know"),
        RawRecord("gone", "gone.png", "three", "en", "ling"),
        RawRecord("b", "b.png", None, "", "know"),
        RawRecord("odd", "odd.dat", "four", "en", "ling"),
    ]
    report = write_mella(stored(tmp_path / "r", *items), tmp_path / "m")
    assert report.as_dict() == {
        "written": {"know en": 1},
        "left_out": {
            "records whose picture is missing": 1,
            "records whose picture is not one": 1,
            "records with another picture under the same image_id": 1,
            "records without a text": 1,
        },
    }
    images = [item.image for item in read(tmp_path / "m", import_options()) if isinstance(item, RawRecord)]
    assert images == ["images/a.png"]
    with pytest.raises(DataError, match="has the source '', and MELLA's files are of know or ling"):
        write_mella(stored(tmp_path / "other", RawRecord("a", "a.png", "x", "en")), tmp_path / "m2")
    report = write_mella(Records.load(tmp_path / "other"), tmp_path / "m2", source="know", pictures=False)
    assert report.written == {"know en": 1} and not (tmp_path / "m2" / "images").exists()
    again = [item.image for item in read(tmp_path / "m2", import_options(images=str(tmp_path))) if isinstance(item, RawRecord)]
    assert again == [str(tmp_path / "a.png")]


def import_options(**options: Any) -> Any:
    from mella_retrieval.data.formats.mella import MellaOptions

    return MellaOptions(**options)


def test_mella_writing__never_replaces_anything_else(pocket: Records, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="is no export of MELLA"):
        write_mella(pocket, tmp_path / "mine", overwrite=True)
    write_mella(pocket, tmp_path / "m", where={"lang": "hu"})
    with pytest.raises(ArtifactError, match="already exists"):
        write_mella(pocket, tmp_path / "m")
    import_records(tmp_path / "m", tmp_path / "r")
    with pytest.raises(ArtifactError, match="holds what is to be exported"):
        write_mella(Records.load(tmp_path / "r"), tmp_path / "m", overwrite=True)
    with pytest.raises(DataError, match="no record to write"):
        write_mella(pocket, tmp_path / "none", where={"split": "gone"})
    assert not (tmp_path / "none").exists() and (tmp_path / "mine" / "photo.jpg").is_file()


def test_sft_writing__conversations(pocket: Records, tmp_path: Path) -> None:
    report = write_sft(pocket, tmp_path / "s.jsonl", "Describe the picture.", where={"lang": "ar"})
    written = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = pocket.texts(where={"lang": "ar"}).to_pylist()
    assert report.written.total() == len(written) == len(texts)
    assert written[0] == {
        "id": texts[0]["text_id"],
        "image": texts[0]["image"],
        "width": 112,
        "height": 112,
        "conversations": [
            {"from": "human", "value": "<image>\nDescribe the picture."},
            {"from": "gpt", "value": texts[0]["text"]},
        ],
    }
    with pytest.raises(ArtifactError, match="already exists"):
        write_sft(pocket, tmp_path / "s.jsonl", "Again.")
    with pytest.raises(ConfigError, match="prompt is empty"):
        write_sft(pocket, tmp_path / "t.jsonl", " ")
    with pytest.raises(DataError, match="is a folder"):
        write_sft(pocket, tmp_path, "What?")


def test_sft_writing__records_without_a_picture_file_are_left_out(tmp_path: Path, red_png: bytes) -> None:
    (tmp_path / "a.png").write_bytes(red_png)
    items = [RawRecord(name, image, "text", "en", "know") for name, image in (("a", "a.png"), ("b", ""), ("c", "c.png"))]
    items += [RawRecord("d", "https://e.org/d.jpg", "text", "en"), RawRecord("e", "a.png", None, "")]
    report = write_sft(stored(tmp_path / "r", *items), tmp_path / "s.jsonl", "What?")
    assert report.left_out == {
        "records without a picture file": 2, "records whose picture is missing or damaged": 1, "records without a text": 1
    }  # fmt: skip
    with pytest.raises(DataError, match="no record to write"):
        write_sft(Records.load(tmp_path / "r"), tmp_path / "none.jsonl", "What?", where={"image_id": "b"})
    assert not (tmp_path / "none.jsonl").exists()


def test_mella_writing__files_that_are_no_pictures_never_leave_and_what_is_left_out_is_listed(
    tmp_path: Path, red_png: bytes
) -> None:
    (tmp_path / "secret.txt").write_text("root:x:0:0", encoding="utf-8")
    (tmp_path / "red.png").write_bytes(red_png)
    rows = [
        RawRecord("a", "red.png", "A red square.", "en", "know", "a#0"),
        RawRecord("b", str(tmp_path / "secret.txt"), "A secret.", "en", "know", "b#0"),
        RawRecord("c", "gone.png", "A lost one.", "en", "know", "c#0"),
    ]
    write_records(tmp_path / "records", rows, image_root=tmp_path)
    report = write_mella(Records.load(tmp_path / "records"), tmp_path / "out")
    assert report.written.total() == 1 and report.left_out.total() == 2
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["a.png"]
    listed = (tmp_path / "out" / "skipped.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in listed] == ["text_id", "b#0", "c#0"]
    again = import_records(tmp_path / "out", tmp_path / "again")
    assert again.read == again.kept == 1 and not any("left alone" in note for note in again.notes)
