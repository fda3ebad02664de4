"""The task of a folder of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from mella_retrieval.benchmarks.material import load_evaluation
from mella_retrieval.benchmarks.own_task import own_task
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records


@pytest.mark.parametrize(
    ("splits", "measured", "languages"),
    [
        (["train", "train", "validation", "test"], ["d"], ("hu",)),
        (["test", "test", "test", "test"], ["a", "b", "c", "d"], ("cs", "hu")),
        (["train", "train", "train", "train"], ["a", "b", "c", "d"], ("cs", "hu")),
        ([None, None, None, None], ["a", "b", "c", "d"], ("cs", "hu")),
    ],
)
def test_of_a_folder_with_splits_the_test_split_is_measured(
    tmp_path: Path, splits: list[str | None], measured: list[str], languages: tuple[str, ...]
):
    rows = [
        RawRecord(name, f"{name}.png", f"text {name}", lang, extras={"split": split} if split else {})
        for name, lang, split in zip("abcd", ("cs", "hu", "cs", "hu"), splits, strict=True)
    ]
    write_records(tmp_path / "records", rows)
    records = Records.load(tmp_path / "records")
    task = own_task(records, "mine")
    assert task.languages == languages
    assert list(load_evaluation(task, records).image_ids) == measured
