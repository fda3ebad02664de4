from __future__ import annotations

import itertools
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mella_retrieval.data.near.shingles import normal_form
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.stats import describe_records, script_of
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import DataError


def records(folder: Path, items: list[RawRecord], part_rows: int = 3, **options: object) -> Records:
    write_records(folder, items, part_rows=part_rows, options=ImportOptions(duplicates="keep", **options), overwrite=True)  # type: ignore[arg-type]
    return Records.load(folder)


def test_describe_records__counts_lengths_scripts_and_shared_texts(tmp_path: Path) -> None:
    items = [
        RawRecord("a", "a.jpg", "пас", "sr", "know"),
        RawRecord("b", "b.jpg", "pas i", "sr", "ling"),
        RawRecord("b", "b.jpg", "пас", "sr", "ling"),
        RawRecord("c", "", "犬と🐕", "ja", "ling"),
        RawRecord("d", "d.jpg", None, ""),
    ]
    stats = describe_records(records(tmp_path / "r", items))
    assert json.loads(json.dumps(stats)) == stats
    assert (stats["records"], stats["images"], stats["without_image"], stats["without_text"], stats["texts"]) == (5, 4, 1, 1, 3)
    assert stats["texts_on_several_images"] == 1
    counts = {source: (group["records"], group["images"], group["texts"]) for source, group in stats["by_source"].items()}
    assert counts == {"": (1, 1, 0), "know": (1, 1, 1), "ling": (3, 2, 3)}
    assert stats["by_source"][""]["characters"] is None and stats["by_source"][""]["words"] is None
    assert "by_split" not in stats and stats["by"] == {}
    serbian = stats["by_language"]["sr"]
    assert (serbian["records"], serbian["images"], serbian["texts"], serbian["texts_on_several_images"]) == (3, 2, 2, 1)
    assert serbian["characters"] == {"min": 3, "median": 3.0, "mean": 3.67, "p95": 4.8, "max": 5}
    assert serbian["words"] == {"min": 1, "median": 1.0, "mean": 1.33, "p95": 1.9, "max": 2}
    assert serbian["scripts"] == {"Cyrl": 0.6, "Latn": 0.4} and serbian["usual_script"] == "Cyrl"
    assert serbian["by_source"] == {"know": 1, "ling": 2}
    japanese = stats["by_language"]["ja"]
    assert japanese["scripts"] == {"Hani": 0.5, "Hira": 0.5} and japanese["characters"]["max"] == 3
    assert japanese["words"] is None  # what stands between two spaces is no word


def test_describe_records__words_are_counted_in_any_white_space(tmp_path: Path) -> None:
    texts = [" két\u00a0szó ", "egy\u3000kis\tkutya\n", "szó"]
    stats = describe_records(records(tmp_path / "r", [RawRecord(f"{n}", "a.jpg", text, "hu") for n, text in enumerate(texts)]))
    assert stats["words"] == {"min": 1, "median": 2.0, "mean": 2.0, "p95": 2.9, "max": 3}


def test_describe_records__of_a_part(tmp_path: Path) -> None:
    found = records(tmp_path / "r", [RawRecord("a", "a.jpg", "dog", "en"), RawRecord("a", "a.jpg", "kutya", "hu")])
    stats = describe_records(found, where={"lang": "hun"})
    assert stats["records"] == 1 and list(stats["by_language"]) == ["hu"]
    nothing = describe_records(found, where={"lang": "de"})
    assert nothing["records"] == 0 and nothing["without_image"] == 0 and nothing["by_language"] == {}
    assert nothing["characters"] is None and nothing["overlap"] == {"lang": [], "source": []}


def test_describe_records__lengths_lie_between_the_edges(tmp_path: Path) -> None:
    lengths = [1, 2, 3, 5, 44, 45, 1000, 45]
    items = [RawRecord(f"{n}", "a.jpg", "x" * length, "en") for n, length in enumerate(lengths)]
    stats = describe_records(records(tmp_path / "r", items))
    edges = stats["length_edges"]
    assert edges[:8] == [1, 2, 3, 4, 6, 8, 11, 16] and edges[-2] <= 1000 < edges[-1]
    counts = dict(zip(itertools.pairwise(edges), stats["by_language"]["en"]["lengths"], strict=True))
    assert {pair: count for pair, count in counts.items() if count} == {
        (1, 2): 1, (2, 3): 1, (3, 4): 1, (4, 6): 1, (32, 45): 1, (45, 64): 2, (724, 1024): 1
    }  # fmt: skip


