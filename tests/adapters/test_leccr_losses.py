"""LECCR's losses on hand cases: the mended formulas, and those of the public repository where they differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mella_retrieval.adapters.gradient import unit
from mella_retrieval.adapters.leccr import losses
from mella_retrieval.adapters.leccr.slots import Enriched, SceneBatch
from mella_retrieval.adapters.methods.leccr import LeccrConfig, TextBatch, leccr_loss


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def normed(*shape: int, seed: int = 0) -> Tensor:
    return unit(torch.from_numpy(np.random.default_rng(seed).normal(size=shape)))


# Contrastive matching -----------------------------------------------------------------------------------------------


def test_other_texts_of_a_picture_count_as_nothing_and_in_public_as_wrong():
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.5, 3.0, -1.0], [1.0, 0.0, 2.0]])
    owner = torch.tensor([4, 4, 7])
    e = np.exp(logits.numpy())
    ways = [
        (2, [0.0]),
        (3, [-1.0]),
        (2, [1.0, 0.0]),
        (2, [1.0]),
        (3, [0.0]),
        (2, [0.0, -1.0]),
    ]  # own score and wrong ones, by hand
    by_hand = np.mean([-np.log(np.exp(own) / (np.exp(own) + np.exp(wrong).sum())) for own, wrong in ways])
    mended = losses.matching(logits, losses.neither(owner, public=False)).item()
    public = losses.matching(logits, losses.neither(owner, public=True)).item()
    assert mended == pytest.approx(by_hand, rel=1e-5)
    assert public == pytest.approx(
        -np.mean([np.log(e[i, i] / e[i].sum()) + np.log(e[i, i] / e[:, i].sum()) for i in range(3)]) / 2
    )


def test_equal_similarities_cost_the_logarithm_of_the_rows():
    assert losses.matching(torch.zeros(5, 5)).item() == pytest.approx(math.log(5))
    one_picture_each = losses.neither(torch.tensor([0, 0, 1, 1]), public=False)
    assert losses.matching(torch.zeros(4, 4), one_picture_each).item() == pytest.approx(math.log(3))


# Slots --------------------------------------------------------------------------------------------------------------


def test_the_best_slot_is_a_cosine_and_in_public_a_product():
    local = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, -3.0], [1.0, 1.0]]])
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    root = 0.5**0.5
    assert torch.allclose(losses.best_slot(local, texts), torch.tensor([[1.0, 1.0, 0.8], [root, root, 1.4 * root]]))
    assert torch.allclose(losses.best_slot(local, texts, public=True), torch.tensor([[2.0, 1.0, 1.2], [1.0, 1.0, 1.4]]))


@pytest.mark.parametrize("public", [False, True])
def test_the_regulariser_squares_the_cosine_unless_public(public: bool):
    opposite = torch.tensor([[[1.0, 0.0], [-2.0, 0.0]]])
    assert losses.apart(opposite, public).item() == pytest.approx(-0.5 if public else 0.5)  # two of four pairs, the own ones 0
    upright = torch.tensor([[[1.0, 0.0], [0.0, 5.0]]])
    assert losses.apart(upright, public).item() == pytest.approx(0)


def test_slots_against_patches_is_the_mean_of_all_cosines():
    slots, patches = normed(3, 2, 4) * 3, normed(3, 5, 4, seed=1) * 0.1
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    similar = np.zeros((3, 3))
    for b in range(3):
        for k in range(3):
            own = [p for p, seen in zip(patches[k], mask[k], strict=True) if seen]
            similar[b, k] = np.mean([functional.cosine_similarity(s, p, dim=0) for s in slots[b] for p in own])
    rows = [-np.log(softmax(x)[i]) for one in (similar / 0.2, similar.T / 0.2) for i, x in enumerate(one)]
    assert losses.slots_and_patches(slots, patches, mask, 0.2).item() == pytest.approx(np.mean(rows), rel=1e-6)


def test_public_slots_and_patches_normalises_over_tokens_has_no_temperature_and_one_direction():
    slots, patches = normed(2, 3, 4) * 3, normed(2, 5, 4, seed=1)
    s = slots.numpy() / np.linalg.norm(slots.numpy(), axis=1, keepdims=True)
    p = patches.numpy() / np.linalg.norm(patches.numpy(), axis=1, keepdims=True)
    similar = np.array([[np.mean(s[b] @ p[k].T) for k in range(2)] for b in range(2)])
    expected = np.mean([-np.log(softmax(similar[b])[b]) for b in range(2)])
    mask = torch.ones(2, 5, dtype=torch.bool)
    assert losses.public_slots_and_patches(slots, patches, mask).item() == pytest.approx(expected, rel=1e-6)


# Softened matching --------------------------------------------------------------------------------------------------


def divergence(teacher: np.ndarray, student: np.ndarray) -> float:
    """Mean over rows of KL(softmax(teacher) || softmax(student))."""
    total = 0.0
    for t, s in zip(teacher, student, strict=True):
        p, q = softmax(t), softmax(s)
        total += float((p * np.log(p / q)).sum())
    return total / len(teacher)


def test_softened_matching_keeps_orientation_and_temperature_both_ways():
    english, target = normed(4, 3).requires_grad_(), normed(4, 3, seed=1).requires_grad_()
    found = losses.softened_matching(english, target, 0.1)
    e, t = english.detach().numpy() / 0.1, target.detach().numpy() / 0.1
    assert found.item() == pytest.approx((divergence(e, t) + divergence(e.T, t.T)) / 2, rel=1e-6)
    found.backward()
    assert english.grad is None  # the teacher is not taught
    assert target.grad is not None and target.grad.abs().sum() > 0
    assert losses.softened_matching(target, target, 0.07).item() == pytest.approx(0, abs=1e-9)


def test_a_sharp_teacher_is_far_from_uniform_and_the_public_one_is_not():
    """The trap: without a temperature the teacher's distribution is all but uniform."""
    texts = images = torch.eye(50)
    best = losses.best_slot(images[:, None], texts)
    sharp = (losses.text_image(texts, images, best) / 0.1).softmax(1)
    blunt = (texts @ images.T).softmax(1)
    assert sharp[0, 0] > 0.9
    assert blunt[0, 0] < 0.06


