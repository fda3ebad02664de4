"""Pages that would keep a parser busy for minutes or fill the memory; a test that does not end has failed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from mella_retrieval.data.collect.extract import extract
from mella_retrieval.data.collect.pages import Page
from mella_retrieval.data.collect.taming import tamed

IMAGE = "<img src=a.jpg alt=boat>"
MANY, FEWER = 100_000, 20_000
DEEP = "hostile page: elements deeper than 512 were put beside"
HOSTILE = {
    "divs": ("<div>" * MANY + IMAGE, DEEP),
    "divs, closed": ("<div>" * MANY + IMAGE + "</div>" * MANY, DEEP),
    "figures": ("<figure>" * MANY + IMAGE + "<figcaption>c", DEEP),
    "lists": ("<ul><li>" * FEWER + IMAGE, DEEP),
    "unknown elements": ("<x-y>" * MANY + "<p>" * 999 + IMAGE, DEEP),
    "attributes": (
        f"<img {' '.join(f'a{n}=1' for n in range(MANY))}>" + IMAGE,
        f"hostile page: {MANY - 1000} attributes were dropped",
    ),
    "quoted attributes": (
        "<img x='<>' " + " ".join(f"a{n}='>'" for n in range(MANY)) + ">" + IMAGE,
        f"hostile page: {MANY - 999} attributes were dropped",
    ),
}
REOPENED = "hostile page: cut where elements were opened again too often"
CUT = {
    "fonts": "".join(f"<font id={n}>" for n in range(MANY)),
    "reopened": "<p>" + "".join(f"<font id={n}>" for n in range(1000)) + "<p>x" * 2000,
}
HARMLESS = {
    "a long attribute": f"<img src=x title='{'x' * 1_000_000}'>",
    "a long name": "<" + "a" * 1_000_000 + ">",
    "a long address": f"<img src='data:image/png;base64,{'A' * 1_000_000}'>",
    "a long srcset": f"<img alt=x srcset='{'b.jpg 2x, ' * MANY}'>",
    "a long text": "<p>" + "word & " * MANY,
    "entities": "&#x41;&amp" * MANY,
    "open brackets": "<" * 1_000_000,
    "comments": "<!--" * MANY + "-->",
    "end tags": "</p></div></x>" * FEWER,
    "cells": "<table>" + "<tr><td><font size=1>x" * 9999 + "</table>",
    "paragraphs": "<p><b>x</b>" * FEWER,
    "templates": "<template>" * FEWER + "</template>" * FEWER,
    "JSON-LD": f'<script type="application/ld+json">{"[" * MANY}</script>',
    "JSON-LD full of spaces": f'<script type="application/ld+json">{" " * 1_000_000}"{" " * 1_000_000}</script>',
    "base": f"<base href='{'../' * MANY}'>",
    "metas": "<meta property=og:image content=c.jpg>" * 9999,
    "captions": "<figure>" + "<figcaption>x</figcaption>" * 9999 + "</figure>",
    "pictures": "<figure>" + "<img src=b.jpg><a href=/x>l</a>" * 5000 + "</figure>",
}


@pytest.mark.parametrize(("html", "note"), HOSTILE.values(), ids=HOSTILE)
def test_what_a_hostile_page_shows_is_still_found(html: str, note: str):
    found = extract(Page("https://a.example/", html.encode()))
    assert "boat" in [candidate.text for candidate in found.candidates]
    assert found.notes == (note,)


@pytest.mark.parametrize("html", CUT.values(), ids=CUT)
def test_a_page_that_would_fill_the_memory_is_cut(html: str):
    found = extract(Page("https://a.example/", (IMAGE + html + "<img src=b.jpg alt=behind>").encode()))
    assert [candidate.text for candidate in found.candidates] == ["boat"]
    assert found.notes == (REOPENED,)
    parser = LexborHTMLParser(tamed(html)[0])
    assert sum(1 for _ in parser.root.traverse()) < 1_000_000


@pytest.mark.parametrize("html", HARMLESS.values(), ids=HARMLESS)
def test_what_is_only_long_is_left_as_it_is(html: str):
    assert tamed(html) == (html, "")
    found = extract(Page("https://a.example/", (IMAGE + html).encode()))
    assert "boat" in [candidate.text for candidate in found.candidates]


def test_of_very_many_pictures_the_first_are_read():
    page = Page("https://a.example/", b"".join(b"<img src=%d.jpg alt=x>" % number for number in range(10_001)))
    found = extract(page)
    assert [candidate.image for candidate in found.candidates] == [f"https://a.example/{number}.jpg" for number in range(10_000)]
    assert found.notes == ("hostile page: only its first 10000 pictures were read",)


REPEATED = "".join(f"<img src={n}.jpg alt=boat>" for n in range(1000))
LICENCES = "".join(f"<a rel=license href=/{n}>x</a>" for n in range(FEWER))
SAID_OFTEN = {
    "a title": f"<title>{'x' * 1_000_000}</title>" + REPEATED,
    "licences of the page": LICENCES + REPEATED,
    "licences of a figure": f"<figure>{LICENCES}{REPEATED}</figure>",
    "licences of figures": f"{'<figure><img src=a.jpg alt=boat>' * 500}{LICENCES}",
    "licences in JSON-LD": f'<script type="application/ld+json">{{"license": {list(range(FEWER))}}}</script>{REPEATED}',
    "attributes around": f"<div {' '.join(f'a{n}' for n in range(900))}>" * 400 + REPEATED,
}


@pytest.mark.parametrize("html", SAID_OFTEN.values(), ids=SAID_OFTEN)
def test_what_a_page_says_once_does_not_fill_the_memory_of_all_its_candidates(html: str):
    found = extract(Page("https://a.example/", html.encode())).candidates
    assert found[-1].text == "boat"
    assert all(len(candidate.page_title) <= 1000 for candidate in found)
    assert all(len(candidate.licence) <= 20 * 500 for candidate in found)
    if "license" in html:
        assert found[-1].licence.count("; ") == 19, "the first twenty"
        assert found[-1].licence.startswith(("https://a.example/0; https://a.example/1; ", "0; 1; "))


def test_an_address_that_no_server_takes_is_none():
    fits = extract(Page("https://a.example/", f"<base href='/{'a' * 16_000}/'>{REPEATED}".encode()))
    assert len(fits.candidates) == 1000
    long = extract(Page("https://a.example/", f"<base href='/{'a' * 16_400}/'>{REPEATED}".encode()))
    assert [candidate.image for candidate in long.candidates[:2]] == ["https://a.example/0.jpg", "https://a.example/1.jpg"]
    lost = extract(Page("https://a.example/", f"<img src='{'a' * 16_400}' alt=boat>".encode()))
    assert (lost.candidates, lost.notes) == ([], ("pictures without an address: 1 have texts",))


def test_depth_counts_what_is_open():
    nested = "<div><section><p><img src=x alt=y></section></div>" * 2000
    assert tamed(nested) == (nested, "")
    cells = "<table>" + "<tr><td><div><font size=1>x<table><td><b></table>" * 2000
    assert tamed(cells) == (cells, "")
    deep = "<div>" * 512 + "<i>" + "<div><img src=x alt=y></div>" * 2 + "</i>" + "</div>" * 512 + "<div>" * 600
    changed, note = tamed(deep + "<p>" * 1000)
    assert note == DEEP
    parser = LexborHTMLParser(changed)
    assert max(depth(node) for node in parser.css("div, i, img")) <= 515
    assert len(parser.css("img")) == 2


def depth(node) -> int:
    count = 0
    while (node := node.parent) is not None:
        count += 1
    return count


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(["<div>", "</div>", "<b>", "</b>", "<td>", "</td>", "<table>", "<p>", IMAGE, "<x a='", "'>", "x"])
    )
)
def test_taming_loses_no_picture_before_the_place_where_it_cuts(pieces: list[str]):
    html = "".join(pieces) + "<div><b><i>" * 700 + IMAGE
    changed, note = tamed(html)
    assert note in {DEEP, REOPENED}
    before, after = (LexborHTMLParser(text).css("img[alt]") for text in (html, changed))
    if note == DEEP:
        assert len(before) == len(after)
    else:
        assert len(after) <= len(before)
