from __future__ import annotations

import dataclasses
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from mella_retrieval.benchmarks.metrics import RANK_VARIANCE
from mella_retrieval.benchmarks.published import Published
from mella_retrieval.benchmarks.report import Example, Examples, Hit, LanguageSheet, TextExample, TextHit, write_report
from mella_retrieval.benchmarks.results import Data, Record, Result, SystemInfo
from mella_retrieval.benchmarks.scores import Score
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import Task
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


def score(value, *, system="ours", language="mean", direction="t2i", metric="R@10", **more):
    return Score(system=system, language=language, direction=direction, metric=metric, value=value, **more)


def extended(result, scores=(), systems=()):
    """The result with further scores and systems."""
    record = result.record
    update = {"scores": (*record.scores, *scores), "systems": (*record.systems, *systems)}
    return dataclasses.replace(result, record=record.model_copy(update=update))


class Page(HTMLParser):
    """What stands in a page: text, attributes by tag, and whether every element is closed."""

    VOID = frozenset({"meta", "img", "br", "link", "input"})

    def __init__(self, html):
        super().__init__()
        self.open, self.parts, self.tags = [], [], []
        self.feed(html)

    @property
    def text(self):
        return " ".join(" ".join(self.parts).split())

    def attributes(self, tag, **wanted):
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.parts.append(data)


@pytest.fixture
def write(tmp_path):
    def write(result, **more):
        return write_report(tmp_path, result, **more).read_text(encoding="utf-8")

    return write


@pytest.fixture
def examples():
    hits = [Hit(picture(), "a bad <b>label</b>", 0.9, False), Hit(picture("JPEG"), "second", 0.8, True)]
    texts = [TextHit("<script>alert(1)</script>", 0.7, False), TextHit("شجرة", 0.6, False)]
    arabic = LanguageSheet(
        "ar",
        found=Example("دجاجة & شجرة", hits, rank=1, gloss="a hen & a tree"),
        missed_texts=TextExample(None, "second", texts, rank=12, target="كلب"),
        shares=(("t2i", 1.0, 0.0), ("i2t", 0.25, 0.125)),
    )
    thai = LanguageSheet("th", missed=Example("ต้นไม้", hits[:1], 17, picture(colour="blue")), shares=(("t2i", 0.5, 0.25),))
    return Examples("ours", [arabic, thai], languages=7, seed=3)


def test_write_report__one_file_that_needs_nothing_else(make_result, examples, write):
    html = write(make_result(), examples=examples)
    page = Page(html)
    assert page.open == []
    outside = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href", "xlink:href")]
    assert outside
    assert all(value.startswith(("data:image/", "#")) for value in outside)
    assert not re.search(r"@import|url\((?!#)|<script", html)
    assert "@media screen and (prefers-color-scheme: dark)" in html  # paper stays white