def test_public_softened_matching_adds_the_transposed_matrix():
    english, target = normed(3, 4), normed(3, 4, seed=1)
    image, local = normed(3, 4, seed=2), normed(3, 2, 4, seed=3) * 2
    e, t = (english @ image.T).numpy(), (target @ image.T).numpy()
    best = np.array([[max(float(s @ text) for s in slots) for text in english] for slots in local])  # pictures x texts

    def scaled(x: np.ndarray) -> np.ndarray:
        return (x - x.min()) / (x - x.min()).max()

    as_published = divergence(0.8 * scaled(e) + 0.2 * scaled(best), t)
    upright = divergence(0.8 * scaled(e) + 0.2 * scaled(best).T, t)
    found = losses.public_softened_matching(
        english @ image.T, losses.best_slot(local, english, public=True), target @ image.T
    ).item()
    assert found == pytest.approx(as_published, rel=1e-6)
    assert abs(found - upright) > 1e-4


# The sum ------------------------------------------------------------------------------------------------------------


def batch() -> tuple[Enriched, SceneBatch, TextBatch]:
    """Three pictures; the second has no English text and the third no description."""
    out = Enriched(
        normed(3, 4) * 2, normed(3, 2, 4, seed=1), normed(3, 2, 4, seed=2), normed(3, 2, 4, seed=3), normed(3, 5, 4, seed=4)
    )
    described = torch.tensor([[True], [True], [False]])
    scenes = SceneBatch(
        torch.zeros(3, 1), torch.zeros(3, 5, 1), torch.ones(3, 5, dtype=torch.bool), torch.zeros(3, 1, 1), described,
        torch.zeros(3, 1, 1), described,
    )  # fmt: skip
    owner = torch.tensor([0, 0, 1, 1, 2, 2])
    has = torch.tensor([True, True, False, False, True, True])
    return out, scenes, TextBatch(owner, normed(6, 4, seed=5), normed(6, 4, seed=6), has, torch.ones(6, dtype=torch.bool))


WEIGHTS = ("english", "target", "soft", "languages", "slot", "across", "apart")


def only(name: str, **options: object) -> float:
    values = dict.fromkeys(WEIGHTS, 0.0) | {name: 1.0}
    return leccr_loss(*batch(), LeccrConfig(**values, **options)).item()  # type: ignore[arg-type]


@pytest.mark.parametrize("public", [False, True])
def test_the_loss_is_the_weighted_sum_of_its_terms(public: bool):
    weights = {"english": 0.7, "target": 1.3, "soft": 0.4, "languages": 0.6, "slot": 0.2, "across": 0.3, "apart": 0.5}
    parts = {name: only(name, public_behaviour=public) for name in WEIGHTS}
    expected = (
        sum(weight * parts[name] for name, weight in weights.items()) - 0.4 * 1.3 * parts["target"]
    )  # (1 - a) NCE(h_v, h_t)
    found = leccr_loss(*batch(), LeccrConfig(public_behaviour=public, **weights)).item()  # type: ignore[arg-type]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["english", "target", "soft", "languages", "slot", "across", "apart"])
def test_every_term_counts_and_is_another_in_public(name: str):
    assert abs(only(name) - only(name, public_behaviour=True)) > 1e-4


def test_rows_without_english_are_left_out_of_the_english_terms():
    out, scenes, texts = batch()
    has = texts.has_english
    config = LeccrConfig(target=0, soft=0, languages=0, slot=0, across=0, apart=0)
    logits = unit(out.glob)[texts.owner[has]] @ texts.english[has].T / config.temperature
    expected = losses.matching(logits, losses.neither(texts.owner[has], public=False))
    assert leccr_loss(out, scenes, texts, config).item() == pytest.approx(expected.item(), rel=1e-6)
    texts.english[~has] = math.nan  # whatever stands there
    assert math.isfinite(leccr_loss(out, scenes, texts, LeccrConfig()).item())


def test_a_batch_of_one_language_only_has_the_terms_of_that_language():
    out, scenes, texts = batch()
    none = torch.zeros(6, dtype=torch.bool)
    english_only = TextBatch(texts.owner, texts.english, texts.target, torch.ones(6, dtype=torch.bool), none)
    value = leccr_loss(out, scenes, english_only, LeccrConfig(across=0, apart=0, slot=0)).item()
    logits = unit(out.glob)[texts.owner] @ texts.english.T / 0.1
    assert value == pytest.approx(losses.matching(logits, losses.neither(texts.owner, public=False)).item(), rel=1e-6)
