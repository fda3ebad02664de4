from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import column, read, write

from mella_retrieval.data.formats import READERS, detect
from mella_retrieval.data.formats.mella import MellaOptions
from mella_retrieval.data.formats.mella_line import COLUMNS
from mella_retrieval.data.importing import import_records
from mella_retrieval.data.records import Note, RawRecord, Records, Rejected
from mella_retrieval.errors import DataError, MellaError

KNOW = "image_release_v2_{}_image_text_pair_json_in_part-0.jsonl"
PURE = "image_release_v2_{}_image_pure_json_in_part-0.jsonl"


def line(img_id: str, text: str | None = "نص", lang: str = "ar", **changes: Any) -> dict[str, Any]:
    row = {
        "img_id": img_id,
        "url": "http://arabic.news.cn/2018-06/04/c_137228407_2.htm",
        "data_source": "multi-web-news",
        "image": {"path": img_id, "resolution": [899, 599], "size": 66.80078125, "format": "JPEG"},
        "captions": {"content": text, "lang": lang},
        "labels": {"pjwk_cates": {"level1": ["文化类"], "level2": ["民俗传统"]}},
    }
    return row | changes


def lines(path: Path, *rows: Any) -> Path:
    return write(path, *(json.dumps(row, ensure_ascii=False) for row in rows))


def translations(folder: Path, lang: str, *pairs: tuple[str, str]) -> Path:
    entries = [{"img_id": img_id, "caption": caption} for img_id, caption in pairs]
    return write(folder / f"trans_{lang}.json", json.dumps(entries, ensure_ascii=False))


def release(folder: Path) -> Path:
    """Two languages, both kinds; pictures of three of the six records."""
    lines(folder / KNOW.format("ar"), line("a1"), line("a2", "نص آخر"))
    lines(folder / PURE.format("hu"), line("h1", "", "hu"), line("h2", "", "hu"), line("h3", "", "hu"))
    lines(folder / "raw" / "image" / "cs" / "cs_image_caption.jsonl", line("c1", "česky", "cs"))
    translations(folder, "hu", ("h2", "második"), ("h1", "első – ő"), ("h9", "kép nélkül"))
    for name in ("a1.JPG", "h1.png", "h2"):
        write(folder / "images" / name, "x")
    return folder


def split(items: list[Any]) -> tuple[list[RawRecord], list[Rejected], list[str]]:
    return (
        [item for item in items if isinstance(item, RawRecord)],
        [item for item in items if isinstance(item, Rejected)],
        [item.text for item in items if isinstance(item, Note)],
    )


def test_mella__a_folder_of_both_kinds_and_several_languages(tmp_path: Path) -> None:
    source = release(tmp_path / "m")
    assert detect(source) == detect(source / KNOW.format("ar")) == "mella"
    kept, rejected, notes = split(read("mella", source))
    assert [(row.image_id, row.image, row.text, row.lang, row.source) for row in kept] == [
        ("a1", "images/a1.JPG", "نص", "ar", "know"),
        ("a2", "images/a2.jpg", "نص آخر", "ar", "know"),
        ("c1", "images/c1.jpg", "česky", "cs", "know"),
        ("h1", "images/h1.png", "első – ő", "hu", "ling"),
        ("h2", "images/h2", "második", "hu", "ling"),
    ]
    assert [(row.where, row.reason) for row in rejected] == [
        (f"{PURE.format('hu')}, line 3", "picture without translation: not in trans_hu.json")
    ]
    assert notes == [
        f"{KNOW.format('ar')}: 2 rows read as know (native alt-text), ar; 1 caption without a picture in images/.",
        "raw/image/cs/cs_image_caption.jsonl: 1 row read as know (native alt-text), cs; 1 caption without a picture in images/.",
        f"{PURE.format('hu')}: 3 rows read as ling (pictures with translated descriptions), hu.",
        "trans_hu.json: 3 translations, 1 of them without a picture here.",
    ]


def test_mella__further_fields_become_plain_columns(tmp_path: Path) -> None:
    labels = {"pjwk_cates": {"level1": ["场景类", "新的类"], "level2": ["城市", "夜景"]}}
    rows = [
        line("a", labels=labels, credit="AFP", width="of the page"),
        {
            "img_id": "b",
            "image": {"path": "https://e.org/b.jpg?x=1", "exif": {"iso": 100}},
            "captions": {"content": "б", "lang": "ru"},
        },
        line("c", labels={"pjwk_cates": {"level1": "综合类"}, "safe": True}, image={"path": "c", "resolution": [1]}),
    ]
    import_records(lines(tmp_path / KNOW.format("ar"), *rows), tmp_path / "r")
    table = Records.load(tmp_path / "r").table()
    first, second, third = table.to_pylist()
    assert {name: first[name] for name in COLUMNS} == {
        "page_url": "http://arabic.news.cn/2018-06/04/c_137228407_2.htm", "data_source": "multi-web-news", "width": 899,
        "height": 599, "size_kb": 66.80078125, "format": "JPEG", "category": "scene|新的类", "topic": "城市|夜景",
    }  # fmt: skip
    assert (first["credit"], first["width_"], first["other"]) == ("AFP", "of the page", None)
    assert (second["image"], second["lang"], second["width"]) == ("https://e.org/b.jpg?x=1", "ru", None)
    assert json.loads(second["other"]) == {"image": {"exif": {"iso": 100}}}
    assert third["category"] == "general" and json.loads(third["other"])["labels"]["safe"] is True
    assert json.loads(third["other"])["image"] == {"resolution": [1]}


