from __future__ import annotations

import csv
import hashlib
import io
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bad_server
import pytest
from bad_server import Talk, Web, answer, png, redirect
from crashing import crash_everywhere
from PIL import Image

from mella_retrieval.artifacts import writer_lock
from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.web import pictures
from mella_retrieval.data.web.fetching import FetchOptions
from mella_retrieval.data.web.pictures import download_pictures
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ArtifactError, DataError, LockedError

Options = Callable[..., FetchOptions]


def picture(colour: str) -> bytes:
    return answer(png(colour), content_type="image/png")


def records_of(folder: Path, *rows: RawRecord) -> Records:
    write_records(folder, rows, options=ImportOptions(text_only=True), image_root=folder.parent)
    return Records.load(folder)


def with_urls(folder: Path, *urls: str) -> Records:
    return records_of(folder, *(RawRecord(f"id{number}", url, f"text {number}", "en") for number, url in enumerate(urls)))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(folder: Path) -> list[dict[str, Any]]:
    return Records.load(folder).table().to_pylist()


def test_records_with_urls_become_records_with_files(tmp_path: Path, web: Web, hurried: Options):
    (tmp_path / "local.png").write_bytes(png("green"))
    web.pages |= {"/red": picture("red"), "/blue": redirect("/red2"), "/red2": picture("red"), "/gone": bad_server.MISSING}
    source = records_of(
        tmp_path / "records",
        RawRecord("a", web.url("/red"), "kutya", "hu", "know", extras={"site": "x"}),
        RawRecord("a", web.url("/red"), "a dog", "en", "ling"),
        RawRecord("b", web.url("/gone"), "macska", "hu"),
        RawRecord("c", web.url("/blue"), None, ""),
        RawRecord("d", "local.png", "fa", "hu"),
        RawRecord("", "", "egy szöveg", "hu"),
    )
    progress: list[tuple[int, int]] = []
    report = download_pictures(source, tmp_path / "out", hurried(), progress=lambda *counts: progress.append(counts))
    assert (report.read, report.kept, report.rejected) == (6, 5, {"dead link": 1})
    assert (report.urls, report.downloaded, report.failed, report.hosts) == (3, 2, {"dead link": 1}, {"127.0.0.1": 1})
    assert progress[-1] == (3, 3)
    assert sorted(web.paths()) == ["/blue", "/gone", "/red", "/red2"]

    sha = hashlib.sha256(png("red")).hexdigest()
    found = rows(tmp_path / "out")
    assert [row["image"] for row in found] == [f"images/{sha}.png"] * 3 + ["../local.png", ""]
    assert [row["image_sha256"] for row in found] == [sha] * 3 + [None] * 2
    assert [row["image_url"] for row in found] == [web.url("/red"), web.url("/red"), web.url("/blue"), None, None]
    before = [row for row in rows(tmp_path / "records") if row["image_id"] != "b"]
    kept = ("image_id", "text", "lang", "source", "text_id", "site")
    assert [[row[name] for name in kept] for row in found] == [[row[name] for name in kept] for row in before]
    assert (tmp_path / "out" / "images" / f"{sha}.png").read_bytes() == png("red")
    assert check_folder(tmp_path / "out").as_dict()["found"] == {}
    Records.load(tmp_path / "out").verify(deep=True)
    with (tmp_path / "out" / "skipped.csv").open() as file:
        assert list(csv.reader(file))[1:] == [["record 3", f"dead link: 404, {web.url('/gone')}", "macska"]]
    assert report.as_dict()["failed"] == {"dead link": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "local.png", "out", "records"]


def test_every_failure_is_counted_by_its_kind(tmp_path: Path, web: Web, hurried: Options):
    good = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(good, "JPEG")
    pages = {
        "ok": answer(good.getvalue(), content_type="image/jpeg"),
        "dead link": bad_server.MISSING,
        "refused": answer(status=403),
        "server error": answer(status=500),
        "timeout": bad_server.stall_in_the_middle,
        "cut short": answer(png(), content_length=999),
        "too large": answer(png(), content_length=999_999),
        "wrong type": answer(png(), content_type="text/plain"),
        "not a picture": answer(good.getvalue()[:500], content_type="image/jpeg"),
        "empty": answer(),
        "redirect loop": redirect("/redirect%20loop"),
        "broken connection": b"no status line\r\n",
    }
    web.pages |= {f"/{kind.replace(' ', '%20')}": page for kind, page in pages.items()}
    urls = [web.url(f"/{kind}") for kind in pages] + ["ftp://a.example/b", "http://user@a.example/", "https:///x.png"]
    report = download_pictures(with_urls(tmp_path / "records", *urls), tmp_path / "out", hurried(max_bytes=50_000, timeout=0.2))
    expected = {kind: 1 for kind in pages if kind != "ok"} | {"not an address": 3}
    assert report.failed == report.rejected == dict(sorted(expected.items()))
    assert report.kept == 1 and report.read == 1 + sum(expected.values())
    assert report.hosts == {"127.0.0.1": 11, "": 3}


