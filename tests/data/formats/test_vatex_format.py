from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reading import imported, write

from mella_retrieval.data.formats import detect
from mella_retrieval.data.importing import import_records
from mella_retrieval.errors import DataError

A, B = "Ptf_2VRj-V0_000122_000132", "yBsSqb4orpw_000000_000010"


def clip(name: str, count: int = 10) -> dict[str, Any]:
    chinese = [f"{name} 中 {number}" for number in range(count)]
    return {"videoID": name, "enCap": [f"{name} en {number}" for number in range(count)], "chCap": chinese}


def captions(path: Path, *clips: object) -> Path:
    return write(path, json.dumps(list(clips), ensure_ascii=False))


def test_vatex__ten_captions_of_each_language_a_clip(tmp_path: Path) -> None:
    source = tmp_path / "vatex"
    captions(source / "vatex_validation_v1.0.json", clip(A), clip(B))
    assert detect(source) == detect(source / "vatex_validation_v1.0.json") == "vatex"
    rows, report = imported(source, tmp_path / "r")
    assert len(rows) == 40 and not report.rejected
    assert rows[0] == (A, "en", f"{A}#en#0", f"{A} en 0") and rows[39] == (B, "zh", f"{B}#zh#9", f"{B} 中 9")


def test_vatex__only_the_listed_clips(tmp_path: Path) -> None:
    source = tmp_path / "vatex"
    captions(source / "vatex_validation_v1.0.json", clip(A), clip(B))
    write(source / "test_list.txt", B, "gone")
    rows, report = imported(source, tmp_path / "r", only="test_list.txt")
    assert {row[0] for row in rows} == {B} and report.rejected == {"listed clip that the captions lack": 1}
    assert report.notes == ["1 clips that test_list.txt does not list were left out."]


def test_vatex__a_public_test_file_has_english_only(tmp_path: Path) -> None:
    english = {name: value for name, value in clip(A).items() if name != "chCap"}
    rows, report = imported(captions(tmp_path / "vatex_public_test_english_v1.1.json", english), tmp_path / "r")
    assert {row[1] for row in rows} == {"en"} and len(rows) == 10 and not report.rejected


def test_vatex__broken_entries_and_files(tmp_path: Path) -> None:
    source = tmp_path / "vatex"
    captions(source / "vatex_a.json", clip(A, 1), clip(A), {"videoID": B, "enCap": "x"}, {"videoID": "c"}, {"enCap": ["x"]}, 3)
    report = import_records(source, tmp_path / "r")
    assert report.kept == 2 and report.rejected == {
        "captions are not a list": 1, "duplicate videoID": 1, "no captions": 1, "no videoID": 2,
    }  # fmt: skip
    captions(source / "vatex_b.json", clip(B))
    with pytest.raises(DataError, match=r'captions="vatex_a\.json"'):
        import_records(source, tmp_path / "r2")
    assert import_records(source, tmp_path / "r2", captions="vatex_b.json").kept == 20
    with pytest.raises(DataError, match="holds no list of clips but dict"):
        import_records(write(tmp_path / "vatex_c.json", "{}"), tmp_path / "r3", format="vatex")
