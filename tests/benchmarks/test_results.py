from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from mella_retrieval.benchmarks.results import Result, library_versions
from mella_retrieval.errors import ArtifactError, DataError


def test_result__round_trip(make_result, tmp_path):
    result = make_result()
    result.save(tmp_path / "result")
    again = Result.load(tmp_path / "result")
    assert again.record == result.record
    assert len(again.ranks) == len(result.ranks)
    for found, expected in zip(again.ranks, result.ranks, strict=True):
        assert (found.system, found.language, found.direction) == (expected.system, expected.language, expected.direction)
        assert (found.query_id, found.image_id) == (expected.query_id, expected.image_id)
        np.testing.assert_array_equal(found.rank, expected.rank)


def test_result__same_content_same_bytes(make_result, tmp_path):
    for name in ("a", "b"):
        make_result().save(tmp_path / name)
    for file in ("results.json", "results.csv", "ranks.parquet", "manifest.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_result__csv_is_long_and_empty_cells_carry_their_reason(make_result, tmp_path):
    result = make_result()
    result.save(tmp_path)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(result.record.scores)
    assert list(rows[0])[:8] == ["system", "language", "direction", "metric", "subset", "value", "low", "high"]
    empty = [row for row in rows if not row["value"]]
    assert empty
    assert all(row["reason"] for row in empty)


def test_result__ranks_table_has_the_agreed_columns(make_result, tmp_path):
    make_result().save(tmp_path)
    table = pq.read_table(tmp_path / "ranks.parquet")
    assert table.column_names == ["system", "lang", "direction", "query_id", "image_id", "positions", "subset"]


def test_result__saving_again_replaces(make_result, tmp_path):
    make_result(noise=0.1).save(tmp_path)
    make_result(noise=2.0).save(tmp_path)
    assert Result.load(tmp_path).record == make_result(noise=2.0).record


def test_result__changed_or_missing_files_are_refused(make_result, tmp_path):
    make_result().save(tmp_path)
    text = (tmp_path / "results.json").read_text()
    (tmp_path / "results.json").write_text(text.replace("0.", "1.", 1))
    with pytest.raises(ArtifactError, match=r"results\.json"):
        Result.load(tmp_path)
    (tmp_path / "results.json").write_text(text)
    Result.load(tmp_path)
    (tmp_path / "ranks.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"ranks\.parquet is missing"):
        Result.load(tmp_path)
    with pytest.raises(ArtifactError, match="no folder"):
        Result.load(tmp_path / "nowhere")


def test_result__score_looks_one_up(make_result):
    result = make_result(noise=0.0)
    assert result.score("ours", "mean", "t2i", "R@1").value == 1
    with pytest.raises(DataError, match="no R@1 of 'theirs'"):
        result.score("theirs", "mean", "t2i", "R@1")


def test_result__every_system_is_described(make_result):
    result = make_result()
    with pytest.raises(DataError, match="one description per system"):
        Result(result.record.model_copy(update={"systems": result.record.systems[:1]}), result.ranks)


def test_library_versions__what_makes_numbers():
    assert {"python", "numpy", "torch"} <= set(library_versions())
