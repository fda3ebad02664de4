from __future__ import annotations

import json
from pathlib import Path

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.stats import describe_records, script_of
from mella_retrieval.data.writing import write_records


def test_describe_records__counts_lengths_scripts_and_shared_texts(tmp_path: Path) -> None:
    items = [
        RawRecord("a", "a.jpg", "пас", "sr", "know"),
        RawRecord("b", "b.jpg", "pas i", "sr", "ling"),
        RawRecord("b", "b.jpg", "пас", "sr", "ling"),
        RawRecord("c", "", "犬と🐕", "ja", "ling"),
        RawRecord("d", "d.jpg", None, ""),
    ]
    write_records(tmp_path / "r", items, part_rows=2)
    stats = describe_records(Records.load(tmp_path / "r"))
    assert json.loads(json.dumps(stats)) == stats
    assert (stats["records"], stats["images"], stats["without_image"], stats["without_text"]) == (5, 4, 1, 1)
    assert stats["texts_on_several_images"] == 1
    assert stats["by_source"] == {
        "": {"records": 1, "images": 1},
        "know": {"records": 1, "images": 1},
        "ling": {"records": 3, "images": 2},
    }
    serbian = stats["by_language"]["sr"]
    assert (serbian["records"], serbian["images"], serbian["texts"], serbian["texts_on_several_images"]) == (3, 2, 2, 1)
    assert serbian["characters"] == {"min": 3, "median": 3.0, "mean": 3.67, "p95": 4.8, "max": 5}
    assert serbian["scripts"] == {"Cyrl": 0.6, "Latn": 0.4} and serbian["usual_script"] == "Cyrl"
    assert stats["by_language"]["ja"]["scripts"] == {"Hani": 0.5, "Hira": 0.5}
    assert stats["by_language"]["ja"]["characters"]["max"] == 3


def test_describe_records__of_a_part(tmp_path: Path) -> None:
    write_records(tmp_path / "r", [RawRecord("a", "a.jpg", "dog", "en"), RawRecord("a", "a.jpg", "kutya", "hu")])
    stats = describe_records(Records.load(tmp_path / "r"), where={"lang": "hun"})
    assert stats["records"] == 1 and list(stats["by_language"]) == ["hu"]
    nothing = describe_records(Records.load(tmp_path / "r"), where={"lang": "de"})
    assert nothing["records"] == 0 and nothing["without_image"] == 0 and nothing["by_language"] == {}


def test_script_of__letters_only() -> None:
    found = {character: script_of(character) for character in "aéж가あカ漢אعกहᐃ1 ,ー🐕Ａ"}
    assert [found[character] for character in "aéж가あカ漢אعกह"] == [
        "Latn", "Latn", "Cyrl", "Hang", "Hira", "Kana", "Hani", "Hebr", "Arab", "Thai", "Deva"
    ]  # fmt: skip
    assert [found[character] for character in "1 ,ー🐕"] == [""] * 5 and found["Ａ"] == "Latn"
