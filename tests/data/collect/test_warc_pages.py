"""WARC files: every record is a page, a picture, passed over or rejected, however it was sent and however long it is."""

from __future__ import annotations

import gzip
import io
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from warcs import DATE, URL, Warc, chunked, page, read, three

from mella_retrieval.data.collect.extract import candidates_of
from mella_retrieval.data.collect.pages import Page, read_pages
from mella_retrieval.errors import ConfigError, DataError


def read_one(warc: Warc, tmp_path: Path) -> Page:
    pages, reasons = read(read_pages(warc.save(tmp_path / "x.warc.gz")))
    assert (len(pages), reasons) == (1, [])
    return pages[0]


@pytest.mark.parametrize("zipped", [True, False])
def test_every_record_is_counted(tmp_path: Path, zipped: bool, red_png: bytes):
    warc = Warc(zipped)
    warc.other("warcinfo")
    warc.other("request")
    warc.response(URL, page("első"), headers={"Content-Language": "hu"})
    warc.other("metadata")
    warc.response(URL + "a.png", red_png, "image/png")
    warc.response(URL + "b", red_png, "application/octet-stream")
    warc.response(URL + "style.css", b"p {}", "text/css")
    warc.response(URL + "paper", b"%PDF-1.7", "application/pdf")
    warc.response(URL + "gone", page("x"), status="404 Not Found")
    warc.response(URL + "moved", b"", status="301 Moved", headers={"Location": URL})
    warc.response(URL + "untold", page("második"), content_type="")
    warc.response(URL + "file", page("harmadik"), "text/html", record="resource")
    warc.response(URL + "empty", b"")
    warc.response("dns:a.example", b"a.example. 300 IN A 10.0.0.1", "text/dns", record="resource")
    warc.other("revisit")
    warc.other("conversion")
    source = read_pages(warc.save(tmp_path / ("x.warc.gz" if zipped else "x.warc")))
    pages, reasons = read(source)
    assert [page.url for page in pages] == [URL, URL + "untold", URL + "file"]
    assert pages[0].html == page("első")
    assert (pages[0].content_type, pages[0].language, pages[0].date) == ("text/html; charset=utf-8", "hu", DATE)
    assert pages[0].where == f"x.warc{'.gz' if zipped else ''}, record 3"
    assert reasons == ["empty page"]
    assert source.counts == {
        "pages": 3,
        "pictures": 2,
        "skipped: warcinfo record": 1,
        "skipped: request record": 1,
        "skipped: metadata record": 1,
        "skipped: revisit record": 1,
        "skipped: conversion record": 1,
        "skipped: text file": 1,
        "skipped: application file": 1,
        "skipped: status 404": 1,
        "skipped: status 301": 1,
        "skipped: not from the web": 1,
        "rejected: empty page": 1,
    }
    assert read(source)[0] == pages  # may be read again, and is counted anew
    assert source.counts.total() == 16


NUMBERS = " ".join(map(str, range(20_000))).encode()
CHUNKED, GZIP, DEFLATE = {"Transfer-Encoding": "chunked"}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}
SENT = {
    "chunked": (chunked(page("á")), CHUNKED, ""),
    "chunks of one byte": (chunked(page("á"), 1), {"transfer-encoding": "Chunked"}, ""),
    "chunk extensions": (chunked(page("á")).replace(b"\r\n", b";name=value\r\n", 1), CHUNKED, ""),
    "stored out of its chunks": (page("á"), CHUNKED, ""),
    "last chunk cut": (chunked(page("á"), 200)[:-9], CHUNKED, "cut short: the last chunk is"),
    "last chunk missing": (chunked(page("á"), 200)[:-5], CHUNKED, "cut short: a chunk is missing"),
    "broken chunks": (chunked(page("á"), 200)[:-5] + b"?\r\n", CHUNKED, "cut short: broken chunks"),
    "gzip": (gzip.compress(page("á")), GZIP, ""),
    "x-gzip": (gzip.compress(page("á")), {"Content-Encoding": "X-Gzip"}, ""),
    "stored unpacked": (page("á"), GZIP, ""),
    "deflate": (zlib.compress(page("á")), DEFLATE, ""),
    "deflate without wrapping": (zlib.compress(page("á"))[2:-4], DEFLATE, ""),
    "both": (chunked(gzip.compress(page("á"))), CHUNKED | GZIP, ""),
    "twice": (gzip.compress(gzip.compress(page("á"))), {"Content-Encoding": "gzip, gzip"}, ""),
    "br stored unpacked": (page("á"), {"Content-Encoding": "br"}, ""),
    "gzip cut": (gzip.compress(page("á") * 2)[:-12], GZIP, "cut short: the packing is"),
    "gzip broken": (gzip.compress(page("á") + NUMBERS)[:-8] + bytes(8), GZIP, "cut short: broken packing"),
}


