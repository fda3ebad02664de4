"""Heads: plain layers that equal the torch chain they were folded from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mella_retrieval.adapters.heads import Head, Linear, ReLU, Shift, centred_map, centring, fold
from mella_retrieval.adapters.methods.uclip import build_head
from mella_retrieval.errors import ArtifactError


@pytest.fixture
def trained_chain() -> nn.Sequential:
    """Linear, BatchNorm, ReLU, Linear with running statistics and scales that are not the initial ones."""
    torch.manual_seed(0)
    chain = nn.Sequential(nn.Linear(20, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 12))
    nn.init.normal_(chain[1].weight, 1, 0.5)
    nn.init.normal_(chain[1].bias, 0, 0.5)
    for _ in range(20):
        chain(torch.randn(64, 20) * 3 + 1)
    return chain.eval()


def test_a_folded_head_equals_the_torch_chain(trained_chain: nn.Sequential):
    x = torch.randn(50, 20) * 3 + 1
    with torch.no_grad():
        expected = functional.normalize(trained_chain(x), dim=1).numpy()
    head = fold(trained_chain)
    assert head.chain() == ["linear", "relu", "linear"]
    assert np.abs(head(x.numpy()) - expected).max() < 1e-5


def test_folding_uses_the_running_statistics_whatever_the_mode(trained_chain: nn.Sequential):
    before = fold(trained_chain)
    after = fold(trained_chain.train())
    x = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
    assert np.array_equal(before(x), after(x))


def test_a_linear_without_bias_folds():
    layer = nn.Linear(4, 3, bias=False)
    x = torch.randn(6, 4)
    expected = functional.normalize(layer(x), dim=1).detach().numpy()
    assert np.allclose(fold(nn.Sequential(layer))(x.numpy()), expected, atol=1e-6)


@pytest.mark.parametrize("chain", [[nn.BatchNorm1d(4)], [nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4)], [nn.GELU()]])
def test_what_is_not_such_a_chain_is_refused(chain: list[nn.Module]):
    with pytest.raises(TypeError, match="cannot be folded"):
        fold(nn.Sequential(*chain))


@pytest.mark.parametrize(("d_x", "d", "expected"), [(768, 512, 3_023_360), (768, 768, 3_942_400), (384, 512, 1_743_104)])
def test_uclip_heads_have_the_published_numbers_of_parameters(d_x: int, d: int, expected: int):
    heads = nn.ModuleList([build_head(d_x), build_head(d)])
    assert sum(value.numel() for value in heads.parameters()) == expected


def test_a_centred_map_subtracts_the_mean_and_adds_none_back():
    generator = np.random.default_rng(0)
    x, mean, weight = generator.normal(size=(7, 5)), generator.normal(size=5), generator.normal(size=(5, 3))
    expected = (x - mean) @ weight
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(centred_map(mean, weight)(x), expected, atol=1e-5)


def test_centring_subtracts_the_mean():
    v = np.array([[3.0, 1.0], [1.0, 5.0]])
    assert np.allclose(centring(np.array([1.0, 1.0]))(v), [[1, 0], [0, 1]])


def test_an_empty_head_leaves_unit_vectors_as_they_are_bit_for_bit():
    vectors = np.random.default_rng(0).normal(size=(500, 512))
    stored = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    assert np.array_equal(Head()(stored), stored)


def test_an_empty_head_normalises_what_is_not_of_unit_length():
    assert np.allclose(Head()(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])
    half = np.float16(1) / np.sqrt(np.float16(512)) * np.ones((1, 512), np.float16)
    assert abs(np.linalg.norm(Head()(half)) - 1) < 1e-6


def test_a_head_comes_back_from_its_arrays_bit_for_bit():
    generator = np.random.default_rng(0)
    layers = (
        Shift(generator.normal(size=5).astype(np.float32)),
        Linear(generator.normal(size=(8, 5)).astype(np.float32), generator.normal(size=8).astype(np.float32)),
        ReLU(),
        Linear(generator.normal(size=(3, 8)).astype(np.float32), np.zeros(3, np.float32)),
    )
    head = Head(layers)
    again = Head.from_tensors(head.chain(), head.tensors("text."), "text.")
    x = generator.normal(size=(9, 5)).astype(np.float32)
    assert np.array_equal(head(x), again(x))
    assert head.parameters == again.parameters == 5 + 8 * 5 + 8 + 3 * 8 + 3


def test_layers_with_two_digit_numbers_are_not_confused():
    layers = tuple(Shift(np.full(2, number, np.float32)) for number in range(12))
    again = Head.from_tensors(["shift"] * 12, Head(layers).tensors("t."), "t.")
    assert [int(layer.mean[0]) for layer in again.layers if isinstance(layer, Shift)] == list(range(12))


def test_an_unknown_layer_and_a_missing_array_are_refused():
    tensors = Head((Shift(np.zeros(2, np.float32)),)).tensors("t.")
    with pytest.raises(ArtifactError, match="unknown kind 'attention'"):
        Head.from_tensors(["attention"], tensors, "t.")
    with pytest.raises(ArtifactError, match=r"t\.0 \(linear\)"):
        Head.from_tensors(["linear"], tensors, "t.")
