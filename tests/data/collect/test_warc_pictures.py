"""Pictures in WARC files: found by their address in whatever file they stand."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from warcs import URL, Warc, chunked, page, three

from mella_retrieval.data.collect.pages import read_pages
from mella_retrieval.data.web.fetching import Failed


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


def test_a_record_that_nobody_can_unpack_hides_no_other_picture(tmp_path: Path, red_png: bytes):
    warc = Warc()
    warc.response(URL + "what", b"(\xb5/\xfd", "", headers={"Content-Encoding": "zstd"})
    warc.response(URL + "packed.png", b"(\xb5/\xfd", "image/png", headers={"Content-Encoding": "zstd"})
    warc.response(URL + "a.png", red_png, "image/png")
    pictures = read_pages(warc.save(tmp_path / "x.warc.gz")).pictures
    assert pictures.get(URL + "a.png") == red_png
    assert pictures.get(URL + "what") == Failed(URL + "what", "not in the WARC files")
    assert pictures.get(URL + "packed.png") == Failed(URL + "packed.png", "unknown packing: zstd")


def test_data_uris_hold_their_pictures(tmp_path: Path):
    pictures = read_pages(three(True).save(tmp_path / "x.warc.gz")).pictures
    assert pictures.get("data:image/gif;base64,R0lGODlh") == b"GIF89a"
    assert pictures.get("DATA:,a%20b") == b"a b"
    for bad in ("data:", "data:image/png;base64,"):
        failed = pictures.get(bad)
        assert isinstance(failed, Failed)
        assert failed.reason.startswith("not a picture: ")