def test_addresses_of_this_machine_are_refused_by_default(tmp_path: Path, web: Web):
    web.pages["/red"] = picture("red")
    with pytest.raises(DataError, match="2 x private address"):
        download_pictures(
            with_urls(tmp_path / "records", web.url("/red"), web.url("/red", "a.example")), tmp_path / "out", FetchOptions()
        )
    assert web.requests == []


# Interrupted -----------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from mella_retrieval.data.records import Records
from mella_retrieval.data.web.fetching import FetchOptions
from mella_retrieval.data.web.pictures import download_pictures
options = FetchOptions(per_host=0, threads=int(sys.argv[3]), allow_private=True, robots=False, pause=0)
download_pictures(Records.load(sys.argv[1]), sys.argv[2], options)
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_killed_in_the_middle_it_goes_on(threads: int, tmp_path: Path, web: Web, hurried: Options):
    colours = ["red", "green", "blue", "white", "black", "grey", "orange", "pink", "brown"]
    web.pages |= {f"/{colour}": picture(colour) for colour in colours}
    urls = [web.url(f"/{colour}") for colour in colours]
    urls[4:4] = [web.url("/gone"), web.url("/busy")]
    web.pages["/busy"] = answer(status=503)
    source = with_urls(tmp_path / "records", *urls)
    options = hurried(threads=threads)
    undisturbed = download_pictures(source, tmp_path / "undisturbed", options)
    web.requests.clear()

    def kill(talk: Talk) -> None:
        os.kill(process.pid, signal.SIGKILL)

    web.pages["/grey"] = [kill, picture("grey")]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, source.folder, tmp_path / "out", str(threads)])
    assert process.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    before = Counter(web.paths())
    (tmp_path / "out.work" / "out" / "images" / "orphan.png").write_bytes(b"something that nobody noted")

    report = download_pictures(source, tmp_path / "out", options)
    assert content(tmp_path / "out") == content(tmp_path / "undisturbed")
    assert report.as_dict() == undisturbed.as_dict()
    asked = Counter(web.paths())
    assert before["/gone"] == asked["/gone"] == 1  # what will not change is not asked again
    assert asked["/busy"] == before["/busy"] + 2  # what may pass is
    twice = {path for path in asked if asked[path] > 1} - {"/busy"}
    assert "/grey" in twice and len(twice) <= threads
    assert not (tmp_path / "out.work").exists()


def test_killed_at_any_step_it_goes_on_and_the_older_download_is_whole_until_then(tmp_path: Path):
    *crashes, undisturbed = crash_everywhere(Path(__file__).with_name("download_jobs.py"), "replace", tmp_path)
    assert len(crashes) > 20
    old, whole = crashes[0]["state"]["out"], undisturbed["state"]
    assert old != whole["out"] and not whole["work"]
    for crash in crashes:
        assert crash["state"]["out"] in (old, whole["out"]), crash["step"]
        assert crash["again"] == whole, crash["step"]


