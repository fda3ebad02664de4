from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.formats import READERS, table
from mella_retrieval.data.formats.table import TableOptions
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import RawRecord, Records, Rejected
from mella_retrieval.errors import ConfigError, DataError, MellaError


def _read(path: Path, **options: Any) -> tuple[list[RawRecord], list[Rejected]]:
    items = list(table.read(path, TableOptions(**options)))
    return [item for item in items if isinstance(item, RawRecord)], [item for item in items if isinstance(item, Rejected)]


def _csv(tmp_path: Path, content: str | bytes, name: str = "captions.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_table__csv_with_quotes_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    content = '\ufeffimage_id,caption,lang,split\r\np1,"a ""dog"", and\na cat",en,train\r\n\r\np2,second,hu,test\r\n'
    kept, rejected = _read(_csv(tmp_path, content))
    assert not rejected
    assert [(row.image_id, row.text, row.lang, row.extras, row.where) for row in kept] == [
        ("p1", 'a "dog", and\na cat', "en", {"split": "train"}, "captions.csv, line 2"),
        ("p2", "second", "hu", {"split": "test"}, "captions.csv, line 5"),
    ]


def test_table__csv_bad_rows_are_rejected_alone(tmp_path: Path) -> None:
    content = b"image_id,text,lang\np1,good,en\np2,too,many,en\np3\np4,caf\xe9,fr\n"
    content += b'p5,"x"y,en\np6,good,en\np7,"never closed,en\np8,lost,en\n'
    path = _csv(tmp_path, content)
    kept, rejected = _read(path)
    assert [row.image_id for row in kept] == ["p1", "p4", "p6"]
    assert [(row.where, row.reason.split(":")[0]) for row in rejected] == [
        ("captions.csv, line 3", "wrong number of fields"),
        ("captions.csv, line 4", "wrong number of fields"),
        ("captions.csv, line 6", "not valid CSV"),
        ("captions.csv, line 8", "not valid CSV"),
    ]
    assert "a quote opened at line 8 and read on to line 9" in rejected[-1].reason
    report = import_records(path, tmp_path / "r")
    assert report.read == 7 and report.kept == 2
    assert report.rejected["text is not UTF-8"] == 1


@pytest.mark.parametrize(("name", "mark"), [("c.csv", ";"), ("c.csv", "\t"), ("c.csv", "|"), ("c.tsv", "\t"), ("c.TSV", "\t")])
def test_table__delimiter_is_found(tmp_path: Path, name: str, mark: str) -> None:
    kept, _ = _read(_csv(tmp_path, f"image_id{mark}text{mark}lang\np1{mark}one, two{mark}en\n", name))
    assert kept[0].text == "one, two"


def test_table__huge_field(tmp_path: Path) -> None:
    kept, _ = _read(_csv(tmp_path, f"image_id,text,lang\np1,{'x' * 1_000_000},en\n"))
    assert len(str(kept[0].text)) == 1_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        ("image_id,text\np,t\n".encode("utf-16"), "UTF-16"),
        (b"image_id,text,text\np,a,b\n", "names text twice"),
        (b"id,words\np,a\n", "no text column.*The columns are: id, words"),
        (b"id,text\np,a\n", "no image_id column"),
        (b"\n", "no header"),
    ],
)
def test_table__unusable_csv_file(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _read(_csv(tmp_path, content))


def test_table__jsonl_bad_rows_are_rejected_alone(tmp_path: Path) -> None:
    lines = [
        '{"image_id": 7, "text": "good", "lang": "en", "n": 1}',
        "",
        "{broken",
        '["a list"]',
        '{"image_id": "p", "text": "caf\udce9", "lang": "fr"}',
        "[" * 100_000,
        '{"words": "other keys"}',
        '{"image_id": "p", "text": ["one", null, "two"], "lang": "en", "text_id": "t"}',
    ]
    path = tmp_path / "c.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    kept, rejected = _read(path)
    assert [(row.image_id, row.text, row.text_id) for row in kept] == [
        ("7", "good", ""), ("p", "one", "t#0"), ("p", "", "t#1"), ("p", "two", "t#2")
    ]  # fmt: skip
    assert kept[1].where == "c.jsonl, line 8, text 1"
    assert [row.where for row in rejected] == [f"c.jsonl, line {number}" for number in (3, 4, 5, 6, 7)]
    assert rejected[2].reason.startswith("not UTF-8: byte 0xe9 at byte 31")


def test_table__json_array_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="JSON array, not one object a line"):
        _read(_csv(tmp_path, '[{"image_id": "p"}]', "c.jsonl"))


def test_table__gz_and_cut_gz(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"image_id": f"p{n}", "text": f"t{n * 7919}", "lang": "en"}) + "\n" for n in range(5000))
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(rows.encode()))
    assert len(_read(path)[0]) == 5000
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match="cut short"):
        import_records(path, tmp_path / "r")
    path.write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match="cannot be read"):
        _read(path)
    assert not (tmp_path / "r").exists()


