from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from mella_retrieval.benchmarks.published import Published
from mella_retrieval.benchmarks.report import Example, Hit, write_report
from mella_retrieval.errors import DataError


def picture(kind="PNG", colour="red"):
    content = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(content, kind)
    return content.getvalue()


def published(model, protocol, comparable, value=0.5, languages=("cs", "hu", "th")):
    return [
        Published(model, protocol, code, way, "R@10", value, "a paper", "", comparable)
        for code in languages
        for way in ("t2i", "i2t")
    ]


class Page(HTMLParser):
    """What stands in a page: text, attributes by tag, and whether every element is closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.tags = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def examples():
    hits = [Hit(picture(), "a bad <b>label</b>", 0.9, False), Hit(picture("JPEG"), "second", 0.8, True)]
    return [
        Example("دجاجة & شجرة", "ar", hits, rank=2),
        Example("<script>alert(1)</script>", "th", hits[:1], rank=7, target=picture(colour="blue")),
    ]


def test_write_report__one_file_that_needs_nothing_else(make_result, examples, tmp_path):
    path = write_report(tmp_path, make_result(), examples=examples)
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    outside = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "xlink:href")]
    assert outside
    assert all(value.startswith(("data:image/", "#")) for value in outside)
    assert not re.search(r"@import|url\((?!#)", html)
    assert "prefers-color-scheme: dark" in html


def test_write_report__headline_beside_chance_and_reasons(make_result, tmp_path):
    result = make_result()
    page = Page(write_report(tmp_path, result).read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.text).split())
    headline = result.score("ours", "mean", "t2i", "R@1")
    assert f"{100 * headline.value:.1f} %" in text
    chance = result.score("chance", "mean", "t2i", "R@1")
    assert f"{100 * headline.low:.1f} – {100 * headline.high:.1f} · chance {100 * chance.value:.1f}" in text
    assert "no English captions" in text
    for needed in ("mella benchmark tiny", result.record.tie_rule, result.record.data.fingerprints["images"], "numpy", "a" * 64):
        assert needed in text


def test_write_report__texts_are_escaped_and_run_in_their_direction(make_result, examples, tmp_path):
    html = write_report(tmp_path, make_result(), examples=examples).read_text(encoding="utf-8")
    assert "<script>" not in html
    assert "<b>label" not in html
    queries = [attrs for tag, attrs in Page(html).tags if tag == "p" and attrs.get("class") == "query"]
    assert [(attrs["lang"], attrs["dir"]) for attrs in queries] == [("ar", "rtl"), ("th", "ltr")]
    assert html.count('<figure class="right">') == 1
    assert "the right answer, rank 7" in html


def test_write_report__published_rows_of_other_protocols_are_set_apart(make_result, tmp_path):
    rows = [
        *published("Same", "all-hit", True),
        *published("Other", "first", False, 0.9),
        *published("Partial", "all-hit", True, languages=("cs",)),
    ]
    html = write_report(tmp_path, make_result(), published=rows).read_text(encoding="utf-8")
    assert html.index(">Same<") < html.index(">Other<")
    assert '<tr class="other"><th scope="row">Other<' in html
    assert "Partial" not in html  # a mean over fewer languages is another number


def test_write_report__plots_beside_it_and_the_same_bytes_again(make_result, examples, tmp_path):
    for name in ("a", "b"):
        write_report(tmp_path / name, make_result(), examples=examples)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert {path.suffix for path in files} == {".html", ".svg", ".png"}
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    svg = (tmp_path / "a" / "plots" / "t2i-r-1.svg").read_text(encoding="utf-8")
    assert "Hungarian" in svg
    assert "var(--" not in svg  # a file of its own has no style sheet


def test_write_report__only_pictures_a_browser_shows(make_result, tmp_path):
    example = Example("x", "cs", [Hit(b"GIF89a", "gif", 0.5, False)])
    with pytest.raises(DataError, match="neither PNG nor JPEG"):
        write_report(tmp_path, make_result(), examples=[example])
    assert not (tmp_path / "report.html").exists()
