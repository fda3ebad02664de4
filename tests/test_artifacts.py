"""The ground of every file on disk: what is half-written is never seen, and what is wrong is named (folders: beside)."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import everything, killed, started

from mella_retrieval import artifacts
from mella_retrieval.artifacts import atomic_write, new_folder, read_json, read_manifest, writer_lock
from mella_retrieval.errors import ArtifactError, LockedError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


# Atomic write -------------------------------------------------------------------------------------------------------


def test_write_and_replace(tmp_path: Path):
    path = tmp_path / "deep" / "er" / "file.bin"
    for content in (b"first", b"second"):
        with atomic_write(path) as file:
            file.write(content)
        assert everything(tmp_path) == {"deep/er/file.bin": content}


def test_the_old_content_stands_until_the_block_ends(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, ArtifactError])
def test_an_error_while_writing_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"half")
        raise error("stop")
    assert everything(tmp_path) == {"file": b"old"}


def test_an_error_of_the_disk_names_the_file_and_the_cause(tmp_path: Path):
    path = tmp_path / "file"
    message = r"could not write .*file: No space left.*Nothing was changed"
    with pytest.raises(ArtifactError, match=message), atomic_write(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert everything(tmp_path) == {}


def test_a_place_that_cannot_be_written_is_an_artifact_error(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactError, match="could not write"), atomic_write(tmp_path / "file" / "below"):
        pass
    with pytest.raises(ArtifactError, match="could not write"), atomic_write(tmp_path / ("x" * 300)):
        pass


def test_full_disk(small_disk: Path):
    path = small_disk / "vectors.npy"
    path.write_bytes(b"old")
    with pytest.raises(ArtifactError, match=r"vectors\.npy: No space left on device"), atomic_write(path) as file:
        file.write(b"x" * (1 << 20))
    assert everything(small_disk) == {"vectors.npy": b"old"}
    with pytest.raises(ArtifactError, match="No space left on device"), new_folder(small_disk / "set") as folder:
        (folder / "part").write_bytes(b"x" * (1 << 20))
    assert everything(small_disk) == {"vectors.npy": b"old"}
    with atomic_write(path) as file:  # the failed attempts have given their space back
        file.write(b"y" * (200 << 10))


def test_kill_during_a_write_leaves_the_old_content(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = """
import sys, time
from mella_retrieval.artifacts import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"new" * 100_000)
    file.flush()
    print("ready", flush=True)
    time.sleep(60)
