"""Folders of HTML files: where addresses come from, and where pictures lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcs import page

from mella_retrieval.data.collect.pages import Page, PageSource, read_pages
from mella_retrieval.data.records import Rejected
from mella_retrieval.data.web.fetching import Failed
from mella_retrieval.errors import ConfigError, DataError


def write(folder: Path, **files: bytes | str) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(source: PageSource) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Address -> place of the pages, and place and reason of what was rejected."""
    items = list(source)
    pages = {item.url: item.where for item in items if isinstance(item, Page)}
    return pages, [(item.where, item.reason) for item in items if isinstance(item, Rejected)]


def test_hosts_are_folders(tmp_path: Path, red_png: bytes):
    folder = write(
        tmp_path,
        **{
            "www.b.example/z.html": page("z"),
            "www.b.example/a/index.HTM": page("a"),
            "www.b.example/a/két szó.html": page("ks"),
            "www.b.example/style.css": "p {}",
            "www.b.example/img/red.png": red_png,
            "a.example/x.xhtml": page("x"),
            "a.example/empty.html": b"",
            "a.example/large.html": page("l") + b" " * 1000,
            "localhost:8080/x.html": page("l"),
            "top.html": page("t"),
            "pages/deep/x.html": page("t"),
        },
    )
    source = read_pages(folder, max_page=1000)
    pages, rejected = read(source)
    assert list(pages.items()) == [
        ("https://a.example/x.xhtml", "a.example/x.xhtml"),
        ("https://localhost:8080/x.html", "localhost:8080/x.html"),
        ("https://www.b.example/z.html", "www.b.example/z.html"),
        ("https://www.b.example/a/index.HTM", "www.b.example/a/index.HTM"),
        ("https://www.b.example/a/k%C3%A9t%20sz%C3%B3.html", "www.b.example/a/két szó.html"),
    ]
    no_address = "no address: it lies in no folder named after a host; give base=... or urls.csv"
    assert rejected == [
        ("top.html", no_address),
        ("a.example/empty.html", "empty page"),
        ("a.example/large.html", "page too large: more than 1000 bytes"),
        ("pages/deep/x.html", no_address),
    ]
    assert source.counts == {
        "pages": 5,
        "pictures": 1,
        "skipped: other file": 1,
        "rejected: no address": 2,
        "rejected: empty page": 1,
        "rejected: page too large": 1,
    }
    assert source.counts.total() == sum(path.is_file() for path in folder.rglob("*"))
    assert source.pictures.get("https://www.b.example/img/red.png") == red_png
    assert source.pictures.get("http://www.b.example/img/red.png?v=2#x") == red_png
    missing = "https://www.b.example/img/blue.png"
    assert source.pictures.get(missing) == Failed(missing, "not in the folder")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path):
    write(tmp_path, **{"a.example/x.html": page("x")})
    os.mkfifo(tmp_path / "a.example" / "pipe.html")
    os.mkfifo(tmp_path / "a.example" / "pipe.warc")
    (tmp_path / "a.example" / "nowhere.html").symlink_to("absent")
    pages, rejected = read(source := read_pages(tmp_path))
    assert list(pages) == ["https://a.example/x.html"]
    reason = "unreadable file: it is none, or leads nowhere"
    assert rejected == [("a.example/nowhere.html", reason), ("a.example/pipe.html", reason)]
    assert source.counts.total() == 4
    assert isinstance(source.pictures.get("https://a.example/pipe.html"), Failed)


def test_a_base_stands_for_the_folder(tmp_path: Path, red_png: bytes):
    write(tmp_path, **{"x.html": page("x"), "a/y.html": page("y"), "a/p q.png": red_png, "a/v.png?w=9": red_png + b"9"})
    for base in ("https://a.example/site", "https://a.example/site/"):
        source = read_pages(tmp_path, base=base)
        assert list(read(source)[0]) == ["https://a.example/site/x.html", "https://a.example/site/a/y.html"]
        assert source.pictures.get("https://a.example/site/a/p%20q.png") == red_png
        assert source.pictures.get("https://a.example/site/a/p q.png") == red_png
        assert source.pictures.get("https://a.example/site/a/v.png?w=9") == red_png + b"9"
        assert isinstance(source.pictures.get("https://a.example/a/p%20q.png"), Failed)
    with pytest.raises(ConfigError, match="an address of the form"):
        read_pages(tmp_path, base="a.example")


