"""WARC files that were cut or damaged: what is whole is read, the rest is counted."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcs import URL, Warc, page, read, three

from mella_retrieval.data.collect import resync
from mella_retrieval.data.collect.extract import candidates_of
from mella_retrieval.data.collect.pages import read_pages
from mella_retrieval.data.web.fetching import Failed


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


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\x1f\x8b", b"<html>", gzip.compress(b"", mtime=0), b"\x1f\x8b" + b"x" * 99])
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
