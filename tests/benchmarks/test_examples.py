from __future__ import annotations

import io

import numpy as np
import pytest
from fakes import write_pictures
from PIL import Image

from mella_retrieval.benchmarks.evaluation import EvaluationSet
from mella_retrieval.benchmarks.examples import THUMBNAIL, collect_examples, thumbnail
from mella_retrieval.benchmarks.protocols import Captions
from mella_retrieval.benchmarks.results import SystemInfo
from mella_retrieval.benchmarks.run import Setup, System, run_task
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import DataError

LANGUAGES = ("en", "cs", "th")
IMAGES = 40


@pytest.fixture
def evaluation():
    captions = {
        code: Captions(
            np.repeat(np.arange(IMAGES), 2),
            [f"{code} text {at // 2} {'ab'[at % 2]}" for at in range(2 * IMAGES)],
            [f"{code}-{at}" for at in range(2 * IMAGES)],
        )
        for code in LANGUAGES
    }
    return EvaluationSet(tuple(f"p{at:03d}" for at in range(IMAGES)), captions)


@pytest.fixture
def records(tmp_path):
    names = write_pictures(tmp_path / "pictures", IMAGES)
    write_records(
        tmp_path / "records", [RawRecord(name.split(".")[0], name, "x", "en") for name in names], image_root=tmp_path / "pictures"
    )
    return Records.load(tmp_path / "records")


def make_system(evaluation, noise=1.2):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, 8))
    texts = {
        code: images[captions.image] + noise * rng.standard_normal((2 * IMAGES, 8))
        for code, captions in evaluation.captions.items()
    }
    return System(SystemInfo(name="ours", role="system"), texts, images)


def measure(evaluation, system, protocol="all-hit"):
    task = Task(name="t", title="T", source="here", licence="CC0", protocols=(protocol,), languages=LANGUAGES)
    return run_task(Setup(task, evaluation, Bootstrap(resamples=10)), [system])[0]


@pytest.mark.parametrize("protocol", ["all-hit", "first", "all-dedup"])
def test_collect_examples__what_is_shown_is_what_was_ranked(evaluation, records, protocol):
    system = make_system(evaluation)
    result = measure(evaluation, system, protocol)
    ranks = {(c.language, c.direction, q): r for c in result.ranks if c.system == "ours"
             for q, r in zip(c.query_id, c.rank.tolist(), strict=True)}  # fmt: skip
    examples = collect_examples(result, system, evaluation, records)
    assert [sheet.language for sheet in examples.sheets] == list(LANGUAGES)
    for sheet in examples.sheets:
        code, texts = sheet.language, list(evaluation.captions[sheet.language].text)
        for example, success in ((sheet.found, True), (sheet.missed, False)):
            text_id = f"{code}-{texts.index(example.query)}"
            assert ranks[code, "t2i", text_id] == example.rank
            assert example.rank == 1 if success else example.rank > 10
            assert [hit.correct for hit in example.hits] == [success, False, False, False, False]
            owner = f"p{texts.index(example.query) // 2:03d}"
            assert example.hits[0].label == owner if success else owner not in {hit.label for hit in example.hits}
            assert [hit.score for hit in example.hits] == sorted((hit.score for hit in example.hits), reverse=True)
        for asked, success in ((sheet.found_texts, True), (sheet.missed_texts, False)):
            if asked is None:
                assert not any(r == 1 if success else r > 10 for (c, d, _), r in ranks.items() if (c, d) == (code, "i2t"))
                continue
            assert ranks[code, "i2t", asked.label] == asked.rank
            assert asked.hits[0].correct is success
            own = f"{code} text {int(asked.label[1:])} "
            assert all(hit.correct == hit.text.startswith(own) for hit in asked.hits)
            assert asked.target.startswith(own)


