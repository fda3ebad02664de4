"""Collecting from a small site: what is kept, what is counted, that a job goes on, and what cannot work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_server import Files, serving
from sites import HOST, KEPT, PAGES, PICTURES, QUICK, REMOVED, content, drawn, write_folder, write_warcs
from warcs import Warc

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.collect import collect as module
from mella_retrieval.data.collect import extracting, units
from mella_retrieval.data.collect.collect import collect
from mella_retrieval.data.collect.recipe import load_know, make_steps
from mella_retrieval.data.collect.report import CollectReport, first_rows, read_report
from mella_retrieval.data.collect.samples import read_samples
from mella_retrieval.data.records import Records
from mella_retrieval.data.web.fetching import Fetcher
from mella_retrieval.errors import ArtifactError, ConfigError, DataError


def quick(*overrides: str):
    return load_know("know", (*QUICK, *overrides))


def kept_of(folder: Path) -> set[tuple[str, str]]:
    rows = Records.load(folder).table(["image_url", "text"]).to_pylist()
    return {(row["image_url"].rpartition("/")[2], row["text"]) for row in rows}


def adds_up(report: CollectReport) -> bool:
    removed = sum(step.removed for step in report.filters)
    looked = [step.looked_at for step in report.filters]
    passed = [step.looked_at - step.removed for step in report.filters]
    in_order = all(before == after for before, after in zip(passed, looked[1:], strict=False))
    return in_order and report.candidates == report.kept + removed + sum(report.rejected.values())


@pytest.mark.parametrize("write", [write_folder, write_warcs])
def test_a_site_becomes_records(write, tmp_path: Path):
    report = collect([write(tmp_path / "site")], tmp_path / "out", load_know())
    assert kept_of(tmp_path / "out") == KEPT
    assert {step.name: step.removed for step in report.filters if step.name in REMOVED} == REMOVED
    assert adds_up(report)
    assert report.pages == len(PAGES)
    assert report.languages == {"hu": 3}
    assert read_report(tmp_path / "out").as_dict() == report.as_dict()
    assert check_folder(tmp_path / "out").ok
    assert not (tmp_path / "out.work").exists()
    row = Records.load(tmp_path / "out").table().to_pylist()[0]
    assert row["source"] == "know"
    assert row["page_url"] == f"{HOST}/a.html"
    assert row["site"] == "www.varos.example"
    assert row["page_title"] == "Busójárás"
    assert row["provenance"] == "alt"
    assert row["licence"] == "https://creativecommons.org/licenses/by/4.0/"
    assert (row["width"], row["height"], row["words"], row["repeats"]) == (240, 240, 6, 1)
    assert row["language_probability"] > 0.9
    assert row["image_id"] in row["image"]
    assert (tmp_path / "out" / row["image"]).read_bytes() == PICTURES["1.jpg"]


def test_the_same_pages_give_the_same_bytes(tmp_path: Path):
    site = write_warcs(tmp_path / "site")
    collect([site], tmp_path / "one", quick())
    collect([site], tmp_path / "two", quick())
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_stopped_job_goes_on_and_reads_no_finished_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = write_warcs(tmp_path / "site")
    collect([site], tmp_path / "whole", quick())
    write, written = module.Extracted.write, []

    def stopping(self, *arguments):
        written.append(self.candidates.name)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, *arguments)

    monkeypatch.setattr(module.Extracted, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        collect([site], tmp_path / "out", quick())
    assert not (tmp_path / "out").exists()
    collect([site], tmp_path / "out", quick())
    assert [name[:5] for name in written] == ["00000", "00001", "00001"]
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_another_recipe_does_not_go_on_with_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = write_warcs(tmp_path / "site")
    monkeypatch.setattr(module, "write_records", lambda *arguments, **options: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        collect([site], tmp_path / "out", quick())
    monkeypatch.undo()
    report = collect([site], tmp_path / "out", quick("filters.length.words=5"))
    assert {text for _, text in kept_of(tmp_path / "out")} < {text for _, text in KEPT}
    assert adds_up(report)


def test_samples_are_drawn_with_thumbnails(tmp_path: Path):
    collect([write_warcs(tmp_path / "site")], tmp_path / "out", quick("samples=1"))
    samples = read_samples(tmp_path / "out")
    reasons = [sample.reason for sample in samples]
    assert reasons == sorted({"kept", *(name for name, count in REMOVED.items() if count)})
    by_reason = {sample.reason: sample for sample in samples}
    assert by_reason["kept"].thumbnail.startswith(b"\xff\xd8\xff")
    assert by_reason["boilerplate"].thumbnail is not None, "the picture lies in the WARC file"
    assert by_reason["image-broken"].thumbnail is None
    assert by_reason["image-broken"].detail
    assert by_reason["duplicate-text"].scores["text_similarity"] == 1


def test_repeated_texts_are_counted_over_all_parts(tmp_path: Path):
    for number in range(3):
        warc = Warc()
        image = f'<img src="/{number}.jpg"'
        html = f'<html lang="hu">{image} alt="A mi kedves városunk">{image} alt="Kép a {number}. napról">'
        warc.response(f"{HOST}/{number}.html", html.encode())
        warc.response(f"{HOST}/{number}.jpg", drawn(number, 120), "image/jpeg")
        warc.save(tmp_path / "site" / f"{number}.warc.gz")
    report = collect([tmp_path / "site"], tmp_path / "out", quick("filters.duplicate-text=null"))
    assert {step.name: step.removed for step in report.filters}["repeated"] == 3
    assert report.kept == 3
    again = collect([tmp_path / "site"], tmp_path / "out", quick("filters.repeated.images=4"), overwrite=True)
    assert {step.name: step.removed for step in again.filters}["duplicate-text"] == 4, "two of each text"


def test_pages_that_cannot_be_read_are_counted_and_listed(tmp_path: Path):
    site = write_folder(tmp_path / "site")
    (site / "www.varos.example" / "empty.html").touch()
    report = collect([site], tmp_path / "out", quick())
    assert report.counts["rejected: empty page"] == 1
    listed = (tmp_path / "out" / "collected" / "skipped_pages.csv").read_text(encoding="utf-8")
    assert "www.varos.example/empty.html,empty page" in listed


def test_a_link_that_leads_nowhere_is_a_page_that_cannot_be_read(tmp_path: Path):
    site = write_folder(tmp_path / "site")
    (site / "www.varos.example" / "gone.html").symlink_to("nowhere.html")
    report = collect([site], tmp_path / "out", quick())
    assert report.counts["rejected: unreadable file"] == 1
    assert kept_of(tmp_path / "out") == KEPT


def test_pages_with_notes_are_listed_the_first_of_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extracting, "NOTED", 3)
    warc = Warc()
    for number in range(5):
        html = '<html lang="hu"><img src="/a.jpg" alt="Két ember áll a hídon">'.encode()
        warc.response(f"{HOST}/{number}.html", html, warc={"WARC-Truncated": "length"})
    warc.response(f"{HOST}/a.jpg", drawn(1), "image/jpeg")
    warc.save(tmp_path / "a.warc.gz")
    report = collect([tmp_path / "a.warc.gz"], tmp_path / "out", quick("filters.repeated=null"))
    assert report.notes["cut short"] == 5
    listed = (tmp_path / "out" / "collected" / "noted_pages.csv").read_text(encoding="utf-8").splitlines()
    assert listed == [
        "note,where,page,detail",
        *(f'cut short,"a.warc.gz, record {n + 1}",{HOST}/{n}.html,by the crawler (length)' for n in range(3)),
    ]
    assert [row[1] for row in first_rows([[("a", "1"), ("b", "2")], [("a", "3"), ("a", "4")]], 2)] == ["1", "2", "3"]


def test_where_nothing_is_left_report_and_samples_are_in_the_work_folder(tmp_path: Path):
    site = write_folder(tmp_path / "site")
    (site / "www.varos.example" / "empty.html").touch()
    place = tmp_path / "out.work" / "collected"
    for _ in range(2):  # the second time from what is finished
        with pytest.raises(DataError) as error:
            collect([site], tmp_path / "out", quick("filters.length.words=50"))
        for part in ("not one of 13 candidates is left: length 13. Nothing was written.", str(place),
                     "1 page could not be read: empty page 1."):  # fmt: skip
            assert part in str(error.value)
        assert "no records" not in str(error.value)
        report = read_report(place.parent)
        assert (report.candidates, report.kept) == (13, 0)
        assert adds_up(report)
        assert {sample.reason for sample in read_samples(place.parent)} >= {"length"}
        assert "empty.html,empty page" in (place / "skipped_pages.csv").read_text(encoding="utf-8")
    assert not (tmp_path / "out").exists()
    assert collect([site], tmp_path / "out", quick()).kept == 3
    assert not place.parent.exists()


def test_pages_without_texts_are_told_from_no_pages(tmp_path: Path):
    folder = tmp_path / "site" / "a.example"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(drawn(1))
    with pytest.raises(DataError, match=r"there is no page .* Beside pages there are: pictures 1\."):
        collect([tmp_path / "site"], tmp_path / "out", quick())
    for number in range(2):
        (folder / f"{number}.html").write_text("<p>nothing to see")
    with pytest.raises(DataError, match=r"not one of 2 pages has a text for a picture\. Nothing was written\."):
        collect([tmp_path / "site"], tmp_path / "out", quick())
    assert (tmp_path / "out.work" / "collected" / "report.json").is_file()


def test_lines_of_a_long_list_have_their_own_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(units, "LINES", 2)
    (tmp_path / "list.txt").write_text("# mine\nnonsense\n\nftp://a.example/\nnone\n")
    with pytest.raises(DataError, match="3 pages could not be read: not a web address 3"):
        collect([tmp_path / "list.txt"], tmp_path / "out", quick())
    listed = (tmp_path / "out.work" / "collected" / "skipped_pages.csv").read_text(encoding="utf-8").splitlines()
    assert [line.partition(",not")[0] for line in listed[1:]] == [f'"list.txt, line {number}"' for number in (2, 4, 5)]


def test_a_list_of_addresses_is_fetched(tmp_path: Path):
    files = Files(
        {f"/{name}": html.encode() for name, html in PAGES.items()} | {f"/{name}": data for name, data in PICTURES.items()}
    )
    with serving(files):
        (tmp_path / "pages.txt").write_text(f"{files.url('/a.html')}\n{files.url('/b.html')}\n{files.url('/c.html')}\n")
        fetch = ("fetch.allow_private=true", "fetch.per_host=0", "fetch.robots=false", "fetch.attempts=1", "fetch.pause=0")
        report = collect([tmp_path / "pages.txt"], tmp_path / "out", quick(*fetch))
    assert kept_of(tmp_path / "out") == KEPT
    assert report.counts["rejected: dead link"] == 1
    asked = [path for path, _ in files.requests]
    assert "/logo.png" not in asked, "the picture of a removed text is not fetched"
    assert asked.count("/2.jpg") == 0
    assert asked.count("/3.jpg") == 1


def test_pictures_that_a_source_lacks_are_fetched_if_the_recipe_says_so(tmp_path: Path):
    files = Files({"/1.jpg": drawn(1)})
    with serving(files):
        warc = Warc()
        warc.response(files.url("/a.html"), '<html lang="hu"><img src="/1.jpg" alt="Két ember áll a hídon"></html>'.encode())
        warc.save(tmp_path / "a.warc")
        fetch = ("fetch.allow_private=true", "fetch.per_host=0", "fetch.robots=false")
        with pytest.raises(DataError, match=r"the only candidate is not left: image-broken 1\. Nothing was written\."):
            collect([tmp_path / "a.warc"], tmp_path / "out", quick(*fetch))
        assert collect([tmp_path / "a.warc"], tmp_path / "out", quick(*fetch, "pictures=web")).kept == 1


def test_a_job_that_was_killed_before_the_web_answered_asks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object) -> Iterator[Any]:
        raise KeyboardInterrupt

    files = Files({"/1.jpg": drawn(1), "/2.jpg": drawn(2)})
    with serving(files):
        warc = Warc()
        texts = ("Két ember áll a hídon", "Kalács a piaci pulton", "Busók a mohácsi főtéren")
        images = "".join(f'<img src="/{number}.jpg" alt="{text}">' for number, text in enumerate(texts, 1))
        warc.response(files.url("/a.html"), f'<html lang="hu">{images}</html>'.encode())
        warc.response(files.url("/2.jpg"), b"no picture", "image/jpeg")
        warc.response(files.url("/3.jpg"), drawn(3), "image/jpeg")
        warc.save(tmp_path / "a.warc")
        recipe = quick("fetch.allow_private=true", "fetch.per_host=0", "fetch.robots=false", "pictures=web")
        monkeypatch.setattr(Fetcher, "fetch_each", killed)
        with pytest.raises(KeyboardInterrupt):
            collect([tmp_path / "a.warc"], tmp_path / "out", recipe)
        monkeypatch.undo()
        assert collect([tmp_path / "a.warc"], tmp_path / "out", recipe).kept == 3
    assert sorted(path for path, _ in files.requests) == ["/1.jpg", "/2.jpg"]


def test_a_source_that_is_named_twice_is_read_once(tmp_path: Path):
    site = write_warcs(tmp_path / "site")
    once = collect([site], tmp_path / "once", quick())
    assert collect([site, site], tmp_path / "twice", quick()).as_dict() == once.as_dict()
    assert content(tmp_path / "twice") == content(tmp_path / "once")


def test_overwriting(tmp_path: Path):
    site = write_folder(tmp_path / "site")
    collect([site], tmp_path / "out", quick())
    with pytest.raises(ArtifactError, match="already exists"):
        collect([site], tmp_path / "out", quick())
    collect([site], tmp_path / "out", quick(), overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ArtifactError, match="manifest"):
        collect([site], tmp_path / "mine", quick(), overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_a_foreign_work_folder_is_left_alone(tmp_path: Path):
    (tmp_path / "out.work").mkdir()
    (tmp_path / "out.work" / "letter.txt").write_text("dear")
    with pytest.raises(ArtifactError, match="not the work folder"):
        collect([write_folder(tmp_path / "site")], tmp_path / "out", quick())
    assert (tmp_path / "out.work" / "letter.txt").exists()


def test_sources_that_are_none(tmp_path: Path):
    with pytest.raises(DataError, match="there is no file or folder"):
        collect([tmp_path / "nowhere"], tmp_path / "out", quick())
    with pytest.raises(DataError, match="nothing to collect from"):
        collect([], tmp_path / "out", quick())
    with pytest.raises(DataError, match="lies within the source"):
        collect([write_folder(tmp_path / "site")], tmp_path / "site" / "out", quick())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"there is no page in the sources that can be read\. Nothing was written"):
        collect([tmp_path / "empty"], tmp_path / "out", quick())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("filters.lenght.words=2", "there is no filter 'lenght'. Did you mean 'length'"),
        ("filters.length.word=2", "unknown key 'word'. Did you mean 'words'"),
        ("filters.length.words=two", "the filter length: words"),
        ("langs=[hu]", "unknown key 'langs'"),
        ("languages=[xx-none]", "languages: 'xx-none' is not a known language code"),
        ("fetch.thread=3", "unknown key 'fetch.thread'"),
        ("filters.image-broken=null", "cannot be left out"),
        ("pictures=everywhere", "pictures"),
    ],
)
def test_recipes_that_cannot_work(override: str, message: str):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load_know("know", [override])


def test_filters_in_an_order_that_cannot_work(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("filters: {image-broken: {}, duplicate-text: {}, length: {}}\n")
    with pytest.raises(ConfigError, match="the filter length stands after duplicate-text"):
        load_know(str(path))


def test_what_only_shows_when_filters_are_made(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"word list .* cannot be read"):
        make_steps(load_know("know", [f"filters.words.lists=[{tmp_path / 'none.txt'}]"]))
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ConfigError, match="no word in it"):
        make_steps(load_know("know", [f"filters.words.lists=[{tmp_path / 'empty.txt'}]"]))
    with pytest.raises(ConfigError, match="no region 'XX'"):
        make_steps(load_know("know", (*QUICK, "filters.personal.regions=[XX]")))
    with pytest.raises(ConfigError, match="cannot tell 'ace-Arab'"):
        make_steps(load_know("know", ["languages=[ace-Arab, hu]"]))


def test_a_damaged_side_file_is_named(tmp_path: Path):
    collect([write_folder(tmp_path / "site")], tmp_path / "out", quick())
    (tmp_path / "out" / "collected" / "samples.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ArtifactError, match=r"samples\.parquet cannot be read"):
        read_samples(tmp_path / "out")
    (tmp_path / "out" / "collected" / "report.json").write_text("[]")
    with pytest.raises(ArtifactError, match="not the report"):
        read_report(tmp_path / "out")