def test_killed_before_the_tidying_up_nothing_is_asked_again(tmp_path: Path, web: Web, hurried: Options, monkeypatch):
    web.pages["/red"] = picture("red")
    source = with_urls(tmp_path / "records", web.url("/red"), web.url("/gone"))
    with monkeypatch.context() as patch:
        patch.setattr(pictures._Download, "_remove_work", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            download_pictures(source, tmp_path / "out", hurried())
    report = download_pictures(source, tmp_path / "out", hurried())
    assert (report.folder, report.kept, report.failed) == (tmp_path / "out", 1, {"dead link": 1})
    assert len(web.requests) == 2
    assert not (tmp_path / "out.work").exists()


def test_when_nothing_can_be_kept_the_next_call_goes_on(tmp_path: Path, web: Web, hurried: Options):
    web.pages["/red"] = answer(status=500)
    source = with_urls(tmp_path / "records", web.url("/red"), web.url("/gone"))
    with pytest.raises(DataError, match=r"none of the 2 rows.*1 x dead link.*1 x server error"):
        download_pictures(source, tmp_path / "out", hurried())
    web.pages["/red"] = picture("red")
    assert download_pictures(source, tmp_path / "out", hurried()).kept == 1
    assert Counter(web.paths()) == {"/red": 3, "/gone": 1}


def test_other_options_try_failures_again_and_keep_what_is_there(tmp_path: Path, web: Web, hurried: Options, monkeypatch):
    web.pages |= {"/red": picture("red"), "/large": answer(png("blue") + b"\0" * 9000, content_type="image/png")}
    source = with_urls(tmp_path / "records", web.url("/red"), web.url("/large"))
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "write_records", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            download_pictures(source, tmp_path / "out", hurried(max_bytes=5000))
    assert download_pictures(source, tmp_path / "out", hurried()).kept == 2
    assert Counter(web.paths()) == {"/red": 1, "/large": 2}


def test_a_full_disk_is_said_and_what_arrived_is_kept(tiny_disk: Path, tmp_path: Path, web: Web, hurried: Options):
    web.pages |= {"/red": picture("red"), "/large": answer(png("blue") + b"\0" * 900_000, content_type="image/png")}
    source = with_urls(tmp_path / "records", web.url("/red"), web.url("/large"))
    with pytest.raises(ArtifactError, match=r"could not write|cannot be written"):
        download_pictures(source, tiny_disk / "out", hurried(threads=1))
    assert not (tiny_disk / "out").exists()
    assert "/red" in web.paths()


# Folders ---------------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_replaced_unless_that_is_wanted(tmp_path: Path, web: Web, hurried: Options):
    web.pages |= {"/red": picture("red"), "/blue": picture("blue")}
    source = with_urls(tmp_path / "records", web.url("/red"))
    download_pictures(source, tmp_path / "out", hurried())
    other = with_urls(tmp_path / "other", web.url("/blue"))
    with pytest.raises(ArtifactError, match="already exists"):
        download_pictures(other, tmp_path / "out", hurried())
    assert not (tmp_path / "out.work").exists()
    download_pictures(other, tmp_path / "out", hurried(), overwrite=True)
    assert [row["image_url"] for row in rows(tmp_path / "out")] == [web.url("/blue")]
    assert len(list((tmp_path / "out" / "images").iterdir())) == 1


def test_nothing_but_records_is_ever_replaced(tmp_path: Path, web: Web, hurried: Options):
    source = with_urls(tmp_path / "records", web.url("/red"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="not a finished records folder"):
        download_pictures(source, tmp_path / "photos", hurried(), overwrite=True)
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="not the work folder of a download"):
        download_pictures(source, tmp_path / "out", hurried())
    for own in (tmp_path / "records", tmp_path):
        with pytest.raises(DataError, match="would replace"):
            download_pictures(source, own, hurried(), overwrite=True)
    with writer_lock(tmp_path / "locked"), pytest.raises(LockedError):
        download_pictures(source, tmp_path / "locked", hurried())
    assert web.requests == []


def test_a_damaged_journal_is_said(tmp_path: Path, web: Web, hurried: Options):
    source = with_urls(tmp_path / "records", web.url("/red"))
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "journal.sqlite").write_bytes(b"damaged" * 1000)
    with pytest.raises(ArtifactError, match=r"journal.sqlite is damaged.*Remove .*out.work"):
        download_pictures(source, tmp_path / "out", hurried())


def test_records_without_urls_pass_through(tmp_path: Path, hurried: Options):
    (tmp_path / "a.png").write_bytes(png())
    absolute = str(tmp_path / "a.png")
    source = records_of(tmp_path / "records", RawRecord("a", "a.png", "x", "en"), RawRecord("b", absolute, "y", "en"))
    report = download_pictures(source, tmp_path / "deep" / "out", hurried())
    assert (report.kept, report.urls) == (2, 0)
    assert [row["image"] for row in rows(tmp_path / "deep" / "out")] == ["../../a.png", absolute]
    assert check_folder(tmp_path / "deep" / "out").ok
