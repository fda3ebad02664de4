"""Folders are built aside: they appear whole or not at all, and what they replace is safe until then."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
from processes import everything, killed, started

from mella_retrieval import artifacts
from mella_retrieval.artifacts import beside, new_folder
from mella_retrieval.errors import ArtifactError


@pytest.mark.parametrize(
    ("folder", "place"),
    [("set", "set.work"), ("deep/set", "deep/set.work"), (".", "HERE.work"), ("..", "OVER.work"), ("deep/..", "HERE.work")],
)
def test_what_belongs_to_a_folder_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, place: str):
    here = tmp_path / "over" / "here"
    (here / "deep").mkdir(parents=True)
    monkeypatch.chdir(here)
    expected = place.replace("HERE", str(here)).replace("OVER", str(tmp_path / "over"))
    assert beside(Path(folder), ".work") == Path(expected)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path):
    target = tmp_path / "out" / "set"
    with new_folder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "part").write_bytes(b"1")
        assert not target.exists()
    assert everything(tmp_path) == {"out/set/sub/part": b"1"}
    with pytest.raises(RuntimeError), new_folder(tmp_path / "second") as folder:
        (folder / "part").write_bytes(b"1")
        raise RuntimeError
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_an_occupied_folder_needs_permission_to_be_overwritten(tmp_path: Path):
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    with pytest.raises(ArtifactError, match=r"already exists.*--overwrite"), new_folder(target):
        pass
    with pytest.raises(RuntimeError), new_folder(target, overwrite=True) as folder:
        (folder / "new").write_bytes(b"new")
        raise RuntimeError
    assert everything(tmp_path) == {"set/old": b"old"}
    with new_folder(target, overwrite=True) as folder:
        (folder / "new").write_bytes(b"new")
    assert everything(tmp_path) == {"set/new": b"new"}
    assert {path.name for path in tmp_path.iterdir()} == {"set"}


def test_an_empty_folder_is_free_and_a_file_is_occupied(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as folder:
        (folder / "part").touch()
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="already exists"), new_folder(tmp_path / "file"):
        pass
    with new_folder(tmp_path / "file", overwrite=True) as folder:
        (folder / "part").touch()
    assert set(everything(tmp_path)) == {"empty/part", "file/part"}
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "file"}


def test_overwriting_through_a_link_keeps_what_it_pointed_to(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with new_folder(tmp_path / "link", overwrite=True) as folder:
        (folder / "new").touch()
    assert set(everything(tmp_path)) == {"real/old", "link/new"}


def test_the_old_folder_returns_when_the_new_one_cannot_take_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    rename = Path.replace

    def failing(self: Path, place: Path) -> Path:
        if (self / "new").exists():
            raise OSError(errno.EIO, "input/output error")
        return rename(self, place)

    monkeypatch.setattr(Path, "replace", failing)
    monkeypatch.setattr(artifacts, "_exchange", lambda first, second: False)  # as on systems that cannot
    with pytest.raises(ArtifactError, match="Nothing was changed"), new_folder(target, overwrite=True) as folder:
        (folder / "new").write_bytes(b"new")
    assert everything(tmp_path) == {"set/old": b"old"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names in one step")
def test_a_replaced_folder_is_there_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_bytes(b"old")

    def fails(self: Path, place: Path) -> Path:
        raise AssertionError("the old folder was moved away before the new one stood there")

    with new_folder(target, overwrite=True) as folder:
        (folder / "new").write_bytes(b"new")
        monkeypatch.setattr(Path, "replace", fails)
    assert everything(tmp_path) == {"set/new": b"new"}


def test_kill_while_a_folder_is_built(tmp_path: Path):
    target = tmp_path / "set"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    code = """
import sys, time
from mella_retrieval.artifacts import new_folder
with new_folder(sys.argv[1], overwrite=True) as folder:
    (folder / "part").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(60)
"""
    killed(started(code, target))
    assert everything(target) == {"old": b"old"}
