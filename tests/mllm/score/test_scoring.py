"""`score` from records to tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from score_material import ALT, CZECH, HUNGARIAN, Saying, recipe, said_of, write_set

from mella_retrieval.artifacts import read_manifest
from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import ArtifactError, ConfigError, DataError, MismatchError
from mella_retrieval.mllm.score.keywords import keywords, said, share_found
from mella_retrieval.mllm.score.overlap import chrf
from mella_retrieval.mllm.score.results import ALL
from mella_retrieval.mllm.score.scoring import score
from mella_retrieval.mllm.score.table import markdown, remarks, table

THAI = tuple(f"แมว{colour}นอนบน{place}" for colour in ("ขาว", "ดำ") for place in ("โต๊ะ", "เตียง", "หลังคา", "รถ", "บันได"))


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return write_set(tmp_path / "records", {("know", "hu"): ALT, ("ling", "hu"): HUNGARIAN, ("ling", "th"): THAI})


def knowing(more: Mapping[tuple[str, str], Any] | None = None) -> Saying:
    """Says alt-text and description of a picture, whatever it is asked."""
    return Saying(
        "after",
        {**said_of({"hu": [f"{alt} {text}" for alt, text in zip(ALT, HUNGARIAN, strict=True)], "th": THAI}), **(more or {})},
    )


def idle() -> Saying:
    return Saying("before", said_of({"hu": ["Egy kép."] * 10, "th": ["ภาพ"] * 10}), reads="yes")


def test_before_and_after(records: Records, tmp_path: Path):
    stages: list[tuple[str, int, int]] = []
    arms = {"before": idle(), "after": knowing()}
    report = score(records, tmp_path / "out", recipe(), arms, progress=lambda *told: stages.append(told))
    strict = report.row("know", "keywords", "hu")
    assert strict.pictures == 10
    assert strict.cells["before"].score.value == 0 and strict.cells["after"].score.value == 100
    chance = strict.cells["after"].chance
    assert chance is not None and chance < 10
    found = strict.differences["after"]
    assert (found.value, found.low, found.high) == (100, 100, 100) and found.p is not None and found.p < 0.01
    assert report.row("ling", "rouge_l", "th").cells["after"].score.value == 100
    both = report.row("ling", "chrf", ALL)
    own = [report.row("ling", "chrf", lang) for lang in ("hu", "th")]
    assert both.cells["after"].score.value == pytest.approx(sum(row.cells["after"].score.value for row in own) / 2)
    assert both.pictures == 20
    assert all(row.differences["after"].p_holm is not None for row in own)
    assert report.row("ling", "repetition", "hu").cells["after"].chance is None
    with pytest.raises(KeyError):
        report.row("know", "chrf", "hu")
    assert {stage for stage, _, _ in stages} == {"asking know hu", "asking ling hu", "asking ling th", "scoring"}
    assert [told[1:] for told in stages if told[0] == "scoring"] == [(10, 30), (20, 30), (30, 30)]  # pictures


def test_chance_is_the_mean_over_other_pictures(records: Records, tmp_path: Path):
    """With nine shuffles of ten pictures every answer meets every other picture once: the mean over all pairs."""
    report = score(records, tmp_path / "out", recipe(shuffles=9), {"one": knowing()})
    answers = [f"{alt} {text}" for alt, text in zip(ALT, HUNGARIAN, strict=True)]
    pairs = [(one, other) for one in range(10) for other in range(10) if one != other]
    by_hand = [share_found(keywords(ALT[one], "hu"), said(answers[other], "hu")) or 0 for one, other in pairs]
    assert report.row("know", "keywords", "hu").cells["one"].chance == pytest.approx(100 * sum(by_hand) / 90)
    letters = [chrf([HUNGARIAN[one]], answers[other], "hu") for one, other in pairs]
    assert report.row("ling", "chrf", "hu").cells["one"].chance == pytest.approx(sum(letters) / 90)


def test_what_is_written(records: Records, tmp_path: Path):
    out = tmp_path / "out"
    failing = knowing({("p4", "hu"): Failed("broken|pipe")})
    report = score(records, out, recipe(signs={"pairs": 2, "side": 64}), {"before": idle(), "after": failing})
    assert json.loads((out / "scores.json").read_text(encoding="utf-8")) == json.loads(json.dumps(report.as_dict()))
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(report.rows)
    (row,) = (row for row in rows if (row["kind"], row["metric"], row["model"]) == ("know", "keywords", "after"))
    assert float(row["score"]) == pytest.approx(90) and float(row["difference"]) == pytest.approx(90)
    text = (out / "scores.md").read_text(encoding="utf-8")
    assert text == markdown(report)
    assert "know hu: after has no answer for 1 pictures, which score 0" in text
    assert next(line for line in text.splitlines() if line.startswith("| ")).count("|") == len(table(report)[0])
    skipped = (out / "skipped.csv").read_text(encoding="utf-8").splitlines()
    assert skipped == [
        "where,reason,excerpt",
        *(f'"p4, {kind} hu, after",captioner failed: broken|pipe,' for kind in ("know", "ling")),
    ]
    assert read_manifest(out, "scores", 1)["models"]["after"]["decoding"]["temperature"] == 0
    assert "tmp_path" not in text and str(tmp_path) not in text + (out / "scores.json").read_text(encoding="utf-8")
    again = {name: out / "answers" / name for name in ("before", "after")}
    assert score(records, tmp_path / "two", recipe(signs={"pairs": 2, "side": 64}), again).as_dict() == report.as_dict()
    same = ("manifest.json", "scores.json", "scores.csv", "scores.md", "skipped.csv")
    assert all((out / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in same)


def test_forgetting(records: Records, tmp_path: Path):
    options = recipe(signs={"pairs": 4, "side": 64}, metrics={"know": ["keywords"]})
    after = knowing()
    after.reads = "I do not know"
    report = score(records, tmp_path / "out", options, {"reads": knowing(), "always": idle(), "unclear": after})
    right, both = (report.row("signs", metric, "en") for metric in ("accuracy", "accuracy_plus"))
    assert [right.cells[name].score.value for name in ("reads", "always", "unclear")] == [100, 50, 0]
    assert [both.cells[name].score.value for name in ("reads", "always", "unclear")] == [100, 0, 0]
    assert (right.cells["reads"].chance, both.cells["reads"].chance) == (50, 25)
    assert both.differences["always"].value == -100
    assert report.unclear == {"reads": 0, "always": 0, "unclear": 16}
    assert "unclear: 16 answers about signs are neither yes nor no" in remarks(report)
    stored = {"reads": tmp_path / "out" / "answers" / "reads", "always": idle()}
    other = score(records, tmp_path / "other", recipe(signs={"pairs": 3, "side": 64}), stored)
    assert other.notes == ["forgetting is not measured: reads did not answer about these signs"]


def test_pictures_that_cannot_be_read_are_no_models_fault(records: Records, tmp_path: Path):
    (tmp_path / "pictures" / "p3.png").write_bytes(b"no picture")
    report = score(records, tmp_path / "out", recipe(), {"after": knowing()})
    found = next(one for one in report.sets if one.kind == "know")
    assert (found.pictures, found.unreadable, found.failed) == (9, 1, {"after": 0})
    assert report.row("know", "keywords", "hu").cells["after"].score.value == 100


def test_a_picture_that_one_model_could_not_be_shown_is_scored_for_none(records: Records, tmp_path: Path):
    score(records, tmp_path / "first", recipe(), {"before": idle()})
    (tmp_path / "pictures" / "p3.png").write_bytes(b"no picture")
    arms = {"before": tmp_path / "first" / "answers" / "before", "after": knowing()}
    report = score(records, tmp_path / "out", recipe(), arms)
    assert {(one.pictures, one.unreadable) for one in report.sets} == {(9, 1)}
    assert report.row("ling", "chrf", "hu").pictures == 9


def test_different_decoding_is_refused_and_nothing_is_left(records: Records, tmp_path: Path):
    arms = {"before": idle(), "after": Saying("after", {}, max_new_tokens=512)}
    with pytest.raises(MismatchError, match="before and after differ in their decoding: max_new_tokens is 256 and 512"):
        score(records, tmp_path / "out", recipe(), arms)
    assert not (tmp_path / "out").exists() and not arms["before"].asked  # known before anybody is asked
    report = score(records, tmp_path / "out", recipe(unlike=True), arms)
    assert len(report.unlike) == 1 and f"compared all the same: {report.unlike[0]}" in remarks(report)


def test_what_does_not_compare_is_said_before_anybody_is_asked(records: Records, tmp_path: Path):
    score(records, tmp_path / "out", recipe(), {"before": idle()})
    stored, told = tmp_path / "out" / "answers" / "before", knowing()
    told.name = "after?system=Be brief."
    with pytest.raises(MismatchError, match=r"differ in their question: system is '' and 'Be brief\.'"):
        score(records, tmp_path / "two", recipe(), {"before": stored, "after": told})
    with pytest.raises(MismatchError, match="differ in their question: seed is 0 and 1"):
        score(records, tmp_path / "two", recipe(seed=1), {"before": stored, "after": told})
    (tmp_path / "my.yaml").write_text("hu: {know: [Mi ez], ling: [Mi ez]}\nth: {ling: [อะไร]}\n", encoding="utf-8")
    told.name = "after"
    with pytest.raises(MismatchError, match="were asked different things about p0"):
        score(records, tmp_path / "two", recipe(prompts=str(tmp_path / "my.yaml")), {"before": stored, "after": told})
    assert not told.asked


def test_answers_need_no_template(tmp_path: Path):
    records = write_set(tmp_path / "records", {("ling", "fi"): ["Koira juoksee.", "Kissa nukkuu."]})
    lines = [{"image_id": name, "lang": "fi", "answer": "Koira juoksee."} for name in ("p0", "p1")]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    report = score(records, tmp_path / "out", recipe(), {"one": tmp_path / "answers.jsonl"})
    assert report.row("ling", "rouge_l", "fi").cells["one"].score.value == 50
    (tmp_path / "answers.jsonl").write_text("{", encoding="utf-8")
    for arms in ({"one": tmp_path / "answers.jsonl"}, {"asked": knowing(), "one": tmp_path / "answers.jsonl"}):
        with pytest.raises(DataError, match="line 1 is not JSON"):
            score(records, tmp_path / "two", recipe(), arms)


def test_what_the_table_does_not_say(records: Records, tmp_path: Path):
    drawing = Saying("drawing", said_of({"hu": ["  "] * 10, "th": THAI}), temperature=0.7, top_p=0.9, repetition_penalty=1.1)
    report = score(records, tmp_path / "out", recipe(unlike=True), {"greedy": knowing(), "drawing": drawing})
    said = remarks(report)
    assert "greedy: after, greedy, at most 256 tokens" in said
    assert "drawing: drawing, at most 256 tokens, temperature 0.7, top-p 0.9, repetition penalty 1.1" in said
    assert [one.empty for one in report.sets] == [{"greedy": 0, "drawing": count} for count in (10, 10, 0)]
    assert "ling hu: drawing said nothing of 10 of 10 pictures (its answer is empty)" in said


def test_czech_references_are_refused_before_a_model_is_asked(tmp_path: Path):
    pytest.importorskip("lingua")
    wrong = write_set(tmp_path / "records", {("ling", "hu"): CZECH})
    model = knowing()
    with pytest.raises(DataError, match=r"the references of ling in .* are said to be Hungarian and are mostly Czech"):
        score(wrong, tmp_path / "out", recipe(identify=True), {"after": model})
    assert not model.asked
    blind = score(wrong, tmp_path / "out", recipe(), {"after": Saying("hu", said_of({"hu": HUNGARIAN}))})
    assert blind.row("ling", "rouge_l", "hu").cells["after"].score.value < 2
    letters = blind.row("ling", "chrf", "hu").cells["after"]
    assert letters.chance is not None and letters.score.value < letters.chance + 3


def test_languages_of_answers_and_references(records: Records, tmp_path: Path):
    pytest.importorskip("lingua")
    czech = Saying("czech", said_of({"hu": CZECH, "th": THAI}))
    mixed = write_set(tmp_path / "mixed", {("ling", "hu"): [*HUNGARIAN[:9], CZECH[9]], ("ling", "th"): THAI})
    report = score(mixed, tmp_path / "out", recipe(identify=True), {"right": knowing(), "czech": czech})
    row = report.row("ling", "language", "hu")
    assert row.pictures == 9
    assert (row.cells["right"].score.value, row.cells["czech"].score.value) == (100, 0)
    assert report.passed["references that are surely in another language"] == 1
    assert "reference in another language: not Hungarian" in (tmp_path / "out" / "skipped.csv").read_text(encoding="utf-8")
    assert next(one for one in report.sets if one.lang == "hu").references == pytest.approx(0.9)
    assert "ling hu: 90.0% of the references are recognised as Hungarian" in remarks(report)


def test_thresholds_of_repetition_are_the_recipes(records: Records, tmp_path: Path):
    again = Saying("again", said_of({"hu": ["Egy kutya szalad, " * 5 + "most vége."] * 10, "th": THAI}))
    rates = [
        score(records, tmp_path / f"out{times}", recipe(repetition={"times": times, "loop": 1, "compression": 9}), {"one": again})
        .row("ling", "repetition", "hu")
        .cells["one"]
        .score.value
        for times in (3, 9)
    ]
    assert rates == [100, 0]


def test_metrics_that_a_language_lacks_are_said(records: Records, tmp_path: Path):
    report = score(records, tmp_path / "out", recipe(), {"after": knowing()})
    missing = {one.lang: one.missing for one in report.sets if one.kind == "ling"}
    assert missing["hu"]["meteor"] == missing["th"]["meteor"] == "METEOR has synonyms for English alone"
    assert missing["hu"]["language"] == "languages are not told (identify: false)"
    assert not any(row.metric == "meteor" for row in report.rows)


def test_sources_and_limits(tmp_path: Path):
    records = write_set(tmp_path / "records", {("web", "hu"): ALT, ("", "hu"): HUNGARIAN, ("mine", "en"): ["a dog"]})
    with pytest.raises(
        DataError, match=r"no text to score answers against .*records of source 'web', which the recipe does not name"
    ):
        score(records, tmp_path / "out", recipe(), {"after": knowing()})
    report = score(records, tmp_path / "out", recipe(sources={"web": "know"}, limit=4), {"after": knowing()})
    assert [(one.kind, one.lang, one.pictures) for one in report.sets] == [("know", "hu", 4)]
    reason = "records without a source: say at import what their texts are (`mella data import ... source=know`)"
    assert report.passed[reason] == 10
    assert report.passed["records of source 'mine', which the recipe does not name: say sources.mine=know, or ling"] == 1
    other = score(records, tmp_path / "two", recipe(sources={"web": "know"}, limit=4, seed=1), {"after": knowing()})
    places = [
        set((tmp_path / name / "answers" / "after" / "answers.jsonl").read_text().split('"image_id":"'))
        for name in ("out", "two")
    ]
    assert places[0] != places[1] and other.sets[0].pictures == 4


def test_several_references_of_a_picture(tmp_path: Path):
    write_set(tmp_path / "records", {("know", "hu"): ALT[:2]})
    texts = "Lánchíd Budapesten", "egri vár"
    items = [
        RawRecord(f"p{place}", f"p{place}.png", text, "hu", kind) for place, kind in enumerate(("know", "ling")) for text in texts
    ]
    write_records(tmp_path / "two", items, image_root=tmp_path / "pictures")
    model = Saying("one", {("p0", "hu"): "egri vár", ("p1", "hu"): "egri vár"})
    report = score(Records.load(tmp_path / "two"), tmp_path / "out", recipe(), {"one": model})
    assert report.row("know", "keywords", "hu").cells["one"].score.value == 50  # the mean over the references
    best = report.row("ling", "rouge_l", "hu").cells["one"]
    assert best.score.value == 100  # the best of them
    assert (best.score.low, best.score.high, best.chance) == (None, None, None)  # one picture says nothing of others


def test_a_single_picture_of_a_language_gives_no_interval_over_languages(tmp_path: Path):
    """Drawn again and again it is always the same: the interval would be a point, and every difference sure."""
    records = write_set(tmp_path / "records", {("ling", "hu"): HUNGARIAN[:1], ("ling", "th"): THAI})
    report = score(records, tmp_path / "out", recipe(), {"before": idle(), "after": knowing()})
    row = report.row("ling", "chrf", ALL)
    found = row.differences["after"]
    assert (row.pictures, row.cells["after"].score.low, found.low, found.p) == (11, None, None, None)
    assert found.value > 50
    assert report.row("ling", "chrf", "th").differences["after"].p is not None


@pytest.mark.parametrize(
    ("arms", "message"),
    [({}, "no model to score"), ({"a/b": Path("x")}, "'a/b' cannot name a model"), ({"..": Path("x")}, "cannot name a model")],
)
def test_names_of_models(records: Records, tmp_path: Path, arms: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        score(records, tmp_path / "out", recipe(), arms)


def test_what_is_there_is_not_replaced_unasked(records: Records, tmp_path: Path):
    score(records, tmp_path / "out", recipe(), {"after": knowing()})
    model = knowing()
    with pytest.raises(ArtifactError, match="already exists"):
        score(records, tmp_path / "out", recipe(), {"after": model})
    with pytest.raises(ArtifactError, match="'records'"):
        score(records, records.folder, recipe(), {"after": model}, overwrite=True)
    score(records, tmp_path / "out", recipe(), {"after": model}, overwrite=True)
    assert not model.asked  # the answers stand in out.work


def test_a_language_without_a_template_is_said_before_anything_is_asked(tmp_path: Path):
    records = write_set(tmp_path / "records", {("ling", "fi"): ["Koira juoksee."]})
    with pytest.raises(ConfigError, match="no template in fi"):
        score(records, tmp_path / "out", recipe(), {"after": knowing()})


def test_recipes_are_strict():
    for changes, message in (
        ({"metrics": {"know": ["keyword"]}}, "Did you mean 'keywords'"),
        ({"metrics": {"konw": []}}, "Did you mean 'know'"),
        ({"sources": {"web": "alt"}}, "which is no kind of text"),
        ({"shufles": 3}, "shuffles"),
        ({"signs": {"pairs": 99}}, "signs.pairs"),
    ):
        with pytest.raises(ConfigError, match=message):
            recipe(**changes)


def test_the_packaged_recipe_is_the_default():
    from mella_retrieval.mllm.score.recipe import ScoreRecipe
    from mella_retrieval.recipes import load_recipe

    assert load_recipe(ScoreRecipe, "mllm", "score") == ScoreRecipe()


def test_a_real_model_is_scored(qwen: Path, tmp_path: Path):
    """A tiny Qwen2-VL with random weights, with its pictures and without: nothing is right, everything runs."""
    from mella_retrieval.data.ling.captioners import load_captioner
    from mella_retrieval.mllm.captioners import captioners

    records = write_set(tmp_path / "records", {("know", "hu"): ALT[:2], ("ling", "hu"): HUNGARIAN[:2]})
    arms = {
        name: load_captioner(f"transformers:{qwen}?max_new_tokens=3{more}", captioners("cpu"))
        for name, more in (("seeing", ""), ("blind", "&images=false"))
    }
    report = score(records, tmp_path / "out", recipe(signs={"pairs": 2, "side": 64}), arms)
    assert report.models["seeing"]["decoding"] == report.models["blind"]["decoding"]
    assert report.row("know", "keywords", "hu").cells["blind"].score.value < 50
    assert report.row("signs", "accuracy", "en").cells["seeing"].score.value <= 50
