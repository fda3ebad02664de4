"""Heads: chains of plain layers that carry a pooled vector into the shared space.

An adapter in use is numpy only. Training code builds its heads in torch and folds them into this form: in evaluation mode
BatchNorm is affine and disappears into the Linear before it (methods.md, section 10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mella_retrieval.embeddings.neighbours import mean_nearest
from mella_retrieval.errors import ArtifactError

if TYPE_CHECKING:
    from torch import nn

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Linear:
    """`x W^T + b`: weight (out, in), bias (out,)."""

    weight: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        """Map (n, in) to (n, out)."""
        return x @ self.weight.T + self.bias


@dataclass(frozen=True)
class Shift:
    """`x - mean`: centring with a stored mean of shape (d,)."""

    mean: Array

    def __call__(self, x: Array) -> Array:
        """Map (n, d) to (n, d)."""
        return x - self.mean


@dataclass(frozen=True)
class ReLU:
    """`max(x, 0)`."""

    def __call__(self, x: Array) -> Array:
        """Map (n, d) to (n, d)."""
        return np.maximum(x, 0)


@dataclass(frozen=True)
class HubBias:
    """Unit rows with their hubness bias beside them, of constant length (see `adapters/hubness.py`).

    Attributes:
        bank: (m, d) reference vectors of the other side, L2-normalised; none: a bias of zero.
        settings: weight and number of neighbours.
        side: 0 for texts, 1 for images.
    """

    bank: Array
    settings: Array
    side: Array

    def __call__(self, x: Array) -> Array:
        """Map (n, d) to (n, d + 4 and zeros up to a multiple of 16)."""
        weight, neighbours = float(self.settings[0]), int(self.settings[1])
        unit = _normalised(x)
        bias = -weight * mean_nearest(unit, self.bank, neighbours) if len(self.bank) else np.zeros(len(x), np.float32)
        place = x.shape[1]
        wide = np.zeros((len(x), -(-(place + 4) // 16) * 16), np.float32)
        wide[:, :place] = unit
        own, other, slack = (1, 0, 2) if self.side[0] == 0 else (0, 1, 3)
        wide[:, place + own] = bias
        wide[:, place + other] = 1
        wide[:, place + slack] = np.sqrt(np.maximum(weight**2 - bias**2, 0))
        return wide


Layer = Linear | Shift | ReLU | HubBias
LAYERS: dict[str, type[Linear] | type[Shift] | type[ReLU] | type[HubBias]] = {
    "linear": Linear,
    "shift": Shift,
    "relu": ReLU,
    "hub_bias": HubBias,
}


@dataclass(frozen=True)
class Head:
    """A chain of layers followed by L2 normalisation; an empty chain only normalises (unit vectors keep their bits)."""

    layers: tuple[Layer, ...] = ()

    def __call__(self, x: npt.NDArray[np.floating[Any]]) -> Array:
        """Map (n, in) to L2-normalised (n, out)."""
        y = np.asarray(x, dtype=np.float32)
        for layer in self.layers:
            y = layer(y)
        return _normalised(y)

    @property
    def parameters(self) -> int:
        """How many numbers the head holds."""
        return sum(array.size for array in self.tensors("").values())

    def tensors(self, prefix: str) -> dict[str, Array]:
        """The head's arrays by name, as an adapter file stores them."""
        return {
            f"{prefix}{number}.{name}": np.ascontiguousarray(value, np.float32)
            for number, layer in enumerate(self.layers)
            for name, value in vars(layer).items()
        }

    def chain(self) -> list[str]:
        """Names of the layers, as an adapter's configuration lists them."""
        names = {kind: name for name, kind in LAYERS.items()}
        return [names[type(layer)] for layer in self.layers]

    @classmethod
    def from_tensors(cls, chain: list[str], tensors: Mapping[str, Array], prefix: str) -> Head:
        """Build a head from its configuration and arrays.

        Raises:
            ArtifactError: an unknown layer or a missing array.
        """
        layers: list[Layer] = []
        for number, name in enumerate(chain):
            if name not in LAYERS:
                raise ArtifactError(f"the adapter has a layer of the unknown kind {name!r}; update mella-retrieval.")
            start = f"{prefix}{number}."
            arrays = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            try:
                layers.append(LAYERS[name](**arrays))
            except TypeError:
                raise ArtifactError(f"the adapter's file lacks arrays of its layer {prefix}{number} ({name}).") from None
        return cls(tuple(layers))


def _normalised(y: Array) -> Array:
    """Rows of unit length; a row that is one already, to float32's rounding, keeps its bits: an existing index stays valid."""
    norms = np.sqrt(np.einsum("ij,ij->i", y, y, dtype=np.float64))
    norms[np.abs(norms - 1) < 1e-6] = 1
    return np.asarray(y / np.maximum(norms, 1e-12).astype(np.float32)[:, None])


def centred_map(mean: npt.NDArray[Any], weight: npt.NDArray[Any]) -> Head:
    """The head `norm((x - mean) W)` for `W` of shape (in, out), as one Linear layer."""
    matrix = np.asarray(weight, np.float64)
    return Head((Linear(matrix.T.astype(np.float32), (-np.asarray(mean, np.float64) @ matrix).astype(np.float32)),))


def centring(mean: npt.NDArray[Any]) -> Head:
    """The head `norm(v - mean)`."""
    return Head((Shift(np.asarray(mean, np.float32)),))


def fold(module: nn.Sequential) -> Head:
    """Fold a torch chain of Linear, BatchNorm1d and ReLU (in evaluation mode) into a head.

    Raises:
        TypeError: another kind of module, or a BatchNorm that does not follow a Linear.
    """
    from torch import nn

    layers: list[Layer] = []
    for part in module:
        if isinstance(part, nn.Linear):
            weight = part.weight.detach().double().cpu().numpy()
            bias = np.zeros(len(weight)) if part.bias is None else part.bias.detach().double().cpu().numpy()
            layers.append(Linear(weight.astype(np.float32), bias.astype(np.float32)))
        elif isinstance(part, nn.BatchNorm1d) and layers and isinstance(layers[-1], Linear):
            layers[-1] = _fold_batch_norm(layers[-1], part)
        elif isinstance(part, nn.ReLU):
            layers.append(ReLU())
        else:
            raise TypeError(f"{type(part).__name__} cannot be folded into a head.")
    return Head(tuple(layers))


def _fold_batch_norm(linear: Linear, norm: nn.BatchNorm1d) -> Linear:
    assert norm.running_mean is not None and norm.running_var is not None
    variance = norm.running_var.double().cpu().numpy()
    scale = norm.weight.detach().double().cpu().numpy() / np.sqrt(variance + norm.eps)
    mean, shift = norm.running_mean.double().cpu().numpy(), norm.bias.detach().double().cpu().numpy()
    weight = linear.weight.astype(np.float64) * scale[:, None]
    bias = (linear.bias.astype(np.float64) - mean) * scale + shift
    return Linear(weight.astype(np.float32), bias.astype(np.float32))