def test_mella__options_override_what_was_detected(tmp_path: Path) -> None:
    source = release(tmp_path / "m")
    write(tmp_path / "elsewhere" / "a2.webp", "x")
    kept, _, notes = split(read("mella", source, source="ling", lang="sr-Latn", images="../elsewhere", trans="trans_hu.json"))
    assert {row.source for row in kept} == {"ling"} and {row.lang for row in kept} == {"sr-Latn"}
    assert kept[1].image == "../elsewhere/a2.webp" and notes[0].startswith(f"{KNOW.format('ar')}: 2 rows read as ling")
    assert {row.text for row in kept} >= {"első – ő", "نص"}
    write(source / "better.json", '[{"img_id": "h3", "caption": "harmadik"}]')
    kept, rejected, _ = split(read("mella", source, trans={"hun": "better.json"}))
    assert [row.text for row in kept if row.source == "ling"] == ["harmadik"] and len(rejected) == 2
    for options in ({"trans": "gone.json"}, {"images": "gone"}, {"trans": {"hu": "gone.json"}}):
        with pytest.raises(DataError, match=r"there is no (file|folder)"):
            read("mella", source, **options)


def test_mella__pictures_without_a_translation_file(tmp_path: Path) -> None:
    path = lines(tmp_path / PURE.format("th"), line("t", "ข้อความ", "th"))
    with pytest.raises(DataError, match=r"picture without translation: there is no trans_th\.json \(options trans, source\)"):
        import_records(path, tmp_path / "r")
    report = import_records(path, tmp_path / "r", source="ling")  # the user says that the lines have the texts
    assert report.kept == 1 and column(tmp_path / "r", "text") == ["ข้อความ"]
    translations(tmp_path, "th", ("t", "คำแปล"))
    assert import_records(path, tmp_path / "r2").kept == 1 and column(tmp_path / "r2", "text") == ["คำแปล"]


def test_mella__a_name_that_tells_nothing_is_said_so(tmp_path: Path) -> None:
    path = lines(tmp_path / "m" / "part.jsonl", line("a"))
    assert detect(path) == detect(path.parent) == "mella"
    report = import_records(path.parent, tmp_path / "r")
    assert "part.jsonl: 1 row read as of no known source: neither its name nor the option source says" in report.notes[0]
    assert column(tmp_path / "r", "source") == [""]
    kept, _, _ = split(read("mella", path, source="know"))
    assert kept[0].source == "know"
    translations(path.parent, "ar", ("a", "ترجمة"))
    kept, _, _ = split(read("mella", path, source="ling", trans="trans_ar.json"))
    assert (kept[0].text, kept[0].lang) == ("ترجمة", "ar")


def test_mella__gz_and_a_part_that_was_cut(tmp_path: Path) -> None:
    source = tmp_path / "m"
    source.mkdir()
    path = source / (KNOW.format("ru") + ".gz")
    content = "".join(json.dumps(line(f"{number}", f"текст {number * 7919}", "ru")) + "\n" for number in range(800)).encode()
    path.write_bytes(gzip.compress(content))
    (source / "trans_ru.json.gz").write_bytes(gzip.compress(json.dumps([{"img_id": "7", "caption": "семь"}]).encode()))
    lines(source / PURE.format("ru"), line("7", "", "ru"))
    report = import_records(source, tmp_path / "r")
    assert report.kept == 801 and "семь" in column(tmp_path / "r", "text")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut short"):
        import_records(source, tmp_path / "r2")


def test_mella__bad_lines_are_rejected_alone(tmp_path: Path) -> None:
    rows = [line("a"), {"image": {"path": "x"}}, line("b", image=["x"]), line("c", captions="plain"), line(7), "text"]  # type: ignore[arg-type]
    path = lines(tmp_path / KNOW.format("ar"), *rows, line("d", captions={"content": 5, "lang": "ar"}), line("e", None))
    report = import_records(path, tmp_path / "r")
    assert report.read == 8 and report.kept == 2  # `captions` as a text has the language of the file's name
    assert report.rejected == {
        "empty text": 1, "image is not a string": 1, "img_id is not a string": 1, "no img_id": 1, "not a JSON object": 1,
        "text is not a string": 1,
    }  # fmt: skip
    assert column(tmp_path / "r", "lang") == ["ar", "ar"]