"""
    killed(started(code, path))
    assert path.read_bytes() == b"old"
    with atomic_write(path) as file:  # what the dead process left behind is in nobody's way
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_files_and_folders_get_the_permissions_of_ordinary_ones(tmp_path: Path):
    (tmp_path / "plain").touch()
    (tmp_path / "plain folder").mkdir()
    with atomic_write(tmp_path / "file"):
        pass
    with new_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain folder").stat().st_mode


def test_many_threads_write_at_once_and_the_umask_survives(tmp_path: Path):
    before = os.umask(0o027)
    try:

        def write(number: int) -> None:
            with atomic_write(tmp_path / f"{number % 5}") as file:
                file.write(b"%d" % (number % 5))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(400)))
        assert everything(tmp_path) == {str(number): b"%d" % number for number in range(5)}
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
    finally:
        assert os.umask(before) == 0o027


# One writer ---------------------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from mella_retrieval.artifacts import writer_lock
with writer_lock(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path):
    folder = tmp_path / "index"
    holder = started(HOLDER, folder)
    try:
        with pytest.raises(LockedError, match=r"index is being written by another process"), writer_lock(folder):
            pass
        with writer_lock(tmp_path / "another"):
            pass
    finally:
        killed(holder)
    with writer_lock(folder):
        pass


def test_the_lock_is_freed_after_an_error_and_refuses_the_own_process_too(tmp_path: Path):
    with pytest.raises(ValueError), writer_lock(tmp_path / "set"):
        raise ValueError
    with writer_lock(tmp_path / "set"), pytest.raises(LockedError), writer_lock(tmp_path / "set"):
        pass


def test_the_lock_outlives_the_replacement_of_its_folder(tmp_path: Path):
    folder = tmp_path / "set"
    with writer_lock(folder):
        for content in ("first", "second"):
            with new_folder(folder, overwrite=True) as aside:
                (aside / "part").write_text(content)
            with pytest.raises(LockedError), writer_lock(folder):
                pass
    assert (folder / "part").read_text() == "second"


def test_different_spellings_of_a_folder_are_one_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with writer_lock("set"), pytest.raises(LockedError), writer_lock(tmp_path / "set"):
        pass


def test_a_lock_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="cannot write beside"), writer_lock(tmp_path / "file" / "set"):
        pass


# Manifests ----------------------------------------------------------------------------------------------------------


def test_manifest_round_trip_is_the_same_bytes_each_time(tmp_path: Path):
    content = {"count": 2, "name": "kakas és tyúk", "files": {"a": {"bytes": 1}}}
    artifacts.write_manifest(tmp_path, "records", 3, content)
    first = (tmp_path / "manifest.json").read_bytes()
    artifacts.write_manifest(tmp_path, "records", 3, content)
    assert (tmp_path / "manifest.json").read_bytes() == first
    assert "kakas és tyúk".encode() in first
    for version in (3, 4):
        assert read_manifest(tmp_path, "records", version) == {"kind": "records", "format_version": 3, **content}


def test_another_kind_and_a_newer_format_are_refused(tmp_path: Path):
    artifacts.write_manifest(tmp_path, "records", 2, {})
    with pytest.raises(ArtifactError, match=r"holds 'records'.* kind 'index'"):
        read_manifest(tmp_path, "index", 2)
    with pytest.raises(ArtifactError, match=r"format version 2; .* reads up to 1.*Update"):
        read_manifest(tmp_path, "records", 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b'{"kind": "records", "form', "cut short"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[1, 2]", "something unknown"),
        (b"{}", "something unknown"),
        (b'{"kind": "records"}', "format version None"),
        (b'{"kind": "records", "format_version": "1"}', "format version 1"),
    ],
)
def test_corrupted_manifests(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=message):
        read_manifest(tmp_path, "records", 1)


def test_missing_folder_and_unfinished_folder(tmp_path: Path):
    with pytest.raises(ArtifactError, match="there is no folder"):
        read_manifest(tmp_path / "gone", "records", 1)
    with pytest.raises(ArtifactError, match="not a finished records folder"):
        read_manifest(tmp_path, "records", 1)


def test_reading_what_is_no_json_file(tmp_path: Path):
    with pytest.raises(ArtifactError, match="does not exist"):
        read_json(tmp_path / "gone.json")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_json(tmp_path)


def test_not_a_number_is_never_written(tmp_path: Path):
    with pytest.raises(ValueError):
        artifacts.write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert everything(tmp_path) == {}


# Fingerprints and content -------------------------------------------------------------------------------------------


def test_fingerprints_depend_on_values_not_on_the_order_of_keys():
    one = artifacts.fingerprint({"a": 1, "b": [1, 2.5, "ő"]})
    assert one == artifacts.fingerprint({"b": [1, 2.5, "ő"], "a": 1})
    assert one != artifacts.fingerprint({"a": 1, "b": [2.5, 1, "ő"]})
    assert one != artifacts.fingerprint({"a": "1", "b": [1, 2.5, "ő"]})
    with pytest.raises(ValueError):
        artifacts.fingerprint(float("inf"))


def test_hashes_are_those_of_the_standard(tmp_path: Path):
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert artifacts.sha256_bytes(b"") == empty
    (tmp_path / "abc").write_bytes(b"abc")
    assert artifacts.sha256_file(tmp_path / "abc") == abc
    long = os.urandom((1 << 20) + 17)
    (tmp_path / "long").write_bytes(long)
    assert artifacts.sha256_file(tmp_path / "long") == artifacts.sha256_bytes(long)


def test_verified_files(tmp_path: Path):
    path = tmp_path / "part"
    path.write_bytes(b"12345")
    listed = artifacts.describe_file(path)
    artifacts.verify_file(path, listed, deep=True)
    path.write_bytes(b"12346")
    artifacts.verify_file(path, listed)  # the size alone cannot tell
    with pytest.raises(ArtifactError, match="does not have the content"):
        artifacts.verify_file(path, listed, deep=True)
    path.write_bytes(b"123")
    with pytest.raises(ArtifactError, match="has 3 bytes, its manifest says 5"):
        artifacts.verify_file(path, listed)
    with pytest.raises(ArtifactError, match="its manifest says None"):
        artifacts.verify_file(path, {})
    path.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        artifacts.verify_file(path, listed)


def test_versions_name_what_is_installed_and_nothing_else():
    found = artifacts.library_versions("pytest", "surely-not-an-installed-distribution")
    assert found["pytest"] == pytest.__version__
    assert "surely-not-an-installed-distribution" not in found
