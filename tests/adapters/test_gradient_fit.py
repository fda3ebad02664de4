"""The training loop of small heads: best epoch kept, seeded, and loud when it fails."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from mella_retrieval.adapters.fitting import FitConfig, Problem, fit, require_spread
from mella_retrieval.errors import ConfigError, TrainingError
from mella_retrieval.recipes import build_config


class Counter(nn.Module):
    """One weight; the loss drives it upwards."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


def run(module: Counter, measured: list[float], seen: list[float] | None = None, **options: float) -> dict[str, object]:
    values = iter(measured)

    def measure() -> float:
        assert not module.training
        assert not torch.is_grad_enabled()
        if seen is not None:
            seen.append(module.weight.item())
        return next(values)

    config = build_config(FitConfig, {"epochs": len(measured), "batch_size": 4, "weight_decay": 0, **options}, "test")
    return fit(Problem(module, lambda rows: -module.weight.sum(), measure, 8), config, torch.Generator().manual_seed(0))


def test_the_weights_of_the_best_epoch_are_kept():
    module, seen = Counter(), []
    report = run(module, [0.1, 0.5, 0.3, 0.2], seen)
    assert len(set(seen)) == 4
    assert module.weight.item() == seen[1]
    assert report == {"per_epoch": [0.1, 0.5, 0.3, 0.2], "kept_epoch": 2, "steps": 8}
    assert not module.training


def test_of_equal_epochs_the_last_is_kept_and_reported():
    module, seen = Counter(), []
    report = run(module, [0.2, 0.7, 0.7, 0.1], seen)
    assert report["kept_epoch"] == 3
    assert module.weight.item() == seen[2]


def test_the_learning_rate_falls_linearly_to_zero():
    """AdamW's step for a constant gradient is the learning rate."""
    module, seen = Counter(), []
    run(module, [0.1, 0.2, 0.3, 0.4], seen, learning_rate=0.8)
    expected = [0.8 * sum(1 - step / 8 for step in range(2 * epoch)) for epoch in (1, 2, 3, 4)]
    assert seen == pytest.approx(expected, rel=1e-4)


def test_each_epoch_sees_every_row_once_but_for_a_smaller_last_batch():
    drawn: list[list[int]] = []
    module = Counter()

    def loss(rows: Tensor) -> Tensor:
        drawn.append(rows.tolist())
        return module.weight.sum()

    config = FitConfig(epochs=2, batch_size=4)
    fit(Problem(module, loss, lambda: 0.0, 11), config, torch.Generator().manual_seed(0))
    assert [len(batch) for batch in drawn] == [4] * 4
    first, second = drawn[0] + drawn[1], drawn[2] + drawn[3]
    assert len(set(first)) == len(set(second)) == 8
    assert first != second


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_fit(value: float):
    module = Counter()
    config = FitConfig(epochs=2, batch_size=4)
    with pytest.raises(TrainingError, match=r"loss became (nan|inf) in epoch 1; lower learning_rate"):
        fit(Problem(module, lambda rows: module.weight.sum() + value, lambda: 0.0, 8), config, torch.Generator())


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 1}, {"learning_rate": 0}, {"weight_decay": -1}])
def test_options_that_cannot_be_are_refused(bad: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        build_config(FitConfig, bad, "test")


def test_collapsed_or_broken_outputs_are_refused_and_spread_ones_are_not():
    point = nn.functional.normalize(torch.ones(10, 4) + 0.01 * torch.randn(10, 4), dim=1)
    with pytest.raises(TrainingError, match="collapsed"):
        require_spread(point)
    with pytest.raises(TrainingError, match="collapsed"):
        require_spread(torch.full((10, 4), math.nan))
    require_spread(nn.functional.normalize(torch.randn(10, 4), dim=1))
