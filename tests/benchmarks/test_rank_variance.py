from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.evaluation import EvaluationSet, RankedQueries, rank_system
from mella_retrieval.benchmarks.metrics import RANK_VARIANCE
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.protocols import Captions, get_protocol
from mella_retrieval.benchmarks.scores import Scope, chance_scores, score_systems
from mella_retrieval.benchmarks.statistics import Bootstrap


def cell(language, ranks, images=None, direction="t2i"):
    images = images or tuple(f"image-{at}" for at in range(len(ranks)))
    return RankedQueries("ours", language, direction, tuple(f"{language}-{at}" for at in range(len(ranks))), images,
                         Positions.of(ranks))  # fmt: skip


def variance(cells, languages, groups=None):
    both = [*cells, *(RankedQueries(c.system, c.language, "i2t", c.image_id, c.image_id, c.positions) for c in cells)]
    scores = score_systems(both, Scope(tuple(languages), groups or {}), Bootstrap(resamples=50))
    return {(s.language, s.direction): s for s in scores if s.metric == RANK_VARIANCE}


def test_rank_variance__by_hand():
    found = variance([cell("cs", [1, 5, 9]), cell("hu", [3, 5, 9]), cell("th", [2, 5, 12])], ["cs", "hu", "th"])
    score = found["mean", "t2i"]
    assert score.value == pytest.approx(np.mean([np.var([1, 3, 2]), 0, np.var([9, 9, 12])]))
    assert score.low <= score.value <= score.high


def test_rank_variance__several_captions_count_by_their_mean_rank():
    twice = cell("cs", [1, 3, 7], ("image-0", "image-0", "image-1"))
    found = variance([twice, cell("hu", [4, 7])], ["cs", "hu"])
    assert found["mean", "t2i"].value == pytest.approx(np.mean([np.var([2, 4]), 0]))


def test_rank_variance__over_the_images_that_all_languages_have():
    found = variance([cell("cs", [1, 5, 9]), cell("hu", [9], ("image-2",))], ["cs", "hu"])
    assert found["mean", "t2i"].value == 0
    apart = variance([cell("cs", [1], ("image-1",)), cell("hu", [9], ("image-2",))], ["cs", "hu"])
    assert apart["mean", "t2i"].value is None
    assert "no image" in apart["mean", "t2i"].reason


def test_rank_variance__groups_and_single_languages():
    cells = [cell("cs", [1, 5]), cell("hu", [1, 5]), cell("th", [2, 9])]
    found = variance(cells, ["cs", "hu", "th"], {"two": ("cs", "hu"), "one": ("th",)})
    assert found["two", "t2i"].value == 0
    assert found["mean", "t2i"].value > 0
    assert {row for row, _ in found} == {"mean", "two"}  # no variance over one language


def test_rank_variance__chance_agrees_with_random_vectors():
    rng = np.random.default_rng(0)
    owners = {"cs": np.arange(40), "hu": np.repeat(np.arange(40), 3), "th": np.repeat(np.arange(20), 2)}
    captions = {code: Captions(owner, [""] * len(owner), [f"{code}{at}" for at in range(len(owner))])
                for code, owner in owners.items()}  # fmt: skip
    evaluation = EvaluationSet(tuple(map(str, range(40))), captions)
    protocol, scope = get_protocol("all-hit"), Scope(("cs", "hu", "th"), {})
    expected = {s.direction: s.value for s in chance_scores(evaluation, scope, protocol) if s.metric == RANK_VARIANCE}
    found = {"t2i": [], "i2t": []}
    for _ in range(60):
        texts = {code: rng.standard_normal((len(owner), 40)) for code, owner in owners.items()}
        cells = rank_system("random", texts, rng.standard_normal((40, 40)), evaluation, protocol)
        for score in score_systems(cells, scope, Bootstrap(resamples=2)):
            if score.metric == RANK_VARIANCE:
                found[score.direction].append(score.value)
    for direction, values in found.items():
        assert np.mean(values) == pytest.approx(expected[direction], rel=0.06)
