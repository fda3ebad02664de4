"""Downloads from a server on this machine that cuts, lies, fails and changes its mind."""

from __future__ import annotations

import fcntl
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Files, serving
from hub_stand_in import TOKEN, Hub, Repository, running

from mella_retrieval.data import downloads
from mella_retrieval.data.downloads import Download, Patience, fetch
from mella_retrieval.data.hub_downloads import fetch_from_hub
from mella_retrieval.errors import DataError, HubError, LockedError

DATA = bytes(range(256)) * 4000
OTHER = DATA[::-1]
AT_ONCE = Patience(attempts=3, pause=0, timeout=5)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    with serving(Files({"/a.bin": DATA})) as files:
        yield files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "a.bin"


def get(server: Files, path: Path, **options):
    return fetch(server.url(), path, patience=AT_ONCE, **options)


def ranges(server: Files) -> list[str | None]:
    return [headers.get("Range") for _, headers in server.requests]


def leftovers(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir() if found != path) if path.parent.is_dir() else []


def test_fetch__whole_and_described(server: Files, path: Path):
    seen = []
    done = get(server, path, progress=lambda *counts: seen.append(counts))
    assert path.read_bytes() == DATA
    assert (done.sha256, done.bytes) == (sha(DATA), len(DATA))
    assert done.etag == f'"{hashlib.md5(DATA).hexdigest()}"'
    assert seen[-1] == (len(DATA), len(DATA))
    assert [count for count, _ in seen] == sorted(count for count, _ in seen)
    assert leftovers(path) == []


def test_fetch__an_empty_file(server: Files, path: Path):
    server.content["/a.bin"] = b""
    assert get(server, path).bytes == 0
    assert path.read_bytes() == b""


def test_fetch__a_cut_connection_goes_on_where_it_was(server: Files, path: Path):
    server.plan = ["cut", "cut"]
    get(server, path, sha256=sha(DATA), size=len(DATA))
    assert path.read_bytes() == DATA
    assert ranges(server) == [None, f"bytes={len(DATA) // 2}-", f"bytes={len(DATA) * 3 // 4}-"]


def test_fetch__a_later_call_goes_on_too(server: Files, path: Path):
    server.plan = ["cut", 500, 500, 500]
    with pytest.raises(DataError, match=r"answers with status 500.*kept"):
        get(server, path)
    assert not path.exists()
    assert leftovers(path) == ["a.bin.part", "a.bin.part.json"]
    get(server, path)
    assert path.read_bytes() == DATA
    assert ranges(server)[-1] == f"bytes={len(DATA) // 2}-"
    assert leftovers(path) == []


