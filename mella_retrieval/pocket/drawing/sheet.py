"""From a scene to a picture: sprites with a pale rim, drawn once, set on a background."""

from __future__ import annotations

from functools import cache, lru_cache

from PIL import Image, ImageFilter

from mella_retrieval.pocket.drawing import animals, culture, nature, things
from mella_retrieval.pocket.drawing.backgrounds import BACKGROUNDS
from mella_retrieval.pocket.drawing.brush import Brush, Colour

PICTURE = 112
"""Side of a picture in pixels."""

OVERSAMPLING = 4
_MASTER = 96
_RIM: Colour = (255, 253, 246)

PAINTS: dict[str, Colour] = {
    "red": (220, 44, 48),
    "orange": (245, 140, 30),
    "yellow": (250, 214, 50),
    "green": (56, 160, 72),
    "blue": (44, 104, 216),
    "purple": (134, 70, 178),
    "pink": (246, 142, 186),
    "brown": (134, 84, 48),
    "white": (244, 244, 246),
    "black": (38, 38, 44),
}

DRAWINGS = {**animals.DRAWINGS, **things.DRAWINGS, **nature.DRAWINGS, **culture.DRAWINGS}


@cache
def _master(name: str, colour: str) -> Image.Image:
    brush = Brush(_MASTER * OVERSAMPLING, PAINTS.get(colour, PAINTS["red"]))
    DRAWINGS[name](brush)
    drawn = Image.new("RGBA", (_MASTER + 8, _MASTER + 8))
    drawn.paste(brush.image.reduce(OVERSAMPLING), (4, 4))
    rim = drawn.getchannel("A").filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(0.7))
    sheet = Image.new("RGBA", drawn.size, _RIM)
    sheet.putalpha(rim)
    sheet.alpha_composite(drawn)
    return sheet


@lru_cache(maxsize=8192)
def sprite(name: str, colour: str, pixels: int, mirrored: bool = False) -> Image.Image:
    """A thing on a transparent square of `pixels` x `pixels`; culturally named things keep their own colours."""
    image = _master(name, colour)
    if mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.resize((pixels, pixels), Image.Resampling.LANCZOS)


@cache
def background(name: str, turn: int) -> Image.Image:
    """A background of `PICTURE` x `PICTURE` pixels in one of its arrangements."""
    brush = Brush(PICTURE * OVERSAMPLING, paper=(255, 255, 255, 255))
    BACKGROUNDS[name](brush, turn)
    return brush.image.reduce(OVERSAMPLING)
