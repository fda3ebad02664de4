"""Captioners and translators by their specs."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ling_material import ModuleDescribing, picture_records, write_table

from mella_retrieval import languages
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.ling.contracts import Ask, Failed, Picture
from mella_retrieval.data.ling.plugins import Request
from mella_retrieval.data.ling.translators import load_translator
from mella_retrieval.data.records import RawRecord
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, EncoderError, MellaError

EN, HU, CS = (languages.get(code) for code in ("en", "hu", "cs"))
TWO = Ask(EN, ("What is it?", "And what else?"), 0)


def texts_folder(folder: Path) -> Path:
    """Three pictures with texts; one translation names its source."""
    items = [
        RawRecord("a", "", "A dog.", "en", "ling", "t1", {"split": "train"}),
        RawRecord("a", "", "One more dog.", "en", "ling", "t2", {"split": "test"}),
        RawRecord("a", "", "A dog again.", "en", "ling", "t3", {"split": "train"}),
        RawRecord("a", "", "Egy kutya.", "hu", "ling", "t4", {"split": "train", "source_text_id": "t1"}),
        RawRecord("b", "", "A cat.", "en", "know", "t5", {"split": "train"}),
        RawRecord("b", "", "Egy macska.", "hu", "ling", "t6", {"split": "train", "source_text_id": "gone"}),
    ]
    write_records(folder, [*items, RawRecord("b", "b.png", None, "")], overwrite=True)
    return folder


def describe(spec: str, ask: Ask = TWO) -> list[list[str]]:
    captioner = load_captioner(spec)
    assert not captioner.reads_pictures
    answers = captioner.describe([Picture(name, None) for name in ("b", "a", "c")], ask)
    captioner.close()
    assert captioner.describe([Picture("b", None)], ask) == answers[:1]
    return [list(answer) for answer in answers if not isinstance(answer, Failed)]


def test_records_as_captioner(tmp_path: Path):
    folder = texts_folder(tmp_path / "texts")
    assert describe(f"records:{folder}") == [["A cat."], ["A dog.", "One more dog."], []]
    assert describe(f"records:{folder}?split=train") == [["A cat."], ["A dog.", "A dog again."], []]
    assert describe(f"records:{folder}", Ask(HU, ("Mi ez?",), 0)) == [["Egy macska."], ["Egy kutya."], []]
    assert describe(f"records:{folder}?source=know") == [["A cat."], [], []]


def test_a_table_as_captioner(tmp_path: Path):
    rows = [
        {"img": "a", "caption": "A dog.", "lang": "eng_Latn"},
        {"img": "a", "caption": "Egy kutya.", "lang": "hu"},
        {"img": "b", "caption": "", "lang": "en"},
        {"img": "b", "caption": "A cat.", "lang": "??"},
        {"img": "b", "caption": "A cat.", "lang": "en"},
    ]
    path = write_table(tmp_path / "said.csv", rows)
    assert describe(f"table:{path}?image_id=img&text=caption") == [["A cat."], ["A dog."], []]
    with pytest.raises(ConfigError, match=r"no option 'txt'.*Did you mean 'text'"):
        load_captioner(f"table:{path}?txt=caption")
    with pytest.raises(DataError, match="no column 'nix'"):
        load_captioner(f"table:{path}?image_id=img&text=nix")


def test_a_table_without_languages_is_in_the_describing_one(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "said.jsonl"
    rows = [{"image_id": "c", "text": 5}, *({"image_id": name, "text": f"A {name}."} for name in "ab")]
    path.write_text("no JSON\n" + "".join(json.dumps(row) + "\n" for row in rows))
    with caplog.at_level(logging.WARNING):
        assert describe(f"table:{path}") == [["A b."], ["A a."], []]
    assert f"2 rows of {path} cannot be read and were left out" in caplog.text


def test_what_a_folder_cannot_be_filtered_by_is_said_at_once(tmp_path: Path):
    folder = texts_folder(tmp_path / "texts")
    for load in (load_captioner, load_translator):
        with pytest.raises(DataError, match="no column 'spilt'"):
            load(f"records:{folder}?spilt=train")  # type: ignore[operator]
        with pytest.raises(ConfigError, match="filters by language"):
            load(f"records:{folder}?lang=hu")  # type: ignore[operator]


def test_a_table_without_a_row_is_said_at_once(tmp_path: Path):
    (path := tmp_path / "said.jsonl").write_text('{"image_id": "a", "caption_en": "A dog."}\n')
    with pytest.raises(DataError, match="no row with an image_id and a text"):
        load_captioner(f"table:{path}")
    path.write_text("no JSON\n")
    with pytest.raises(DataError, match="no row that can be read"):
        load_translator(f"table:{path}")


def test_nothing_is_answered_from_half_of_a_table(tmp_path: Path):
    """A file that was cut short is an error each time it is asked, not texts that are not there."""
    texts = sorted({f"A {number * number % 9973} dog." for number in range(3000)})
    rows = [{"image_id": text, "text": text, "en": text, "hu": text} for text in texts]
    whole = write_table(tmp_path / "said.csv", rows)  # type: ignore[arg-type]
    (path := tmp_path / "said.csv.gz").write_bytes(gzip.compress(whole.read_bytes())[:-2000])
    captioner, translator = load_captioner(f"table:{path}"), load_translator(f"table:{path}")
    for _ in range(2):
        with pytest.raises(DataError, match="cut short"):
            captioner.describe([Picture(texts[-1], None)], TWO)
        with pytest.raises(DataError, match="cut short"):
            translator.translate([texts[-1]], EN, HU)


def test_records_as_translator(tmp_path: Path):
    translator = load_translator(f"records:{texts_folder(tmp_path / 'texts')}")
    translator.require(EN, HU)
    assert translator.translate(["A dog.", " A  dog. ", "A cat."], EN, HU) == ["Egy kutya.", "Egy kutya.", ""]
    with pytest.raises(DataError, match="no texts in cs"):
        translator.require(EN, CS)
    with pytest.raises(DataError, match="source_text_id"):
        load_translator(f"records:{picture_records(tmp_path / 'alone', ['a']).folder}").require(EN, HU)


def test_a_table_as_translator(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    rows = [
        {"key": "1", "eng_Latn": "A do\u0301g.", "hu": "Egy kutya.", "Czech text": "Pes."},
        {"key": "2", "eng_Latn": "A d\u00f3g.", "hu": "Másik.", "Czech text": ""},
    ]
    path = write_table(tmp_path / "parallel.csv", rows)
    path.write_text(path.read_text(encoding="utf-8") + "3,too,few\n", encoding="utf-8")
    translator = load_translator(f"table:{path}")
    translator.require(EN, HU)
    with caplog.at_level(logging.WARNING):
        assert translator.translate(["A d\u00f3g.", "x"], EN, HU) == ["Egy kutya.", ""]
    assert "1 rows" in caplog.text
    translator.close()
    assert translator.translate(["A d\u00f3g."], EN, HU) == ["Egy kutya."]
    with pytest.raises(DataError, match=r"no column for Czech.*cs=COLUMN"):
        translator.require(EN, CS)
    named = load_translator(f"table:{path}?en=eng_Latn&ces=Czech text")
    named.require(EN, CS)
    assert named.translate(["A d\u00f3g."], EN, CS) == ["Pes."]
    with pytest.raises(ConfigError, match="no column 'gone' for hu"):
        load_translator(f"table:{path}?hu=gone")


def test_fingerprints_follow_the_content(tmp_path: Path):
    path = write_table(tmp_path / "t.csv", [{"image_id": "a", "text": "x", "en": "x", "hu": "y"}])
    first = load_captioner(f"table:{path}").fingerprint, load_translator(f"table:{path}").fingerprint
    assert first == (load_captioner(f"table:{path}").fingerprint, load_translator(f"table:{path}").fingerprint)
    assert load_captioner(f"table:{path}").name == "table:t.csv"
    write_table(path, [{"image_id": "a", "text": "x", "en": "x", "hu": "z"}])
    second = load_captioner(f"table:{path}").fingerprint, load_translator(f"table:{path}").fingerprint
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_class_of_the_users_own_needs_leave():
    spec = "module:ling_material:ModuleDescribing?word=painting"
    with pytest.raises(EncoderError, match="--allow-module"):
        load_captioner(spec)
    captioner = load_captioner(spec, allow_module=True)
    assert captioner.reads_pictures
    assert captioner.describe([Picture("a", None)], TWO) == [["A painting named a."]]
    assert captioner.fingerprint != load_captioner("module:ling_material:ModuleDescribing", allow_module=True).fingerprint
    captioner.close()
    translator = load_translator("module:ling_material:ModuleTranslating", allow_module=True)
    translator.require(EN, HU)
    assert translator.translate(["A dog."], EN, HU) == ["hun_Latn: A dog."]
    assert translator.prompts == ()
    translator.close()


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("captions.csv", ConfigError, "kind of a captioner"),
        ("recrods:x", ConfigError, "Did you mean 'records'"),
        ("records:", ConfigError, "names no captioner"),
        ("table:x?text", ConfigError, "key=value"),
        ("table:x?text=a&text=b", ConfigError, "twice"),
        ("records:gone", ArtifactError, "no folder"),
        ("table:gone.csv", DataError, "no file"),
        ("module:gone:Class", EncoderError, "could not be loaded: ModuleNotFoundError"),
        ("module:ling_material:Gone", EncoderError, "Gone"),
        ("module:ling_material:Unmakeable", EncoderError, "ValueError: no weights"),
        ("module:ling_material:ModuleTranslating", EncoderError, "no method describe"),
        ("module:ling_material:ModuleDescribing?wrod=x", EncoderError, "wrod"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(spec: str, error: type[MellaError], message: str):
    with pytest.raises(error, match=message):
        load_captioner(spec, allow_module=True)


@given(st.sampled_from(["", "records:", "table:", "module:", "x:"]), st.text(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_spec_is_loaded_or_refused(kind: str, rest: str):
    for load in (load_captioner, load_translator):
        with pytest.raises(MellaError):
            load(kind + rest)


def test_kinds_from_above_stand_beside_those_of_this_floor():
    class Chat(ModuleDescribing):
        reads_pictures = False
        name = fingerprint = "chat"

        def close(self) -> None:
            pass

    def load(request: Request) -> Chat:
        assert (request.kind, request.name, request.options) == ("chat", "org/model", {"device": "cpu"})
        return Chat()

    assert isinstance(load_captioner("chat:org/model?device=cpu", {"chat": load}), Chat)
    with pytest.raises(ConfigError, match="Kinds: records, table, module, chat"):
        load_captioner("caht:x", {"chat": load})
