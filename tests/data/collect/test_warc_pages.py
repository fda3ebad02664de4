"""WARC files: every record is a page, a picture, passed over or rejected, whatever was done to the file."""

from __future__ import annotations

import gzip
import io
import sys
import tracemalloc
import zlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcs import DATE, Warc, chunked, page

from mella_retrieval.data.collect import resync
from mella_retrieval.data.collect.extract import candidates_of
from mella_retrieval.data.collect.pages import Page, PageSource, read_pages
from mella_retrieval.data.records import Rejected
from mella_retrieval.data.web.fetching import Failed
from mella_retrieval.errors import ConfigError, DataError

URL = "https://a.example/"


def read(source: PageSource) -> tuple[list[Page], list[str]]:
    items = list(source)
    assert source.counts.total() == len(items) + sum(
        count for name, count in source.counts.items() if name == "pictures" or name.startswith("skipped")
    )
    return [item for item in items if isinstance(item, Page)], [item.reason for item in items if isinstance(item, Rejected)]


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


# Damage -------------------------------------------------------------------------------------------------------------


def three(zipped: bool) -> Warc:
    warc = Warc(zipped)
    for number in range(3):
        warc.response(f"{URL}{number}", page(f"page {number}" + " and more" * 20))
    return warc


@pytest.mark.parametrize("zipped", [True, False])
def test_of_a_file_that_was_cut_all_that_is_whole_is_read(tmp_path: Path, zipped: bool):
    warc = three(zipped)
    for cut in [*range(1, len(warc.content), 37), *(end - at for end in warc.ends for at in range(12))]:
        path = tmp_path / "x.warc"
        path.write_bytes(warc.content[:cut])
        pages, reasons = read(read_pages(path))
        # Behind the content of a record stand two line ends, in a gzip file packed and with a checksum; they may be missing.
        behind = 20 if zipped else 4
        assert sum(end <= cut for end in warc.ends) <= len(pages) <= sum(end - behind <= cut for end in warc.ends)
        between = cut in warc.ends or (not zipped and any(end - behind <= cut <= end for end in warc.ends))
        assert len(reasons) == (0 if between else 1)
        assert all(reason.startswith("damaged: ") and "passed over" not in reason for reason in reasons)


def test_in_a_gzip_file_a_record_that_is_nonsense_costs_only_itself(tmp_path: Path):
    warc = three(True)
    first, second = warc.content[: warc.ends[0]], warc.content[warc.ends[1] :]
    lying = gzip.decompress(warc.content[warc.ends[0] : warc.ends[1]]).replace(b"Content-Length: ", b"Content-Length: 9", 1)
    for member, reason in (
        (b"Hello, world\r\n" * 9, "damaged: no WARC record where one should begin"),
        (b"WARC/1.0\r\nContent-Length: many\r\n\r\n", "damaged: a record without a valid Content-Length"),
        (b"WARC/1.0\r\n\r\n", "damaged: a record without a valid Content-Length"),
        (b"WARC/1.0\r\nX: " + b"y" * 100_000, "damaged: headers without an end"),
        (b"WARC/1.0\r\n" + b"X: y\r\n" * 200_000, "damaged: headers without an end"),
        (
            b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://a.example/\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n",
            "damaged: a response without an HTTP status line",
        ),
        (lying, None),
    ):
        path = tmp_path / "x.warc.gz"
        path.write_bytes(first + gzip.compress(member) + second)
        pages, reasons = read(read_pages(path))
        assert [page.url for page in pages] == [URL + "0", URL + "2"]
        assert reasons == [reason] if reason else reasons[0].startswith("damaged: cut short, ")


