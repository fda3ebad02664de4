"""Hubness corrections against dense formulas in float64, whatever the blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from index_material import vector_set

from mella_retrieval.errors import ConfigError, DataError
from mella_retrieval.indexes.scoring import similarities
from mella_retrieval.indexes.scoring.bank import Bank
from mella_retrieval.indexes.scoring.csls import query_term
from mella_retrieval.indexes.scoring.methods import SCORING, fit_scoring

# Published settings, or such as fit a bank of 90.
OPTIONS = {"nnn": {"neighbours": 40}, "csls": {}, "inverted-softmax": {}, "qb-norm": {}}


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gallery (50), bank (90) and queries (30); queries share a direction, which makes hubs of the items that have much of it."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=12)
    gallery = unit(rng.normal(size=(50, 12)) + np.outer(rng.normal(size=50), common) * 0.3)
    bank = unit(gallery[rng.integers(0, 50, 90)] + 0.3 * rng.normal(size=(90, 12)) + 0.5 * common)
    queries = unit(gallery[:30] + 0.3 * rng.normal(size=(30, 12)) + 0.5 * common)
    return gallery, bank, queries


def dense(name: str, gallery: np.ndarray, bank: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Corrected scores by the formulas as published, in float64."""
    gallery, bank, queries = (part.astype(np.float64) for part in (gallery, bank, queries))
    scores, to_bank = queries @ gallery.T, gallery @ bank.T
    if name == "nnn":
        return scores - 0.75 * np.sort(to_bank, axis=1)[:, -40:].mean(1)
    if name == "csls":
        r_items, r_queries = np.sort(to_bank, axis=1)[:, -10:].mean(1), np.sort(scores, axis=1)[:, -10:].mean(1)
        return 2 * scores - r_queries[:, None] - r_items
    inverted = np.exp(20 * scores) / np.exp(20 * to_bank).sum(1)
    if name == "inverted-softmax":
        return inverted
    active = set((bank @ gallery.T).argmax(1))
    return np.array([inv if row.argmax() in active else np.exp(20 * row) for inv, row in zip(inverted, scores, strict=True)])


@pytest.mark.parametrize("block", [1, 7, 50, 1000])
@pytest.mark.parametrize("name", SCORING)
def test_the_order_is_that_of_the_published_formula(world, monkeypatch, name: str, block: int):
    gallery, bank, queries = world
    for function in ("mean_of_nearest", "log_sum_exp", "first_hits"):
        whole = getattr(similarities, function)
        monkeypatch.setattr(whole, "__defaults__", (block,))
    found = fit_scoring(name, gallery, Bank(bank), **OPTIONS[name])
    rescored = found.rescore(queries @ gallery.T)
    np.testing.assert_array_equal(np.argsort(-rescored, axis=1), np.argsort(-dense(name, *world), axis=1))
    assert found.bias.dtype == np.float32 and found.folds is SCORING[name].folds


def test_biases_are_exact_to_float32(world):
    gallery, bank, queries = world
    scores = queries @ gallery.T
    plain = scores.astype(np.float64)
    np.testing.assert_allclose(
        fit_scoring("nnn", gallery, Bank(bank), neighbours=40).rescore(scores), dense("nnn", *world), atol=1e-6
    )
    softmax = fit_scoring("inverted-softmax", gallery, Bank(bank)).rescore(scores)
    np.testing.assert_allclose(softmax, np.log(dense("inverted-softmax", *world)) / 20, atol=1e-6)
    csls = 2 * fit_scoring("csls", gallery, Bank(bank)).rescore(plain) - query_term(queries, gallery)[:, None]
    np.testing.assert_allclose(csls, dense("csls", *world), atol=1e-6)


def test_csls_ranks_like_nnn_with_half_the_mean_of_ten(world):
    gallery, bank, _ = world
    csls, nnn = (
        fit_scoring(*call[:1], gallery, Bank(bank), **call[1])
        for call in (("csls", {}), ("nnn", {"weight": 0.5, "neighbours": 10}))
    )
    np.testing.assert_array_equal(csls.bias, nnn.bias)


def test_corrections_find_what_hubs_hide(world):
    gallery, bank, queries = world
    right = np.arange(len(queries))
    plain = ((queries @ gallery.T).argmax(1) == right).mean()
    for name in SCORING:
        found = fit_scoring(name, gallery, Bank(bank), **OPTIONS[name])
        assert (found.rescore(queries @ gallery.T).argmax(1) == right).mean() > plain + 0.1, name


