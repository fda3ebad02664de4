from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes import FakeTextTower

from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.statistics.towers import describe_tower
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.encoders.loading import load_text_tower
from mella_retrieval.encoders.towers import NO_LIMIT

MINIMULTI = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "minimulti"


class Letters(FakeTextTower):
    """Reads eight letters, each a token; those beyond ASCII are unknown."""

    def read_tokens(self, texts: Sequence[str]) -> list[list[str | None]]:
        return [["▁" if mark == " " else mark if mark.isascii() else None for mark in text] for text in texts]


class Mute(FakeTextTower):
    """Tells nothing of its tokens."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [0] * len(texts)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    items = [
        RawRecord("a", "a.jpg", "a dog", "en"),
        RawRecord("b", "b.jpg", "two dogs and a cat", "en"),
        RawRecord("c", "c.jpg", "~~", "en"),
        RawRecord("d", "d.jpg", "鯨と犬", "ja"),
        RawRecord("e", "e.jpg", None, ""),
    ]
    write_records(tmp_path / "r", items, options=ImportOptions(), part_rows=2)
    return Records.load(tmp_path / "r")


def test_describe_tower__what_is_cut_and_how_it_is_read(records: Records) -> None:
    seen: list[tuple[int, int]] = []
    found = describe_tower(records, Letters(), progress=lambda *at: seen.append(at))
    assert json.loads(json.dumps(found)) == found
    assert (found["spec"], found["max_tokens"]) == ("module:fakes:Words", 8)
    assert (found["texts"], found["truncated"], found["share"]) == (4, 1, 0.25)
    english = found["by_language"]["en"]
    assert (english["texts"], english["truncated"], english["empty"]) == (3, 1, 1)
    assert english["tokens"]["max"] == 18 and english["unknown_share"] == 0
    assert english["words"] == 7 and english["tokens_per_word"] == round((4 + 14 + 2) / 7, 3)
    japanese = found["by_language"]["ja"]
    assert (japanese["unknown_share"], japanese["words"], japanese["letters"]) == (1, 3, 3)
    assert seen[-1] == (4, 4)


def test_describe_tower__a_sample_does_not_depend_on_the_order(tmp_path: Path) -> None:
    items = [RawRecord(f"{n}", "a.jpg", "long text" if n % 2 else "short", "en") for n in range(2000)]
    items += [RawRecord(f"{n}", "a.jpg", f"kevés {n}", "hu") for n in range(20)]
    found = []
    for name, rows in (("r", items), ("reversed", items[::-1])):
        write_records(tmp_path / name, rows, part_rows=300)
        found.append(describe_tower(Records.load(tmp_path / name), Letters(), sample=400))
    assert found[0] == found[1]
    english, hungarian = (found[0]["by_language"][code] for code in ("en", "hu"))
    assert english["of"] == 2000 and 340 < english["texts"] < 460 and abs(english["share"] - 0.5) < 0.1
    assert hungarian["texts"] == hungarian["of"] == 20  # fewer than asked for: all
    assert found[0]["of"] == 2020 and found[0]["texts"] == english["texts"] + 20


def test_describe_tower__of_a_part(records: Records) -> None:
    found = describe_tower(records, Letters(), {"lang": "ja"})
    assert list(found["by_language"]) == ["ja"] and found["share"] == 0


def test_describe_tower__what_a_tower_does_not_tell_is_not_guessed(records: Records) -> None:
    plain = describe_tower(records, FakeTextTower())["by_language"]["en"]
    assert plain["truncated"] == 1 and plain["tokens_per_word"] is None and plain["unknown_share"] is None
    mute = describe_tower(records, Mute())
    assert mute["truncated"] is None and mute["share"] is None and mute["by_language"]["en"]["tokens"] is None
    endless = FakeTextTower()
    endless.max_tokens = NO_LIMIT
    found = describe_tower(records, endless)
    assert found["max_tokens"] is None and found["truncated"] == 0


@pytest.mark.real
@pytest.mark.skipif(not MINIMULTI.is_dir(), reason="the real tower is not at hand")
def test_describe_tower__agrees_with_what_embedding_counts(tmp_path: Path) -> None:
    from mella_retrieval.embeddings.embed import embed_texts

    words = {"hu": "egy kis kutya ", "ru": "маленькая собака "}
    items = [RawRecord(f"{n}", "a.jpg", word * n, lang) for n in range(1, 7) for lang, word in words.items()]
    write_records(tmp_path / "r", items)
    records = Records.load(tmp_path / "r")
    tower = load_text_tower(f"sentence-transformers:{MINIMULTI}?max_length=12", device="cpu")
    found = describe_tower(records, tower)
    embedded = embed_texts(records, tower, tmp_path / "vectors").manifest["truncated"]
    assert {code: entry["truncated"] for code, entry in found["by_language"].items()} == embedded
    assert all(0 < entry["share"] < 1 and entry["tokens_per_word"] >= 1 for entry in found["by_language"].values())