def test_behind_a_damaged_gzip_member_the_next_that_is_whole_is_read(tmp_path: Path, red_png: bytes):
    noise, warc = Random(0), Warc()
    for number in range(20):
        warc.response(f"{URL}{number}", page(noise.randbytes(3000).hex()))
    warc.response(URL + "a.png", red_png, "image/png")
    starts = [0, *warc.ends]
    path = tmp_path / "x.warc.gz"
    for first, last, at, size in (  # the members that are lost, and where the damage lies
        (8, 8, starts[8] + 400, 2000),
        (8, 8, starts[8], 4),
        (8, 10, starts[8] + 400, starts[11] - starts[8] - 500),
        (7, 8, starts[8] - 100, 200),
        (0, 0, 0, 30),
        (8, 8, starts[9] - 8, 4),  # the checksum
    ):
        content = bytearray(warc.content)
        content[at : at + size] = noise.randbytes(size)
        path.write_bytes(content)
        source = read_pages(path)
        pages, reasons = read(source)
        assert [found.url for found in pages] == [f"{URL}{number}" for number in range(20) if not first <= number <= last]
        assert len(reasons) == 1
        assert reasons[0].startswith("damaged: ")
        assert f"; {starts[last + 1] - starts[first]:,} bytes passed over" in reasons[0]
        assert source.pictures.get(URL + "a.png") == red_png


def test_however_many_members_are_damaged_each_is_passed_over_once(tmp_path: Path):
    warc = Warc()
    for number in range(300):
        warc.response(f"{URL}{number}", page(Random(number).randbytes(500).hex()))
    content = bytearray(warc.content)
    for number, end in enumerate(warc.ends):
        if number % 2:
            content[end - 300 : end - 250] = bytes(50)
    (tmp_path / "x.warc.gz").write_bytes(content)
    pages, reasons = read(read_pages(tmp_path / "x.warc.gz"))
    assert [found.url for found in pages] == [f"{URL}{number}" for number in range(0, 300, 2)]
    assert len(reasons) == 150
    assert reasons[-1].startswith("damaged: gzip that cannot be unpacked")
    assert "passed over" not in reasons[-1], "nothing comes behind the last"


def test_what_is_read_again_behind_damage_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resync, "_SPARE", 0)
    begins = gzip.compress(b"WARC/1.0\r\n")[:-8]  # packing that ends where the next begins, and has a wrong checksum
    path = tmp_path / "x.warc.gz"
    path.write_bytes(begins * 2000)
    _, reasons = read(read_pages(path))
    assert 0 < len(reasons) < 20, "each costs a block, all together the length of the file"
    assert reasons[-1].endswith("; too much damage to go on")


def test_what_follows_damage_in_a_plain_file_is_one_rejection(tmp_path: Path):
    plain = three(False)
    (tmp_path / "x.warc").write_bytes(plain.content[: plain.ends[0]] + b"junk\r\n" + plain.content[plain.ends[0] :])
    pages, reasons = read(read_pages(tmp_path / "x.warc"))
    assert [page.url for page in pages] == [URL + "0"]
    assert reasons == ["damaged: no WARC record where one should begin"]


def test_a_file_that_was_compressed_as_a_whole_is_read_too(tmp_path: Path, red_png: bytes):
    warc = three(False)
    warc.response(URL + "a.png", red_png, "image/png")
    (tmp_path / "x.warc.gz").write_bytes(gzip.compress(warc.content))
    source = read_pages(tmp_path / "x.warc.gz")
    assert [page.url for page in read(source)[0]] == [URL + "0", URL + "1", URL + "2"]
    assert source.pictures.get(URL + "a.png") == red_png


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\x1f\x8b", b"<html>", gzip.compress(b""), b"\x1f\x8b" + b"x" * 99])
def test_a_file_without_records_is_one_rejection(tmp_path: Path, content: bytes):
    (tmp_path / "x.warc").write_bytes(content)
    pages, reasons = read(read_pages(tmp_path / "x.warc"))
    assert (pages, len(reasons)) == ([], 1)