@pytest.mark.parametrize(("sent", "headers", "note"), SENT.values(), ids=SENT)
def test_content_as_it_was_sent(tmp_path: Path, sent: bytes, headers: dict[str, str], note: str):
    warc = Warc()
    warc.response(URL, sent, headers=headers)
    found = read_one(warc, tmp_path)
    assert found.notes == ((note,) if note else ())
    assert [candidate.text for candidate in candidates_of(found)] == ["á"]


def test_brotli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    brotli = pytest.importorskip("brotli")
    long = brotli.compress(page("á") + NUMBERS, quality=1)
    for sent, notes in ((long, ()), (long[:-99], ("cut short: the packing is",))):
        warc = Warc()
        warc.response(URL, sent, headers={"Content-Encoding": "br"})
        found = read_one(warc, tmp_path)
        assert found.notes == notes
        assert candidates_of(found)[0].text == "á"
    bomb = Warc()
    bomb.response(URL, brotli.compress(b"a" * 30_000_000, quality=1), headers={"Content-Encoding": "br"})
    assert read(read_pages(bomb.save(tmp_path / "x.warc.gz")))[1] == ["page too large: more than 10000000 bytes"]


def test_packing_that_nobody_here_knows_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    warc = Warc()
    warc.response(URL, b"\x1b\x00\x01", headers={"Content-Encoding": "br"})
    warc.response(URL, b"(\xb5/\xfd", headers={"Content-Encoding": "zstd"})
    _, reasons = read(read_pages(warc.save(tmp_path / "x.warc.gz")))
    assert reasons == ["unknown packing: br (pip install brotli)", "unknown packing: zstd"]


def test_a_record_that_the_crawler_cut_is_read_with_a_note(tmp_path: Path):
    warc = Warc()
    warc.response(URL, page("a") + b"<img src=b.jpg alt=b><img src=c.j", warc={"WARC-Truncated": "length"})
    found = read_one(warc, tmp_path)
    assert found.notes == ("cut short: by the crawler (length)",)
    assert [candidate.text for candidate in candidates_of(found)] == ["a", "b"]


# Sizes --------------------------------------------------------------------------------------------------------------


class Sparse(io.RawIOBase):
    """So many bytes of a page, made as they are read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        size = self._left if size < 0 else min(size, self._left)
        self._left -= size
        return b"<p>x" * (size // 4) + b"." * (size % 4)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_page_of_50_mb_is_rejected_and_never_in_memory(tmp_path: Path, zipped: bool):
    warc = Warc(zipped)
    warc.response(URL + "1", page("before"))
    warc.response(URL + "2", Sparse(50_000_000), length=50_000_100)
    warc.response(URL + "3", page("after"))
    path = warc.save(tmp_path / "x.warc")
    del warc
    tracemalloc.start()
    pages, reasons = read(read_pages(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [candidates_of(page)[0].text for page in pages] == ["before", "after"]
    assert reasons == ["page too large: more than 10000000 bytes"]
    assert peak < 25_000_000


def test_a_page_that_unpacks_to_50_mb_is_rejected(tmp_path: Path):
    warc = Warc()
    packed = gzip.compress(gzip.compress(b"<p>x" * 12_500_000, 1), 1)
    warc.response(URL, packed, headers={"Content-Encoding": "gzip, gzip"})
    warc.response(URL, chunked(packed), headers={"Content-Encoding": "gzip, gzip", "Transfer-Encoding": "chunked"})
    path = warc.save(tmp_path / "x.warc.gz")
    tracemalloc.start()
    pages, reasons = read(read_pages(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (pages, reasons) == ([], ["page too large: more than 10000000 bytes"] * 2)
    assert peak < 25_000_000


def test_the_limit_is_exact(tmp_path: Path):
    warc = Warc()
    body = page("exact")
    warc.response(URL, body)
    warc.response(URL, body + b" ")
    warc.response(URL, gzip.compress(body + b" "), headers={"Content-Encoding": "gzip"})
    pages, reasons = read(read_pages(warc.save(tmp_path / "x.warc.gz"), max_page=len(body)))
    assert [page.html for page in pages] == [body]
    assert reasons == [f"page too large: more than {len(body)} bytes"] * 2


def test_sources_of_no_known_kind(tmp_path: Path):
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(DataError, match="there is no file or folder"):
        read_pages(tmp_path / "absent")
    with pytest.raises(DataError, match="is no source of pages: give a WARC file"):
        read_pages(tmp_path / "x.bin")
    with pytest.raises(ConfigError, match="base is for folders of HTML files"):
        read_pages(three(True).save(tmp_path / "x.warc.gz"), base=URL)
    (tmp_path / "x.txt").write_text(URL)
    with pytest.raises(ConfigError, match="needs a fetcher"):
        read_pages(tmp_path / "x.txt")
