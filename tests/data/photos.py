"""Pictures like photographs, made from a seed, and what people do to pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Clouds of all sizes, large ones strongest (the spectrum of photographs), in three colours."""
    rng = np.random.default_rng(seed)
    width, height = size
    waves = np.hypot(np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width)
    waves[0, 0] = np.inf
    grey = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / waves, s=(height, width))
    grey = np.clip(128 + 50 * grey / grey.std(), 0, 255)
    tint = rng.uniform(0.7, 1, size=3)
    return Image.fromarray((grey[..., None] * tint).astype(np.uint8), "RGB")


def encoded(image: Image.Image, format: str = "PNG", quality: int = 75) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality)
    return buffer.getvalue()


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality)))


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without so much of its width and height, half at either side."""
    x, y = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


def tricolour(*colours: str) -> Image.Image:
    image = Image.new("RGB", (300, 200))
    for number, colour in enumerate(colours):
        ImageDraw.Draw(image).rectangle((0, number * 200 / 3, 300, (number + 1) * 200 / 3), fill=colour)
    return image
