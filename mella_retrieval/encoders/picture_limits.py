"""Limits of size, within which a picture is shown to a multimodal model."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from PIL.Image import Image, Resampling
from pydantic import Field, model_validator

from mella_retrieval.errors import ConfigError
from mella_retrieval.recipes import Strict

USUAL_PIXELS = 1280 * 28 * 28
"""About a megapixel: 1,280 image tokens of Qwen2-VL."""


class Limits(Strict):
    """Sizes of pictures as a model is shown them; its own processor may make them smaller again.

    Attributes:
        min_pixels: smaller ones are enlarged.
        max_pixels: larger ones are made smaller; 0 leaves them.
    """

    min_pixels: int = Field(default=0, ge=0)
    max_pixels: int = Field(default=USUAL_PIXELS, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        if self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels ({self.min_pixels}) is more than max_pixels ({self.max_pixels})")
        return self

    def apply(self, image: Image) -> Image:
        """The picture, resized in its own shape where it is outside the limits."""
        pixels = image.width * image.height
        if self.max_pixels and pixels > self.max_pixels:
            return _scaled(image, self.max_pixels, math.floor)
        return _scaled(image, self.min_pixels, math.ceil) if pixels < self.min_pixels else image


def limit_patches(processor: Any, patches: int, name: str) -> None:
    """Set how many tiles a model's processor cuts a picture into at most; 0 leaves what it has.

    Raises:
        ConfigError: it cuts none.
    """
    if not patches:
        return
    if not hasattr(processor.image_processor, "max_patches"):
        kind = type(processor.image_processor).__name__
        raise ConfigError(f"{name}: the image processor of this model ({kind}) cuts no tiles; leave max_patches out.")
    processor.image_processor.max_patches = patches


def _scaled(image: Image, pixels: int, rounded: Callable[[float], int]) -> Image:
    factor = math.sqrt(pixels / (image.width * image.height))
    size = [max(1, rounded(side * factor)) for side in image.size]
    return image.resize((size[0], size[1]), Resampling.BICUBIC)
