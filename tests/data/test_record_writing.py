from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mella_retrieval.data.image_store import safe_name
from mella_retrieval.data.records import Note, RawRecord, Records, Rejected
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import ImportReport, write_records
from mella_retrieval.errors import ArtifactError, DataError


def _write(folder: Path, texts: list[str | None], **options: object) -> ImportReport:
    items = [RawRecord(f"p{place}", "x.jpg", text, "en", where=f"row {place + 1}") for place, text in enumerate(texts)]
    return write_records(folder, items, options=ImportOptions(**options))  # type: ignore[arg-type]


def _skipped(folder: Path) -> list[list[str]]:
    with (folder / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_write_records__every_row_is_kept_or_listed(tmp_path: Path) -> None:
    report = _write(
        tmp_path / "r", ["good", "", " \u200b\u3164", "a\x00b", "bell\x07", "lone \ud800", "bad \udcff", "tab\tand\nline"]
    )
    assert (report.read, report.kept) == (8, 2)
    assert report.rejected == {
        "empty text": 2,
        "control character in text": 2,
        "text is not valid Unicode": 1,
        "text is not UTF-8": 1,
    }
    skipped = _skipped(tmp_path / "r")
    assert skipped[0] == ["where", "reason", "excerpt"]
    assert [row[0] for row in skipped[1:]] == [f"row {number}" for number in range(2, 8)]
    assert skipped[3][1:] == ["control character in text: U+0000", "a\\x00b"]
    assert skipped[6][1] == "text is not UTF-8: byte 0xff cannot stand where it does"
    manifest = Records.load(tmp_path / "r").manifest["import"]
    assert manifest["read"] == 8 and manifest["rejected"] == report.rejected


def test_write_records__texts_are_stored_as_they_came(tmp_path: Path) -> None:
    texts = ["é", "e\u0301", "  spaces  ", "\u202eright\u202c", "x" * 100_000, "lost \ufffd"]
    report = _write(tmp_path / "r", list(texts))
    assert Records.load(tmp_path / "r").table()["text"].to_pylist() == texts
    assert report.warnings["bidirectional control characters kept"] == 1
    assert report.warnings["texts of more than 10000 characters kept"] == 1
    assert any("replacement characters" in warning for warning in report.warnings)


def test_write_records__options_strip_bidi_max_chars_control_characters(tmp_path: Path) -> None:
    texts = ["\u202eright\u202c", "x" * 11, "bell\x07"]
    report = _write(tmp_path / "r", list(texts), strip_bidi=True, max_chars=10, control_characters="remove")
    assert Records.load(tmp_path / "r").table()["text"].to_pylist() == ["right", "bell"]
    assert report.rejected == {"text longer than 10 characters": 1}


def test_write_records__languages_become_canonical_or_are_refused_with_a_suggestion(tmp_path: Path) -> None:
    codes = ["jp", "hun_Latn", "iw", "qqx", "hunn", "", "en"]
    report = write_records(tmp_path / "r", [RawRecord("p", "", f"t{code}", code) for code in codes])
    assert Records.load(tmp_path / "r").table()["lang"].to_pylist() == ["ja", "hu", "he", "en"]
    assert report.warnings["language code jp written as ja"] == 1
    assert report.rejected["unknown language code"] == 2
    assert any(reason.startswith("no language") for reason in report.rejected)
    assert "hunn" in _skipped(tmp_path / "r")[2][1]


def test_write_records__repeats_are_rejected_across_chunks(tmp_path: Path) -> None:
    items = [RawRecord(f"p{number % 6000}", "", "same text", "en") for number in range(9000)]
    report = write_records(tmp_path / "r", items)
    assert report.kept == 6000 and report.rejected == {"duplicate record": 3000}


def test_write_records__repeats_can_be_kept_under_ids_of_their_own(tmp_path: Path) -> None:
    items = [RawRecord("p", "", "same text", "en") for _ in range(3)]
    assert write_records(tmp_path / "r", items, options=ImportOptions(duplicates="keep")).kept == 3
    ids = Records.load(tmp_path / "r").table()["text_id"].to_pylist()
    assert len(set(ids)) == 3 and ids[1] == f"{ids[0]}-2"


def test_write_records__given_text_id_must_be_unique(tmp_path: Path) -> None:
    items = [RawRecord("p", "", text, "en", text_id=name) for text, name in (("a", "1"), ("b", "1"), ("c", "2"))]
    report = write_records(tmp_path / "r", items)
    assert report.kept == 2 and report.rejected == {"duplicate text_id": 1}


def test_write_records__derived_text_id_does_not_depend_on_the_place(tmp_path: Path) -> None:
    items = [RawRecord("p", "", text, "en") for text in ("a", "b", "c")]
    write_records(tmp_path / "one", items)
    write_records(tmp_path / "two", reversed(items))
    one, two = (Records.load(tmp_path / name).table()["text_id"].to_pylist() for name in ("one", "two"))
    assert one == two[::-1]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (RawRecord("", "", "t", "en"), "no image_id"),
        (RawRecord("a\nb", "", "t", "en"), "control character in image_id"),
        (RawRecord("p", b"", "t", "en"), "picture of zero bytes"),
        (RawRecord("p", "a\0b.jpg", "t", "en"), "control character in image"),
        (RawRecord("p", "", None, ""), "neither text nor picture"),
        (RawRecord("p", "", 5, "en"), "text is not a string"),  # type: ignore[arg-type]
        (RawRecord("p", "", "t", ["en"]), "language code is not a string"),  # type: ignore[arg-type]
        (RawRecord("p", "", "t", "en", extras={"note": "\udc80"}), "column note is not UTF-8"),
        (RawRecord("p", "", "t", "en", text_id="a\tb"), "control character in text_id"),
    ],
)
def test_write_records__unusable_record(tmp_path: Path, record: RawRecord, reason: str) -> None:
    report = write_records(tmp_path / "r", [RawRecord("good", "", "t", "en"), record])
    assert report.rejected == {reason: 1}


