"""Heads as plain layers of other libraries: whatever the order of their parts, the vectors stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from export_material import numbers

from mella_retrieval.adapters.export.steps import Step, Unit, steps_of
from mella_retrieval.adapters.heads import Head, HubBias, Linear, ReLU, Shift
from mella_retrieval.errors import ExportError

WIDE = Linear(numbers(9, 6, seed=1), numbers(9, seed=2))
NARROW = Linear(numbers(4, 9, seed=3), numbers(4, seed=4))
OFF = Shift(numbers(6, seed=5))
NO_BANK = HubBias(np.empty((0, 6), np.float32), np.array([0.5, 4], np.float32), np.array([0], np.float32))


def run(steps: list[Step | Unit], x: np.ndarray) -> np.ndarray:
    for step in steps:
        if isinstance(step, Unit):
            x = x / np.linalg.norm(x, axis=1, keepdims=True)
            continue
        x = x @ step.weight.T + step.bias
        x = np.maximum(x, 0) if step.relu else x
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("layers", "steps"),
    [
        ((), 0),
        ((OFF,), 1),
        ((OFF, OFF), 1),
        ((WIDE,), 1),
        ((OFF, WIDE), 1),
        ((OFF, OFF, WIDE, ReLU(), NARROW), 2),
        ((WIDE, Shift(numbers(9, seed=6)), NARROW), 2),
        ((WIDE, Shift(numbers(9, seed=6)), ReLU(), NARROW), 3),
        ((WIDE, ReLU(), NARROW, Shift(numbers(4, seed=7))), 3),
        ((ReLU(), WIDE), 2),
        ((OFF, ReLU(), WIDE), 2),
        ((WIDE, NO_BANK), 3),
        ((OFF, NO_BANK), 3),
        ((NO_BANK,), 2),
    ],
)
def test_a_head_becomes_as_few_layers_as_it_needs(layers: tuple, steps: int):
    head, x = Head(layers), numbers(20, 6, seed=8) * 3
    found = steps_of(head, 6)
    assert len(found) == steps
    assert np.abs(run(found, x) - head(x)).max() < 1e-6


def test_a_layer_that_looks_into_a_bank_is_no_plain_layer():
    head = Head((WIDE, HubBias(numbers(30, 9), np.array([0.5, 4], np.float32), np.array([0], np.float32))))
    with pytest.raises(ExportError, match="hub_bias layer compares with a bank"):
        steps_of(head, 6)