def test_fetch__killed_between_the_last_byte_and_the_renaming(server: Files, path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(downloads, "sha256_file", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        get(server, path)
    get(server, path)
    assert path.read_bytes() == DATA
    assert len(server.requests) == 1


def test_fetch__a_server_without_ranges_starts_over(server: Files, path: Path):
    server.ranges = False
    server.plan = ["cut"]
    get(server, path)
    assert path.read_bytes() == DATA


def test_fetch__a_server_without_ranges_that_always_cuts_ends_in_an_error(server: Files, path: Path):
    server.ranges = False
    server.plan = ["cut"] * 20
    with pytest.raises(DataError, match=rf"cut after {len(DATA) // 2} of {len(DATA)} bytes"):
        get(server, path)
    assert not path.exists()


def test_fetch__without_an_etag_nothing_is_glued_together_on_trust(server: Files, path: Path):
    server.etags = False
    server.plan = ["cut"]
    get(server, path)
    assert ranges(server) == [None, None]
    server.plan = ["cut"]
    get(server, path, sha256=sha(DATA))  # the hash would tell
    assert ranges(server)[2:] == [None, f"bytes={len(DATA) // 2}-"]


def test_fetch__a_file_that_changed_in_between_starts_over(server: Files, path: Path):
    server.plan = ["cut", lambda: server.content.update({"/a.bin": OTHER})]
    get(server, path)
    assert path.read_bytes() == OTHER


def test_fetch__a_file_that_changed_is_noticed_where_the_server_does_not_look(server: Files, path: Path):
    server.conditions = False
    server.plan = ["cut", lambda: server.content.update({"/a.bin": OTHER})]
    get(server, path)
    assert path.read_bytes() == OTHER


def test_fetch__a_date_will_do_where_there_is_no_etag(server: Files, path: Path):
    server.etags, server.modified = False, "Wed, 01 Jan 2020 00:00:00 GMT"
    server.plan = ["cut", lambda: setattr(server, "modified", "Thu, 02 Jan 2020 00:00:00 GMT") or "cut"]
    get(server, path)
    assert path.read_bytes() == DATA
    assert ranges(server) == [None, f"bytes={len(DATA) // 2}-", f"bytes={len(DATA) // 2}-"]
    sent = [headers.get("If-Range") for _, headers in server.requests]
    assert sent == [None, "Wed, 01 Jan 2020 00:00:00 GMT", "Thu, 02 Jan 2020 00:00:00 GMT"]


def test_fetch__a_file_that_changed_between_calls_starts_over(server: Files, path: Path):
    server.plan = ["cut", 404]
    with pytest.raises(DataError, match="404"):
        get(server, path)
    server.content["/a.bin"] = OTHER[:-7]
    get(server, path)
    assert path.read_bytes() == OTHER[:-7]


def test_fetch__a_part_of_another_address_is_not_used(server: Files, path: Path):
    server.content["/b.bin"] = OTHER
    server.plan = ["cut", 404]
    with pytest.raises(DataError):
        get(server, path)
    fetch(server.url("/b.bin"), path, patience=AT_ONCE)
    assert path.read_bytes() == OTHER


def test_fetch__a_shorter_file_than_what_had_arrived(server: Files, path: Path):
    server.etags = False
    server.plan = ["cut", lambda: server.content.update({"/a.bin": DATA[:100]})]
    with pytest.raises(DataError, match=f"SHA-256 {sha(DATA[:100])} instead of {sha(DATA)}"):
        get(server, path, sha256=sha(DATA))
    assert leftovers(path) == []


def test_fetch__errors_that_pass(server: Files, path: Path):
    server.plan = [500, 429, "cut", 503]
    get(server, path)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(("status", "message"), [(404, "nothing at"), (410, "moved or taken away"), (403, "refuses access"),
                                                 (401, "by hand"), (400, "status 400"), (204, "status 204")])  # fmt: skip
def test_fetch__errors_that_stay_are_told_at_once(server: Files, path: Path, status: int, message: str):
    server.plan = [status]
    with pytest.raises(DataError, match=message):
        get(server, path)
    assert len(server.requests) == 1
    assert not path.exists()


def test_fetch__a_dead_host(path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=rf"127.0.0.1:{port}/a cannot be reached \(.*refused.*\); attempts .* 3"):
        fetch(f"http://127.0.0.1:{port}/a", path, patience=AT_ONCE)


def test_fetch__a_silent_host(path: Path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(DataError, match="timed out"):
            fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/a", path, patience=Patience(attempts=1, timeout=0.2))


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://127.0.0.1/a", "a.bin", ""])
def test_fetch__other_schemes_are_refused(path: Path, url: str):
    with pytest.raises(DataError, match="no address"):
        fetch(url, path)


def test_fetch__another_content_is_removed_and_both_hashes_are_named(server: Files, path: Path):
    with pytest.raises(DataError, match=f"SHA-256 {sha(DATA)} instead of {'0' * 64}"):
        get(server, path, sha256="0" * 64)
    assert not path.exists()
    assert leftovers(path) == []


def test_fetch__another_size_is_told_before_the_download(server: Files, path: Path):
    seen = []
    with pytest.raises(DataError, match=f"bytes {len(DATA)} instead of 17"):
        get(server, path, size=17, progress=lambda *counts: seen.append(counts))
    assert seen == []
    assert leftovers(path) == []
    server.lengths = False
    with pytest.raises(DataError, match=f"bytes {len(DATA)} instead of 17"):
        get(server, path, size=17)
    assert not path.exists()


def test_fetch__a_known_size_tells_a_cut_where_the_server_names_none(server: Files, path: Path):
    server.lengths = False
    server.plan = ["cut"]
    get(server, path, size=len(DATA))
    assert path.read_bytes() == DATA
    assert len(server.requests) == 2


def test_fetch__an_older_file_stays_until_the_new_one_is_whole(server: Files, path: Path):
    path.parent.mkdir()
    path.write_bytes(b"old")
    server.plan = [500] * 3
    with pytest.raises(DataError):
        get(server, path)
    assert path.read_bytes() == b"old"
    get(server, path)
    assert path.read_bytes() == DATA


def test_fetch__redirects_are_followed_but_carry_no_token_elsewhere(server: Files, path: Path):
    with serving(Files({"/there": DATA})) as elsewhere:
        server.redirects["/a.bin"] = elsewhere.url("/there")
        Download(server.url(), path, None, None, AT_ONCE, {"Authorization": f"Bearer {TOKEN}"}).run(None)
        assert path.read_bytes() == DATA
        assert [headers.get("Authorization") for _, headers in server.requests] == [f"Bearer {TOKEN}"]
        assert [headers.get("Authorization") for _, headers in elsewhere.requests] == [None]
        server.redirects["/a.bin"] = "ftp://127.0.0.1/a"
        with pytest.raises(DataError, match="not safe"):
            get(server, path)


def test_fetch__a_full_disk_is_told_before_it_is_full(server: Files, tiny_disk: Path):
    with pytest.raises(DataError, match=rf"needs {len(DATA)} more bytes, but the disk has \d+ left"):
        get(server, tiny_disk / "a.bin")


def test_fetch__a_disk_that_fills_up(server: Files, tiny_disk: Path):
    server.lengths = False
    with pytest.raises(DataError, match="cannot be written: No space left"):
        get(server, tiny_disk / "a.bin")
    assert not (tiny_disk / "a.bin").exists()


def test_fetch__one_writer_at_a_time(server: Files, path: Path):
    with (path.parent.with_name(".folder.lock")).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(LockedError):
            get(server, path)
        get(server, path, locked=True)  # the caller's own lock


# The hub ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["", ".bin"], ids=["regular file", "large file"])
def hub(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    from huggingface_hub import constants

    with running(Hub(large=request.param)) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(variable, raising=False)
        repository = Repository()
        repository.commit("main", {"data/a.bin": DATA})
        hub.repositories["datasets/me/set"] = repository
        yield hub


def from_hub(path: Path, **options):
    return fetch_from_hub("me/set", "data/a.bin", path, patience=AT_ONCE, **options)


def test_fetch_from_hub__the_commit_is_told(hub: Hub, path: Path):
    first = hub.repositories["datasets/me/set"].branches["main"]
    second = hub.repositories["datasets/me/set"].commit("main", {"data/a.bin": OTHER})
    done = from_hub(path)
    assert (path.read_bytes(), done.commit, done.sha256) == (OTHER, second, sha(OTHER))
    assert from_hub(path, revision=first).commit == first
    assert path.read_bytes() == DATA


def test_fetch_from_hub__goes_on_where_it_was_cut(hub: Hub, path: Path):
    hub.cuts = 1
    seen = []
    from_hub(path, progress=lambda done, _: seen.append(done))
    assert path.read_bytes() == DATA
    assert len([request for request in hub.requests if request.startswith("GET")]) == 2
    assert seen == sorted(set(seen))  # nothing came twice


def test_fetch_from_hub__what_is_not_there(hub: Hub, path: Path):
    with pytest.raises(HubError, match="no such file"):
        fetch_from_hub("me/set", "b.bin", path, patience=AT_ONCE)
    with pytest.raises(HubError, match="no such repository"):
        fetch_from_hub("me/other", "a.bin", path, patience=AT_ONCE)
    with pytest.raises(HubError, match="no revision v7"):
        from_hub(path, revision="v7")
    with pytest.raises(DataError, match=f"SHA-256 {sha(DATA)} instead of {'1' * 64}"):
        from_hub(path, sha256="1" * 64)


def test_fetch_from_hub__a_private_set_with_a_token(hub: Hub, path: Path, monkeypatch: pytest.MonkeyPatch):
    hub.repositories["datasets/me/set"].private = True
    with pytest.raises(HubError, match="hf auth login"):
        from_hub(path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert from_hub(path).bytes == len(DATA)


def test_fetch_from_hub__without_a_network_from_the_cache(hub: Hub, path: Path, monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import constants, hf_hub_download

    hf_hub_download("me/set", "data/a.bin", repo_type="dataset")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    done = from_hub(path)
    assert (path.read_bytes(), done.commit) == (DATA, hub.repositories["datasets/me/set"].branches["main"])
    with pytest.raises(HubError, match="cache has no copy"):
        fetch_from_hub("me/set", "b.bin", path)