def test_write_records__missing_pictures_are_rejected_only_when_asked(tmp_path: Path, red_png: bytes) -> None:
    (tmp_path / "here.png").write_bytes(red_png)
    (tmp_path / "empty.png").touch()
    images = ["here.png", "gone.png", "empty.png", "", "https://example.org/x.jpg"]
    items = [RawRecord(f"p{image}", image, "t", "en") for image in images]
    assert write_records(tmp_path / "all", items, image_root=tmp_path).kept == 5
    report = write_records(tmp_path / "r", items, image_root=tmp_path, options=ImportOptions(check_images=True))
    assert report.kept == 3 and report.rejected == {"picture not found": 1, "picture of zero bytes": 1}


def test_write_records__pictures_are_stored_once_under_safe_names(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    ids = [
        "plain-1",
        "../../etc/passwd",
        "a/b",
        "a_b",
        "A",
        "a",
        "кот",
        "https://e.org/x?y=1&z",
        "x" * 5000,
        ".hidden",
        "..",
        "con ",
    ]
    items = [RawRecord(name, red_png, text, "en") for name in ids for text in ("one", "two")]
    report = write_records(tmp_path / "r", [*items, RawRecord("plain-1", blue_png, "three", "en")])
    assert report.rejected == {"another picture under the same image_id": 1}
    records = Records.load(tmp_path / "r")
    images = records.images()["image"].to_pylist()
    assert len({image.lower() for image in images}) == len(ids)
    assert all(records.image_path(image).read_bytes() == red_png for image in images)
    assert {path.parent for path in map(records.image_path, images)} == {tmp_path / "r" / "images"}
    assert "images/plain-1.png" in images
    assert not (tmp_path / "etc").exists()


def test_safe_name__stays_short_and_plain() -> None:
    for name in ("x" * 5000, "a/../b", "ünï", "CON", "-rf", "a\\b", "name."):
        safe = safe_name(name)
        assert len(safe) <= 100 and not set(safe) & set('/\\:*?"<>| ') and safe[0] not in ".-" and safe.isascii()


def test_write_records__paths_and_bytes_may_be_mixed(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "blue.png").write_bytes(blue_png)
    mixed = [RawRecord("red", red_png, "t", "en"), RawRecord("blue", "blue.png", "t", "en")]
    for name, items in (("bytes first", mixed), ("path first", mixed[::-1])):
        write_records(tmp_path / name, items, image_root=tmp_path / "source")
        records = Records.load(tmp_path / name)
        found = {row["image_id"]: records.image_path(row["image"]).read_bytes() for row in records.images().to_pylist()}
        assert found == {"red": red_png, "blue": blue_png}


def test_write_records__copy_images_makes_the_folder_movable(tmp_path: Path, red_png: bytes) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "p.png").write_bytes(red_png)
    items = [RawRecord("p", "p.png", text, "en") for text in ("a", "b")] + [RawRecord("q", "gone.png", "c", "en")]
    report = write_records(tmp_path / "r", items, image_root=tmp_path / "source", options=ImportOptions(copy_images=True))
    assert report.kept == 2 and report.rejected == {"picture not found": 1}
    (tmp_path / "r").rename(tmp_path / "moved")
    (tmp_path / "source" / "p.png").unlink()
    moved = Records.load(tmp_path / "moved")
    assert moved.image_path(moved.images()["image"][0].as_py()).read_bytes() == red_png


