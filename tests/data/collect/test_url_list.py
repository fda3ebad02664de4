"""Lists of addresses: fetched in their order, every line accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from file_server import Files, serving
from hypothesis import given, settings
from hypothesis import strategies as st
from warcs import page

from mella_retrieval.data.collect.pages import Page, read_pages
from mella_retrieval.data.records import Rejected
from mella_retrieval.data.web.fetching import Failed, Fetched, Fetcher
from mella_retrieval.data.web.options import FetchOptions

URL = "https://a.example/"


class Web:
    """The web as a dictionary; it reads as far ahead as a fetcher with threads does."""

    def __init__(self, answers: dict[str, Fetched | Failed], ahead: int = 3) -> None:
        self._answers, self._ahead = answers, ahead

    def fetch(self, url: str) -> Fetched | Failed:
        return self._answers.get(url, Failed(url, "dead link: 404"))

    def fetch_all(self, urls: Iterable[str]) -> Iterator[Fetched | Failed]:
        left = iter(urls)
        waiting = list(islice(left, self._ahead))
        while waiting:
            yield self.fetch(waiting.pop(0))
            waiting += islice(left, 1)


def answer(path: str, body: bytes, content_type: str = "text/html", final: str = "", **headers: str) -> Fetched:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fetched(URL + path, final or URL + path, body, content_type, told)


def test_every_line_is_accounted_for_in_order(tmp_path: Path, red_png: bytes):
    answers = [
        answer("1", page("1"), content_language="hu", last_modified="Fri, 01 Mar 2024 10:22:11 GMT"),
        answer("2", page("2"), "text/html; charset=iso-8859-2", URL + "moved/2", last_modified="yesterday"),
        answer("3", page("3"), ""),
        answer("red.png", red_png, "image/png"),
        answer("untold", red_png, ""),
        answer("large", page("large") + b" " * 500),
    ]
    lines = ["\ufeff" + URL + "1", "", "# a comment", "nonsense", "ftp://a.example/x", "  " + URL + "2 ", URL + "1", URL + "3",
             URL + "red.png", URL + "untold", URL + "large", URL + "gone", "https://", "\xff"]  # fmt: skip
    path = tmp_path / "urls.txt"
    path.write_bytes("\r\n".join(lines[:-1]).encode() + b"\n\xff\n")
    source = read_pages(path, fetcher=Web({found.url: found for found in answers}), max_page=500)
    items = list(source)
    assert [item if isinstance(item, Page) else (item.where, item.reason) for item in items] == [
        Page(URL + "1", page("1"), "text/html", "hu", "2024-03-01T10:22:11+00:00", "urls.txt, line 1"),
        ("urls.txt, line 4", "not a web address"),
        ("urls.txt, line 5", "not a web address"),
        Page(URL + "moved/2", page("2"), "text/html; charset=iso-8859-2", where="urls.txt, line 6"),
        ("urls.txt, line 7", "repeated address"),
        Page(URL + "3", page("3"), where="urls.txt, line 8"),
        ("urls.txt, line 9", "not a page: image/png"),
        ("urls.txt, line 10", "not a page: nothing says what it is"),
        ("urls.txt, line 11", "page too large: more than 500 bytes"),
        ("urls.txt, line 12", "dead link: 404"),
        ("urls.txt, line 13", "not a web address"),
        ("urls.txt, line 14", "not a web address"),
    ]
    assert source.counts.total() == len(items) == 12
    assert source.counts["rejected: not a page"] == 2
    assert source.pictures.get(URL + "red.png") == red_png
    assert source.pictures.get(URL + "gone") == Failed(URL + "gone", "dead link: 404")
    assert source.pictures.get("data:,a") == b"a"


@settings(max_examples=60, deadline=None)
@given(lines=st.lists(st.sampled_from([URL + "1", URL + "2", URL + "3", "bad", "", "#"]), max_size=12), ahead=st.integers(1, 5))
def test_whatever_the_lines_and_however_far_ahead(tmp_path_factory, lines: list[str], ahead: int):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_text("\n".join(lines))
    source = read_pages(path, fetcher=Web({URL + "1": answer("1", page("1")), URL + "2": answer("2", page("2"))}, ahead))
    items = list(source)
    assert source.counts.total() == len(items) == sum(line not in {"", "#"} for line in lines)
    places = [int(item.where.removeprefix("any.txt, line ")) for item in items]
    assert places == sorted(places)
    for item, place in zip(items, places, strict=True):
        url = item.url if isinstance(item, Page) else item.excerpt
        assert url == lines[place - 1]


def test_with_a_real_fetcher(tmp_path: Path, red_png: bytes):
    options = FetchOptions(per_host=0, pause=0, attempts=1, timeout=5, allow_private=True, robots=False, threads=2)
    content = {"/1.html": page("1"), "/a.png": red_png}
    with serving(Files(content, redirects={"/old": "/1.html"})) as files, Fetcher(options) as fetcher:
        path = tmp_path / "urls.txt"
        path.write_text("\n".join(files.url(name) for name in ("/old", "/gone.html", "/a.png")))
        source = read_pages(path, fetcher=fetcher)
        found, *rejected = source
        assert isinstance(found, Page)
        assert (found.url, found.html) == (files.url("/1.html"), page("1"))
        assert [item.reason for item in rejected if isinstance(item, Rejected)] == [
            "dead link: 404",
            "not a page: nothing says what it is",
        ]
        assert source.pictures.get(files.url("/a.png")) == red_png
        assert isinstance(source.pictures.get(files.url("/gone.png")), Failed)
