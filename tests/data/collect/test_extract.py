"""What a page offers for its pictures, as a table of HTML -> candidates."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.data.collect.candidates import PROVENANCES, Candidate
from mella_retrieval.data.collect.extract import candidates_of, extract
from mella_retrieval.data.collect.pages import Page

URL = "https://a.example/news/today.html"


def of(html: str, **page: Any) -> list[Candidate]:
    return candidates_of(Page(URL, html.encode("utf-8", "surrogatepass"), "text/html; charset=utf-8", **page))


def short(candidate: Candidate) -> str:
    """Address (without that of the folder), text and provenances in one line."""
    image = candidate.image.removeprefix("https://a.example/news/").removeprefix("https://a.example")
    return f"{image} | {candidate.text} | {' '.join(candidate.provenance)}"


def linked(*objects: Any) -> str:
    return "".join(f'<script type="application/ld+json">{json.dumps(value)}</script>' for value in objects)


def image(**properties: Any) -> dict[str, Any]:
    return {"@type": "ImageObject", **properties}


HEAD = '<meta property="og:image" content="/og.jpg">'
TABLE: dict[str, tuple[str, list[str]]] = {
    # Texts
    "alt": ("<img src=a.jpg alt='A boat'>", ["a.jpg | A boat | alt"]),
    "alt and title": ("<img src=a.jpg alt='A boat' title='A lake'>", ["a.jpg | A boat | alt", "a.jpg | A lake | title"]),
    "the same twice": ("<img src=a.jpg alt='A boat' title=' A  boat '>", ["a.jpg | A boat | alt title"]),
    "no text": ("<img src=a.jpg><img src=b.jpg alt><img src=c.jpg alt='' title='  '>", []),
    "no address": ("<img alt='A boat'><img src='' alt=B><img src='javascript:x' alt=C><img src='#' alt=D>", []),
    "white space": ("<img src=a.jpg alt=' A \n\t boat\u00a0here\u3000 '>", ["a.jpg | A boat here | alt"]),
    "entities once": (
        "<img src=a.jpg alt='&Aacute;ll&amp;amp; &#x41; &quot;x&quot; &nosuch;'>",
        ['a.jpg | Áll&amp; A "x" &nosuch; | alt'],
    ),
    "nothing else changed": (
        "<img src=a.jpg alt='e\u0301\u200b \u202bא\u202c “x” Foto: MTI / IMG_1.jpg'>",
        ["a.jpg | e\u0301\u200b \u202bא\u202c “x” Foto: MTI / IMG_1.jpg | alt"],
    ),
    "two pictures of one text": ("<img src=a.jpg alt=x><img src=b.jpg alt=x>", ["a.jpg | x | alt", "b.jpg | x | alt"]),
    "one picture twice": ("<img src=a.jpg alt=x><img src=a.jpg alt=y title=x>", ["a.jpg | x | alt title", "a.jpg | y | alt"]),
    "title of a link is none of the picture": ("<a title=no><img src=a.jpg alt=x></a>", ["a.jpg | x | alt"]),
    # Figures
    "figcaption": (
        "<figure><img src=a.jpg alt=x><figcaption>A <b>bo</b>at<br>on <p>the</p>lake<script>no</script></figcaption></figure>",
        ["a.jpg | x | alt", "a.jpg | A boat on the lake | figcaption"],
    ),
    "caption before the picture": (
        "<figure><figcaption>Text <img src=icon.png alt=i></figcaption><div><img src=a.jpg></div></figure>",
        ["icon.png | i | alt", "a.jpg | Text | figcaption"],
    ),
    "caption equal to alt": (
        "<figure><img src=a.jpg alt='A boat'><figcaption> A\nboat</figcaption></figure>",
        ["a.jpg | A boat | alt figcaption"],
    ),
    "a caption of several is of the first": (
        "<figure><img src=a.jpg><img src=b.jpg alt=x><figcaption>Both</figcaption></figure>",
        ["a.jpg | Both | figcaption", "b.jpg | x | alt"],
    ),
    "figures within a figure": (
        "<figure><figure><img src=a.jpg><figcaption>A</figcaption></figure><figure><img src=b.jpg></figure>"
        "<figcaption>All</figcaption></figure>",
        ["a.jpg | A | figcaption", "b.jpg | All | figcaption"],
    ),
    "a second caption is none": (
        "<figure><img src=a.jpg><figcaption>A</figcaption><figcaption>B</figcaption></figure><figcaption>C</figcaption>",
        ["a.jpg | A | figcaption"],
    ),
    # Addresses
    "addresses": (
        "<img src='../b.jpg' alt=1><img src='//cdn.example/c.jpg?x=1&amp;y=2#part' alt=2><img src=' /d e.jpg\n' alt=3>"
        "<img src='HTTP://other.example/kép.jpg' alt=4><img src='?q' alt=5>",
        [
            "/b.jpg | 1 | alt",
            "https://cdn.example/c.jpg?x=1&y=2 | 2 | alt",
            "/d%20e.jpg | 3 | alt",
            "http://other.example/kép.jpg | 4 | alt",
            "today.html?q | 5 | alt",
        ],
    ),
    "base": ("<base href='/img/'><base href='/no/'><img src=a.jpg alt=x>", ["/img/a.jpg | x | alt"]),
    "base that is none": ("<base href='javascript:x'><img src=a.jpg alt=x>", ["a.jpg | x | alt"]),
    "base of data": ("<base href='data:text/html,x'><img src=a.jpg alt=x>", ["a.jpg | x | alt"]),
    "data": ("<img src='data:image/gif;base64,R0lG' alt=x>", ["data:image/gif;base64,R0lG | x | alt"]),
    # Real addresses
    "data-src": ("<img src=wait.gif data-src=a.jpg alt=x>", ["a.jpg | x | alt"]),
    "data-original": ("<img src='data:image/gif;base64,R0' data-original=a.jpg alt=x>", ["a.jpg | x | alt"]),
    "data-lazy-src": ("<img data-lazy-src=/a.jpg alt=x>", ["/a.jpg | x | alt"]),
    "settings are no address": ('<img src=a.jpg data-lazy=true data-image=\'{"src": "b.jpg"}\' alt=x>', ["a.jpg | x | alt"]),
    "srcset by width": ("<img src=a.jpg srcset='b.jpg 400w, c.jpg 1600w, d.jpg 800w' alt=x>", ["c.jpg | x | alt"]),
    "srcset by density": ("<img src=a.jpg srcset='a.jpg, b.jpg 2x, c.jpg 1.5x' alt=x>", ["b.jpg | x | alt"]),
    "commas in addresses": ("<img srcset='/w_4,h_3/a.jpg 400w,/w_8,h_6/a.jpg 800w' alt=x>", ["/w_8,h_6/a.jpg | x | alt"]),
    "srcset that is broken": ("<img src=a.jpg srcset=', ,b.jpg 9z (1,2), ,c.jpg -5w,' alt=x>", ["b.jpg | x | alt"]),
    "data-srcset": (
        "<img src=wait.gif srcset='tiny.gif 20w' data-src=a.jpg data-srcset='b.jpg 400w, c.jpg 800w' alt=x>",
        ["c.jpg | x | alt"],
    ),
    "picture": (
        "<picture><source media='(min-width: 9em)' srcset='b.webp 800w, c.webp 1600w'><source srcset=d.webp>"
        "<img src=a.jpg alt=x></picture>",
        ["c.webp | x | alt"],
    ),
    "picture without sizes": ("<picture><source srcset=b.webp><img src=a.jpg alt=x></picture>", ["b.webp | x | alt"]),
    "lazy picture": (
        "<picture><source data-srcset='b.webp 800w'><img src='data:,' data-src=a.jpg alt=x></picture>",
        ["b.webp | x | alt"],
    ),
    "amp": ("<amp-img src=a.jpg srcset='b.jpg 900w' alt=x></amp-img>", ["b.jpg | x | alt"]),
    # Without scripts
    "noscript repeats a lazy picture": (
        "<img class=lazy src=wait.gif alt=x><noscript><img src=a.jpg alt=x></noscript><img src=b.jpg alt=y>",
        ["a.jpg | x | alt", "b.jpg | y | alt"],
    ),
    "noscript repeats one that has its address": (
        "<img data-src=a-800.jpg src=wait.gif alt=x><noscript><img src=a-300.jpg alt=x></noscript>",
        ["a-800.jpg | x | alt"],
    ),
    "noscript with another picture": (
        "<img src=a.jpg alt=x><noscript><img src=pixel.gif alt=y></noscript>",
        ["a.jpg | x | alt", "pixel.gif | y | alt"],
    ),
    "noscript with a tracker": (
        "<img class=lazy src=a.jpg alt=x><noscript><img src=https://t.example/tr width=1 height=1></noscript>",
        ["a.jpg | x | alt"],
    ),
    "noscript before the lazy picture": (
        "<figure><noscript><img src=a.jpg alt=x></noscript><img data-src=a.jpg alt=x><figcaption>C</figcaption></figure>",
        ["a.jpg | x | alt", "a.jpg | C | figcaption"],
    ),
    "scripts, templates and comments hold no pictures": (
        "<script>'<img src=a.jpg alt=x>'</script><template><img src=b.jpg alt=y></template><!-- <img src=c.jpg alt=z> -->"
        "<style><img src=d.jpg alt=s></style><textarea><img src=e.jpg alt=t></textarea>",
        [],
    ),
    # OpenGraph
    "og:image:alt": (
        HEAD + "<meta property=og:image:alt content='A boat'><meta property=og:title content=News>",
        ["/og.jpg | A boat | opengraph"],
    ),
    "og:title": ("<meta property=og:title content='News  today'>" + HEAD, ["/og.jpg | News today | opengraph"]),
    "og:title without a picture": ("<meta property=og:title content=News>", []),
    "several og:image": (
        "<meta property=og:title content=News>" + HEAD + "<meta name=og:image:url content=/og.jpg>"
        "<meta property=og:image content=b.jpg><meta property=og:image content=c.jpg><meta property=og:image:alt content=C>",
        ["/og.jpg | News | opengraph", "c.jpg | C | opengraph"],
    ),
    "og:image that is in the page": (
        HEAD + "<meta property=og:image:alt content='A boat'><img src=/og.jpg alt='A boat' title=B>",
        ["/og.jpg | A boat | opengraph alt", "/og.jpg | B | title"],
    ),
    # JSON-LD
    "json-ld": (
        linked(image(contentUrl="/a.jpg", url="/page.html", caption="A", name="B", description="A")),
        ["/a.jpg | A | json-ld", "/a.jpg | B | json-ld"],
    ),
    "json-ld graph, nested, lists": (
        linked(
            {
                "@context": "https://schema.org",
                "@graph": [
                    {"@type": ["Thing", "ImageObject"], "url": "a.jpg", "caption": "A"},
                    {"@type": "NewsArticle", "image": [image(url=["b.jpg"], caption=["B", "C"]), "d.jpg"], "headline": "no"},
                    {"@type": "Recipe", "step": [{"image": {"url": "e.jpg", "name": "E"}}], "name": "no"},
                ],
            },
            [{"@type": "http://schema.org/ImageObject", "contentUrl": {"@id": "f.jpg"}, "name": {"@value": "F"}}],
        ),
        ["a.jpg | A | json-ld", "b.jpg | B | json-ld", "b.jpg | C | json-ld", "e.jpg | E | json-ld", "f.jpg | F | json-ld"],
    ),
    "json-ld that is not ImageObject": (
        linked({"@type": "VideoObject", "contentUrl": "a.mp4", "name": "no"}, {"url": "b", "name": "no"}),
        [],
    ),
    "json-ld is not HTML": (
        linked(image(url="a.jpg", caption="1 &lt; 2 &amp; <b>3</b>")).replace("</b>", "<\\/b>"),
        ["a.jpg | 1 &lt; 2 &amp; <b>3</b> | json-ld"],
    ),
    "json-ld in wrappings": (
        '<script type="Application/LD+JSON; charset=utf-8">\n//<![CDATA[\n{"@type": "ImageObject",\n"url": "a.jpg", '
        '"caption": "A\nB"}\n//]]>\n</script>'
        '<script type="application/ld+json"><!-- {"@type": "ImageObject", "url": "b.jpg", "name": "B"} --></script>',
        ["a.jpg | A B | json-ld", "b.jpg | B | json-ld"],
    ),
    "json-ld with half characters": (linked(image(url="a.jpg", name="x\ud800y\ud83d\ude00")), ["a.jpg | x\ufffdy😀 | json-ld"]),
    # Order
    "document order, head first": (
        "<head>" + HEAD + "<meta property=og:title content=1></head><body><img src=2.jpg alt=2>"
        + linked(image(url="3.jpg", name="3")) + "<figure><img src=4.jpg alt=4 title=5><figcaption>6</figcaption></figure>",
        [
            "/og.jpg | 1 | opengraph",
            "2.jpg | 2 | alt",
            "3.jpg | 3 | json-ld",
            "4.jpg | 4 | alt",
            "4.jpg | 5 | title",
            "4.jpg | 6 | figcaption",
        ],
    ),
    # Malformed
    "unclosed": (
        "<div><p><b><img src=a.jpg alt='x'><figure><img src=b.jpg alt=y><figcaption>c",
        ["a.jpg | x | alt", "b.jpg | y | alt", "b.jpg | c | figcaption"],
    ),
    "a picture in the head": ("<head><img src=a.jpg alt=x><title>t</title></head>", ["a.jpg | x | alt"]),
    "old names": ("<image src=a.jpg alt=x><IMG SRC=b.jpg ALT=y ALT=z>", ["a.jpg | x | alt", "b.jpg | y | alt"]),
    "NULs": ("<img src=a.jpg alt='x\0y'>\0<p>\0<img src=b.jpg alt=z>", ["a.jpg | x\ufffdy | alt", "b.jpg | z | alt"]),
    "nothing": ("", []),
}  # fmt: skip


@pytest.mark.parametrize(("html", "expected"), TABLE.values(), ids=TABLE)
def test_candidates(html: str, expected: list[str]):
    assert [short(candidate) for candidate in of(html)] == expected


LANGUAGES = {
    "of the page": ("<html lang=hu-HU><img src=a alt=x>", {}, ["hu"]),
    "the nearest": (
        "<html lang=hu><div lang=en><p><img src=a alt=x></div><img src=b alt=y xml:lang=sr-Latn>",
        {},
        ["en", "sr-Latn"],
    ),
    "of the caption": ("<html lang=hu><figure><img src=a alt=x><figcaption lang=en>c</figcaption></figure>", {}, ["hu", "en"]),
    "empty and unknown ones do not count": ("<html lang=th><p lang=''><p lang=xx><img src=a alt=x>", {}, ["th"]),
    "of the header": ("<img src=a alt=x>", {"language": "cs-CZ"}, ["cs"]),
    "two in the header": ("<img src=a alt=x>", {"language": "cs, en"}, [""]),
    "the page before the header": ("<meta http-equiv=content-language content=ko><img src=a alt=x>", {"language": "cs"}, ["ko"]),
    "og:locale": ("<meta property=og:locale content=vi_VN><img src=a alt=x>", {}, ["vi"]),
    "of the head": ("<html lang=ru>" + HEAD + "<meta property=og:title content=x>", {}, ["ru"]),
    "of JSON-LD": ("<html lang=ru>" + linked(image(url="a", name="x")), {}, ["ru"]),
    "none": ("<img src=a alt=x>", {}, [""]),
}


@pytest.mark.parametrize(("html", "page", "expected"), LANGUAGES.values(), ids=LANGUAGES)
def test_languages(html: str, page: dict[str, str], expected: list[str]):
    assert [candidate.lang for candidate in of(html, **page)] == expected


BY = "https://creativecommons.org/licenses/by/4.0/"
LICENCES = {
    "of the page": (f"<img src=a alt=x><a rel='nofollow License' href={BY}>CC</a>", [BY]),
    "in the head": (f"<link rel=license href={BY}><img src=a alt=x>", [BY]),
    "relative": ("<link rel=license href=/terms><img src=a alt=x>", ["https://a.example/terms"]),
    "of a figure": (
        f"<a rel=license href=/terms>t</a><figure><img src=a alt=x><a href={BY}>CC</a></figure><img src=b alt=y>",
        [BY, "https://a.example/terms"],
    ),
    "of another figure": (f"<img src=a alt=x><figure><img src=b><a rel=license href={BY}>CC</a></figure>", [""]),
    "of a picture in JSON-LD": (
        linked(image(url="a", license=BY, copyrightNotice="© Kis  Anna", acquireLicensePage="https://a.example/buy"))
        + "<img src=a alt=x><img src=b alt=y>",
        [f"{BY}; © Kis Anna; https://a.example/buy", ""],
    ),
    "of the page in JSON-LD": (linked({"@graph": [{"@type": "Article", "license": {"@id": BY}}]}) + "<img src=a alt=x>", [BY]),
    "of a part of the page in JSON-LD": (linked({"video": {"@type": "VideoObject", "license": BY}}) + "<img src=a alt=x>", [""]),
    "none": ("<img src=a alt=x>", [""]),
}


@pytest.mark.parametrize(("html", "expected"), LICENCES.values(), ids=LICENCES)
def test_licences(html: str, expected: list[str]):
    assert [candidate.licence for candidate in of(html)] == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("width=640 height=480", (640, 480)),
        ("width='640px' height=' 480.5 '", (640, 480)),
        ("width=1 height=1", (1, 1)),
        ("width=100% height=480", None),
        ("width=640", None),
        ("width=99999999999999 height=1", None),
        ("", None),
    ],
)
def test_declared_sizes(attributes: str, expected: tuple[int, int] | None):
    assert of(f"<img src=a alt=x {attributes}>")[0].declared_size == expected


def test_sizes_of_opengraph_and_json_ld():
    described = linked(image(url="a", name="y", width=800, height={"@type": "QuantitativeValue", "value": "600"}))
    sizes = "<meta property=og:image:width content=1200><meta property=og:image:height content=630>"
    found = of(HEAD + sizes + "<meta property=og:title content=x>" + described)
    assert [candidate.declared_size for candidate in found] == [(1200, 630), (800, 600)]


def test_what_a_candidate_takes_from_its_page():
    page = Page(
        "https://WWW.a.example:8443/x", b"<svg><title>no</title></svg><title> A &amp;\n B </title><img src=a.jpg alt=x>",
        date="2024-03-01", where="x.warc.gz, record 3",
    )  # fmt: skip
    [found] = candidates_of(page)
    assert found == Candidate(
        page="https://WWW.a.example:8443/x",
        site="www.a.example",
        image="https://WWW.a.example:8443/a.jpg",
        text="x",
        provenance=("alt",),
        page_title="A & B",
        date="2024-03-01",
        where="x.warc.gz, record 3",
    )


def test_notes():
    html = '<script type="application/ld+json">{"a": 1,}</script><script type="application/ld+json">' + "[" * 99_999 + "</script>"
    found = extract(Page(URL, html.encode() + b"<img alt=x><img alt=y src='blob:z'><img>"))
    assert found.candidates == []
    assert [re.sub(r"\(.*|: (Expecting|Illegal).*", "", note).strip() for note in found.notes] == [
        "broken JSON-LD",
        "broken JSON-LD: nested too deeply",
        "pictures without an address: 2 have texts",
    ]


# Anything -----------------------------------------------------------------------------------------------------------

_PIECES = """
<img |src=a.jpg |alt='|x|'|"|>|</|<figure>|<figcaption>|</figure>|<picture>|<noscript>|<source srcset='b 2x,|c 100w' |=|<
<script type='application/ld+json'>|{"@type":"ImageObject","url":"a",|"name":"b"}|</script>|<meta property=og:image content=d
<base href=|<!--|-->|<svg>|<table>|<td>|<p lang=hu>|<a rel=license href=/l>|&amp|&#0;|\0| |é|data-src=|<plaintext>|<title>
<template>
"""


@settings(max_examples=60, deadline=None)
@given(
    html=st.lists(st.sampled_from(re.split(r"[|\n]", _PIECES)), max_size=60).map("".join) | st.text(max_size=200),
    base=st.sampled_from((URL, "", "http://[", "x")),
)
def test_any_html_gives_candidates_in_order(html: str, base: str):
    page = Page(base, html.encode("utf-8", "surrogatepass"))
    found = extract(page)
    assert found == extract(page)
    for candidate in found.candidates:
        assert candidate.text == " ".join(candidate.text.split()) != ""
        assert candidate.image.startswith(("https://", "http://", "data:"))
        assert list(candidate.provenance) == sorted(set(candidate.provenance), key=candidate.provenance.index)
        assert set(candidate.provenance) <= set(PROVENANCES)
    keys = [(candidate.image, candidate.text) for candidate in found.candidates]
    assert len(keys) == len(set(keys))


@settings(max_examples=60, deadline=None)
@given(html=st.binary(max_size=300), content_type=st.sampled_from(("", "text/html; charset=gb2312", "text/html; charset=utf-16")))
def test_any_bytes_give_candidates(html: bytes, content_type: str):
    extract(Page(URL, html, content_type))
    [found, *_] = candidates_of(Page(URL, b"<img src=a.jpg alt=boat>" + html.replace(b"\x1b", b"").replace(b"\0", b"")))
    assert found.text == "boat"


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(["a.jpg", "ImageObject"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["@type", "@graph", "image", "url", "contentUrl", "name", "caption", "license", "width", "height"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(value=_JSON)
def test_any_json_ld_gives_candidates(value: Any):
    found = extract(
        Page(URL, linked(value).replace("</", "<\\/", max(linked(value).count("</") - 1, 0)).encode("utf-8", "surrogatepass"))
    )
    assert all(candidate.provenance == ("json-ld",) for candidate in found.candidates)
