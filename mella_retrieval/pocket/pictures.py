"""Pictures of scenes."""

from __future__ import annotations

from random import Random

from PIL import Image

from mella_retrieval.pocket.drawing.backgrounds import TURNS
from mella_retrieval.pocket.drawing.sheet import PICTURE, background, sprite
from mella_retrieval.pocket.scenes import Scene, Thing

# Share of the picture's side that one thing takes, and the middles of the things, by their number.
_SIDE = {1: 0.50, 2: 0.42, 3: 0.335}
_MIDDLES = {1: (0.5,), 2: (0.27, 0.73), 3: (0.18, 0.5, 0.82)}
_SIZES = {"small": 0.66, "": 1.0, "large": 1.36}
_GROUPS = {1: ((0.0, 0.0),), 2: ((-0.3, 0.06), (0.3, -0.06)), 3: ((-0.33, 0.22), (0.33, 0.22), (0.0, -0.3))}
_UPRIGHT = frozenset({"key", "clock", "rubik", "sajkaca", "balalaika", "hanbok"})
"""Things that are never mirrored: their look has a right way round."""


def draw_picture(scene: Scene, rng: Random) -> Image.Image:
    """Draw a scene, `PICTURE` pixels square, RGB. The lot decides the background's arrangement and small shifts."""
    image = background(scene.background, rng.randrange(TURNS)).copy()
    number = len(scene.things)
    for thing, middle in zip(scene.things, _MIDDLES[number], strict=True):
        x = middle + rng.uniform(-0.03, 0.03)
        y = rng.uniform(0.50, 0.66)
        _draw_thing(image, thing, (x, y), _SIDE[number] * _SIZES[thing.size], rng)
    return image.convert("RGB")


def _draw_thing(image: Image.Image, thing: Thing, middle: tuple[float, float], side: float, rng: Random) -> None:
    each = side if thing.count == 1 else side * 0.62
    pixels = round(each * PICTURE)
    mirrored = thing.name not in _UPRIGHT and rng.random() < 0.5
    for dx, dy in _GROUPS[thing.count]:
        left = round((middle[0] + dx * side * 0.95) * PICTURE - pixels / 2)
        top = round((middle[1] + dy * side) * PICTURE - pixels / 2)
        drawn = sprite(thing.name, thing.colour, pixels, mirrored)
        left, top = (min(max(corner, 1), PICTURE - pixels - 1) for corner in (left, top))
        image.alpha_composite(drawn, (left, top))
