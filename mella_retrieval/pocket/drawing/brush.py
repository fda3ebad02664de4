"""A brush on a square sheet of 100 x 100 units: filled shapes and lines with round ends, antialiased by oversampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (45, 42, 56)
CREAM: Colour = (252, 243, 222)
GREY: Colour = (150, 152, 164)
SILVER: Colour = (205, 209, 218)
GOLD: Colour = (240, 190, 60)
WOOD: Colour = (150, 98, 56)
LEAF: Colour = (74, 150, 66)
SKIN: Colour = (246, 210, 176)
WHITE: Colour = (255, 255, 255)
RED: Colour = (214, 50, 52)
NAVY: Colour = (40, 58, 120)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Brush:
    """Draws on a transparent (or coloured) sheet of `pixels` x `pixels`, in units of a hundredth of its side.

    `main` is the colour of the thing that is drawn, `dark` and `light` its shade and its highlight. Coordinates are rounded
    to whole pixels of the oversampled sheet, so that the last bit of a floating-point sum cannot change a picture.
    """

    def __init__(self, pixels: int, main: Colour = GREY, paper: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        self.image = Image.new("RGBA", (pixels, pixels), paper)
        self.main = main
        self.dark = mix(main, INK, 0.32) if sum(main) > 160 else mix(main, WHITE, 0.22)
        self.light = mix(main, WHITE, 0.45)
        self._draw = ImageDraw.Draw(self.image)
        self._scale = pixels / 100

    def _at(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._scale), round(y * self._scale)

    def _box(self, x: float, y: float, rx: float, ry: float) -> tuple[int, int, int, int]:
        return (*self._at(x - rx, y - ry), *self._at(x + rx, y + ry))

    def disc(self, x: float, y: float, rx: float, ry: float | None = None, fill: Colour | None = None) -> None:
        """An ellipse around (x, y); a circle where `ry` is left out."""
        self._draw.ellipse(self._box(x, y, rx, rx if ry is None else ry), fill=fill or self.main)

    def pie(self, x: float, y: float, rx: float, ry: float, angles: Point, fill: Colour | None = None) -> None:
        """A sector of an ellipse between two angles in degrees (0 = right, 90 = down)."""
        self._draw.pieslice(self._box(x, y, rx, ry), *angles, fill=fill or self.main)

    def cap(self, x: float, y: float, rx: float, ry: float, angles: Point, fill: Colour | None = None) -> None:
        """The part of an ellipse that the chord between two angles cuts off."""
        self._draw.chord(self._box(x, y, rx, ry), *angles, fill=fill or self.main)

    def arc(self, x: float, y: float, rx: float, ry: float, angles: Point, width: float = 4, fill: Colour | None = None) -> None:
        """A piece of an ellipse's outline."""
        self._draw.arc(self._box(x, y, rx, ry), *angles, fill=fill or self.main, width=max(1, round(width * self._scale)))

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour | None = None, radius: float = 0) -> None:
        """A rectangle, with round corners where `radius` is given."""
        corners = (*self._at(x0, y0), *self._at(x1, y1))
        self._draw.rounded_rectangle(corners, radius=round(radius * self._scale), fill=fill or self.main)

    def shape(self, points: Sequence[Point], fill: Colour | None = None) -> None:
        """A filled polygon."""
        self._draw.polygon([self._at(*point) for point in points], fill=fill or self.main)

    def line(self, points: Sequence[Point], width: float = 4, fill: Colour | None = None) -> None:
        """Joined lines with round ends and corners."""
        for start, end in pairwise(points):
            ends = [self._at(*start), self._at(*end)]
            self._draw.line(ends, fill=fill or self.main, width=max(1, round(width * self._scale)))
        for point in points:
            self.disc(*point, width / 2, fill=fill or self.main)

    def dots(self, points: Sequence[Point], radius: float, fill: Colour | None = None) -> None:
        """Discs of one size at several points."""
        for point in points:
            self.disc(*point, radius, fill=fill)

    def eye(self, x: float, y: float, radius: float = 4) -> None:
        """A round eye with a glint."""
        self.disc(x, y, radius, fill=WHITE)
        self.disc(x, y, radius * 0.68, fill=INK)
        self.disc(x + radius * 0.25, y - radius * 0.25, radius * 0.26, fill=WHITE)


def ring(x: float, y: float, radius: float, count: int, turn: float = 0) -> list[Point]:
    """`count` points spread evenly over a circle, the first straight up and turned by `turn` degrees."""
    angles = [math.radians(360 * step / count + turn - 90) for step in range(count)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def star_points(x: float, y: float, outer: float, inner: float, tips: int = 5) -> list[Point]:
    """The corners of a star, tip and notch in turn."""
    pairs = zip(ring(x, y, outer, tips), ring(x, y, inner, tips, 180 / tips), strict=True)
    return [point for pair in pairs for point in pair]
