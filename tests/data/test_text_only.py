from pathlib import Path

import pytest

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError


def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.csv"
    path.write_text("row,text,image_id\n0,A red house.,photo-1\n1,a ski pole,\n", encoding="utf-8")
    return path


def test_import__text_only_keeps_texts_without_a_picture(tmp_path: Path) -> None:
    report = import_records(corpus(tmp_path), tmp_path / "out", lang="en", text_only=True, columns={"text_id": "row"})
    records = Records.load(tmp_path / "out")
    assert (report.kept, report.rejected) == (2, {})
    assert records.texts(["image_id", "text_id"]).to_pylist() == [
        {"image_id": "photo-1", "text_id": "0"},
        {"image_id": "", "text_id": "1"},
    ]
    assert records.counts["images"] == 1
    assert check_folder(tmp_path / "out").ok


def test_import__text_only_needs_no_image_id_column(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"text": "A red house."}\n{"text": "A ski pole."}\n', encoding="utf-8")
    report = import_records(path, tmp_path / "out", lang="en", text_only=True, columns={"image_id": ""})
    assert report.kept == 2
    with pytest.raises(DataError, match="image_id"):
        import_records(path, tmp_path / "other", lang="en", text_only=True)


def test_import__without_text_only_a_missing_image_id_is_rejected(tmp_path: Path) -> None:
    report = import_records(corpus(tmp_path), tmp_path / "out", lang="en")
    assert (report.kept, report.rejected) == (1, {"no image_id": 1})
