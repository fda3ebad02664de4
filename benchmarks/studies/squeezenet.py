"""A user's own image tower: `module:squeezenet:SqueezeNet?weights=PATH`. This is all that is needed."""

from __future__ import annotations

import torch
import torchvision
from PIL.Image import Image
from safetensors.torch import load_file


class SqueezeNet:
    """SqueezeNet 1.0, ImageNet weights: the square root of the mean of 13 x 13 token vectors, 512 dimensions."""

    def __init__(self, weights: str) -> None:
        self.model = torchvision.models.squeezenet1_0()
        self.model.load_state_dict(load_file(weights))
        self.transform = torchvision.models.SqueezeNet1_0_Weights.IMAGENET1K_V1.transforms()

    def prepare(self, image: Image) -> torch.Tensor:
        """Resize, crop and normalise, as torchvision does for these weights."""
        return self.transform(image)

    def encode(self, batch: torch.Tensor) -> torch.Tensor:
        """(n, 3, 224, 224) -> (n, 512)."""
        return self.model.features(batch).mean(dim=(2, 3)).sqrt()
