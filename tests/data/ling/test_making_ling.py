"""Pictures in, described and translated records out: what is kept, what is rejected, and that all of it is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ling_material import (
    LANGS,
    Describing,
    Translating,
    adds_up,
    describing,
    parallel,
    picture_records,
    recipe,
    skipped,
    write_table,
)

from mella_retrieval.data.checking import check_folder
from mella_retrieval.data.ling.captioners import load_captioner
from mella_retrieval.data.ling.checks.check import Tools
from mella_retrieval.data.ling.job import Models
from mella_retrieval.data.ling.making import make_ling, usual_tools
from mella_retrieval.data.ling.translators import load_translator
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import DataError

ROWS = parallel(90, views=2)
IDS = list(ROWS)


def test_right_descriptions_and_translations_are_kept(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:12], licence="CC0", colour="grey")
    captioner, translator = describing(ROWS), Translating.right(ROWS)
    told: list[tuple[str, int, int]] = []
    report = make_ling(
        records,
        tmp_path / "ling",
        recipe(["hu", "th"], describe={"views": 2}, shard=5),
        Models(captioner, translator),
        progress=lambda *step: told.append(step),
    )
    adds_up(report, tmp_path / "ling")
    assert report.texts["en"].kept == report.texts["hu"].kept == 24
    assert (report.pictures, report.undescribed.total()) == (12, 0)
    made = Records.load(tmp_path / "ling")
    assert check_folder(tmp_path / "ling").ok
    rows = made.table().to_pylist()
    assert [(row["lang"], row["view"]) for row in rows[:6]] == [(lang, view) for view in (1, 2) for lang in ("en", "hu", "th")]
    by_id = {row["text_id"]: row for row in rows}
    for row in rows:
        view = ROWS[row["image_id"]][row["view"] - 1]
        assert row["text"] == view[row["lang"]]
        assert (row["source"], row["split"], row["licence"]) == ("ling", "train", "CC0")
        assert made.image_path(row["image"]).is_file()
        assert row["captioner"] == captioner.name
        if row["lang"] == "en":
            assert row["source_text_id"] is row["english_id"] is row["translator"] is None
            assert row["check_length"] is None
        else:
            assert by_id[row["source_text_id"]]["text"] == view["en"]
            assert row["english_id"] == row["source_text_id"]
            assert row["translator"] == translator.name
            assert 0.4 < row["check_length"] < 2.5
    assert "colour" not in made.schema.names
    assert captioner.asked == IDS[:12]
    assert len(captioner.asks[0].prompts) == 2
    assert captioner.closed == translator.closed == 1
    assert told[-1] == ("writing", 72, 0)
    assert [step for step in told if step[0] == "describing"] == [("describing", done, 12) for done in (4, 8, 12)]
    assert {stage for stage, _, _ in told} >= {"translating into hu", "checking hu", "translating into th"}
    assert report.unchecked == {
        "agreement": "no text tower was given (--tower)",
        "ending": "the recipe leaves it out",
        "language": "the recipe leaves it out",
    }


def test_existing_descriptions_and_translations_by_their_specs(tmp_path: Path):
    """The whole way with true plug-ins, the identifier of languages and the pocket world's text tower."""
    pytest.importorskip("lingua")
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.pocket.towers import TEXT_TOWER

    records = picture_records(tmp_path / "records", IDS[:40])
    said = [{"image_id": name, "text": view["en"], "lang": "en"} for name, views in ROWS.items() for view in views]
    write_records(tmp_path / "said", [RawRecord(row["image_id"], "", row["text"], "en") for row in said[:80]] + [
        RawRecord("p000", str(records.image_path("p000.png")), None, "")
    ])  # fmt: skip
    table = write_table(tmp_path / "parallel.csv", [view for views in ROWS.values() for view in views])
    models = Models(load_captioner(f"records:{tmp_path / 'said'}"), load_translator(f"table:{table}"))
    chosen = recipe(LANGS[1:5], language=True)
    tools = usual_tools(chosen, load_text_tower(TEXT_TOWER, device="cpu"))
    report = make_ling(records, tmp_path / "ling", chosen, Models(models.captioner, models.translator, tools))
    adds_up(report, tmp_path / "ling")
    kept = sum(one.kept for one in report.texts.values())
    assert kept >= 0.97 * 5 * report.texts["en"].kept
    assert report.unchecked == {"ending": "the recipe leaves it out"}
    rows = Records.load(tmp_path / "ling").table(where={"lang": ["hu", "th", "sr", "ar"]}).to_pylist()
    assert min(row["check_agreement"] for row in rows) > 0.8
    assert all(0.1 <= row["check_language"] <= 1 for row in rows)
    again = load_translator(f"records:{tmp_path / 'ling'}")
    first = ROWS["p000"][0]
    assert again.translate([first["en"]], *(job_lang(code) for code in ("en", "hu"))) == [first["hu"]]