@settings(max_examples=60, deadline=None)
@given(
    zipped=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=40), st.integers(0, 60)), max_size=4),
)
def test_mangled_files_neither_crash_nor_hang_and_everything_is_counted(tmp_path_factory, zipped: bool, changes):
    content = three(zipped).content
    for place, new, removed in changes:
        at = place % len(content)
        content = content[:at] + new + content[at + removed :]
    path = tmp_path_factory.mktemp("mangled") / "x.warc"
    path.write_bytes(content)
    source = read_pages(path)
    pages, _ = read(source)
    assert source.counts["pages"] == len(pages) <= 3 + len(changes)
    for found in pages:
        assert found.where.startswith("x.warc, record ")
        candidates_of(found)
    for url in (URL + "0", URL + "1"):
        assert isinstance(source.pictures.get(url), Failed)


# Pictures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_pictures_of_all_files_are_found_by_their_address(tmp_path: Path, zipped: bool, red_png: bytes, blue_png: bytes):
    first, second = Warc(zipped), Warc(zipped)
    first.response(URL, page("x"))
    first.response(URL + "red.png?size=2", chunked(gzip.compress(red_png)), "image/png",
                   {"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"})  # fmt: skip
    first.response(URL + "gone.png", red_png, "image/png", status="404 Not Found")
    first.response(URL + "page.png", page("no picture"))
    second.response(URL + "kék.png", blue_png, "image/png")
    second.response(URL + "bytes", blue_png, "application/octet-stream", record="resource")
    second.response(URL + "red.png?size=2", blue_png, "image/png")
    second.response(URL + "empty.png", b"", "image/png")
    first.save(tmp_path / "a" / "1.warc.gz")
    second.save(tmp_path / "2.warc")
    (tmp_path / "notes.md").write_text("not read")
    pictures = read_pages(tmp_path).pictures
    assert pictures.get(URL + "red.png?size=2") == blue_png  # 2.warc comes first
    assert pictures.get(URL + "kék.png") == blue_png
    assert pictures.get(URL + "k%C3%A9k.png#part") == blue_png
    assert pictures.get("http://a.example/bytes") == blue_png
    for name in ("red.png", "gone.png", "page.png", "", "other"):
        assert pictures.get(URL + name) == Failed(URL + name, "not in the WARC files")
    assert pictures.get(URL + "empty.png") == Failed(URL + "empty.png", "not a picture: it is empty")
    assert pictures.get("nonsense") == Failed("nonsense", "not in the WARC files")


def test_the_first_of_a_picture_counts_and_packed_ones_are_unpacked(tmp_path: Path, red_png: bytes, blue_png: bytes):
    warc = Warc()
    warc.response(URL + "a.png", chunked(gzip.compress(red_png)), "image/png",
                  {"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"})  # fmt: skip
    warc.response(URL + "a.png", blue_png, "image/png")
    warc.response(URL + "cut.png", blue_png, "image/png")
    content = warc.content
    assert read_pages(warc.save(tmp_path / "x.warc.gz")).pictures.get(URL + "a.png") == red_png
    (tmp_path / "cut.warc.gz").write_bytes(content[:-40])
    assert read_pages(tmp_path / "cut.warc.gz").pictures.get(URL + "cut.png") == Failed(URL + "cut.png", "not in the WARC files")


def test_a_picture_that_is_not_there_any_more_says_so(tmp_path: Path, red_png: bytes):
    warc = Warc(gzip=False)
    warc.response(URL + "a.png", red_png, "image/png")
    path = warc.save(tmp_path / "x.warc")
    pictures = read_pages(path).pictures
    assert pictures.get(URL + "a.png") == red_png
    path.write_bytes(warc.content[:-20])
    failed = pictures.get(URL + "a.png")
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("damaged: cut short")
    path.unlink()
    assert isinstance(pictures.get(URL + "a.png"), Failed)


def test_data_uris_hold_their_pictures(tmp_path: Path):
    pictures = read_pages(three(True).save(tmp_path / "x.warc.gz")).pictures
    assert pictures.get("data:image/gif;base64,R0lGODlh") == b"GIF89a"
    assert pictures.get("DATA:,a%20b") == b"a b"
    for bad in ("data:", "data:image/png;base64,"):
        failed = pictures.get(bad)
        assert isinstance(failed, Failed)
        assert failed.reason.startswith("not a picture: ")


# Sources ------------------------------------------------------------------------------------------------------------


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
