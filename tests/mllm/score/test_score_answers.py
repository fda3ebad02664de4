"""Answers: asked once, stored with how they were made, refused where they do not compare."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from score_material import ALT, HUNGARIAN, Saying, recipe, said_of, write_set

from mella_retrieval.data.ling.contracts import Failed
from mella_retrieval.data.ling.plugins import Request
from mella_retrieval.data.records import Records
from mella_retrieval.errors import ArtifactError, DataError, EncoderError, MismatchError
from mella_retrieval.mllm.prompts import Prompts
from mella_retrieval.mllm.score.answers import ArmAnswers, read_answers, require_comparable, write_answers
from mella_retrieval.mllm.score.asking import UNREADABLE, ask_answers, system_of
from mella_retrieval.mllm.score.forgetting import Signs, draw_signs
from mella_retrieval.mllm.score.questions import QuestionSet, find_questions


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return write_set(tmp_path / "records", {("know", "hu"): ALT, ("ling", "hu"): HUNGARIAN})


@pytest.fixture
def sets(records: Records) -> list[QuestionSet]:
    return find_questions(records, recipe(), Prompts.load(), None).sets


def asked(captioner: Saying, records: Records, sets: list[QuestionSet], work: Path, **options: Any) -> ArmAnswers:
    return ask_answers(captioner, records, sets, work, recipe(shard=4, batch=2), **options)


def test_each_picture_is_asked_what_the_templates_say(records: Records, sets: list[QuestionSet], tmp_path: Path):
    model = Saying("model", said_of({"hu": HUNGARIAN}))
    given = asked(model, records, sets, tmp_path / "work")
    assert [one.name for one in sets] == ["know hu", "ling hu"]
    prompts = Prompts.load()
    for one in sets:
        for picture in one.pictures:
            answer = given.of(one, picture.image_id)
            assert answer.prompt == picture.prompt in prompts.of("hu", one.kind)
            assert answer.text == HUNGARIAN[int(picture.image_id[1:])]
    assert sorted(model.asked) == sorted((p.image_id, p.prompt) for one in sets for p in one.pictures)
    assert len({prompt for _, prompt in model.asked}) > 4  # they are drawn, not always the first
    assert model.closed == 1


def test_nothing_is_asked_twice_also_after_a_stop(records: Records, sets: list[QuestionSet], tmp_path: Path):
    class Stopping(Saying):
        def describe(self, pictures: Any, ask: Any) -> Any:
            if len(self.asked) >= 9:
                raise KeyboardInterrupt
            return super().describe(pictures, ask)

    said = said_of({"hu": HUNGARIAN})
    stopped = Stopping("model", said)
    with pytest.raises(KeyboardInterrupt):
        asked(stopped, records, sets, tmp_path / "work")
    going_on = Saying("model", said)
    given = asked(going_on, records, sets, tmp_path / "work")
    assert 20 - 9 <= len(going_on.asked) < 20
    assert given == asked(Saying("model", said), records, sets, tmp_path / "undisturbed")
    third = Saying("model", said)
    assert asked(third, records, sets, tmp_path / "work") == given and not third.asked


def test_trouble_is_told_apart(records: Records, sets: list[QuestionSet], tmp_path: Path):
    (tmp_path / "pictures" / "p3.png").write_bytes(b"no picture")
    model = Saying("model", {**said_of({"hu": HUNGARIAN}), ("p5", "hu"): Failed("too long"), ("p6", "hu"): " \ud83d x "})
    given = asked(model, records, sets, tmp_path / "work")
    assert given.of(sets[0], "p3").failed.startswith(UNREADABLE)
    assert given.of(sets[0], "p5").failed == "captioner failed: too long"
    assert given.of(sets[0], "p6").text == "\ufffd x"
    assert given.of(sets[0], "p4").failed == ""


def test_what_failed_is_asked_again_where_that_is_wanted(records: Records, sets: list[QuestionSet], tmp_path: Path):
    class Recovering(Saying):
        fingerprint = "the same"  # type: ignore[assignment]

    failing = Recovering("model", {**said_of({"hu": HUNGARIAN}), ("p5", "hu"): Failed("slow")})
    asked(failing, records, sets, tmp_path / "work")
    well = Recovering("model", said_of({"hu": HUNGARIAN}))
    assert asked(well, records, sets, tmp_path / "work").of(sets[0], "p5").failed == "captioner failed: slow"
    again = asked(well, records, sets, tmp_path / "work", retry_failed=True)
    assert again.of(sets[0], "p5").text == HUNGARIAN[5]
    assert [name for name, _ in well.asked] == ["p5", "p5"]  # of each set


def test_pictures_wait_in_memory_as_the_model_takes_them(records: Records, sets: list[QuestionSet], tmp_path: Path):
    class Small(Saying):
        def prepare(self, image: Image.Image) -> Image.Image:
            return image.resize((2, 3))

        def describe(self, pictures: Any, ask: Any) -> Any:
            return [[str(picture.image.size)] for picture in pictures]

    given = asked(Small("model", {}), records, sets, tmp_path / "work")
    assert {one.text for one in given.answers.values()} == {"(2, 3)"}


def test_a_model_that_fails_throughout_is_an_end(tmp_path: Path):
    many = write_set(tmp_path / "many", {("ling", "hu"): [f"{text} {number}" for number in range(3) for text in HUNGARIAN]})
    questions = find_questions(many, recipe(), Prompts.load(), None)
    dead = Saying("dead", {(f"p{number}", "hu"): Failed("down") for number in range(30)})
    with pytest.raises(EncoderError, match="20 times in a row"):
        asked(dead, many, questions.sets, tmp_path / "work")


def test_signs_are_asked_in_pairs(records: Records, sets: list[QuestionSet], tmp_path: Path):
    signs = draw_signs(Signs(pairs=2, side=64))
    model = Saying("model", said_of({"hu": HUNGARIAN}))
    given = asked(model, records, sets[:1], tmp_path / "work", signs=signs)
    assert len(given.signs) == 8 and given.signs_of
    assert {one.text for one in given.signs.values()} == {"Yes, it is.", "no", "No.", "yes"}
    blind = Saying("blind", said_of({"hu": HUNGARIAN}))
    blind.reads_pictures, blind.decoding = False, None  # type: ignore[assignment]
    assert not asked(blind, records, [], tmp_path / "other", signs=signs).signs


# Stored answers ----------------------------------------------------------------------------------------------------------


def test_written_and_read_again(records: Records, sets: list[QuestionSet], tmp_path: Path):
    signs = draw_signs(Signs(pairs=2, side=64))
    odd = {("p5", "hu"): Failed("too long"), ("p6", "hu"): "egy\u2028két\x85három\x0cnégy\r\nöt"}  # line ends of many kinds
    model = Saying("model", {**said_of({"hu": HUNGARIAN}), **odd}, temperature=0.5)
    given = asked(model, records, sets, tmp_path / "work", signs=signs)
    write_answers(tmp_path / "answers", given)
    assert read_answers(tmp_path / "answers") == given
    with (tmp_path / "answers" / "answers.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(ArtifactError, match="bytes"):
        read_answers(tmp_path / "answers")


def test_a_file_of_ones_own(sets: list[QuestionSet], tmp_path: Path):
    path = tmp_path / "mine.jsonl"
    lines = [
        {"image_id": "p0", "lang": "hun", "answer": "Egy kép"},
        {"image_id": "p1", "lang": "hu", "kind": "know", "answer": "x"},
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(map(json.dumps, lines)).encode())  # as Windows writes it
    given = read_answers(path)
    assert given.decoding is None and given.model == "mine.jsonl"
    assert [given.of(one, "p0").text for one in sets] == ["Egy kép", "Egy kép"]
    assert [given.of(one, "p1").text for one in sets] == ["x", ""]
    assert given.of(sets[0], "p9").failed == "no answer was given"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no answer in it"),
        ("{", "line 1 is not JSON"),
        ("[1]", "line 1 is no object of texts"),
        ('{"image_id": "p", "lang": "hu", "answer": 3}', "no object of texts"),
        ('{"lang": "hu", "answer": "x"}', "has no image_id"),
        ('{"image_id": "p", "lang": "hu"}', "neither an answer"),
        ('{"image_id": "p", "lang": "qqx", "answer": "x"}', "not a known language"),
        (
            '{"image_id": "p", "lang": "hu", "answer": "x"}\n\n{"image_id": "p", "lang": "hu", "answer": "y"}',
            "line 3: there is another",
        ),
    ],
)
def test_bad_files(tmp_path: Path, content: str, message: str):
    (tmp_path / "bad.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_answers(tmp_path / "bad.jsonl")


def test_not_an_answers_folder(tmp_path: Path, records: Records):
    with pytest.raises(ArtifactError, match="'records'"):
        read_answers(records.folder)
    with pytest.raises(ArtifactError, match="there is no folder"):
        read_answers(tmp_path / "nothing")


# Comparing ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def before(records: Records, sets: list[QuestionSet], tmp_path: Path) -> ArmAnswers:
    return asked(Saying("model", said_of({"hu": HUNGARIAN}), max_new_tokens=64), records, sets, tmp_path / "work")


def test_the_same_way_of_asking_passes(before: ArmAnswers, records: Records, sets: list[QuestionSet]):
    assert require_comparable({"before": before, "after": replace(before, model="x")}, sets, records.fingerprint) == []
    assert require_comparable({"alone": before}, sets, records.fingerprint) == []


def change_prompt(given: ArmAnswers) -> ArmAnswers:
    answers = dict(given.answers)
    answers["ling", "hu", "p2"] = replace(answers["ling", "hu", "p2"], prompt="Mi ez?")
    return replace(given, answers=answers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda one: replace(one, decoding={**one.decoding, "max_new_tokens": 128}), "decoding: max_new_tokens is 64 and 128"),
        (lambda one: replace(one, decoding={**one.decoding, "temperature": 0.7}), "decoding: temperature is 0.0 and 0.7"),
        (lambda one: replace(one, decoding=None), "nothing is known of the decoding of after, while that of before is"),
        (lambda one: replace(one, asked={**one.asked, "system": "Be brief."}), "question: system is '' and 'Be brief.'"),
        (change_prompt, "before and after were asked different things about p2 [(]ling hu[)]: .* and 'Mi ez"),
    ],
)
def test_differences_are_refused_by_name(
    before: ArmAnswers, records: Records, sets: list[QuestionSet], change: Any, message: str
):
    arms = {"before": before, "after": change(before)}
    with pytest.raises(MismatchError, match=message):
        require_comparable(arms, sets, records.fingerprint)
    (told,) = require_comparable(arms, sets, records.fingerprint, unlike=True)
    assert told.startswith(("before and after", "nothing is known"))


def test_answers_about_other_records_are_refused(before: ArmAnswers, records: Records, sets: list[QuestionSet]):
    with pytest.raises(MismatchError, match="about other records"):
        require_comparable({"before": replace(before, records="other")}, sets, records.fingerprint, unlike=True)
    english = replace(before, answers={("know", "en", "p0"): next(iter(before.answers.values()))})
    with pytest.raises(MismatchError, match="about none of what is to be scored: know hu, ling hu"):
        require_comparable({"before": english}, sets, records.fingerprint)


def test_what_a_model_is_told_first_is_part_of_the_question():
    model = Saying(Request("transformers", "tiny", {"system": "Légy rövid & jó", "max_new_tokens": "8"}).spec, {})
    assert system_of(model) == "Légy rövid & jó"
    assert system_of(Saying("plain", {})) == ""