def job_lang(code: str) -> Any:
    from mella_retrieval import languages

    return languages.get(code)


LOOPED = "kép: tenger, tenger, tenger, tenger, tenger, tenger, tenger, tenger"


def damaged(rows: dict[str, list[dict[str, str]]]) -> dict[str, tuple[str, str]]:
    """image_id -> (the check that should find it, a damaged Hungarian translation of its first view)."""
    hu = [views[0]["hu"] for views in rows.values()]
    en = [views[0]["en"] for views in rows.values()]
    long = next(image_id for image_id, views in list(rows.items())[10:] if len(views[0]["fi"]) > 50)
    return {
        "p000": ("empty", "..."),
        "p001": ("encoding", hu[1].encode().decode("cp1252", "replace") + " Ã¡Ã©"),
        "p002": ("refusal", "Sajnálom, de ezt nem tudom lefordítani."),
        "p003": ("echo", f"Translation: {hu[3]}"),
        "p004": ("repetition", LOOPED),
        "p005": ("script", ROWS["p005"][0]["sr"]),
        "p006": ("untranslated", en[6]),
        "p007": ("length", " ".join(hu[7:12])),
        long: ("language", rows[long][0]["fi"]),
        "p009": ("agreement", hu[40]),
    }


def test_every_kind_of_damage_is_found_and_listed_with_its_reason(tmp_path: Path):
    pytest.importorskip("lingua")
    from mella_retrieval.encoders.loading import load_text_tower
    from mella_retrieval.pocket.towers import TEXT_TOWER

    records = picture_records(tmp_path / "records", IDS)
    translator, bad = Translating.right(ROWS), damaged(ROWS)
    for image_id, (_, text) in bad.items():
        translator.said[ROWS[image_id][0]["en"], "hu"] = text
    chosen = recipe(["hu"], language=True, checks={"agreement": {"margin": 0.8}})
    tools = usual_tools(chosen, load_text_tower(TEXT_TOWER, device="cpu"))
    report = make_ling(records, tmp_path / "ling", chosen, Models(describing(ROWS), translator, tools))
    adds_up(report, tmp_path / "ling")
    reasons = {
        row["where"].split("#")[0]: row["reason"] for row in skipped(tmp_path / "ling") if row["reason"].startswith("translation")
    }
    for image_id, (check, _) in bad.items():
        assert reasons[image_id].startswith(f"translation {check}: "), (image_id, reasons[image_id])
    assert report.texts["hu"].rejected.total() <= len(bad) + 2
    assert report.examples["repetition"].text == LOOPED
    kept = Records.load(tmp_path / "ling").table(["image_id"], {"lang": "hu"})["image_id"].to_pylist()
    assert not set(kept) & set(bad)


def test_bad_descriptions_are_not_translated(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:4])
    captioner, translator = describing(ROWS), Translating.right(ROWS)
    captioner.said |= {"p000": ["I'm sorry, I cannot see it."], "p001": [], "p002": ["", ROWS["p002"][0]["en"]]}
    report = make_ling(records, tmp_path / "ling", recipe(describe={"views": 2}), Models(captioner, translator))
    adds_up(report, tmp_path / "ling")
    assert report.undescribed == {"no description": 1}
    assert report.texts["en"].rejected == {"refusal": 1, "empty": 1}
    wanted = [ROWS["p002"][0]["en"], *(view["en"] for view in ROWS["p003"])]
    assert [text for _, text in translator.asked] == sorted(wanted, key=len)
    reasons = [row["reason"] for row in skipped(tmp_path / "ling")]
    assert reasons == ["no description", 'description refusal: it says "i\'m sorry"', "description empty: 0 letters"]