def test_write_report__every_name_in_the_page_is_its_own_and_is_found(make_result, examples, write):
    html = write(make_result(), examples=examples, published=published("Same", "all-hit", True))
    page = Page(html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = [attrs.get("for") or attrs.get("href", "").removeprefix("#") for tag, attrs in page.tags if tag in ("label", "a")]
    wanted += re.findall(r"url\(#([\w-]+)\)", html)
    assert wanted
    assert set(wanted) <= set(ids)


def test_write_report__headline_beside_chance_and_reasons(make_result, write):
    result = make_result()
    text = Page(write(result)).text
    headline, chance = (result.score(name, "mean", "t2i", "R@1") for name in ("ours", "chance"))
    assert f"{100 * headline.value:.1f} %" in text
    assert f"{100 * headline.low:.1f} – {100 * headline.high:.1f} · chance {100 * chance.value:.1f}" in text
    assert "no English captions" in text
    for needed in ("mella benchmark tiny", result.record.tie_rule, result.record.data.fingerprints["images"], "numpy", "a" * 64):
        assert needed in text


def test_write_report__texts_are_escaped_and_run_in_their_direction(make_result, examples, write):
    html = write(make_result(), examples=examples)
    page = Page(html)
    assert "<script>" not in html
    assert "<b>label" not in html
    queries = page.attributes("p", **{"class": "query"})
    assert [(attrs["lang"], attrs["dir"]) for attrs in queries] == [("ar", "rtl"), ("th", "ltr")]
    assert page.attributes("p", **{"class": "target"}) == [{"class": "target", "lang": "ar", "dir": "rtl"}]
    assert [attrs["dir"] for attrs in page.attributes("span", lang="ar")] == ["rtl", "rtl"]


def test_write_report__the_sheet_says_how_it_was_drawn_and_what_there_was_not(make_result, examples, write):
    text = Page(write(make_result(), examples=examples)).text
    assert "drawn at random among all such (seed 3)" in text
    assert "The 2 languages were drawn by the same seed from 7" in text
    assert "one failure, a query whose right answer is not at rank 1" in text
    assert "Found · Text → image · 100.0 % of queries; this one at rank 1 " in text
    assert "Missed · Text → image · 50.0 % of queries, 25.0 % below rank 10; this one at rank 17 " in text
    assert "Missed, Text → image: none, every right answer stands at rank 1." in text
    assert "no picture at hand" in text
    assert "English caption of the right picture: a hen & a tree" in text


def test_write_report__plots_beside_it_and_the_same_bytes_again(make_result, examples, tmp_path):
    rows = published("Same", "all-hit", True)
    more = [score(0.3, subset="source=know")]
    for name in ("a", "b"):
        write_report(tmp_path / name, extended(make_result(), more), examples=examples, published=rows)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    drawn = {path.stem for path in files if path.suffix == ".svg"}
    assert drawn == {path.stem for path in files if path.suffix == ".png"}
    ways = ("t2i", "i2t")
    assert drawn == {
        *(f"{way}-r-{k}-by-{group}" for way in ways for k in (1, 10) for group in ("resource", "script")),
        *(f"heatmap-{way}-r-{k}" for way in ways for k in (1, 10)),
        *(f"rank-spread-{way}" for way in ways),
        *(f"published-{way}-r-10" for way in ways),
        *(f"rank-variance-{way}" for way in ways),
        "by-source-t2i-r-10",
    }
    svg = (tmp_path / "a" / "plots" / "t2i-r-1-by-script.svg").read_text(encoding="utf-8")
    assert "Hungarian" in svg
    assert "var(--" not in svg  # a file of its own has no style sheet


def test_write_report__only_pictures_a_browser_shows(make_result, tmp_path):
    sheet = LanguageSheet("cs", found=Example("x", [Hit(b"GIF89a", "gif", 0.5, False)], 1), shares=(("t2i", 1.0, 0.0),))
    with pytest.raises(DataError, match="neither PNG nor JPEG"):
        write_report(tmp_path, make_result(), examples=Examples("ours", [sheet], 1, 0))
    assert not (tmp_path / "report.html").exists()


def test_write_report__rows_of_other_protocols_are_set_apart_and_in_no_plot(make_result, write, tmp_path):
    rows = [*published("Same", "all-hit", True), *published("Other", "first", False, 0.9)]
    html = write(make_result(), published=rows)
    assert html.index(">Same<") < html.index(">Other<")
    assert html.count(">Other<") == 1
    assert '<tr class="other"><th scope="row">Other<' in html
    assert "first (not comparable)" in Page(html).text
    svg = (tmp_path / "plots" / "published-t2i-r-10.svg").read_text(encoding="utf-8")
    assert "Same" in svg
    assert "Other" not in svg


def test_write_report__without_a_published_row_of_the_protocol_it_says_so(make_result, write, tmp_path):
    text = Page(write(make_result(), published=published("Other", "first", False))).text
    assert "None was published for the protocol all-hit." in text
    assert not list((tmp_path / "plots").glob("published*"))


def test_write_report__parts_of_the_test_set_stand_apart(make_result, write):
    parts = [score(0.1234, subset=f"{part}") for part in ("source=know", "category=food")]
    result = make_result()
    plain, page = Page(write(result)), Page(write(extended(result, parts)))
    assert "Parts of the test set" not in plain.text
    assert "By source" in page.text
    assert "By category" in page.text
    assert page.text.count("12.3") == 4  # in the table and the plot of each part, never in another table
    headline = result.score("ours", "mean", "t2i", "R@10")
    assert f"{100 * headline.value:.1f} %" in page.text


def test_write_report__recall_lost_through_an_index(make_result, write):
    infos = [SystemInfo(name="ours through HNSW", role="index"), SystemInfo(name="ours, best", role="baseline")]
    scores = [score(0.25, system="ours through HNSW"), score(0.9, system="ours through HNSW", metric="search recall@10")]
    result = make_result()
    exact = result.score("ours", "mean", "t2i", "R@10").value
    page = Page(write(extended(result, scores, infos)))
    assert "ours through HNSW, beside ours" in page.text
    assert f"Mean {100 * exact:.1f} 25.0 {100 * (exact - 0.25):.1f} 90.0 –" in page.text
    assert "Through an index" not in Page(write(result)).text


def test_write_report__what_an_index_finds_stands_on_the_means_too(make_result, write):
    name = "ours through HNSW"
    shares = [
        score(value, system=name, language=row, metric="search recall@10") for row, value in (("mean", 0.9), ("uclip", 0.8))
    ]
    scores = [score(0.25, system=name), score(0.25, system=name, language="uclip"), *shares]
    text = Page(write(extended(make_result(), scores, [SystemInfo(name=name, role="index")]))).text
    assert re.search(r"Mean [\d.]+ 25.0 [-\d.]+ 90.0 – Mean: uclip [\d.]+ 25.0 [-\d.]+ 80.0 –", text)


def test_write_report__the_systems_are_closed_and_seeds_say_what_they_seeded(make_result, write):
    page = Page(write(make_result()))
    assert not [attrs for attrs in page.attributes("details") if "open" in attrs]
    assert "Seed of bootstrap 0" in page.text


def test_write_report__groups_list_their_languages(make_result, write):
    result = make_result()
    task = result.record.task.model_copy(update={"groups": {"uclip": ("hu", "cs"), "mella": ("th",)}})
    record = result.record.model_copy(update={"task": task, "scores": (*result.record.scores, score(0.5, language="mella"))})
    text = Page(write(dataclasses.replace(result, record=record))).text
    assert "uCLIP's languages (uclip): Czech, Hungarian." in text
    assert "MELLA's languages (mella): Thai." in text


def test_write_report__the_metric_a_protocol_is_known_by_is_a_choice_too(make_result, write, tmp_path):
    result = make_result()
    record = result.record.model_copy(update={"protocol": "all"})
    html = write(dataclasses.replace(result, record=record))
    value = result.score("ours", "mean", "t2i", "nDCG@10").value
    assert f"{100 * value:.1f} %" in Page(html).text
    assert '<label for="show-m2">nDCG@10</label>' in html
    assert 'class="cards" style="--few: 3; --many: 3"' in html
    assert {f"{kind}.svg" for kind in ("t2i-ndcg-10-by-script", "heatmap-i2t-ndcg-10")} <= {
        path.name for path in (tmp_path / "plots").iterdir()
    }


def test_write_report__legends_of_the_spread_name_what_is_drawn(make_result, write):
    html = write(make_result(noise=0.0))
    spread = html[html.index('<section id="spread">') : html.index('<section id="again">')]
    legends = [Page(found).text for found in re.findall(r'<ul class="legend small">.*?</ul>', spread, re.DOTALL)]
    assert ["chance" in found for found in legends] == [True, False]  # chance has a variance, and no ranks of its own
    assert all("ours" in found and "English" not in found for found in legends)  # one language has no spread


def test_write_report__a_list_as_long_as_the_gallery_is_noted(make_result, write):
    result = make_result()
    text = Page(write(result)).text
    assert "Image → text, R@10: every caption is among the first 10 of a gallery of 10 in 1 language of 3." in text
    assert "every picture is among" not in text
    data = result.record.data.model_copy(update={"images": 10})
    record = result.record.model_copy(update={"data": data})
    text = Page(write(dataclasses.replace(result, record=record))).text
    assert "Text → image, R@10: every picture is among the first 10 of a gallery of 10." in text


def test_write_report__rank_variance_where_it_was_scored(make_result, write, tmp_path):
    result = make_result()
    without = result.record.model_copy(update={"scores": tuple(s for s in result.record.scores if s.metric != RANK_VARIANCE)})
    html = write(dataclasses.replace(result, record=without))
    assert "spread of ranks over languages" in html
    assert not list((tmp_path / "plots").glob("rank-variance*"))
    html = write(extended(dataclasses.replace(result, record=without), [score(1234.56, metric=RANK_VARIANCE)]))
    assert "1,234.6" in Page(html).text


def test_write_report__metrics_are_written_as_what_they_are(make_result, write):
    values = {"sumR": 4.5678, "nDCG@10": 0.4567, "median rank": 3.5, "recall@20": 0.5432}
    kept = [s for s in make_result().record.scores if s.metric in ("R@1", "R@10")]
    result = make_result()
    record = result.record.model_copy(update={"scores": (*kept, *(score(v, metric=m) for m, v in values.items()))})
    text = Page(write(dataclasses.replace(result, record=record))).text
    for written in ("456.8", "45.7", "3.5", "54.3"):
        assert written in text


def test_write_report__an_empty_cell_of_the_heatmap_says_why(make_result, write):
    page = Page(write(make_result()))
    empty = page.attributes("td", **{"class": "none"})
    assert "Thai, English: no English captions" in {attrs["title"] for attrs in empty}
    levels = [attrs["style"] for attrs in page.attributes("td") if attrs.get("style", "").startswith("--v:")]
    assert levels
    assert all(0 <= float(style.removeprefix("--v:")) <= 1 for style in levels)


def test_write_report__more_systems_than_colours_are_counted_and_named_in_the_heatmap(make_result, write):
    systems = [SystemInfo(name=f"system {at:02d}", role="baseline") for at in range(12)]
    html = write(extended(make_result(), [score(0.2, system=one.name, language="cs") for one in systems], systems))
    page = Page(html)
    assert "8 further systems, named in the heatmap" in page.text
    rows = [attrs["title"] for attrs in page.attributes("th", scope="row") if "title" in attrs]
    assert {one.name for one in systems} <= set(rows)  # more systems than languages: they are the rows


def test_write_report__classification_has_one_direction(write):
    codes = ("cs", "hu")
    scores = [
        score(0.1 * (at + 1), language=row, direction="i2t", metric=metric)
        for row in (*codes, "mean")
        for at, metric in enumerate(("top-1", "top-5", "macro-F1"))
    ]
    task = Task(name="c", title="Classes", source="here", licence="CC0", protocols=("zero-shot",), languages=codes,
                kind="classification", classes="cifar10")  # fmt: skip
    data = Data(
        images=9, languages=codes, queries={code: {"i2t": 9} for code in codes}, fingerprints={}, revision="x", checksum="y"
    )
    systems = (SystemInfo(name="ours", role="system"),)
    result = make_record(task, data, systems, scores)
    page = Page(write(result))
    assert "Text → image" not in page.text
    assert "Picture → class name, top-1" in page.text
    assert "Picture → class name, macro-F1" in page.text
    assert "10.0 %" in page.text


def test_write_report__many_languages_come_in_parts_and_none_is_lost(write, tmp_path):
    from mella_retrieval import languages

    codes = tuple(language.code for language in languages.known() if "-" not in language.code)[:98]
    task = Task(name="m", title="Many", source="here", licence="CC0", protocols=("all-hit",), languages=codes)
    data = Data(images=9, languages=codes, queries={}, fingerprints={}, revision="x", checksum="y")
    scores = [
        score(0.5, language=row, metric=metric, direction=way)
        for row in (*codes, "mean")
        for metric in ("R@1", "R@10")
        for way in ("t2i", "i2t")
    ]
    html = write(make_record(task, data, (SystemInfo(name="ours", role="system"),), scores))
    assert "Text → image, R@1 (1 of 3)" in html
    for group in ("resource", "script"):
        svg = (tmp_path / "plots" / f"t2i-r-1-by-{group}.svg").read_text(encoding="utf-8")
        for code in codes:
            name = languages.get(code).name.replace("&", "&amp;")
            assert len(re.findall(rf">{re.escape(name)}(?: \([^<]*\))?</text>", svg)) == 1, name


def make_record(task, data, systems, scores):
    record = Record(task=task, protocol=task.protocols[0], protocol_description="as it says", data=data, bootstrap=Bootstrap(),
                    systems=systems, scores=tuple(scores), provenance={})  # fmt: skip
    return Result(record, ())
