"""The list of tasks, and one task in full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mella_retrieval.benchmarks.listing import describe_task, details, readable, task_rows
from mella_retrieval.benchmarks.tasks import Task, list_tasks, load_task
from mella_retrieval.recipes import build_config

SHA = "a" * 64
SMALL = {
    "name": "small", "title": "Small", "source": "https://example.org", "licence": "CC0", "protocols": ["all-hit", "first"],
    "languages": ["cs", "hu"], "format": "xm3600", "options": {"images": "pictures"}, "where": {"split": "test"},
    "images": 3, "captions": {"cs": 6, "hu": 5}, "groups": {"all": ["cs", "hu"]}, "notes": ["Mind the gap."],
    "files": [
        {"path": "a.txt", "what": "captions", "url": "https://example.org/a.txt", "sha256": SHA, "bytes": 2_500_000},
        {"path": "b.zip", "what": "pictures", "hub": "me/set", "file": "b.zip", "unpack": True},
    ],
    "by_hand": ["Videos: ask the authors."],
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELLA_CACHE", str(tmp_path))
    return tmp_path / "tasks"


def small(**changes) -> Task:
    return build_config(Task, {**SMALL, **changes}, "small.yaml")


def texts(task: Task, what: str, folder: Path | None = None) -> list[str]:
    return [text for name, text in details(task, folder) if name == what]


def test_task_rows__every_task_that_comes_with_the_package():
    head, listed = task_rows()
    assert head == head._fields
    found = {row.task: row for row in listed}
    assert list(found) == [task.name for task in list_tasks()]
    assert all(all(row) for row in found.values())
    assert found["pocket"].download == "nothing"
    assert found["xm3600"].download == "automatic from google.github.io, open-images-dataset.s3.amazonaws.com"
    assert found["mscoco-cn"].download == "by hand: captions, pictures"
    assert found["xm3600"].languages == "36"


def test_task_rows__one_task():
    _, (row,) = task_rows([small()])
    assert row.languages == "cs, hu"
    assert row.images == "3"
    assert row.protocols == "all-hit, first"
    assert row.download == "automatic from example.org, the hub (me/set); by hand: videos"
    _, (row,) = task_rows([small(files=SMALL["files"][:1], by_hand=[])])
    assert row.download == "automatic from example.org (2 MB)"
    _, (row,) = task_rows([small(files=[], by_hand=[])])
    assert row.download == "by hand: see https://example.org"


def test_details__one_task_in_full(cache: Path):
    task = small()
    assert texts(task, "languages") == ["2: cs, hu"]
    assert texts(task, "captions") == ["cs 6, hu 5"]
    assert texts(task, "group") == ["all: cs, hu"]
    assert texts(task, "format") == ["xm3600 images=pictures"]
    assert texts(task, "where") == ["split = test"]
    assert texts(task, "by hand") == ["Videos: ask the authors."]
    assert texts(task, "note") == ["Mind the gap."]
    assert texts(task, "folder") == [str(cache / "small")]
    assert texts(task, "file") == [
        f"a.txt: captions, 2 MB, SHA-256 {SHA}, not here yet, from https://example.org/a.txt",
        "b.zip: pictures, size unverified, unpacked, SHA-256 unverified, not here yet, "
        "from b.zip of the data set me/set at revision unverified",
    ]


def test_details__what_is_there_and_what_was_recorded(tmp_path: Path):
    task = small(files=SMALL["files"][:1], by_hand=[], revision="v1")
    assert texts(task, "revision") == ["v1 (of the recipe)"]
    assert texts(task, "checksum") == ["unverified"]
    (tmp_path / "a.txt").write_text("a")
    record = {"format_version": 1, "task": "small", "files": {"a.txt": {"sha256": SHA, "bytes": 1}}}
    (tmp_path / "downloads.json").write_text(json.dumps(record))
    assert "is here" in texts(task, "file", tmp_path)[0]
    assert texts(task, "revision", tmp_path) == ["v1"]
    assert len(texts(task, "checksum", tmp_path)[0]) == 64
    (tmp_path / "downloads.json").write_text("{")  # a broken record does not break the list
    assert "not here yet" in texts(task, "file", tmp_path)[0]


def test_describe_task__a_name_stands_once(tmp_path: Path):
    lines = describe_task(small(), tmp_path)
    assert lines[0] == "task       small"
    at = next(number for number, line in enumerate(lines) if line.startswith("file "))
    assert lines[at].startswith("file       a.txt: captions")
    assert lines[at + 1].startswith("           b.zip: pictures")
    assert lines[-1] == "note       Mind the gap."


def test_details__many_files_are_counted():
    files = texts(load_task("xtd200"), "file")
    assert len(files) == 3
    assert files[1] == "... 201 more, 0 of all 203 are here ..."


def test_details__equal_counts_are_said_once():
    assert texts(load_task("xtd10"), "captions") == ["1000 in every language"]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "2 kB"), (170_052_171, "170 MB"), (6.6e9, "6.6 GB")]
)
def test_readable(size: float, text: str):
    assert readable(int(size)) == text