def test_the_same_description_twice_is_one(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:2])
    same = ROWS["p000"][0]["en"]
    captioner = Describing({"p000": [same, f" {same} "], "p001": [same]})
    translator = Translating.right(ROWS)
    report = make_ling(records, tmp_path / "ling", recipe(describe={"views": 2}), Models(captioner, translator))
    adds_up(report, tmp_path / "ling")
    assert translator.asked == [("hu", same)]
    assert report.texts["en"].kept == 2
    assert report.repeated == report.as_dict()["repeated"] == 1


def test_bad_pictures_are_rejected_with_the_reason(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:6])
    records.image_path("p001.png").write_bytes(b"")
    records.image_path("p002.png").write_bytes(b"no picture")
    records.image_path("p003.png").unlink()
    captioner = describing(ROWS, breaks=["p004"])
    report = make_ling(records, tmp_path / "ling", recipe(), Models(captioner, Translating.right(ROWS)))
    adds_up(report, tmp_path / "ling")
    assert report.undescribed == {"unreadable picture": 3, "captioner failed": 1}
    reasons = {row["where"]: row["reason"] for row in skipped(tmp_path / "ling")}
    assert reasons["p001"] == "unreadable picture: p001.png is empty (0 bytes)."
    assert reasons["p004"] == "captioner failed: RuntimeError: cannot see p004"
    assert captioner.asked == ["p000", "p005"]


def test_urls_and_records_without_pictures_are_told_apart(tmp_path: Path):
    items = [
        RawRecord("a", "https://x.example/a.png", "A", "en"),
        RawRecord("b", "", "B", "en"),
        RawRecord("c", str(picture_records(tmp_path / "p", ["c"]).image_path("c.png")), None, ""),
    ]
    write_records(tmp_path / "records", items, options=None)
    records = Records.load(tmp_path / "records")
    said = {"a": ["A dog."], "c": ["A cat."]}
    report = make_ling(records, tmp_path / "ling", recipe([]), Models(Describing(said)))
    assert report.undescribed == {"picture is a URL": 1}
    assert report.written is not None
    assert report.written.notes == ["1 image_ids have no picture and were passed over."]
    blind = Describing(said)
    blind.reads_pictures = False
    blind.describe = lambda pictures, ask: [said[picture.image_id] for picture in pictures]  # type: ignore[method-assign]
    report = make_ling(records, tmp_path / "blind", recipe([]), Models(blind))
    assert Records.load(tmp_path / "blind").table(["image"]).to_pylist()[0] == {"image": "https://x.example/a.png"}
    with pytest.raises(DataError, match="no pictures that pass the filter"):
        make_ling(records, tmp_path / "none", recipe([]), Models(blind), where={"image_id": "b"})


def test_odd_characters_are_stored_and_judged(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:3])
    said = {"p000": ["A dog\ud800 runs."], "p001": ["A cat.\n\nIt\u2028sleeps."], "p002": ["A bird\x00."]}
    report = make_ling(records, tmp_path / "ling", recipe([]), Models(Describing(said)))
    adds_up(report, tmp_path / "ling")
    assert report.texts["en"].rejected == {"encoding": 2}
    assert Records.load(tmp_path / "ling").table(["text"])["text"].to_pylist() == ["A cat.\n\nIt\u2028sleeps."]


def test_the_manifest_says_what_made_the_records(tmp_path: Path):
    records = picture_records(tmp_path / "records", IDS[:3])
    make_ling(
        records, tmp_path / "ling", recipe(), Models(describing(ROWS), Translating.right(ROWS), Tools()), where={"split": "train"}
    )
    made_by = Records.load(tmp_path / "ling").manifest["made_by"]
    assert made_by["captioner"] == {"name": "stand-in:describing", "fingerprint": "describing"}
    assert made_by["records"] == {"records": records.fingerprint, "where": {"split": ["train"]}, "shard": 1000}
    assert made_by["ling"]["translate"] == {"languages": ["hu"]}
    assert json.dumps(made_by).count(str(tmp_path)) == 0
