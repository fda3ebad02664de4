from __future__ import annotations

from pathlib import Path

import pytest
from program import Mella

from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records

TEXTS = [("hu", "Egy nő a parkban ül egy padon"), ("hu", "A woman is sitting on a bench"), ("th", "รองเท้า"), ("th", "12")]


@pytest.fixture
def records(tmp_path: Path) -> Path:
    items = [RawRecord(f"{n}", f"https://example.org/{n}.jpg", text, lang) for n, (lang, text) in enumerate(TEXTS)]
    write_records(tmp_path / "r", items)
    return tmp_path / "r"


def test_check_with_languages(mella: Mella, records: Path) -> None:
    assert mella("data", "check", records).code == 0
    ran = mella("data", "check", records, "--languages")
    assert ran.code == 1
    assert "other language: record 2: said to be hu, seems to be en: A woman is sitting on a bench" in ran.out
    assert "problems: other language 1" in ran.out
    table = [line.split() for line in ran.out.splitlines()[-2:]]
    assert table == [["hu", "2", "50.0%", "0.0%", "50.0%", "0.0%", "en", "1"], ["th", "2", "50.0%", "0.0%", "0.0%", "50.0%"]]
    found = mella("data", "check", records, "--languages", "--json")
    assert found.code == 1 and found.json["found"] == {"other language": 1}
    assert found.json["languages"]["by_language"]["th"]["verdicts"] == {"fits": 1, "not told": 1}


def test_languages_of_a_broken_folder_are_not_looked_at(mella: Mella, records: Path) -> None:
    part = records / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    ran = mella("data", "check", records, "--languages")
    assert ran.code == 1 and "problems: files 1" in ran.out and "other language" not in ran.out
