from __future__ import annotations

from pathlib import Path

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.statistics.overlap import shared_with
from mella_retrieval.data.stats import describe_records
from mella_retrieval.data.writing import write_records


def test_overlap__between_languages_sources_and_splits(tmp_path: Path) -> None:
    items = [
        RawRecord("a", "a.jpg", "Banán", "hu", "know", extras={"split": "train"}),
        RawRecord("a", "a.jpg", "banan", "cs", "ling", extras={"split": "train"}),
        RawRecord("b", "b.jpg", "BANA\u0301N ", "cs", "ling", extras={"split": "test"}),
        RawRecord("b", "b.jpg", None, "", "ling", extras={"split": "train"}),
        RawRecord("c", "c.jpg", "kutya", "hu", "know", extras={"split": "test"}),
    ]
    write_records(tmp_path / "r", items)
    overlap = describe_records(Records.load(tmp_path / "r"))["overlap"]
    assert overlap["lang"] == [{"between": ["cs", "hu"], "images": 1, "texts": 1}]  # the picture without text counts for none
    assert overlap["source"] == [{"between": ["know", "ling"], "images": 1, "texts": 1}]
    assert overlap["split"] == [{"between": ["test", "train"], "images": 1, "texts": 1}]


def test_overlap__many_keys_and_many_values(tmp_path: Path) -> None:
    """More shared pictures than are counted at a time."""
    count = 17_000
    items = [
        RawRecord(f"p{n}", "a.jpg", f"{source} {n}", "en", source)
        for n in range(count)
        for source in ("one", "two", "three")
        if source != "three" or n % 100 == 0
    ]
    write_records(tmp_path / "r", items)
    pairs = describe_records(Records.load(tmp_path / "r"))["overlap"]["source"]
    found = {tuple(pair["between"]): (pair["images"], pair["texts"]) for pair in pairs}
    assert found == {("one", "two"): (count, 0), ("one", "three"): (170, 0), ("three", "two"): (170, 0)}


def test_shared_with__ids_places_and_texts(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    own = [
        RawRecord("1", "x.jpg", "A dog", "en"),  # the same id, another picture
        RawRecord("2", "y.jpg", "a cat", "en"),  # the same file under another id
        RawRecord("3", "https://example.org/z.jpg", "a cow", "en"),  # the same URL
        RawRecord("4", "w.jpg", "unser Hund", "de"),  # the same text
        RawRecord("5", "v.jpg", "nothing shared", "en"),
    ]
    theirs = [
        RawRecord("1", "other.jpg", "one", "en"),
        RawRecord("22", str(tmp_path / "photos" / "y.jpg"), "two", "en"),
        RawRecord("33", "https://example.org/z.jpg", "UNSER  HUND", "en"),
    ]
    write_records(tmp_path / "own", own, image_root=tmp_path / "photos")
    write_records(tmp_path / "theirs", theirs)
    found = shared_with(Records.load(tmp_path / "own"), Records.load(tmp_path / "theirs"))
    assert found == {"records": 4, "image_ids": 1, "pictures": 2, "texts": 1}
    part = shared_with(Records.load(tmp_path / "own"), Records.load(tmp_path / "theirs"), {"lang": "de"})
    assert part == {"records": 1, "image_ids": 0, "pictures": 0, "texts": 1}


def test_shared_with__empty_ids_and_pictures_are_not_shared(tmp_path: Path) -> None:
    from mella_retrieval.data.text import ImportOptions

    for name, text in (("a", "one"), ("b", "two")):
        write_records(tmp_path / name, [RawRecord("", "", text, "en")], options=ImportOptions(text_only=True))
    found = shared_with(Records.load(tmp_path / "a"), Records.load(tmp_path / "b"))
    assert found == {"records": 0, "image_ids": 0, "pictures": 0, "texts": 0}
