"""The held-out value: mean reciprocal rank, ties and NaN against the partner, languages weighing alike."""

from __future__ import annotations

import numpy as np

from mella_retrieval.adapters.selection import mean_reciprocal_rank

GALLERY = np.eye(4, dtype=np.float32)


def test_ranks_by_hand():
    queries = np.array([[1, 0, 0, 0], [0.9, 0.5, 0, 0], [0.9, 0.8, 0.7, 0]], np.float32)
    assert mean_reciprocal_rank(queries, GALLERY, np.array([0, 1, 2])) == np.mean([1, 1 / 2, 1 / 3])


def test_ties_count_against_the_partner():
    assert mean_reciprocal_rank(np.ones((1, 4), np.float32), GALLERY, np.array([0])) == 1 / 4


def test_a_collapsed_or_broken_query_is_worth_nothing():
    broken = np.full((2, 4), np.nan, np.float32)
    assert mean_reciprocal_rank(broken, GALLERY, np.array([0, 1])) == 1 / 4


def test_languages_weigh_alike():
    queries = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0.9, 0.5, 0, 0]], np.float32)
    value = mean_reciprocal_rank(queries, GALLERY, np.array([0, 0, 0, 1]), ["cs", "cs", "cs", "hu"])
    assert value == (1 + 1 / 2) / 2


def test_blocks_do_not_matter():
    generator = np.random.default_rng(0)
    queries, gallery = (generator.normal(size=(100, 8)).astype(np.float32) for _ in range(2))
    partner = generator.permutation(100)
    assert mean_reciprocal_rank(queries, gallery, partner, block=7) == mean_reciprocal_rank(queries, gallery, partner)
