"""`mella data collect` and `mella data look`: what they print, and the contact sheet as a browser's parser reads it."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from mella_retrieval.cli.data_collect import collect, look
from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ConfigError

PAGE = """<html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title></head><body>
<img src="/a.png" alt="{text}"><img src="/logo.png" alt="Logo"><img src="/b.png" alt="{text} &lt;b&gt;x&lt;/b&gt;">
</body></html>"""
TEXTS = {"hu": "Kalács & kifli, <3 a piacon", "ar": "سوق العطارين في المدينة القديمة", "th": "ขบวนแห่เทียนพรรษาที่อุบลราชธานี"}
QUICK = "filters.language=null"


class Parsed(HTMLParser):
    """Tags with attributes, and the texts of paragraphs of class `text`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[dict[str, str | None], str]] = []
        self._open: dict[str, str | None] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = dict(attrs) if tag == "p" and dict(attrs).get("class") == "text" else self._open

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.texts.append((self._open, data))
            self._open = None


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for lang, text in TEXTS.items():
        host = folder / f"www.{lang}.example"
        host.mkdir(parents=True)
        escaped = html.escape(text)
        (host / "index.html").write_text(PAGE.format(lang=lang, title=lang.upper(), text=escaped), encoding="utf-8")
        for name, colour in (("a", "red"), ("b", "navy")):
            Image.new("RGB", (160, 120), colour).save(host / f"{name}.png")
    return folder


def run(command: typer.models.CommandFunctionType, *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_collect_tells_what_each_filter_removed(site: Path, tmp_path: Path):
    ran = run(collect, site, tmp_path / "out", QUICK)
    assert ran.exit_code == 0, ran.output
    lines = ran.stdout.splitlines()
    assert lines[0] == f"{tmp_path / 'out'}: 3 of 9 candidates of 3 pages kept (ar 1, hu 1, th 1)"
    rows = {line.split()[0]: line.split() for line in lines[2:]}
    assert rows["length"] == ["length", "9", "3", "33.3%", "Logo"]
    assert rows["markup"][:4] == ["markup", "6", "3", "50.0%"]
    assert rows["words"] == ["words", "3", "0", "0.0%"]


def test_one_of_a_kind_is_not_many(site: Path, tmp_path: Path):
    page = site / "www.hu.example" / "index.html"
    page.write_text(f'<html lang="hu"><img src="/a.png" alt="{TEXTS["th"]}">', encoding="utf-8")
    ran = run(collect, site / "www.hu.example", tmp_path / "out", QUICK, "base=https://www.hu.example/")
    assert ran.stdout.startswith(f"{tmp_path / 'out'}: 1 of 1 candidate of 1 page kept (hu 1)\n")
    ran = run(look, tmp_path / "out", "-o", tmp_path / "look.html")
    assert ran.stdout == f"{tmp_path / 'look.html'}: 1 sample in 1 section\n"
    cards = (tmp_path / "look.html").read_text(encoding="utf-8").partition('class="cards"')[2].partition("</header>")[0]
    for noun in ("record", "picture", "language", "candidate", "page"):
        assert f">{noun}</span>" in cards


def test_the_help_shows_lists_with_their_brackets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    ran = run(collect, "--help")
    for part in ("languages=[hu,cs]", "filters.words.lists=[bad.txt]"):
        assert part in ran.output


def test_collect_as_json(site: Path, tmp_path: Path):
    ran = run(collect, site / "www.hu.example", tmp_path / "out", QUICK, "base=https://www.hu.example/", "--json")
    report = json.loads(ran.stdout)
    assert (report["candidates"], report["kept"]) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "message"), [(("filters.lenght=null",), "there is no filter 'lenght'"), (("langages=[hu]",), "unknown key")]
)
def test_a_wrong_recipe(arguments: Sequence[str], message: str, site: Path, tmp_path: Path):
    ran = run(collect, site, tmp_path / "out", *arguments)
    assert isinstance(ran.exception, ConfigError)
    assert message in str(ran.exception)


def test_collect_needs_a_source_and_a_folder(tmp_path: Path):
    ran = run(collect, tmp_path / "out", QUICK)
    assert ran.exit_code == 2
    assert "give a source" in ran.output


def test_the_contact_sheet_of_a_collection(site: Path, tmp_path: Path):
    run(collect, site, tmp_path / "out", QUICK)
    ran = run(look, tmp_path / "out", "-o", tmp_path / "look.html")
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == f"{tmp_path / 'look.html'}: 9 samples in 3 sections\n"
    page = Parsed((tmp_path / "look.html").read_text(encoding="utf-8"))
    assert [attrs["id"] for tag, attrs in page.tags if tag == "section"] == ["kept", "length", "markup"]
    assert ({"class": "text", "dir": "auto", "lang": "ar"}, TEXTS["ar"]) in page.texts
    assert ({"class": "text", "dir": "auto", "lang": "hu"}, TEXTS["hu"]) in page.texts, "a text is never taken for HTML"
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert len(sources) == 6, "logo.png is not there"
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    outside = [attrs for tag, attrs in page.tags if tag in {"link", "script", "iframe"}]
    assert outside == [], "the page needs nothing else"
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a" and not attrs["href"].startswith("#")}
    assert "https://www.th.example/index.html" in links
    assert all(link.startswith("https://") for link in links)


def test_the_contact_sheet_of_other_records(tmp_path: Path):
    Image.new("RGB", (160, 120), "teal").save(tmp_path / "a.png")
    rows = [
        RawRecord(f"i{n}", "a.png", f"kép a {n}. napról", "hu", "ling", extras={"page_url": "javascript:alert(1)"})
        for n in range(9)
    ]
    rows += [
        RawRecord("x", "https://pelda.example/x.jpg", "a picture elsewhere", "en", "know"),
        RawRecord("y", "gone.png", None, ""),
    ]
    write_records(tmp_path / "records", rows, image_root=tmp_path)
    ran = run(look, tmp_path / "records", "-o", tmp_path / "look.html", "--size", 4)
    assert ran.exit_code == 0, ran.output
    text = (tmp_path / "look.html").read_text(encoding="utf-8")
    page = Parsed(text)
    assert len([tag for tag, attrs in page.tags if attrs.get("class") == "tile"]) == 4 + 1 + 1
    assert "Hungarian, ling" in text
    assert "pictures without a text" in text
    assert text.count("no picture at hand") == 2
    assert "javascript:" not in text
    again = tmp_path / "again.html"
    run(look, tmp_path / "records", "-o", again, "--size", 4)
    assert again.read_text(encoding="utf-8") == text
    run(look, tmp_path / "records", "-o", again, "--size", 4, "--seed", 1)
    assert again.read_text(encoding="utf-8") != text
