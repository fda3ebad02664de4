"""Texts of records in, checked translations out: what is kept with them, what is rejected, and that nothing is asked twice."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from chat_server_stand_in import Chat, chatting
from PIL import Image
from translation_models import ENGLISH, SAID
from typer.testing import CliRunner

from mella_retrieval.cli import data_ling
from mella_retrieval.cli.translate import translate
from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ConfigError, DataError, EncoderError, UnavailableError
from mella_retrieval.languages import Language
from mella_retrieval.mllm.translate_recipe import TranslateRecipe
from mella_retrieval.mllm.translating import Models, translate_records
from mella_retrieval.recipes import build_config

HU, TH = (dict(zip(ENGLISH, SAID[lang], strict=True)) for lang in ("hu", "th"))
SAYS = {"hu": HU, "th": TH}


class Known:
    """A translator that knows what to say, and notes what it is asked. Args: down: texts at which its server is gone."""

    name, fingerprint = "stand-in:known", "known"
    prompts: tuple[str, ...] = ()

    def __init__(self, further: dict[str, str | Failed] | None = None, down: Sequence[str] = ()) -> None:
        self.further, self.down = further or {}, set(down)
        self.asked: list[tuple[str, str]] = []

    def require(self, source: Language, target: Language) -> None:
        if target.code not in SAYS:
            raise DataError(f"no {target.name}")

    def translate(self, texts: Sequence[str], source: Language, target: Language) -> Sequence[str | Failed]:
        if self.down & {*texts}:
            raise UnavailableError("no server answers")
        self.asked += [(target.code, text) for text in texts]
        return [self.further.get(text) or SAYS[target.code].get(text) or Failed("unknown text") for text in texts]

    def close(self) -> None: ...


def recipe(*languages: str, **changes: Any) -> TranslateRecipe:
    checks = {"language": None, **changes.pop("checks", {})}
    return build_config(TranslateRecipe, {"languages": languages, "checks": checks, **changes}, "the recipe")


def corpus(folder: Path, texts: Sequence[str], **options: Any) -> Records:
    items = [RawRecord("", "", text, "en", text_id=f"t{number:02d}") for number, text in enumerate(texts)]
    write_records(folder, items, options=ImportOptions(text_only=True, duplicates="keep"), **options)
    return Records.load(folder)


@pytest.fixture
def pictured(tmp_path: Path) -> Records:
    """Three English texts of two pictures and one of none, a Hungarian text, and a picture without a text."""
    for name in ("p1", "p2"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    extras = {"split": "train", "site": "a.example", "check_language": 0.99}
    items = [
        RawRecord("p1", "p1.png", ENGLISH[0], "en", "know", "one", extras),
        RawRecord("p1", "p1.png", ENGLISH[1], "en", "ling", "two", {**extras, "site": "b.example"}),
        RawRecord("p2", "p2.png", "Egy kép.", "hu", "know", "other", extras),
        RawRecord("p2", "p2.png", None, "", "know", "", extras),
        RawRecord("", "", ENGLISH[2], "en", "", "three", extras),
    ]
    write_records(tmp_path / "records", items, options=ImportOptions(text_only=True), image_root=tmp_path)
    return Records.load(tmp_path / "records")


def skipped(folder: Path) -> list[tuple[str, str]]:
    with (folder / "skipped.csv").open(encoding="utf-8", newline="") as file:
        return [(row["where"], row["reason"]) for row in csv.DictReader(file)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_translations_keep_what_their_sources_have(pictured: Records, tmp_path: Path):
    report = translate_records(pictured, tmp_path / "out", recipe("hu", "th", source="en"), Models(Known()))
    made = Records.load(tmp_path / "out")
    assert check_folder(tmp_path / "out").ok
    rows = made.table().to_pylist()
    assert [(row["source_text_id"], row["lang"]) for row in rows] == [
        (name, lang) for name in ("one", "two", "three") for lang in ("hu", "th")
    ]
    assert [row["text"] for row in rows[::2]] == list(SAID["hu"])
    assert [row["text"] for row in rows[1::2]] == list(SAID["th"])
    assert [(row["image_id"], row["source"], row["site"]) for row in rows[::2]] == [
        ("p1", "know", "a.example"), ("p1", "ling", "b.example"), ("", "", "a.example"),
    ]  # fmt: skip
    assert made.image_path(rows[0]["image"]).is_file() and rows[4]["image"] == ""
    assert {row["split"] for row in rows} == {"train"}
    assert {row["translator"] for row in rows} == {"stand-in:known"}
    assert all(row["english_id"] == row["source_text_id"] for row in rows)
    assert "check_language" not in made.schema.names  # that of the source; the check of this job is left out
    assert all(row["check_length"] > 0 for row in rows)
    assert report.passed_over == {"text in hu": 1, "no text": 1}
    assert made.manifest["import"]["notes"] == [
        "1 records were passed over: text in hu.", "1 records were passed over: no text.",
    ]  # fmt: skip
    assert {lang: (one.asked, one.kept) for lang, one in report.texts.items()} == {"hu": (3, 3), "th": (3, 3)}


def test_the_english_original_of_a_translation_stays_known(tmp_path: Path):
    items = [RawRecord("", "", ENGLISH[0], "cs", text_id="cs1", extras={"english_id": "en1"})]
    write_records(tmp_path / "records", items, options=ImportOptions(text_only=True))
    translate_records(Records.load(tmp_path / "records"), tmp_path / "out", recipe("hu"), Models(Known()))
    (row,) = Records.load(tmp_path / "out").table().to_pylist()
    assert (row["source_text_id"], row["english_id"]) == ("cs1", "en1")


def test_texts_that_are_translated_alike_are_all_kept(tmp_path: Path):
    records = corpus(tmp_path / "records", [ENGLISH[0], ENGLISH[0], "A red house is on the field."])
    known = Known({"A red house is on the field.": SAID["hu"][0]})
    translate_records(records, tmp_path / "out", recipe("hu"), Models(known))
    made = Records.load(tmp_path / "out").table()
    assert made["text"].to_pylist() == [SAID["hu"][0]] * 3
    assert len(set(made["text_id"].to_pylist())) == 3
    assert len(known.asked) == 2  # the same text once


def test_what_is_bad_is_listed_with_its_reason(tmp_path: Path):
    texts = [*ENGLISH, "A cat sleeps in the sun.", "A boat lies in the harbour."]
    further: dict[str, str | Failed] = {
        texts[1]: "Sure! Here is the translation: Két zöld alma.",
        texts[2]: "A kutya szalad, szalad, szalad, szalad, szalad, szalad, szalad, szalad, szalad.",
        texts[3]: Failed("no answer within 120 s"),
        texts[4]: "I'm sorry, but I cannot translate this.",
    }
    report = translate_records(corpus(tmp_path / "records", texts), tmp_path / "out", recipe("hu"), Models(Known(further)))
    found = dict(skipped(tmp_path / "out"))
    assert found["t01, hu"].startswith("translation echo: the mark of a conversation 'Sure!")
    assert found["t02, hu"].startswith("translation repetition: ")
    assert found["t03, hu"] == "translator failed: no answer within 120 s"
    assert found["t04, hu"].startswith("translation refusal: ")
    counts = report.texts["hu"]
    assert (counts.asked, counts.kept, counts.failed, counts.rejected.total()) == (5, 1, 1, 3)
    assert report.examples["refusal"].text.startswith("I'm sorry")


def test_a_killed_job_continues_and_ends_with_the_same_bytes(tmp_path: Path):
    texts = [ENGLISH[number % 3] for number in range(8)]
    records = corpus(tmp_path / "records", [*texts, "The last."], part_rows=4)  # shards and parts do not end together
    chosen = recipe("hu", "th", shard=3, batch=2)
    last: dict[str, str | Failed] = {"The last.": "Utolsó."}
    translate_records(records, tmp_path / "whole", chosen, Models(Known(last)))
    down = Known(last, down=["The last."])
    with pytest.raises(UnavailableError, match="no server answers"):
        translate_records(records, tmp_path / "out", chosen, Models(down))
    assert not (tmp_path / "out").exists()
    assert {lang for lang, _ in down.asked} == {"hu"}
    again = Known(last)
    translate_records(records, tmp_path / "out", chosen, Models(again))
    assert sum(lang == "hu" for lang, _ in again.asked) == 3  # of the last shard alone
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    nothing = Known(last)
    translate_records(records, tmp_path / "out", chosen, Models(nothing), overwrite=True)
    assert nothing.asked == []


def test_many_texts_that_are_too_long_do_not_end_the_work(tmp_path: Path):
    """They come together, since texts are asked by their length; a translator that fails at everything does end it."""
    texts = [*ENGLISH, *(f"{ENGLISH[0]} {number:02d}" for number in range(25))]
    records = corpus(tmp_path / "records", texts)
    for own, out in ((True, tmp_path / "out"), (False, tmp_path / "never")):
        further: dict[str, str | Failed] = {text: Failed("too long", own) for text in texts[3:]}
        if own:
            report = translate_records(records, out, recipe("hu"), Models(Known(further)))
            assert (report.texts["hu"].kept, report.texts["hu"].failed) == (3, 25)
            continue
        with pytest.raises(EncoderError, match="failed 20 times in a row"):
            translate_records(records, out, recipe("hu"), Models(Known(further)))


def test_only_what_failed_or_is_new_is_asked_again(tmp_path: Path):
    records = corpus(tmp_path / "records", ENGLISH)
    failing = Known({ENGLISH[1]: Failed("slow")})
    out = tmp_path / "out"
    assert translate_records(records, out, recipe("hu"), Models(failing)).texts["hu"].failed == 1
    known = Known()
    translate_records(records, out, recipe("hu", "th", checks={"length": None}), Models(known), overwrite=True)
    assert {lang for lang, _ in known.asked} == {"th"}
    report = translate_records(records, out, recipe("hu"), Models(known), retry_failed=True, overwrite=True)
    assert report.texts["hu"].kept == 3
    assert known.asked[-1] == ("hu", ENGLISH[1])


@pytest.mark.parametrize("shard", [1, 2, 5, 7, 100])
def test_every_text_is_translated_whatever_the_shards(tmp_path: Path, shard: int):
    texts = [ENGLISH[number % 3] for number in range(7)]
    records = corpus(tmp_path / "records", texts, part_rows=3)
    told: list[tuple[str, int, int]] = []
    translate_records(
        records, tmp_path / "out", recipe("hu", shard=shard), Models(Known()), progress=lambda *step: told.append(step)
    )
    made = Records.load(tmp_path / "out").table()
    assert made["text"].to_pylist() == [HU[text] for text in texts]
    assert ("translating into hu", 7, 7) in told


@pytest.mark.parametrize(
    ("languages", "changes", "error", "message"),
    [
        (("hu",), {}, ConfigError, "texts in en, hu: name the language to translate from"),
        (("hu",), {"source": "cs"}, DataError, r"no texts in Czech \(cs\); it has en, hu"),
        (("fi",), {"source": "en"}, DataError, "no Finnish"),
    ],
)
def test_languages_that_cannot_be_are_told_before_the_work(
    pictured: Records, tmp_path: Path, languages: tuple[str, ...], changes: Any, error: type[Exception], message: str
):
    known = Known()
    with pytest.raises(error, match=message):
        translate_records(pictured, tmp_path / "out", recipe(*languages, **changes), Models(known))
    assert known.asked == []
    assert not (tmp_path / "out.work").exists()


@pytest.mark.parametrize(
    ("languages", "changes", "message"),
    [
        ((), {}, "no language to translate into"),
        (("hu", "hun_Latn"), {}, "hu stands twice"),
        (("hu",), {"source": "hu"}, "nothing to translate into"),
        (("xx",), {}, "'xx' is not a known language code"),
        (("hu",), {"shards": 3}, "unknown key 'shards'. Did you mean 'shard'"),
    ],
)
def test_recipes_are_checked(languages: tuple[str, ...], changes: Any, message: str):
    with pytest.raises(ConfigError, match=message):
        recipe(*languages, **changes)


def test_records_without_texts_are_no_work(tmp_path: Path):
    Image.new("RGB", (4, 4)).save(tmp_path / "p.png")
    write_records(tmp_path / "records", [RawRecord("p", "p.png", None, "")], image_root=tmp_path)
    with pytest.raises(DataError, match="has no texts: there is nothing to translate"):
        translate_records(Records.load(tmp_path / "records"), tmp_path / "out", recipe("hu"), Models(Known()))


def test_records_are_not_replaced_by_their_translations(tmp_path: Path):
    records = corpus(tmp_path / "records", ENGLISH)
    with pytest.raises(DataError, match="would replace the records"):
        translate_records(records, tmp_path / "records", recipe("hu"), Models(Known()), overwrite=True)
    one = corpus(tmp_path / "hungarian", [ENGLISH[0]])
    with pytest.raises(ConfigError, match="en is the language of the texts"):
        translate_records(one, tmp_path / "out", recipe("en"), Models(Known()))


# Through the command, with real models ---------------------------------------------------------------------------------------


def run(command: Any, *arguments: object) -> str:
    app = typer.Typer()
    app.command()(command)
    ran = CliRunner().invoke(app, list(map(str, arguments)))
    if ran.exception:
        raise ran.exception
    return ran.output


@pytest.fixture
def served() -> Iterator[Chat]:
    with chatting(Chat(answer=lambda prompt, _: HU.get(prompt.rpartition("\n")[2], "Sure, I can do that!"))) as chat:
        yield chat


def test_the_command_translates_with_a_real_model(taught_translator: Path, tmp_path: Path):
    corpus(tmp_path / "records", [*ENGLISH, " ".join(ENGLISH)])
    spec = f"transformers:{taught_translator}?beams=1&max_new_tokens=40"
    arguments = (tmp_path / "records", tmp_path / "out", "-t", spec, "checks.language=null", "--device", "cpu")
    shown = run(translate, *arguments, "--to", "hun_Latn,th", "--from", "eng_Latn")
    assert f"{tmp_path / 'out'}: 8 records; 4 texts in en" in shown
    rows = Records.load(tmp_path / "out").table().to_pylist()
    assert [row["text"] for row in rows if row["lang"] == "hu"] == [*SAID["hu"], " ".join(SAID["hu"])]
    assert [row["text"] for row in rows if row["lang"] == "th"] == [*SAID["th"], " ".join(SAID["th"])]
    assert {row["translator"] for row in rows} == {"transformers:tiny-taught-nllb?beams=1&max_new_tokens=40"}
    with pytest.raises(DataError, match="does not write Korean"):
        run(translate, *arguments, "--to", "hu,ko", "--overwrite")


def test_the_command_translates_with_a_server(served: Chat, tmp_path: Path):
    corpus(tmp_path / "records", [*ENGLISH, "Something else."])
    shown = run(translate, tmp_path / "records", tmp_path / "out", "-t", served.spec, "--to", "hu", "checks.language=null")
    assert "3 records; 4 texts in en" in shown
    assert dict(skipped(tmp_path / "out"))["t03, hu"] == "translation echo: the mark of a conversation 'Sure,'"


def test_ling_is_translated_by_the_same_models(taught_translator: Path, tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    write_records(tmp_path / "records", [RawRecord("p", "p.png", "alt", "en")], image_root=tmp_path)
    with (tmp_path / "said.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("image_id", "text"), ("p", ENGLISH[0])])
    spec = f"transformers:{taught_translator}?max_new_tokens=40"
    run(
        data_ling.ling, tmp_path / "records", tmp_path / "ling", "-c", f"table:{tmp_path / 'said.csv'}", "-t", spec,
        "translate.languages=[hu]", "checks.language=null", "--device", "cpu",
    )  # fmt: skip
    assert Records.load(tmp_path / "ling").table(["text"])["text"].to_pylist() == [ENGLISH[0], SAID["hu"][0]]
