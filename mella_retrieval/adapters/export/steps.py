"""Heads as the layers that other libraries have: `relu(x W^T + b)` with or without the activation (methods.md, section 10)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mella_retrieval.adapters.heads import Array, Head, HubBias, Linear, ReLU, Shift
from mella_retrieval.errors import ExportError


@dataclass(frozen=True)
class Step:
    """`x W^T + b`, then max(., 0) where `relu`: weight (out, in), bias (out,)."""

    weight: Array
    bias: Array
    relu: bool = False


@dataclass(frozen=True)
class Unit:
    """Rows brought to unit length."""


def steps_of(head: Head, dim: int) -> list[Step | Unit]:
    """The layers of a head for vectors of `dim` numbers; a shift goes into the Linear beside it.

    Raises:
        ExportError: a layer that is not made of these.
    """
    steps: list[Step | Unit] = []
    shift: Array | None = None  # what the next layer still has to take off
    width = dim
    for layer in head.layers:
        if isinstance(layer, Linear):
            steps.append(_linear(layer, shift))
            shift, width = None, len(layer.bias)
        elif isinstance(layer, Shift):
            shift = layer.mean if shift is None else shift + layer.mean
        elif isinstance(layer, ReLU):
            last = steps[-1] if steps and shift is None else None
            before = last if isinstance(last, Step) else _identity(width, shift)
            steps = [*(steps[:-1] if before is last else steps), replace(before, relu=True)]
            shift = None
        elif isinstance(layer, HubBias) and not len(layer.bank):
            steps += [*([_identity(width, shift)] if shift is not None else []), Unit(), _without_bank(layer, width)]
            shift = None
        else:
            raise ExportError(
                f"the adapter's {head.chain()[head.layers.index(layer)]} layer compares with a bank of vectors; this format has "
                "only plain layers. Export with --to onnx, or train with 'hubness={weight: 0.5, texts: false}'."
            )
    if shift is not None:
        steps.append(_identity(len(shift), shift))
    return steps


def _linear(layer: Linear, shift: Array | None) -> Step:
    if shift is None:
        return Step(layer.weight, layer.bias)
    moved = layer.bias.astype(np.float64) - layer.weight.astype(np.float64) @ shift.astype(np.float64)
    return Step(layer.weight, moved.astype(np.float32))


def _identity(width: int, shift: Array | None) -> Step:
    return Step(np.eye(width, dtype=np.float32), np.zeros(width, np.float32) if shift is None else -shift)


def _without_bank(layer: HubBias, width: int) -> Step:
    """A hubness bias of zero for every row: the row itself and constants behind it."""
    probe = layer(np.eye(1, width, dtype=np.float32))
    weight = np.eye(probe.shape[1], width, dtype=np.float32)
    bias = probe[0].copy()
    bias[:width] = 0
    return Step(weight, bias)
