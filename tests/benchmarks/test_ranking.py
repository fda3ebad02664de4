"""Ranks against a brute-force float64 reference, and their independence of blocks, threads and order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella_retrieval.benchmarks import counting, counting_torch
from mella_retrieval.benchmarks.positions import Positions
from mella_retrieval.benchmarks.ranking import Ranks, rank
from mella_retrieval.benchmarks.relevance import TOLERANCE
from mella_retrieval.benchmarks.similarity import UnitVectors
from mella_retrieval.errors import DataError


def brute_force(texts, images, text_index, image_index):
    """Positions of all relevant items by the definition, one query and one pair at a time, in float64."""
    t, v = UnitVectors(texts).values, UnitVectors(images).values
    scores = np.array([[np.add.reduce(a.astype(np.float64) * b.astype(np.float64)) for b in v] for a in t]).reshape(
        len(t), len(v)
    )
    relevant = np.zeros(scores.shape, bool)
    relevant[text_index, image_index] = True
    asked = np.flatnonzero(relevant.any(axis=0))
    text = [positions(row, own) for row, own in zip(scores, relevant, strict=True)]
    image = [positions(scores[:, i], relevant[:, i]) for i in asked]
    return text, image, asked


def positions(scores, relevant):
    ahead = sorted(int((scores[~relevant] >= score).sum()) for score in scores[relevant])
    return [1 + before + place for place, before in enumerate(ahead)]


def listed(found: Positions) -> list[list[int]]:
    return [part.tolist() for part in np.split(found.values, found.starts[1:])] if len(found) else []


def check(found: Ranks, expected) -> None:
    assert listed(found.by_text) == expected[0]
    assert listed(found.by_image) == expected[1]
    np.testing.assert_array_equal(found.image_index, expected[2])
    np.testing.assert_array_equal(found.text, [best[0] for best in expected[0]])
    np.testing.assert_array_equal(found.image, [best[0] for best in expected[1]])


@st.composite
def problems(draw):
    """Small problems: exact ties (few distinct vectors), near ties (tiny noise), zero rows, several relevant images."""
    texts, images, dim = draw(st.integers(1, 40)), draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 8, 33]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = rng.standard_normal((draw(st.integers(1, 6)), dim))
    if draw(st.booleans()):
        kinds[0] = 0
    noise = draw(st.sampled_from([0.0, 1e-7, 3e-6, 1e-3, 1.0]))
    t = kinds[rng.integers(0, len(kinds), texts)] + noise * rng.standard_normal((texts, dim))
    v = kinds[rng.integers(0, len(kinds), images)] + noise * rng.standard_normal((images, dim))
    text_index = np.concatenate([np.arange(texts), rng.integers(0, texts, 5)])
    image_index = rng.integers(0, images, len(text_index))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    return t.astype(dtype), v.astype(dtype), text_index, image_index


@settings(max_examples=150, deadline=None)
@given(problems(), st.integers(1, 45), st.integers(1, 45), st.integers(1, 3))
def test_rank__equals_brute_force_whatever_the_block(problem, height, width, threads):
    check(rank(*problem, block=(height, width), threads=threads), brute_force(*problem))


@pytest.mark.parametrize("few", [-1.0, 1.0])
@settings(max_examples=60, deadline=None)
@given(problem=problems(), subset=st.sampled_from([0.0, 1.1]))
def test_rank__does_not_depend_on_how_scores_are_counted(few, problem, subset):
    """One by one or in bulk, over all queries of a slot or over those that have it: choices of speed alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_FEW", few)
        patch.setattr(counting, "_SUBSET", subset)
        check(rank(*problem), brute_force(*problem))


@settings(max_examples=60, deadline=None)
@given(problem=problems(), entries=st.integers(1, 400))
def test_rank__on_a_device_of_torch(problem, entries):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting_torch, "ENTRIES", entries)
        check(rank(*problem, device="cpu:0"), brute_force(*problem))


@pytest.mark.gpu
def test_rank__on_a_gpu_equals_the_processor():
    rng = np.random.default_rng(7)
    images = rng.standard_normal((1500, 128)).astype(np.float32)
    texts = images[np.arange(4000) % 1500] + 4 * rng.standard_normal((4000, 128)).astype(np.float32)
    pairs = np.arange(4000), np.arange(4000) % 1500
    here, there = rank(texts, images, *pairs), rank(texts, images, *pairs, device="cuda")
    np.testing.assert_array_equal(here.by_text.values, there.by_text.values)
    np.testing.assert_array_equal(here.by_image.values, there.by_image.values)


def test_rank__large_near_tied_problem_does_not_depend_on_block_or_threads():
    rng = np.random.default_rng(1)
    base = rng.standard_normal((1, 48))
    texts = base + 1e-3 * rng.standard_normal((700, 48))  # scores differ by about 1e-6: float32 cannot order them
    images = base + 1e-3 * rng.standard_normal((300, 48))
    pairs = np.arange(700), np.arange(700) % 290
    first = rank(texts, images, *pairs)
    assert len(np.unique(first.text)) > 100
    for block, threads in (((1, 300), 1), ((64, 7), 2), ((255, 299), 3), ((700, 1), 1), ((10_000, 10_000), 2)):
        again = rank(texts, images, *pairs, block=block, threads=threads)
        np.testing.assert_array_equal(again.text, first.text)
        np.testing.assert_array_equal(again.image, first.image)


