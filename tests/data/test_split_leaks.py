from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.compose.leakage import check_leakage
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.split_leaks import has_splits, split_leaks
from mella_retrieval.data.writing import write_records


def row(image_id: str, image: str | bytes, split: object, text: str | None = None) -> RawRecord:
    return RawRecord(image_id, image, text or f"{image_id} in {split}", "en", extras={"split": split})


def problems(folder: Path, *items: RawRecord, images: bool = True) -> list[tuple[str, str]]:
    write_records(folder, items, overwrite=True)
    report = check_folder(folder, images=images)
    assert report.ok == (not report.found) and report.found.keys() <= {"split"}
    return [(problem.where, problem.what) for problem in report.problems]


def test_check_folder__one_picture_in_two_splits(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    items = [row("a", red_png, "train"), row("b", blue_png, "test"), row("a", red_png, "test", "the same picture")]
    found = problems(tmp_path / "r", *items)
    assert found == [("a", "the picture stands in the splits 'test', 'train'")]
    assert problems(tmp_path / "r", *items[:2]) == []


def test_check_folder__one_url_under_two_ids(tmp_path: Path) -> None:
    items = [row("a", "https://e.org/x.jpg", "train"), row("b", "https://e.org/x.jpg", "validation")]
    for images in (True, False):
        found = problems(tmp_path / "r", *items, images=images)
        assert found == [("a", "one path or URL stands under the image_ids 'a', 'b' in the splits 'train', 'validation'")]


def test_check_folder__equal_files_under_two_ids(tmp_path: Path, red_png: bytes, blue_png: bytes) -> None:
    items = [row("a", red_png, "train"), row("b", red_png, "test"), row("c", blue_png, "test"), row("d", blue_png, "test")]
    assert problems(tmp_path / "r", *items) == [
        ("a", "one content stands under the image_ids 'a', 'b' in the splits 'test', 'train'")
    ]
    assert problems(tmp_path / "r", *items, images=False) == []  # no picture was read


def test_check_folder__records_without_a_split_are_in_none(tmp_path: Path, red_png: bytes) -> None:
    items = [row("a", red_png, "train"), row("a", red_png, None, "no split"), row("a", red_png, "", "empty split")]
    assert problems(tmp_path / "r", *items) == []


def test_check_folder__splits_that_are_numbers(tmp_path: Path, red_png: bytes) -> None:
    found = problems(tmp_path / "r", row("a", red_png, 1), row("a", red_png, 2, "again"))
    assert found == [("a", "the picture stands in the splits '1', '2'")]


def test_has_splits(tmp_path: Path) -> None:
    write_records(tmp_path / "r", [RawRecord("a", "a.jpg", "x", "en")])
    assert not has_splits(Records.load(tmp_path / "r"))


@given(rows=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "train", "test"])), min_size=1, max_size=10))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_split_leaks__all_and_only_those_in_several(rows: list[tuple[str, str]], tmp_path: Path) -> None:
    items = [row(image_id, f"{image_id}.jpg", split, f"text {n}") for n, (image_id, split) in enumerate(rows)]
    write_records(tmp_path / "r", items, overwrite=True, part_rows=3)
    splits = {image_id: {split for own, split in rows if own == image_id and split} for image_id, _ in rows}
    expected = sorted(image_id for image_id, found in splits.items() if len(found) > 1)
    assert [image_id for image_id, _ in split_leaks(Records.load(tmp_path / "r"))] == expected


@pytest.mark.parametrize("text", ["A red dog runs on the grass.", "a RED dog  runs on the grass."])
def test_check_report__what_was_met_of_a_test_set_is_a_problem(tmp_path: Path, text: str) -> None:
    write_records(tmp_path / "r", [row("a", "a.jpg", "train", text), row("b", "b.jpg", "train", "Something else here.")])
    write_records(tmp_path / "test", [RawRecord("x", "x.jpg", "A red dog runs on the grass.", "en")])
    report = check_folder(tmp_path / "r", images=False)
    assert report.ok
    report.add_leakage(check_leakage(Records.load(tmp_path / "r"), [Records.load(tmp_path / "test")]))
    assert not report.ok and report.found.total() == 1
    assert [problem.where.split("#")[0] for problem in report.problems] == ["a"]
    assert report.as_dict()["leakage"]["records"] == 2