def test_qb_norm_leaves_queries_alone_whose_first_hit_is_no_hub(world):
    gallery, bank, queries = world
    few = Bank(bank[:5])
    found = fit_scoring("qb-norm", gallery, few)
    softmax = fit_scoring("inverted-softmax", gallery, few)
    scores = queries @ gallery.T
    corrected = np.isin(scores.argmax(1), (bank[:5] @ gallery.T).argmax(1))
    assert 0 < corrected.sum() < len(queries)
    np.testing.assert_array_equal(found.weights(scores.argmax(1)), corrected)
    np.testing.assert_array_equal(found.rescore(scores)[corrected], softmax.rescore(scores)[corrected])
    np.testing.assert_array_equal(found.rescore(scores)[~corrected], scores[~corrected])


def test_with_the_test_as_its_bank_qb_norm_is_the_inverted_softmax(world):
    gallery, _, queries = world
    bank = Bank(queries, transductive=True)
    qb, softmax = (fit_scoring(name, gallery, bank) for name in ("qb-norm", "inverted-softmax"))
    np.testing.assert_array_equal(qb.rescore(queries @ gallery.T), softmax.rescore(queries @ gallery.T))
    assert (qb.name, softmax.name) == ("qb-norm, transductive", "inverted-softmax, transductive")
    assert fit_scoring("qb-norm", gallery, Bank(queries)).name == "qb-norm"


def test_equal_best_items_the_first_row_counts():
    gallery = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)  # rows 0 and 1 are equal
    found = fit_scoring("qb-norm", gallery, Bank(np.eye(3, dtype=np.float32)[:1]))
    assert found.hubs.tolist() == [True, False, False, False, False, False]
    assert similarities.first_hits(gallery, Bank(np.eye(3, dtype=np.float32)[:1]), block=1).tolist() == found.hubs.tolist()
    assert found.weights(np.array([1, 0])).tolist() == [0, 1]


def test_a_stored_bank_is_carried_into_the_space(world, tmp_path: Path):
    gallery, bank, _ = world
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))[0].astype(np.float32)
    stored = vector_set(tmp_path / "bank", bank @ turn, [f"q{row}" for row in range(90)], split=["train", "test"] * 45)
    whole = fit_scoring("csls", gallery, Bank(stored, carry=lambda rows: rows @ turn.T))
    np.testing.assert_allclose(whole.bias, fit_scoring("csls", gallery, Bank(bank)).bias, atol=1e-6)
    part = fit_scoring("csls", gallery, Bank(stored.select({"split": "train"}), carry=lambda rows: rows @ turn.T))
    np.testing.assert_allclose(part.bias, fit_scoring("csls", gallery, Bank(bank[::2])).bias, atol=1e-6)


def test_banks_that_cannot_be_used(world):
    gallery, bank, queries = world
    with pytest.raises(DataError, match="128 nearest reference queries was asked for, but the bank holds 90; lower k"):
        fit_scoring("nnn", gallery, Bank(bank))
    for name in SCORING:
        with pytest.raises(DataError, match=r"empty|holds 0"):
            fit_scoring(name, gallery, Bank(bank[:0]))
        with pytest.raises(DataError, match=r"12 dimensions are expected"):
            fit_scoring(name, gallery, Bank(bank[:, :8]), **OPTIONS[name])
        for part, what in ((0, "gallery"), (1, "bank of reference queries")):
            broken = [gallery.copy(), bank.copy()]
            broken[part][3, 2] = np.nan
            with pytest.raises(DataError, match=f"{what}, from row 0: row 3 is a vector with NaN"):
                fit_scoring(name, broken[0], Bank(broken[1]), **OPTIONS[name])
    found = fit_scoring("csls", gallery, Bank(bank))
    with pytest.raises(DataError, match="NaN"):
        found.rescore(np.full((1, 50), np.nan))
    with pytest.raises(DataError, match="fitted to 50 items"):
        found.rescore(queries @ gallery[:20].T)


def test_options_are_checked(world):
    gallery, bank, _ = world
    for name, options in (
        ("nnn", {"weight": 0}),
        ("nnn", {"neighbours": 0}),
        ("csls", {"k": 10}),
        ("inverted-softmax", {"sharpness": -1}),
        ("qb-norm", {"sharpness": float("nan")}),
    ):
        with pytest.raises(ConfigError, match=f"options of {name}"):
            fit_scoring(name, gallery, Bank(bank), **options)
    with pytest.raises(ConfigError, match=r"no scoring 'nnm'. Did you mean 'nnn'"):
        fit_scoring("nnm", gallery, Bank(bank))
