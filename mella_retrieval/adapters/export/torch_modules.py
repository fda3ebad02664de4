"""Tower and head as one torch module, which the ONNX exporter follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from mella_retrieval.adapters.heads import Head, HubBias, Layer, Linear, ReLU, Shift
from mella_retrieval.errors import ExportError

if TYPE_CHECKING:
    from mella_retrieval.encoders.torch_towers import TorchImageTower


class TextSide(nn.Module):
    """Token ids and mask (n, length) -> unit vectors (n, d)."""

    def __init__(self, model: nn.Module, head: Head) -> None:
        super().__init__()
        self.model, self.head = model, head_module(head)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """See the class."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask, "modality": "text"}
        return _headed(self.model(features)["sentence_embedding"], self.head)


class ImageSide(nn.Module):
    """Prepared pictures (n, 3, height, width) -> unit vectors (n, d)."""

    def __init__(self, tower: TorchImageTower, head: Head) -> None:
        super().__init__()
        self.model: Any = tower.model  # type: ignore[attr-defined]  # so that the exporter sees its weights
        self._pooled, self.head = tower.pooled, head_module(head)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return _headed(self._pooled(pixel_values), self.head)


def _headed(pooled: torch.Tensor, head: nn.Module) -> torch.Tensor:
    mapped: torch.Tensor = head(functional.normalize(pooled, dim=-1))
    return functional.normalize(mapped, dim=-1)


def head_module(head: Head) -> nn.Sequential:
    """A head without its last normalisation."""
    return nn.Sequential(*(_module(layer) for layer in head.layers))


def _module(layer: Layer) -> nn.Module:
    if isinstance(layer, Linear):
        linear = nn.Linear(*layer.weight.T.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weight.copy()))
            linear.bias.copy_(torch.from_numpy(layer.bias.copy()))
        return linear
    if isinstance(layer, Shift):
        return _Shift(layer)
    if isinstance(layer, ReLU):
        return nn.ReLU()
    if isinstance(layer, HubBias):
        return _HubBias(layer)
    raise ExportError(f"the adapter's layer {type(layer).__name__} cannot be exported.")


class _Shift(nn.Module):
    mean: torch.Tensor

    def __init__(self, layer: Shift) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(layer.mean.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.mean


class _HubBias(nn.Module):
    """`heads.HubBias` in torch."""

    bank: torch.Tensor

    def __init__(self, layer: HubBias) -> None:
        super().__init__()
        self.register_buffer("bank", torch.from_numpy(layer.bank.copy()))
        self.weight, self.neighbours = float(layer.settings[0]), min(int(layer.settings[1]), len(layer.bank))
        self.text = layer.side[0] == 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        unit = functional.normalize(x, dim=-1)
        bias = torch.zeros_like(unit[:, :1])
        if self.neighbours:
            bias = -self.weight * (unit @ self.bank.T).topk(self.neighbours, dim=-1).values.mean(-1, keepdim=True)
        one, none = torch.ones_like(bias), torch.zeros_like(bias)
        slack = (self.weight**2 - bias**2).clamp(min=0).sqrt()
        places = [one, bias, slack, none] if self.text else [bias, one, none, slack]
        wide = torch.cat([unit, *places], dim=-1)
        return functional.pad(wide, (0, -wide.shape[-1] % 16))
