"""Keywords of pictures as texts of their own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mella_retrieval.data.importing import import_records
from mella_retrieval.data.keywords import write_keywords
from mella_retrieval.data.records import Records
from mella_retrieval.errors import DataError


def records(tmp_path: Path, keywords) -> Records:
    table = pa.table({
        "image_id": ["a", "b", "c"],
        "image": [f"http://x.example/{name}.jpg" for name in "abc"],
        "text": ["pálinka az asztalon", "gulyás", "kutya"],
        "lang": ["hu"] * 3,
        "source": ["know"] * 3,
        "text_id": ["t1", "t2", "t3"],
        "keywords": keywords,
    })  # fmt: skip
    pq.write_table(table, tmp_path / "records.parquet")
    import_records(tmp_path / "records.parquet", tmp_path / "records")
    return Records.load(tmp_path / "records")


@pytest.mark.parametrize("keywords", [["ital|pálinka|ital", "étel| gulyás ", ""], [["ital", "pálinka"], ["étel", "gulyás"], []]])
def test_keywords__one_record_each_and_no_picture_is_lost(tmp_path: Path, keywords):
    report = write_keywords(records(tmp_path, keywords), tmp_path / "keywords")
    made = Records.load(tmp_path / "keywords").table().to_pylist()
    assert [(row["image_id"], row["text"], row["text_id"]) for row in made] == [
        ("a", "ital", "t1#1"), ("a", "pálinka", "t1#2"), ("b", "étel", "t2#1"), ("b", "gulyás", "t2#2"),
        ("c", "", made[-1]["text_id"]),
    ]  # fmt: skip
    assert {row["source"] for row in made} == {"keyword"}
    assert {row["part_of"] for row in made} == {"t1", "t2", "t3"}
    assert not report.rejected


def test_keywords__no_such_column(tmp_path: Path):
    with pytest.raises(DataError, match="Did you mean 'keywords'"):
        write_keywords(records(tmp_path, ["a", "b", "c"]), tmp_path / "keywords", "keyword")
