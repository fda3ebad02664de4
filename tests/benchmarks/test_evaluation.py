from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.evaluation import EvaluationSet, query_counts, rank_system, shuffle_pairs
from mella_retrieval.benchmarks.metrics import METRICS, summarise
from mella_retrieval.benchmarks.protocols import PROTOCOLS, Captions, get_protocol
from mella_retrieval.benchmarks.scores import Scope, chance_scores, score_systems
from mella_retrieval.benchmarks.statistics import Bootstrap, Queries, resampled_metrics
from mella_retrieval.errors import DataError


def test_rank_system__perfect_vectors_under_every_protocol(evaluation, vectors):
    images, texts = vectors
    for protocol in PROTOCOLS.values():
        cells = rank_system("perfect", texts(0.0), images, evaluation, protocol)
        assert [(cell.language, cell.direction) for cell in cells][:2] == [("cs", "t2i"), ("cs", "i2t")]
        assert all((cell.rank == 1).all() for cell in cells)


def test_rank_system__queries_carry_their_own_ids_and_images(evaluation, vectors):
    images, texts = vectors
    cells = {
        (cell.language, cell.direction): cell for cell in rank_system("a", texts(1.0), images, evaluation, get_protocol("first"))
    }
    t2i, i2t = cells["th", "t2i"], cells["th", "i2t"]
    assert t2i.query_id == tuple(f"th-{at}" for at in range(10))
    assert t2i.image_id == i2t.query_id == i2t.image_id == tuple(f"image-{at:02d}" for at in range(10))
    assert query_counts(list(cells.values())) == {
        language: {"t2i": n, "i2t": n} for language, n in (("cs", 12), ("hu", 12), ("th", 10))
    }


