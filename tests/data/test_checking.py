from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mella_retrieval.artifacts import describe_file, read_json, write_json
from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records


@pytest.fixture
def folder(tmp_path: Path, red_png: bytes, blue_png: bytes) -> Path:
    (tmp_path / "photos").mkdir()
    for name in ("b.png", "c.png"):
        (tmp_path / "photos" / name).write_bytes(blue_png)
    items = [
        RawRecord("b", "b.png", "dog", "en"),
        RawRecord("c", "c.png", "kutya", "hu"),
        RawRecord("a", red_png, "cat", "en"),
        RawRecord("d", "https://example.org/d.jpg", "url", "en"),
    ]
    write_records(tmp_path / "r", items, image_root=tmp_path / "photos")
    return tmp_path / "r"


def _alter(folder: Path, **columns: list[Any]) -> None:
    """Replace columns of the part, with a manifest that agrees with the new file."""
    part = folder / "part-00000.parquet"
    table = pq.read_table(part)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, part)
    manifest = read_json(folder / "manifest.json")
    manifest["parts"][part.name] = describe_file(part)
    write_json(folder / "manifest.json", manifest)


def test_check_folder__sound_folder(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = check_folder(folder, progress=lambda *at: seen.append(at))
    assert report.ok and report.as_dict() == {"ok": True, "records": 4, "images": 3, "urls": 1, "found": {}, "problems": []}
    assert seen[-1] == (3, 3)


def test_check_folder__pictures_that_cannot_be_decoded(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos" / "b.png").write_bytes((tmp_path / "photos" / "b.png").read_bytes()[:40])
    (tmp_path / "photos" / "c.png").unlink()
    report = check_folder(folder)
    assert not report.ok and report.found == {"picture": 2}
    assert [problem.where for problem in report.problems] == ["b", "c"] and "c.png" in report.problems[1].what
    assert check_folder(folder, images=False).ok


def test_check_folder__changed_files(folder: Path) -> None:
    part = folder / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[30] ^= 1
    part.write_bytes(bytes(content))
    report = check_folder(folder, images=False)
    assert report.found == {"files": 1} and "part-00000.parquet" in report.problems[0].what


@pytest.mark.parametrize(
    ("columns", "kind", "where"),
    [
        ({"text": ["dog", "", "cat", "url"]}, "language", "record 2"),
        ({"text": ["dog", " ", "cat", "url"]}, "record", "record 2"),
        ({"image": ["b.png", "c\n.png", "images/a.png", ""]}, "record", "record 2"),
        ({"lang": ["en", "hu", "xx1", "en"]}, "record", "record 3"),
        ({"lang": ["en", "hun", "en", "en"]}, "language", "record 2"),
        ({"text_id": ["1", "2", "1", "4"]}, "text_id", "record 3"),
        ({"image_id": ["b", "b", "a", "d"]}, "image_id", "record 2"),
        ({"image_id": ["b", "", "a", "d"]}, "record", "record 2"),
        ({"source": [None, "", "", ""]}, "schema", "record 1"),
        ({"text": [1, 2, 3, 4]}, "schema", ""),
    ],
)
def test_check_folder__rows_that_should_not_be_there(folder: Path, columns: dict[str, list[Any]], kind: str, where: str) -> None:
    _alter(folder, **columns)
    report = check_folder(folder, images=False)
    assert kind in report.found, report.as_dict()
    assert any(problem.kind == kind and where in problem.where for problem in report.problems)


def test_check_folder__counts_that_differ(folder: Path) -> None:
    manifest = read_json(folder / "manifest.json")
    manifest["counts"]["languages"] = {"en": 4}
    write_json(folder / "manifest.json", manifest)
    report = check_folder(folder, images=False)
    assert report.found == {"counts": 1} and "languages" in report.problems[0].what


def test_check_folder__no_records_folder(tmp_path: Path) -> None:
    assert check_folder(tmp_path / "gone").found == {"files": 1}