def test_table__mapping_constants_and_extras(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "c.parquet", key=[1, 2], words=["a", "b"], text=["other", "other"], lang=["xx", "xx"], year=[1, 2])
    kept, _ = _read(path, columns={"image_id": "key", "text": "words"}, lang="hu", source="know")
    assert [(row.image_id, row.text, row.lang, row.source) for row in kept] == [
        ("1", "a", "hu", "know"),
        ("2", "b", "hu", "know"),
    ]
    assert set(kept[0].extras) == {"text", "lang", "year"}
    kept, _ = _read(path, columns={"image_id": "key", "text": "words"}, lang="hu", extras=["year"])
    assert kept[0].extras == {"year": 1} and kept[1].where == "c.parquet, row 2"


def test_table__mapping_reaches_into_objects(tmp_path: Path) -> None:
    row = {
        "img_id": "774d",
        "image": {"path": "774d.jpg", "size": 66.8},
        "captions": {"content": "نص", "lang": "ar"},
        "url": "https://e.org",
    }
    path = _csv(tmp_path, json.dumps(row) + "\n", "part.jsonl")
    columns = {"image": "image.path", "text": "captions.content", "lang": "captions.lang"}
    kept, _ = _read(path, columns=columns, source="know")
    assert (kept[0].image_id, kept[0].image, kept[0].text, kept[0].lang) == ("774d", "774d.jpg", "نص", "ar")
    assert kept[0].extras == {"image": {"size": 66.8}, "url": "https://e.org"}


def test_table__wrong_mapping_is_explained(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "c.parquet", image_id=["p"], caption=["a"])
    with pytest.raises(DataError, match=r"no column 'captoin' for text\. Did you mean 'caption'\?.*image_id, caption"):
        _read(path, columns={"text": "captoin"}, lang="en")
    with pytest.raises(ConfigError, match="no column 'txt'"):
        import_records(path, tmp_path / "r", columns={"txt": "caption"}, lang="en")
    with pytest.raises(ConfigError, match=r"no option 'colums'\. Did you mean 'columns'"):
        import_records(path, tmp_path / "r", colums={"text": "caption"})
    with pytest.raises(DataError, match="no language"):
        import_records(path, tmp_path / "r")


def test_table__one_column_per_language(tmp_path: Path) -> None:
    path = _csv(tmp_path, "image_id,caption_en,caption_hu,split\np1,dog,kutya,train\np2,,macska,test\n")
    kept, _ = _read(path, text_columns={"en": "caption_en", "hu": "caption_hu"})
    assert [(row.image_id, row.lang, row.text) for row in kept] == [
        ("p1", "en", "dog"), ("p1", "hu", "kutya"), ("p2", "en", ""), ("p2", "hu", "macska")
    ]  # fmt: skip
    assert kept[2].where == "captions.csv, line 3, column caption_en" and kept[0].extras == {"split": "train"}
    assert import_records(path, tmp_path / "r", text_columns={"en": "caption_en", "hu": "caption_hu"}).rejected == {
        "empty text": 1
    }


def test_table__pictures_as_bytes_and_as_hugging_face_objects(tmp_path: Path, red_png: bytes) -> None:
    pictures = [{"bytes": red_png, "path": "x.png"}, {"bytes": None, "path": "y.png"}, None]
    path = _parquet(tmp_path / "c.parquet", image_id=["a", "b", "c"], image=pictures, text=["t", "t", "t"], lang=["en"] * 3)
    assert [row.image for row in _read(path)[0]] == [red_png, "y.png", ""]
    path = _parquet(tmp_path / "d.parquet", image=[red_png], text=[["one", "two"]], lang=["en"], thumb=[b"1"])
    report = import_records(path, tmp_path / "r")
    assert report.counts["images"] == 1 and report.kept == 2
    assert report.notes == ["columns with binary data were left out: thumb."]