def test_rank_system__progress(evaluation, vectors):
    seen = []
    rank_system("a", vectors[1](1.0), vectors[0], evaluation, get_protocol("first"), progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_rank_system__vectors_that_do_not_fit_the_test_set(evaluation, vectors):
    images, texts = vectors
    protocol = get_protocol("all-hit")
    with pytest.raises(DataError, match="11 image vectors for a gallery of 12"):
        rank_system("a", texts(1.0), images[:11], evaluation, protocol)
    with pytest.raises(DataError, match="9 text vectors for 10 captions in th"):
        rank_system("a", {"th": texts(1.0)["th"][:9]}, images, evaluation, protocol)
    with pytest.raises(DataError, match="no captions"):
        rank_system("a", {"de": texts(1.0)["th"]}, images, evaluation, protocol)


def test_evaluation_set__an_image_twice():
    with pytest.raises(DataError, match="twice"):
        EvaluationSet(("a", "a"), {})


def test_fingerprints__content_not_order(evaluation):
    order = np.random.default_rng(0).permutation(12)
    back = np.argsort(order)
    moved = EvaluationSet(
        tuple(evaluation.image_ids[at] for at in order),
        {lang: Captions(back[c.image], c.text, c.text_id) for lang, c in evaluation.captions.items()},
    )
    assert moved.fingerprints() == evaluation.fingerprints()
    captions = evaluation.captions["cs"]
    other = Captions(captions.image, ["changed", *captions.text[1:]], captions.text_id)
    changed = EvaluationSet(evaluation.image_ids, {**evaluation.captions, "cs": other}).fingerprints()
    assert changed["cs"] != evaluation.fingerprints()["cs"]
    assert changed["hu"] == evaluation.fingerprints()["hu"]


def test_own_galleries__each_language_is_ranked_among_its_own_images(evaluation, vectors):
    images, texts = vectors
    own = EvaluationSet(evaluation.image_ids, evaluation.captions, own_galleries=True)
    apart = EvaluationSet(evaluation.image_ids[:10], {"th": evaluation.captions["th"]})  # Thai has captions of ten images
    protocol = get_protocol("all-hit")
    found = {c.direction: c for c in rank_system("a", texts(2.0), images, own, protocol) if c.language == "th"}
    alone = {c.direction: c for c in rank_system("a", {"th": texts(2.0)["th"]}, images[:10], apart, protocol)}
    for direction, cell in alone.items():
        assert (found[direction].query_id, found[direction].image_id) == (cell.query_id, cell.image_id)
        np.testing.assert_array_equal(found[direction].rank, cell.rank)
    expected = {s.direction: s.value for s in chance_scores(own, Scope(("th",), {}), protocol) if s.metric == "R@1"}
    assert expected["t2i"] == expected["i2t"] == pytest.approx(1 / 10)
    shared = [c for c in rank_system("a", texts(2.0), images, evaluation, protocol) if (c.language, c.direction) == ("th", "t2i")]
    assert shared[0].rank.sum() > found["t2i"].rank.sum()


def test_shuffle_pairs__falls_to_chance():
    rng = np.random.default_rng(4)
    owner = np.repeat(np.arange(400), 2)
    text_ids = [str(at) for at in range(800)]
    evaluation = EvaluationSet(tuple(map(str, range(400))), {"cs": Captions(owner, text_ids, text_ids)})
    images = rng.standard_normal((400, 32))
    texts = {"cs": images[owner] + 0.1 * rng.standard_normal((800, 32))}
    protocol, scope = get_protocol("all-hit"), Scope(("cs",), {})
    true = summarise(rank_system("a", texts, images, evaluation, protocol)[0].rank)
    shuffled = summarise(rank_system("a", texts, images, shuffle_pairs(evaluation), protocol)[0].rank)
    expected = {score.metric: score.value for score in chance_scores(evaluation, scope, protocol) if score.direction == "t2i"}
    assert true["R@1"] == 1
    assert shuffled["R@10"] == pytest.approx(expected["R@10"], abs=0.03)
    assert shuffled["median rank"] == pytest.approx(expected["median rank"], rel=0.15)


def test_score_systems__values_groups_and_reasons(make_result):
    record = make_result().record
    by_key = {(s.system, s.language, s.direction, s.metric): s for s in record.scores}
    assert len(by_key) == len(record.scores)
    for metric in METRICS:
        parts = [by_key["ours", language, "t2i", metric].value for language in ("cs", "hu", "th")]
        assert by_key["ours", "mean", "t2i", metric].value == pytest.approx(np.mean(parts))
        assert by_key["ours", "uclip", "t2i", metric].value == pytest.approx(np.mean(parts[:2]))
    both = by_key["ours", "cs", "both", "mean R"]
    assert both.value == pytest.approx(np.mean([by_key["ours", "cs", d, "mean R"].value for d in ("t2i", "i2t")]))
    assert both.low <= both.value <= both.high
    assert not [key for key in by_key if key[1] == "wide"]  # a group with a language that was not asked
    assert by_key["English", "cs", "t2i", "R@1"].value is not None
    assert by_key["English", "hu", "t2i", "R@1"].reason == "no English captions"
    assert by_key["English", "mean", "t2i", "R@1"].reason == "no value in hu, th"
    assert by_key["English", "mean", "t2i", "R@1"].value is None
    chance = by_key["chance", "th", "t2i", "R@5"]
    assert (chance.value, chance.low) == (pytest.approx(5 / 12), None)


def test_score_systems__both_directions_are_drawn_together(make_result):
    result = make_result()
    rows = {image: at for at, image in enumerate(sorted({image for cell in result.ranks for image in cell.image_id}))}
    cells = [cell for cell in result.ranks if (cell.system, cell.language) == ("ours", "cs")]
    queries = [Queries(cell.rank, np.array([rows[image] for image in cell.image_id])) for cell in cells]
    draws = resampled_metrics(queries, len(rows), result.record.bootstrap, ["R@1"])["R@1"].mean(axis=1)
    found = result.score("ours", "cs", "both", "R@1")
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert found.standard_error == pytest.approx(draws.std(ddof=1))


def test_score_systems__mean_interval_is_narrower_than_that_of_one_language_but_not_as_of_independent_ones(make_result):
    record = make_result().record
    errors = {s.language: s.standard_error for s in record.scores if (s.system, s.direction, s.metric) == ("ours", "t2i", "MRR")}
    assert 0 < errors["mean"] < max(errors[language] for language in ("cs", "hu", "th"))


def test_score_systems__a_silent_gap_is_an_error(evaluation, vectors):
    images, texts = vectors
    cells = rank_system("a", {"cs": texts(1.0)["cs"]}, images, evaluation, get_protocol("first"))
    with pytest.raises(DataError, match="neither ranks nor a reason for their absence in hu"):
        score_systems(cells, Scope(("cs", "hu"), {}), Bootstrap(resamples=10))
