"""Where a test set's files come from, what is written down about them, and what happens when they change."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Files, serving
from hub_stand_in import Hub, Repository, running

from mella_retrieval.artifacts import fingerprint, writer_lock
from mella_retrieval.benchmarks.obtain import Provenance, cache_folder, missing, obtain, provenance, still_by_hand, verify
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.downloads import Patience
from mella_retrieval.errors import ArtifactError, DataError, LockedError, MismatchError
from mella_retrieval.recipes import build_config

AT_ONCE = Patience(attempts=2, pause=0, timeout=5)
CAPTIONS = b"a dog\na cat\n"
PICTURES = {"images/1.jpg": b"one", "images/2.jpg": b"two!"}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MELLA_CACHE", str(tmp_path / "cache"))
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / "cache" / "tasks" / "small"


@pytest.fixture
def server() -> Iterator[Files]:
    with serving(Files({"/captions.txt": CAPTIONS, "/pictures.zip": zipped(PICTURES)})) as files:
        yield files


def task(server: Files | None = None, **changes) -> Task:
    files = []
    if server is not None:
        files = [
            {"path": "captions.txt", "what": "captions", "url": server.url("/captions.txt")},
            {"path": "pictures.zip", "what": "pictures", "url": server.url("/pictures.zip"), "unpack": True},
        ]
    values = {
        "name": "small", "title": "Small", "source": "https://example.org", "licence": "CC0", "protocols": ["all-hit"],
        "languages": ["cs"], "files": files, **changes,
    }  # fmt: skip
    return build_config(Task, values, "small.yaml")


def changed(server: Files, number: int, **changes) -> Task:
    files = [source.model_dump() for source in task(server).files]
    files[number] |= changes
    return task(files=files)


def get(wanted: Task, **options) -> Path:
    return obtain(wanted, patience=AT_ONCE, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Folders ----------------------------------------------------------------------------------------------------------------


def test_obtain__a_folder_of_ones_own_is_taken_as_it_is(server: Files, tmp_path: Path, cache: Path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "captions.txt").write_bytes(b"other captions")
    assert obtain(task(server), folder) == folder
    assert provenance(task(server), folder) == Provenance("unverified", "unverified")
    assert contents(folder) == {"captions.txt": b"other captions"}
    assert server.requests == []
    with pytest.raises(DataError, match=r"no file or folder .*nowhere"):
        obtain(task(server), tmp_path / "nowhere")


def test_cache_folder__where_it_is_told_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path):
    assert cache_folder(task()) == cache
    monkeypatch.delenv("MELLA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder(task()) == tmp_path / "xdg" / "mella-retrieval" / "tasks" / "small"


# Downloading and recording ----------------------------------------------------------------------------------------------


def test_obtain__downloads_unpacks_and_records(server: Files, cache: Path):
    seen = []
    assert get(task(server), progress=lambda *counts: seen.append(counts)) == cache
    found = contents(cache)
    assert found.pop("captions.txt") == CAPTIONS
    assert {name: found.pop(name) for name in PICTURES} == PICTURES
    assert json.loads(found.pop("pictures.zip.contents.json")) == {"images/1.jpg": 3, "images/2.jpg": 4}
    record = json.loads(found.pop("downloads.json"))
    assert found == {}
    assert record["task"] == "small"
    captions = record["files"]["captions.txt"]
    assert captions["url"] == server.url("/captions.txt")
    assert (captions["sha256"], captions["bytes"]) == (sha(CAPTIONS), len(CAPTIONS))
    assert captions["etag"] == f'"{hashlib.md5(CAPTIONS).hexdigest()}"'
    assert record["files"]["pictures.zip"]["sha256"] == sha(server.content["/pictures.zip"])
    assert seen[-1] == (len(CAPTIONS) + len(server.content["/pictures.zip"]), 0)


def test_obtain__equal_downloads_are_recorded_alike(server: Files, cache: Path):
    get(task(server))
    first = contents(cache)
    for path in sorted(cache.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    get(task(server))
    assert contents(cache) == first


def test_obtain__a_second_time_nothing_is_asked(server: Files, cache: Path):
    get(task(server))
    asked = len(server.requests)
    assert get(task(server), download=False) == cache
    assert len(server.requests) == asked


def test_obtain__what_is_missing_is_fetched_again(server: Files, cache: Path):
    get(task(server))
    (cache / "images" / "2.jpg").unlink()
    assert [source.path for source in missing(task(server), cache)] == ["pictures.zip"]
    get(task(server))
    assert (cache / "images" / "2.jpg").read_bytes() == b"two!"
    assert [path for path, _ in server.requests].count("/captions.txt") == 1


def test_obtain__a_failed_download_goes_on_with_the_rest(server: Files, cache: Path):
    server.plan = ["", 404]
    with pytest.raises(DataError, match="nothing at"):
        get(task(server))
    assert provenance(task(server), cache) == Provenance()
    get(task(server))
    assert [path for path, _ in server.requests] == ["/captions.txt", "/pictures.zip", "/pictures.zip"]


def test_obtain__not_without_leave(server: Files, cache: Path):
    with pytest.raises(DataError, match=r"captions.txt, pictures.zip of the task 'small' must be downloaded"):
        get(task(server), download=False)
    assert not cache.exists()


def test_obtain__one_at_a_time(server: Files, cache: Path):
    with writer_lock(cache), pytest.raises(LockedError):
        get(task(server))


def test_obtain__what_somebody_put_into_the_cache_is_used_and_kept(server: Files, cache: Path):
    cache.mkdir(parents=True)
    (cache / "captions.txt").write_bytes(CAPTIONS)
    (cache / "pictures.zip").write_bytes(server.content["/pictures.zip"])
    get(task(server), download=False)
    assert server.requests == []
    assert (cache / "images" / "1.jpg").read_bytes() == b"one"
    assert (cache / "pictures.zip").is_file()
    with pytest.raises(MismatchError, match=f"sha256 {sha(CAPTIONS)}, but the recipe names {'0' * 64}"):
        get(changed(server, 0, sha256="0" * 64))


# Changes ----------------------------------------------------------------------------------------------------------------


def test_obtain__a_changed_file_is_an_error_with_both_hashes(server: Files, cache: Path):
    get(task(server))
    (cache / "captions.txt").write_bytes(b"a cat\n")
    with pytest.raises(MismatchError, match=f"SHA-256 {sha(b'a cat' + bytes([10]))}, but {sha(CAPTIONS)} was recorded"):
        get(task(server))
    with pytest.raises(MismatchError):
        obtain(task(server), cache)  # a folder that was downloaded stays one


def test_obtain__a_changed_picture_is_an_error_with_both_sizes(server: Files, cache: Path):
    get(task(server))
    (cache / "images" / "1.jpg").write_bytes(b"another")
    with pytest.raises(MismatchError, match="7 bytes, but 3 when"):
        get(task(server))


def test_obtain__a_changed_list_of_contents_is_an_error(server: Files, cache: Path):
    get(task(server))
    (cache / "pictures.zip.contents.json").write_text("{}")
    with pytest.raises(MismatchError, match="recorded when"):
        get(task(server))


def test_obtain__a_source_that_changed_is_never_taken_for_the_first(server: Files, cache: Path):
    get(task(server))
    (cache / "captions.txt").unlink()
    server.content["/captions.txt"] = b"a god\na cat\n"
    with pytest.raises(DataError, match=f"SHA-256 {sha(server.content['/captions.txt'])} instead of {sha(CAPTIONS)}"):
        get(task(server))
    assert not (cache / "captions.txt").exists()


def test_obtain__what_the_recipe_states_is_checked(server: Files, cache: Path):
    with pytest.raises(DataError, match=f"instead of {'1' * 64}"):
        get(changed(server, 0, sha256="1" * 64))
    with pytest.raises(DataError, match=f"bytes {len(CAPTIONS)} instead of 5"):
        get(changed(server, 0, bytes=5))
    assert not (cache / "captions.txt").exists()
    get(task(server))
    with pytest.raises(MismatchError, match=f"sha256 {sha(CAPTIONS)}, but the recipe names {'1' * 64}"):
        get(changed(server, 0, sha256="1" * 64))
    assert get(changed(server, 0, sha256=sha(CAPTIONS), bytes=len(CAPTIONS))) == cache


def test_obtain__the_record_is_this_tasks_and_whole(server: Files, cache: Path):
    get(task(server))
    with pytest.raises(MismatchError, match="for the task 'small', not for 'other'"):
        verify(task(server, name="other"), cache)
    (cache / "downloads.json").write_text('{"task": "small", "files": {"captions.txt": {"sha256": 7}}}')
    with pytest.raises(ArtifactError, match=r"remove .* to download it again"):
        get(task(server))


# By hand ----------------------------------------------------------------------------------------------------------------


def test_obtain__what_only_a_person_can_get_is_said(cache: Path):
    wanted = task(by_hand=["Fill in the form.", "Put the pictures into images/."])
    with pytest.raises(DataError, match=r"By hand: 1. Fill in the form. 2. Put the pictures into images/. .*put it into"):
        get(wanted)
    cache.mkdir(parents=True)
    (cache / "captions.txt").write_bytes(CAPTIONS)
    assert get(wanted) == cache
    with pytest.raises(DataError, match=r"By hand: 1. See https://example.org"):
        get(task(name="none"))


def test_obtain__by_hand_beside_downloads(server: Files, cache: Path):
    wanted = task(server, by_hand=["Get more pictures."])
    assert get(wanted) == cache  # the captions are worth having alone
    assert still_by_hand(wanted, cache) == ("Get more pictures.",)
    (cache / "images" / "3.jpg").write_bytes(b"three")
    assert still_by_hand(wanted, cache) == ()
    assert provenance(wanted, cache).checksum == "unverified"
    assert provenance(task(server), cache).checksum != "unverified"


# What a result says -----------------------------------------------------------------------------------------------------


def test_provenance__the_checksum_is_of_all_files(server: Files, cache: Path):
    get(task(server))
    expected = fingerprint({"captions.txt": sha(CAPTIONS), "pictures.zip": sha(server.content["/pictures.zip"])})
    assert provenance(task(server), cache) == Provenance("unverified", expected)
    assert provenance(task(server, revision="v2", checksum=expected), cache) == Provenance("v2", expected)
    with pytest.raises(MismatchError, match=f"{expected}, but .* names 123"):
        provenance(task(server, checksum="123"), cache)
    (cache / "captions.txt").unlink()
    assert provenance(task(server), cache) == Provenance()


def test_obtain__files_of_a_hub_repository_come_from_one_commit(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants

    with running(Hub()) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        repository = hub.repositories["datasets/me/set"] = Repository()
        first = repository.commit("main", {"a.txt": b"a1", "b.txt": b"b1"})
        files = [{"path": f"{name}.txt", "what": "captions", "hub": "me/set", "file": f"{name}.txt"} for name in "ab"]
        get(task(files=files[:1]))
        second = repository.commit("main", {"a.txt": b"a2", "b.txt": b"b2"})
        get(task(files=files))
        assert (cache / "b.txt").read_bytes() == b"b1"
        assert provenance(task(files=files), cache).revision == f"me/set@{first}"
        with pytest.raises(MismatchError, match=f"revision {first}, but the recipe names {second}"):
            get(task(files=[files[0] | {"revision": second}]))
        with pytest.raises(DataError, match="has 2 bytes instead of 3"):
            get(task(name="other", files=[files[0] | {"bytes": 3}]))