def test_table__pictures_in_a_table_of_their_own(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    images = pa.table({"image_id": ["a", "b", "c"], "png": [red_png, blue_png, red_png], "split": ["train", "test", "test"]})
    pq.write_table(images, tmp_path / "images.parquet", row_group_size=1)
    path = _parquet(tmp_path / "names.parquet", image_id=["a", "b", "x", "a"], name=["1", "2", "3", "4"], lang=["en"] * 4)
    report = import_records(path, tmp_path / "r", columns={"text": "name"}, images="images.parquet")
    records = Records.load(tmp_path / "r")
    rows = records.table().to_pylist()
    assert [(row["image_id"], row["text"], row["split"]) for row in rows] == [
        ("a", "1", "train"), ("b", "2", "test"), ("a", "4", "train"), ("c", "", "test")
    ]  # fmt: skip
    assert records.image_path(rows[1]["image"]).read_bytes() == blue_png
    assert report.rejected == {"image_id not in the table of pictures": 1} and report.counts["without_text"] == 1
    double = _parquet(tmp_path / "double.parquet", image_id=["a", "a"], png=[red_png, red_png])
    with pytest.raises(DataError, match="'a' stands twice"):
        _read(path, columns={"text": "name"}, images=double.name)


def test_table__pictures_of_a_csv_table(tmp_path: Path) -> None:
    _csv(tmp_path, "image_id,file_name\na,x/a.jpg\n", "images.csv")
    path = _csv(tmp_path, "image_id,text,lang\na,t,en\n")
    assert _read(path, images="images.csv")[0][0].image == "x/a.jpg"


def test_table__pictures_without_texts(tmp_path: Path) -> None:
    path = _csv(tmp_path, "image_id,image,caption\na,a.jpg,ignored\n")
    report = import_records(path, tmp_path / "r", columns={"text": ""})
    assert report.counts == {"records": 1, "images": 1, "without_text": 1, "languages": {}}


def test_table__folder_of_parts(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, text in (("b.parquet", "two"), ("a.parquet", "one")):
        _parquet(tmp_path / "data" / name, image_id=["p"], text=[text], lang=["en"])
    report = import_records(tmp_path / "data", tmp_path / "r")
    assert report.kept == 2 and Records.load(tmp_path / "r").table()["text"].to_pylist() == ["one", "two"]
    _csv(tmp_path / "data", "image_id,text\n")
    with pytest.raises(DataError, match="tables of one kind"):
        _read(tmp_path / "data")


def test_table__parquet_text_that_is_not_utf8_is_rejected_by_row(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"caf\xe9", None])
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    path = _parquet(tmp_path / "c.parquet", image_id=["a", "b", "c"], text=text, lang=["fr"] * 3)
    assert import_records(path, tmp_path / "r").rejected == {"text is not UTF-8": 1, "empty text": 1}


def test_table__corrupted_parquet(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "c.parquet", image_id=["p"] * 1000, text=[f"t{n}" for n in range(1000)], lang=["en"] * 1000)
    content = path.read_bytes()
    for damaged in (content[:-100], b"PAR1", content[:200] + b"\xff" * 300 + content[500:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            _read(path)


def test_import__formats_and_sources(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder"):
        import_records(tmp_path / "gone", tmp_path / "r")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=f"no known format .{', '.join(READERS)}"):
        import_records(tmp_path / "notes.txt", tmp_path / "r")
    with pytest.raises(ConfigError, match=r"no format 'tabel'\. Did you mean 'table'"):
        import_records(tmp_path / "notes.txt", tmp_path / "r", format="tabel")
    with pytest.raises(ConfigError, match="It belongs to: clip-retrieval, hugging-face, webdataset, folder, table"):
        import_records(tmp_path / "notes.txt", tmp_path / "r", format="xm3600", columns={})


def test_import__never_replaces_its_own_source(tmp_path: Path) -> None:
    path = _csv(tmp_path, "image_id,text,lang\na,t,en\n")
    for folder in (tmp_path, path, tmp_path.parent):
        with pytest.raises(DataError, match="would replace its own source"):
            import_records(path, folder, overwrite=True)
    assert path.is_file()


_cells = st.one_of(
    st.text(max_size=8), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.text(max_size=3), max_size=3)
)
_keys = st.sampled_from(["image_id", "image", "text", "lang", "extra", "", "text_id", "source"])
_rows = st.dictionaries(_keys, _cells | st.dictionaries(st.text(max_size=3), _cells, max_size=2), max_size=8)


def _counts_add_up(path: Path, tmp_path: Path, count: int | None = None, **options: Any) -> None:
    try:
        report = import_records(path, tmp_path / "r", overwrite=True, format="table", **options)
    except MellaError:
        return
    assert report.read == report.kept + sum(report.rejected.values())
    assert count is None or report.read >= count
    assert Records.load(tmp_path / "r").table().num_rows == report.kept
    assert len((tmp_path / "r" / "skipped.csv").read_bytes().split(b"\n")) - 2 == report.read - report.kept


_SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_SETTINGS
@given(st.lists(_rows, min_size=1, max_size=5))
def test_table__any_json_objects(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    good = {"image_id": "p", "text": "t", "lang": "en"}
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [good, *rows]))
    _counts_add_up(path, tmp_path, 1)


@_SETTINGS
@given(st.binary(max_size=60), st.sampled_from(["c.csv", "c.tsv", "c.jsonl"]))
def test_table__any_bytes_after_a_good_row(tmp_path: Path, content: bytes, name: str) -> None:
    start = {
        "c.csv": b"image_id,text,lang\np,t,en\n",
        "c.tsv": b"image_id\ttext\tlang\np\tt\ten\n",
        "c.jsonl": b'{"image_id":"p","text":"t","lang":"en"}\n',
    }
    _counts_add_up(_csv(tmp_path, start[name] + content, name), tmp_path, 1)


@_SETTINGS
@given(st.binary(min_size=1, max_size=80), st.sampled_from(["c.csv", "c.tsv", "c.jsonl", "c.csv.gz", "c.parquet"]))
def test_table__any_file(tmp_path: Path, content: bytes, name: str) -> None:
    _counts_add_up(_csv(tmp_path, content, name), tmp_path, columns={"image_id": "a", "text": "b"})
