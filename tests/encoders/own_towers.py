"""Towers as a user would write them; `module:own_towers:Class` in the tests."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from safetensors.torch import load_file
from torchvision import transforms
from torchvision.models import squeezenet1_0


class SqueezeNet:
    """Square roots of SqueezeNet's pooled features."""

    def __init__(self, weights: str) -> None:
        self.net = squeezenet1_0(weights=None)
        self.net.load_state_dict(load_file(weights))
        normalise = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        self.prepare = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalise])

    def encode(self, batch: torch.Tensor) -> torch.Tensor:
        return self.encode_with_tokens(batch)[0]

    def encode_with_tokens(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self.net.features(batch).flatten(2).transpose(1, 2)
        return tokens.mean(dim=1).sqrt(), tokens


class Colours:
    """An image tower without torch modules, and with an option."""

    version = "1"

    def __init__(self, power: str = "1") -> None:
        self.power = float(power)

    def prepare(self, image):  # type: ignore[no-untyped-def]
        return torch.from_numpy(np.array(image.resize((4, 4))))

    def encode(self, batch):  # type: ignore[no-untyped-def]
        return (batch.float().mean(dim=(1, 2)) ** self.power).numpy()


class Letters:
    """A text tower: counts of letters."""

    modality = "text"
    weights = "none needed"
    text_preparation: ClassVar = {"lower_case": True}
    max_tokens = 10

    def encode(self, texts: list[str]) -> list[list[int]]:
        return [[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]

    def count_tokens(self, texts: list[str]) -> list[int]:
        return [len(text) for text in texts]


class Broken(Colours):
    def encode(self, batch):  # type: ignore[no-untyped-def]
        raise KeyError("no such layer")


class Flat(Colours):
    def encode(self, batch):  # type: ignore[no-untyped-def]
        return np.ones(7)