def test_mella__texts_in_another_language_are_not_judged_here(tmp_path: Path) -> None:
    path = lines(tmp_path / KNOW.format("th"), line("a", "plain English", "th"))
    assert import_records(path, tmp_path / "r").kept == 1 and column(tmp_path / "r", "lang") == ["th"]


def test_mella__several_files_of_translations(tmp_path: Path) -> None:
    for place in ("one", "two"):
        lines(tmp_path / place / PURE.format("ko"), line(place, "", "ko"))
        translations(tmp_path / place, "ko", (place, f"번역 {place}"))
    kept, rejected, _ = split(read("mella", tmp_path))
    assert [(row.image_id, row.text) for row in kept] == [("one", "번역 one"), ("two", "번역 two")] and not rejected
    lines(tmp_path / PURE.format("ko"), line("x", "", "ko"))
    with pytest.raises(DataError, match=r"may belong to several files .*say which: trans\.ko=FILE"):
        read("mella", tmp_path)


def test_mella__no_files_of_it(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", '{"image_id": "a", "text": "b"}')
    write(tmp_path / "trans_hu.json", "[]")
    assert not READERS["mella"].recognises(tmp_path) and not READERS["mella"].recognises(tmp_path / "trans_hu.json")
    for source in (tmp_path, tmp_path / "trans_hu.json"):
        with pytest.raises(DataError, match="no JSON lines of MELLA"):
            read("mella", source)
    lines(tmp_path / KNOW.format("ar"), line("a"))
    assert split(read("mella", tmp_path))[2][-1] == "left alone, no lines of MELLA: x.jsonl."


# Damage -------------------------------------------------------------------------------------------------------------

_SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("h1"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def survives(source: Path, folder: Path) -> None:
    """A MellaError, or an import that adds up."""
    try:
        items = split(read("mella", source))
        report = import_records(source, folder, format="mella", overwrite=True)
    except MellaError:
        return
    assert report.read == len(items[0]) + len(items[1]) == report.kept + sum(report.rejected.values())
    assert Records.load(folder).table().num_rows == report.kept


@pytest.mark.parametrize("name", [KNOW.format("ar"), PURE.format("hu"), "trans_hu.json"])
@_SETTINGS
@given(data=st.data())
def test_mella__any_damage_to_a_file(tmp_path: Path, name: str, data: st.DataObject) -> None:
    source = release(tmp_path / "m")
    content = (source / name).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    damaged = content[:cut] + data.draw(st.binary(max_size=12)) + content[cut + data.draw(st.integers(0, 9)) :]
    (source / name).write_bytes(damaged)
    detect(source)
    survives(source, tmp_path / "r")


@pytest.mark.parametrize("name", [KNOW.format("ar"), PURE.format("hu"), "trans_hu.json"])
@_SETTINGS
@given(data=st.data())
def test_mella__any_value_in_the_place_of_another(tmp_path: Path, name: str, data: st.DataObject) -> None:
    source = release(tmp_path / "m")
    text = (source / name).read_text(encoding="utf-8")
    rows: Any = json.loads(text) if name.endswith(".json") else [json.loads(row) for row in text.splitlines()]
    place: Any = rows
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(_values)
    changed = [json.dumps(rows)] if name.endswith(".json") else [json.dumps(row) for row in rows]
    write(source / name, *changed)
    survives(source, tmp_path / "r")


def test_mella__options_are_strict() -> None:
    assert set(MellaOptions.model_fields) == {"source", "lang", "images", "trans"}


def test_mella__a_line_cannot_lead_out_of_the_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"not yours")
    (tmp_path / "source" / "images").mkdir(parents=True)
    name = "image_release_v2_hu_image_text_pair_json_in_part-0.jsonl"
    rows = [
        {
            "img_id": str(number),
            "image": {"path": stem, "format": "JPEG"},
            "captions": {"content": f"Kép {number}.", "lang": "hu"},
        }
        for number, stem in enumerate(("../../secret", "a/../../../secret", str(tmp_path / "secret"), "..\\..\\secret"))
    ]
    (tmp_path / "source" / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = import_records(tmp_path / "source", tmp_path / "records")
    assert report.kept == 4 and any("4 captions without a picture" in note for note in report.notes)
    assert set(Records.load(tmp_path / "records").table(["image"])["image"].to_pylist()) == {""}


def test_mella__places_of_files_of_one_name_differ(tmp_path: Path) -> None:
    for folder in ("d1", "d2"):
        (tmp_path / "source" / folder).mkdir(parents=True)
        good = {"img_id": folder, "image": {"path": ""}, "captions": {"content": "Kép.", "lang": "hu"}}
        lines = json.dumps(good) + "\nbroken"
        (tmp_path / "source" / folder / "hu_image_caption.jsonl").write_text(lines, encoding="utf-8")
    report = import_records(tmp_path / "source", tmp_path / "records", "mella")
    assert report.kept == 2
    assert [row.where for row in report.examples] == [f"{folder}/hu_image_caption.jsonl, line 2" for folder in ("d1", "d2")]