def test_rank__does_not_depend_on_the_order_of_the_gallery():
    rng = np.random.default_rng(2)
    images = np.repeat(rng.standard_normal((20, 16)), 3, axis=0)  # every image three times: ties everywhere
    texts = rng.standard_normal((60, 16)) + images
    order = rng.permutation(60)
    plain = rank(texts, images, np.arange(60), np.arange(60))
    moved = rank(texts, images[order], np.arange(60), np.argsort(order))
    np.testing.assert_array_equal(plain.text, moved.text)
    np.testing.assert_array_equal(plain.image[order], moved.image)


def test_rank__more_columns_than_one_packed_sum_holds():
    rng = np.random.default_rng(3)
    texts, images = rng.standard_normal((300, 4)), rng.standard_normal((4500, 4))
    pairs = np.arange(300), rng.integers(0, 4500, 300)
    scores = UnitVectors(texts).values.astype(float) @ UnitVectors(images).values.astype(float).T
    own = scores[pairs]
    scores[pairs] = -np.inf
    np.testing.assert_array_equal(rank(texts, images, *pairs, block=(512, 5000)).text, 1 + (scores >= own[:, None]).sum(axis=1))


@pytest.mark.parametrize("constant", [np.ones(8), np.zeros(8), -np.arange(8.0)])
def test_rank__constant_scorer_finds_nothing(constant):
    texts, images = np.tile(constant, (90, 1)), np.tile(constant, (30, 1))
    found = rank(texts, images, np.arange(90), np.repeat(np.arange(30), 3))
    assert (found.text == 30).all()  # 29 irrelevant images
    assert (found.image == 88).all()  # 87 irrelevant captions


def test_rank__scale_of_the_vectors_does_not_matter():
    rng = np.random.default_rng(4)
    texts, images, pairs = rng.standard_normal((50, 8)), rng.standard_normal((20, 8)), (np.arange(50), np.arange(50) % 20)
    plain = rank(texts, images, *pairs)
    for scale in (2.0**-900, 2.0**900):  # squares of these leave the range of float64
        np.testing.assert_array_equal(rank(texts * scale, images, *pairs).text, plain.text)
    np.testing.assert_array_equal(rank((texts * 2**10).astype(np.float16), images, *pairs).texts, 50)


def test_rank__perfect_system_and_images_without_captions():
    images = np.eye(6)
    found = rank(images[[4, 1, 4]], images, [0, 1, 2], [4, 1, 4])
    assert found.text.tolist() == [1, 1, 1]
    assert found.image_index.tolist() == [1, 4]
    assert found.image.tolist() == [1, 1]
    assert (found.texts, found.images) == (3, 6)
    assert listed(found.by_image) == [[1], [1, 2]]


def test_rank__repeated_pairs_count_once():
    rng = np.random.default_rng(5)
    texts, images = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    once = rank(texts, images, [0, 1, 2, 3], [0, 1, 2, 3])
    twice = rank(texts, images, [3, 0, 1, 2, 3, 0], [3, 0, 1, 2, 3, 0])
    np.testing.assert_array_equal(once.text, twice.text)
    np.testing.assert_array_equal(once.by_text.counts, twice.by_text.counts)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rank__not_a_number_is_an_error_that_names_the_row(bad, dtype):
    texts, images = np.ones((3, 4), dtype), np.ones((2, 4), dtype)
    texts[2, 1] = bad
    with pytest.raises(DataError, match="row 2 of the text vectors"):
        rank(texts, images, [0, 1, 2], [0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 4)), np.ones((2, 5)), [0, 1], [0, 1]), "4 dimensions"),
        ((np.ones((2, 4)), np.ones((2, 4)), [0, 1], [0, 2]), "row 2"),
        ((np.ones((2, 4)), np.ones((2, 4)), [0, -1], [0, 1]), "row -1"),
        ((np.ones((2, 4)), np.ones((2, 4)), [0], [0]), "1 captions have no relevant image"),
        ((np.ones((2, 4)), np.ones((2, 4)), [0, 1], [0]), "2 and 1"),
        ((np.ones((2, 4)), np.ones((2, 4)), [0.0, 1.0], [0, 1]), "integers"),
        ((np.ones(4), np.ones((2, 4)), [0], [0]), "matrix"),
        ((np.array([["a"]]), np.ones((2, 1)), [0], [0]), "matrix"),
    ],
)
def test_rank__wrong_input(arguments, message):
    with pytest.raises(DataError, match=message):
        rank(*arguments)


def test_rank__nothing_to_rank():
    found = rank(np.ones((0, 4)), np.ones((3, 4)), [], [])
    assert found.text.size == 0
    assert found.image.size == 0


def test_unit_vectors__zero_rows_are_reported(caplog):
    UnitVectors(np.array([[0.0, 0.0], [3.0, 4.0]]), "caption vectors")
    assert "1 of 2 caption vectors are zero" in caplog.text


def test_tolerance__is_wider_than_the_error_of_float32():
    rng = np.random.default_rng(6)
    units = UnitVectors(rng.standard_normal((400, 4096)) + 5)  # all positive: the errors of float32 add up
    error = np.abs((units.values @ units.values.T).astype(float) - units.values.astype(float) @ units.values.astype(float).T)
    assert error.max() < TOLERANCE / 2
