"""Scores of parts of a test set: `know` apart from `ling`, categories."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.comparison import compare
from mella_retrieval.benchmarks.evaluation import EvaluationSet, rank_system, shuffle_pairs
from mella_retrieval.benchmarks.material import load_evaluation
from mella_retrieval.benchmarks.protocols import Captions, get_protocol
from mella_retrieval.benchmarks.results import Result
from mella_retrieval.benchmarks.run import Setup, System, SystemInfo, run_task
from mella_retrieval.benchmarks.scores import Scope, chance_scores, score_systems
from mella_retrieval.benchmarks.statistics import Bootstrap
from mella_retrieval.benchmarks.tasks import Task
from mella_retrieval.data.records import RawRecord, Records
from mella_retrieval.data.text import ImportOptions
from mella_retrieval.data.writing import write_records
from mella_retrieval.errors import DataError

KNOW, LING = "source=know", "source=ling"
TASK = Task(name="two", title="Two sources", source="made here", licence="CC0", protocols=("all-hit",), languages=("hu", "th"),
            breakdown=("source",))  # fmt: skip


@pytest.fixture
def evaluation():
    """Eight images: `ling` captions for all of them in both languages, `know` captions for four of them in Hungarian."""
    hu = Captions(np.array([*range(8), 0, 1, 2, 3]), [f"hu {at}" for at in range(12)], [f"hu-{at}" for at in range(12)],
                  {"source": ["ling"] * 8 + ["know"] * 4})  # fmt: skip
    th = Captions(np.arange(8), [f"th {at}" for at in range(8)], [f"th-{at}" for at in range(8)], {"source": ["ling"] * 8})
    return EvaluationSet(tuple(f"image-{at}" for at in range(8)), {"hu": hu, "th": th})


@pytest.fixture
def vectors():
    """Descriptions are understood, alt-texts are not: their vectors are those of another picture."""
    images = np.eye(8)
    hu = images[[*range(8), 4, 5, 6, 7]]
    return images, {"hu": hu, "th": images.copy()}


def scores_of(evaluation, vectors, protocol="all-hit"):
    images, texts = vectors
    cells = rank_system("ours", texts, images, evaluation, get_protocol(protocol))
    scope = Scope(("hu", "th"), {})
    scores = score_systems(cells, scope, Bootstrap(resamples=20)) + chance_scores(evaluation, scope, get_protocol(protocol))
    return {(s.system, s.language, s.direction, s.metric, s.subset): s.value for s in scores}


def test_subsets__know_and_ling_are_told_apart(evaluation, vectors):
    found = scores_of(evaluation, vectors)
    assert found["ours", "hu", "t2i", "R@1", LING] == 1
    assert found["ours", "hu", "t2i", "R@1", KNOW] == 0
    assert found["ours", "hu", "i2t", "R@1", KNOW] == 0
    assert found["ours", "hu", "t2i", "R@1", ""] == pytest.approx(8 / 12)


def test_subsets__the_galleries_stay_whole(evaluation, vectors):
    images, texts = vectors
    cells = {(c.language, c.direction, c.subset): c for c in rank_system("o", texts, images, evaluation, get_protocol("all-hit"))}
    assert cells["hu", "t2i", KNOW].rank.tolist() == [8, 8, 8, 8]  # behind all other images: zero scores tie, pessimistically
    # behind the eleven captions that are not its own: its own description neither helps nor stands in the way
    assert cells["hu", "i2t", KNOW].rank.tolist() == [11, 11, 11, 11]
    assert cells["hu", "i2t", KNOW].query_id == tuple(f"image-{at}" for at in range(4))


def test_subsets__a_language_without_it_has_no_row_and_the_mean_is_over_the_others(evaluation, vectors):
    found = scores_of(evaluation, vectors)
    assert not [key for key in found if key[1] == "th" and key[4] == KNOW]
    assert found["ours", "mean", "t2i", "R@1", LING] == 1
    assert found["ours", "mean", "t2i", "R@1", KNOW] == 0


def test_subsets__chance_of_a_part(evaluation, vectors):
    found = scores_of(evaluation, vectors)
    assert found["chance", "hu", "t2i", "R@1", KNOW] == pytest.approx(1 / 8)
    assert found["chance", "hu", "i2t", "R@1", KNOW] == pytest.approx(1 / 11)  # twelve captions less the image's own other one
    assert found["chance", "hu", "i2t", "R@1", LING] == pytest.approx((4 / 11 + 4 / 12) / 8)


def test_subsets__a_keyword_belongs_to_the_category_of_each_picture_that_carries_it():
    """ "dog" stands on an animal and on a pet: it is asked in both categories, each time for the picture of that category."""
    captions = Captions(np.array([0, 1, 2]), ["dog", "dog", "soup"], ["k1", "k2", "k3"], {"category": ["animal", "pet", "food"]})
    evaluation = EvaluationSet(("a", "b", "c"), {"hu": captions})
    texts = np.array([[1.0, 0.5, 0], [1.0, 0.5, 0], [0, 0, 1]])  # nearer to the animal
    cells = rank_system("o", {"hu": texts}, np.eye(3), evaluation, get_protocol("keywords"))
    found = {(c.direction, c.subset): (c.query_id, c.positions.values.tolist()) for c in cells}
    assert found["t2i", "category=animal"] == (("k1",), [1])
    assert found["t2i", "category=pet"] == (("k1",), [1])  # the other picture that carries it does not stand in its way
    assert found["i2t", "category=pet"] == (("b",), [1])
    assert found["i2t", "category=animal"] == (("a",), [1])


def test_subsets__a_text_that_stands_twice_on_a_picture_belongs_to_both_sources():
    captions = Captions(np.array([0, 0, 1]), ["dog", "dog", "cat"], ["a", "b", "c"], {"source": ["know", "ling", "ling"]})
    cells = rank_system("o", {"hu": np.eye(3)[[0, 0, 1]]}, np.eye(3), EvaluationSet(("x", "y", "z"), {"hu": captions}),
                        get_protocol("all-dedup"))  # fmt: skip
    found = {(c.direction, c.subset): c.query_id for c in cells}
    assert found["t2i", KNOW] == ("a",)
    assert found["t2i", LING] == ("a", "c")
    assert found["i2t", LING] == ("x", "y")


def test_subsets__a_copy_of_a_text_is_asked_with_the_source_of_its_own_picture():
    """ "dog" is know on one picture and ling on another: under all-dedup each copy is asked once, for its own source."""
    captions = Captions(np.array([0, 1]), ["dog", "dog"], ["a", "b"], {"source": ["know", "ling"]})
    cells = rank_system("o", {"hu": np.eye(2)[[0, 0]]}, np.eye(2), EvaluationSet(("x", "y"), {"hu": captions}),
                        get_protocol("all-dedup"))  # fmt: skip
    found = {(c.direction, c.subset): c.query_id for c in cells}
    assert (found["t2i", KNOW], found["t2i", LING]) == (("a",), ("b",))
    assert (found["i2t", KNOW], found["i2t", LING]) == (("x",), ("y",))


def test_subsets__survive_shuffling_and_the_disk_and_compare(evaluation, vectors, tmp_path):
    images, texts = vectors
    assert shuffle_pairs(evaluation).captions["hu"].labels == evaluation.captions["hu"].labels
    system = System(SystemInfo(name="ours", role="system"), texts, images)
    result = run_task(Setup(TASK, evaluation, Bootstrap(resamples=20)), [system])[0]
    result.save(tmp_path)
    loaded = Result.load(tmp_path)
    assert loaded.record == result.record
    assert [cell.subset for cell in loaded.ranks] == [cell.subset for cell in result.ranks]
    found = compare(loaded, loaded, metrics=["R@1"], subset=KNOW, settings=Bootstrap(resamples=20))
    assert {row.queries for row in found.rows if row.language == "hu"} == {4}
    with pytest.raises(DataError, match="Did you mean 'source=know'"):
        compare(loaded, loaded, subset="source=knwo")


def test_load_evaluation__takes_the_columns_of_the_records(tmp_path):
    records = [
        RawRecord(f"i{at}", "", f"{lang} {at} {source}", lang, source, f"{lang}{at}{source}", {"category": category, "part": ""})
        for at, category in enumerate(["food", "dress", None])
        for lang in ("hu", "th")
        for source in ("know", "ling")
    ]
    write_records(tmp_path / "records", records, options=ImportOptions(text_only=True), image_root=tmp_path, made_by={})
    task = TASK.model_copy(update={"breakdown": ("source", "category", "source+category")})
    captions = load_evaluation(task, Records.load(tmp_path / "records")).captions["hu"]
    assert captions.labels["source"] == ["know", "ling"] * 3
    assert captions.labels["category"] == ["food", "food", "dress", "dress", "", ""]
    with pytest.raises(DataError, match="nothing to break down by 'part'"):
        load_evaluation(TASK.model_copy(update={"breakdown": ("part",)}), Records.load(tmp_path / "records"))
    assert captions.labels["source+category"] == ["know+food", "ling+food", "know+dress", "ling+dress", "", ""]
