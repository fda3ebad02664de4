"""Scorers that know nothing get nothing, and the order of a test set changes no number, under every protocol."""

from __future__ import annotations

import numpy as np
import pytest

from mella_retrieval.benchmarks.evaluation import EvaluationSet, rank_system
from mella_retrieval.benchmarks.metrics import LONG_METRICS, METRICS, summarise
from mella_retrieval.benchmarks.protocols import PROTOCOLS, Captions
from mella_retrieval.errors import DataError

ALL = (*METRICS, *LONG_METRICS)
IMAGES = 40


@pytest.fixture
def evaluation():
    owner = np.repeat(np.arange(IMAGES), 3)
    texts = [f"text {at // 2 if at < 6 else at}" for at in range(3 * IMAGES)]  # a few texts stand twice
    return EvaluationSet(
        tuple(f"i{at:02d}" for at in range(IMAGES)), {"hu": Captions(owner, texts, [f"t{at}" for at in range(len(owner))])}
    )


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
@pytest.mark.parametrize("value", [1.0, 0.0, -2.5])
def test_a_constant_scorer_finds_nothing_before_all_irrelevant_items(evaluation, protocol, value):
    texts, images = {"hu": np.full((3 * IMAGES, 5), value)}, np.full((IMAGES, 5), value)
    for cell in rank_system("constant", texts, images, evaluation, protocol):
        found = summarise(cell.positions, ALL)
        zero = [f"R@{k}" for k in (1, 5, 10)] + [f"{name}@{k}" for name in ("recall", "hit rate") for k in (1, 3, 5, 10, 20)]
        assert {name: found[name] for name in zero} == dict.fromkeys(zero, 0.0)
        assert found["nDCG@10"] == found["sumR"] == 0
        assert found["MRR"] <= 1 / 38  # behind at least 37 irrelevant items


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_a_score_that_is_no_number_is_an_error(evaluation, protocol):
    images = np.ones((IMAGES, 5))
    images[7, 2] = np.nan
    with pytest.raises(DataError, match="row 7 of the image vectors of broken"):
        rank_system("broken", {"hu": np.ones((3 * IMAGES, 5))}, images, evaluation, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_the_order_of_gallery_and_captions_changes_nothing(evaluation, protocol):
    rng = np.random.default_rng(0)
    images = np.repeat(rng.standard_normal((IMAGES // 2, 6)), 2, axis=0)  # every image twice: ties
    texts = images[evaluation.captions["hu"].image] + 0.5 * rng.standard_normal((3 * IMAGES, 6))
    texts[[1, 3, 5]] = texts[[0, 2, 4]]  # equal texts have equal vectors
    place, captions = rng.permutation(IMAGES), evaluation.captions["hu"]
    where = np.argsort(place)
    # captions of one image keep their order, which the protocol `first` is defined by
    order = np.concatenate([np.flatnonzero(captions.image == image) for image in rng.permutation(IMAGES)])
    moved = EvaluationSet(
        tuple(evaluation.image_ids[at] for at in place),
        {
            "hu": Captions(
                where[captions.image[order]], [captions.text[at] for at in order], [captions.text_id[at] for at in order]
            )
        },
    )
    plain = rank_system("a", {"hu": texts}, images, evaluation, protocol)
    shuffled = rank_system("a", {"hu": texts[order]}, images[place], moved, protocol)
    texts_of = dict(zip(captions.text_id, captions.text, strict=True))
    for left, right in zip(plain, shuffled, strict=True):
        assert answers(left, texts_of) == answers(right, texts_of)


def answers(cell, texts_of):
    """Positions by query; which of equal texts stands for all of them depends on their order, not what it finds."""
    parts = np.split(cell.positions.values, cell.positions.starts[1:])
    return sorted((texts_of.get(query, query), image, part.tolist())
                  for query, image, part in zip(cell.query_id, cell.image_id, parts, strict=True))  # fmt: skip