def test_write_records__further_columns_may_come_late_and_change_type(tmp_path: Path) -> None:
    extras: list[dict[str, object]] = [
        {"n": 1, "flag": True},
        {"n": 2},
        {"n": 2.5, "new": "x"},
        {"new": 7, "list": ["a", "b"], "big": 2**70},
        {"text": "collides", "": "nameless", "null": None},
        {"n": 3},
    ]
    items = [RawRecord(f"p{place}", "", "t", "en", extras=values) for place, values in enumerate(extras)]
    write_records(tmp_path / "r", items, part_rows=2)
    records = Records.load(tmp_path / "r")
    assert all(pq.read_schema(part).equals(records.schema) for part in records.parts)
    table = records.table()
    assert table["n"].to_pylist() == [1.0, 2.0, 2.5, None, None, 3.0]
    assert table["new"].to_pylist() == [None, None, "x", "7", None, None]
    assert table["list"].to_pylist()[3] == '["a", "b"]' and table["big"].to_pylist()[3] == str(2**70)
    assert table["text_"].to_pylist()[4] == "collides" and table["unnamed"].to_pylist()[4] == "nameless"
    assert table.schema.field("flag").type == pa.bool_() and table.schema.field("null").type == pa.string()


def test_write_records__integers_that_decimals_cannot_hold_are_not_rounded(tmp_path: Path) -> None:
    items = [RawRecord(f"p{n}", "", "t", "en", extras={"n": value}) for n, value in enumerate((2**60 + 1, 0.5))]
    with pytest.raises(DataError, match="the column 'n' cannot be stored"):
        write_records(tmp_path / "r", items, part_rows=1)
    assert list(tmp_path.iterdir()) == []


def test_write_records__too_many_columns(tmp_path: Path) -> None:
    items = [RawRecord("p", "", f"t{n}", "en", extras={f"c{n}": 1}) for n in range(500)]
    with pytest.raises(DataError, match="more than 200 further columns"):
        write_records(tmp_path / "r", items)


def test_write_records__nothing_usable_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the 2 rows can be used: 2 x empty text.*row 1: empty text"):
        _write(tmp_path / "r", ["", " "])
    with pytest.raises(DataError, match="no records"):
        _write(tmp_path / "r", [])
    assert list(tmp_path.iterdir()) == []


def test_write_records__failing_reader_leaves_the_old_folder(tmp_path: Path) -> None:
    def failing() -> Iterator[RawRecord]:
        yield RawRecord("p", "", "new", "en")
        raise DataError("the source broke")

    _write(tmp_path / "r", ["old"])
    with pytest.raises(DataError, match="the source broke"):
        write_records(tmp_path / "r", failing(), overwrite=True)
    assert Records.load(tmp_path / "r").table()["text"].to_pylist() == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_write_records__overwrites_records_only_and_only_when_asked(tmp_path: Path) -> None:
    _write(tmp_path / "r", ["old"])
    with pytest.raises(ArtifactError, match="already exists"):
        _write(tmp_path / "r", ["new"])
    write_records(tmp_path / "r", [RawRecord("p", "", "new", "en")], overwrite=True)
    assert Records.load(tmp_path / "r").table()["text"].to_pylist() == ["new"]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "wedding.jpg").write_bytes(b"precious")
    with pytest.raises(ArtifactError, match="not a records folder"):
        write_records(tmp_path / "photos", [RawRecord("p", "", "new", "en")], overwrite=True)
    assert (tmp_path / "photos" / "wedding.jpg").read_bytes() == b"precious"


def test_write_records__same_input_same_bytes(tmp_path: Path, red_png: bytes) -> None:
    for name in ("one", "two"):
        items = [RawRecord(f"p{n}", red_png, f"t{n}", "en", extras={"n": n}) for n in range(50)] + [Rejected("row 9", "odd: x")]
        write_records(tmp_path / name, items, part_rows=20)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()} for name in ("one", "two")
    )
    assert one == two and len(one) == 3 + 2 + 50


def test_write_records__notes_progress_and_report(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    items = [RawRecord(f"p{n}", "", "t", "en") for n in range(5000)]
    report = write_records(
        tmp_path / "r", [*items, Note("a word"), Rejected("end", "odd: why")], progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (5001, 0) and len(seen) == 2
    assert report.notes == ["a word"] and report.rejected == {"odd": 1}
    assert report.as_dict()["examples"] == [{"where": "end", "reason": "odd: why", "excerpt": ""}]


def test_write_records__disk_that_takes_no_more_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from mella_retrieval.data.records import RawRecord\n"
        "from mella_retrieval.data.writing import write_records\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_records(sys.argv[1], (RawRecord(f'p{n}', '', f'text {n * 7919}', 'en') for n in range(60_000)))\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "r")], capture_output=True, text=True, check=False)
    assert "ArtifactError: could not write" in run.stderr and "Nothing was changed" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_write_records__only_pictures_are_copied(tmp_path: Path, red_png: bytes) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0", encoding="utf-8")
    (tmp_path / "red.png").write_bytes(red_png)
    rows = [RawRecord("a", "red.png", "red", "en"), RawRecord("b", str(tmp_path / "passwd"), "a nice picture", "en")]
    report = write_records(tmp_path / "out", rows, options=ImportOptions(copy_images=True), image_root=tmp_path)
    assert report.kept == 1 and report.rejected == {"not a picture": 1}
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == ["a.png"]