def test_collect_examples__shares_and_english_captions(evaluation, records):
    system = make_system(evaluation)
    result = measure(evaluation, system)
    sheet = next(one for one in collect_examples(result, system, evaluation, records).sheets if one.language == "th")
    found = {direction: share for direction, share, _ in sheet.shares}
    assert found["t2i"] == pytest.approx(result.score("ours", "th", "t2i", "R@1").value)
    missed = {direction: share for direction, _, share in sheet.shares}
    assert missed["i2t"] == pytest.approx(1 - result.score("ours", "th", "i2t", "R@10").value)
    number = sheet.found.query.split()[2]
    assert sheet.found.gloss == f"en text {number} a"


def test_collect_examples__drawn_by_a_seed(evaluation, records):
    system = make_system(evaluation)
    result = measure(evaluation, system)

    def queries(seed):
        return [one.found.query for one in collect_examples(result, system, evaluation, records, seed=seed).sheets]

    assert queries(1) == queries(1)
    assert len({tuple(queries(seed)) for seed in range(5)}) > 1


def test_collect_examples__many_languages_are_drawn_too(evaluation, records):
    system = make_system(evaluation)
    result = measure(evaluation, system)
    drawn = [collect_examples(result, system, evaluation, records, languages=2, seed=seed) for seed in range(8)]
    assert {(len(one.sheets), one.languages) for one in drawn} == {(2, 3)}
    assert len({tuple(sheet.language for sheet in one.sheets) for one in drawn}) > 1


def test_collect_examples__a_perfect_system_has_no_failures(evaluation, records):
    system = make_system(evaluation, noise=0.0)
    examples = collect_examples(measure(evaluation, system), system, evaluation, records)
    assert {sheet.missed for sheet in examples.sheets} == {None}
    assert {sheet.shares for sheet in examples.sheets} == {(("t2i", 1.0, 0.0), ("i2t", 1.0, 0.0))}


def test_collect_examples__where_none_is_far_a_failure_is_any_query_not_at_rank_1(evaluation, records):
    system = make_system(evaluation, noise=0.45)
    result = measure(evaluation, system)
    cell = next(c for c in result.ranks if (c.system, c.language, c.direction) == ("ours", "cs", "t2i"))
    assert 1 < cell.rank.max() <= 10
    sheets = [collect_examples(result, system, evaluation, records, seed=seed).sheets for seed in range(6)]
    drawn = [one.missed for found in sheets for one in found if one.language == "cs"]
    assert all(1 < example.rank <= 10 and not example.hits[0].correct for example in drawn)
    assert len({example.query for example in drawn}) > 1


def test_collect_examples__a_constant_system_has_no_successes_and_its_hits_agree(evaluation, records):
    ones = {code: np.ones((2 * IMAGES, 8)) for code in LANGUAGES}
    system = System(SystemInfo(name="ours", role="system"), ones, np.ones((IMAGES, 8)))
    for sheet in collect_examples(measure(evaluation, system), system, evaluation, records).sheets:
        assert sheet.found is None
        assert sheet.missed.rank == IMAGES
        assert not any(hit.correct for hit in (*sheet.missed.hits, *sheet.missed_texts.hits))


def test_collect_examples__missing_and_damaged_pictures_leave_a_gap(evaluation, records, tmp_path):
    system = make_system(evaluation)
    result = measure(evaluation, system)
    for path in sorted((tmp_path / "pictures").iterdir())[1:]:
        path.write_bytes(b"no picture")
    (tmp_path / "pictures" / "p001.png").unlink()
    examples = collect_examples(result, system, evaluation, records)
    pictures = {hit.image for sheet in examples.sheets for hit in sheet.missed.hits}
    assert None in pictures
    for path in (tmp_path / "pictures").iterdir():
        path.unlink()
    assert collect_examples(result, system, evaluation, records) is None


def test_thumbnail__small_and_upright(tmp_path):
    Image.new("RGB", (2000, 1000), "red").save(tmp_path / "large.png")
    content = thumbnail(tmp_path / "large.png")
    assert Image.open(io.BytesIO(content)).size == (THUMBNAIL, THUMBNAIL // 2)
    assert len(content) < 10_000
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(DataError):
        thumbnail(tmp_path / "broken.png")