def test_describe_records__splits_and_categories(tmp_path: Path) -> None:
    rows = [("train", "culture|scene"), ("train", "culture"), ("test", None), (None, "scene"), ("train", "culture|culture")]
    items = [
        RawRecord(f"p{n}", f"{n}.jpg", f"text {n}", "en", extras={"split": split, "category": category, "n": n % 2})
        for n, (split, category) in enumerate(rows)
    ]
    stats = describe_records(records(tmp_path / "r", items), by=["category", "n"])
    assert {name: group["records"] for name, group in stats["by_split"].items()} == {"": 1, "test": 1, "train": 3}
    assert {name: group["records"] for name, group in stats["by"]["category"].items()} == {"": 1, "culture": 3, "scene": 2}
    assert {name: group["images"] for name, group in stats["by"]["n"].items()} == {"0": 3, "1": 2}
    assert stats["by_language"]["en"]["by_split"] == {"": 1, "test": 1, "train": 3}
    with pytest.raises(DataError, match=r"no column 'categories'.*'category'"):
        describe_records(Records.load(tmp_path / "r"), by=["categories"])


def test_describe_records__a_column_of_many_values(tmp_path: Path) -> None:
    items = [RawRecord(f"p{n}", "a.jpg", f"text {n}", "en", extras={"page": f"page {n % 130}"}) for n in range(200)]
    stats = describe_records(records(tmp_path / "r", items, part_rows=90), by=["page"])
    pages = stats["by"]["page"]
    assert len(pages) == 101 and pages["(others)"]["values"] == 30
    assert sum(group["records"] for group in pages.values()) == 200
    assert pages["page 69"]["records"] == 2 and pages["(others)"]["records"] == 30


def test_describe_records__a_corpus_without_pictures(tmp_path: Path) -> None:
    found = records(tmp_path / "r", [RawRecord("", "", text, "en") for text in ("a", "b", "a")], text_only=True)
    stats = describe_records(found)
    assert (stats["records"], stats["images"], stats["without_image"], stats["texts"]) == (3, 0, 3, 2)
    assert stats["texts_on_several_images"] == 0


def test_describe_records__progress_ends_with_all(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = records(tmp_path / "r", [RawRecord(f"{n}", "a.jpg", "x", "en") for n in range(7)])
    describe_records(found, progress=lambda *at: seen.append(at))
    assert seen[-1] == (7, 7)


WORDS = ("dog", "Dog", "ｄｏｇ", "két\u0301", "кот", "猫", "a b", "a  b")
RECORD = st.tuples(
    st.sampled_from("abcd"), st.sampled_from(WORDS), st.sampled_from(["en", "hu", "zh"]), st.sampled_from(["", "know", "ling"])
)


@given(rows=st.lists(RECORD, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_describe_records__as_counted_one_by_one(rows: list[tuple[str, str, str, str]], tmp_path: Path) -> None:
    items = [RawRecord(image, f"{image}.jpg", text, lang, source, f"{n}") for n, (image, text, lang, source) in enumerate(rows)]
    stats = describe_records(records(tmp_path / "r", items))
    assert stats["records"] == len(rows) and stats["texts"] == len({row[1] for row in rows})
    for place, column in ((2, "language"), (3, "source")):
        for value, group in stats[f"by_{column}"].items():
            own = [row for row in rows if row[place] == value]
            assert (group["records"], group["images"], group["texts"]) == (
                len(own), len({row[0] for row in own}), len({row[1] for row in own})
            )  # fmt: skip
            assert group["characters"]["max"] == max(len(row[1]) for row in own)
    several = {
        (lang, text) for lang in ("en", "hu", "zh") for text in WORDS if len({r[0] for r in rows if r[1:3] == (text, lang)}) > 1
    }
    assert stats["texts_on_several_images"] == len(several)
    expected = []
    for first, second in itertools.combinations(sorted({row[3] for row in rows}), 2):
        sides = [[row for row in rows if row[3] == source] for source in (first, second)]
        images = set.intersection(*({row[0] for row in side} for side in sides))
        texts = set.intersection(*({normal_form(row[1]) for row in side} for side in sides))
        if images or texts:
            expected.append({"between": [first, second], "images": len(images), "texts": len(texts)})
    assert stats["overlap"]["source"] == expected


@given(text=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_describe_records__shares_of_scripts_of_any_text(text: str, tmp_path: Path) -> None:
    try:
        found = records(tmp_path / "r", [RawRecord("a", "a.jpg", text, "en")])
    except DataError:  # nothing to be seen in it
        return
    entry = describe_records(found)["by_language"]["en"]
    assert entry["characters"]["max"] == len(text)
    letters = [character for character in text if script_of(character)]
    assert entry["scripts"].keys() == {script_of(character) for character in letters}
    assert not letters or abs(sum(entry["scripts"].values()) - 1) < 0.01
    assert all(unicodedata.category(character).startswith("L") for character in letters)


def test_script_of__letters_only() -> None:
    found = {character: script_of(character) for character in "aéж가あカ漢אعกहᐃ1 ,ー🐕Ａ"}
    assert [found[character] for character in "aéж가あカ漢אعกह"] == [
        "Latn", "Latn", "Cyrl", "Hang", "Hira", "Kana", "Hani", "Hebr", "Arab", "Thai", "Deva"
    ]  # fmt: skip
    assert [found[character] for character in "1 ,ー🐕"] == [""] * 5 and found["Ａ"] == "Latn"