def test_addresses_in_a_table(tmp_path: Path, red_png: bytes, blue_png: bytes):
    table = (
        "file,url,language,date,content_type\n"
        "p1.html,https://a.example/news/1.html,hu,2024-03-01,text/html; charset=iso-8859-2\n"
        "./sub/p2.html,https://b.example/x/sub/2.html,,,\n"
        "red.bin,https://cdn.example/red.png?size=large,,,\n"
        "gone.html,https://a.example/gone.html,,,\n"
        "p3.html,nonsense,,,\n"
        "p1.html,https://a.example/again.html,,,\n"
        "short\n"
    )
    write(
        tmp_path,
        **{
            "urls.csv": table,
            "p1.html": page("ő", encoding="iso-8859-2"),
            "sub/p2.html": page("2"),
            "p3.html": page("3"),
            "red.bin": red_png,
            "img/blue.png": blue_png,
        },
    )
    source = read_pages(tmp_path)
    items = list(source)
    assert [item for item in items if isinstance(item, Page)] == [
        Page(
            url="https://a.example/news/1.html",
            html=page("ő", encoding="iso-8859-2"),
            content_type="text/html; charset=iso-8859-2",
            language="hu",
            date="2024-03-01",
            where="p1.html",
        ),
        Page("https://b.example/x/sub/2.html", page("2"), where="sub/p2.html"),
    ]
    assert [(item.where, item.reason.partition(":")[0]) for item in items if isinstance(item, Rejected)] == [
        ("urls.csv, line 6", "not a web address"),
        ("urls.csv, line 7", "repeated file"),
        ("urls.csv, line 8", "wrong number of fields"),
        ("p3.html", "no address"),
        ("urls.csv", "no such file"),
    ]
    assert source.counts.total() == len(items) + 2  # and the two pictures
    assert source.pictures.get("https://cdn.example/red.png?size=large") == red_png
    assert source.pictures.get("https://a.example/news/img/blue.png") == blue_png  # beside p1.html as beside 1.html
    assert source.pictures.get("https://b.example/x/img/blue.png") == blue_png  # sub/ on both sides
    assert isinstance(source.pictures.get("https://a.example/img/blue.png"), Failed)
    write(tmp_path, **{"urls.csv": "path,url\np1.html,https://a.example/\n"})
    with pytest.raises(DataError, match="needs the columns file and url; it has path, url"):
        read_pages(tmp_path)


def test_no_picture_comes_from_outside_the_folder(tmp_path: Path, red_png: bytes):
    write(tmp_path, **{"secret.png": red_png, "site/a.example/x.html": page("x")})
    write(tmp_path / "site", **{"urls.csv": "file,url\n../secret.png,https://a.example/listed.png\n"})
    source = read_pages(tmp_path / "site")
    list(source)
    for path in ("../secret.png", "%2e%2e/secret.png", "../../secret.png", "a/%2E%2E/%2E%2E/%2E%2E/secret.png", "listed.png"):
        assert isinstance(source.pictures.get(f"https://a.example/{path}"), Failed)
    assert isinstance(source.pictures.get(f"https://{tmp_path}/secret.png"), Failed)


@settings(max_examples=60, deadline=None)
@given(url=st.text(max_size=60) | st.text(max_size=40).map("https://a.example/{}".format))
def test_any_address_is_found_or_not(tmp_path_factory, url: str):
    folder = write(tmp_path_factory.getbasetemp() / "any", **{"a.example/x.html": page("x")})
    source = read_pages(folder)
    found = source.pictures.get(url)
    assert isinstance(found, Failed) or url[:5].lower() == "data:" or found == page("x")
