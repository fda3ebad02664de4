"""Backgrounds: each fills the whole sheet; the number `turn` shifts what stands in it."""

from __future__ import annotations

from collections.abc import Callable

from mella_retrieval.pocket.drawing.brush import CREAM, WHITE, Brush, Colour, mix

TURNS = 4
"""How many arrangements every background has."""


def _sky(b: Brush, top: Colour, bottom: Colour, until: float = 100) -> None:
    bands = 24
    for band in range(bands):
        b.box(0, until * band / bands, 100, until * (band + 1) / bands + 1, mix(top, bottom, band / (bands - 1)))


def _cloud(b: Brush, x: float, y: float, size: float, fill: Colour = WHITE) -> None:
    b.dots([(x - size, y), (x + size, y)], size * 0.8, fill)
    b.disc(x, y - size * 0.4, size, fill=fill)
    b.box(x - size, y, x + size, y + size * 0.8, fill)


def night(b: Brush, turn: int) -> None:
    """A dark sky with stars and a crescent moon."""
    _sky(b, (16, 20, 58), (54, 60, 124))
    for step in range(22):
        x, y = (step * 37 + turn * 23) % 97 + 2, (step * step * 13 + step * 29 + turn * 31) % 71 + 2
        b.disc(x, y, 0.7 + 0.5 * (step % 3), fill=(255, 246, 200))
    moon = 14 + turn * 24
    b.disc(moon, 14, 8, fill=(255, 240, 180))
    b.disc(moon + 4, 12, 7, fill=(20, 25, 66))
    b.cap(30, 112, 80, 32, (180, 360), (30, 36, 74))


def sea(b: Brush, turn: int) -> None:
    """Water with waves under a light sky."""
    _sky(b, (150, 214, 246), (226, 244, 252), 40)
    b.disc(16 + turn * 22, 13, 7, fill=(255, 226, 110))
    b.box(0, 38, 100, 101, (48, 140, 196))
    for row in range(7):
        for column in range(7):
            x = column * 17 + (row % 2) * 8 + turn * 4 - 6
            b.arc(x, 46 + row * 9, 6, 3, (200, 340), 1.2, mix((48, 140, 196), WHITE, 0.5 - row * 0.04))


def grass(b: Brush, turn: int) -> None:
    """A green field with blades of grass under a blue sky."""
    _sky(b, (124, 196, 246), (214, 238, 252), 50)
    _cloud(b, 18 + turn * 19, 14, 6)
    b.box(0, 46, 100, 101, (134, 198, 92))
    for row in range(6):
        for column in range(9):
            x, y = column * 12 + (row * 5 + turn * 3) % 11, 54 + row * 9
            b.shape([(x - 1.5, y), (x, y - 5), (x + 1.5, y)], (96, 168, 66))


def snow(b: Brush, turn: int) -> None:
    """Drifts of snow under a grey sky, flakes in the air."""
    _sky(b, (150, 166, 190), (214, 222, 234), 60)
    b.cap(24 + turn * 6, 92, 66, 44, (180, 360), (234, 241, 250))
    b.cap(84 - turn * 5, 96, 60, 40, (180, 360), (247, 250, 255))
    b.box(0, 82, 100, 101, (247, 250, 255))
    for step in range(26):
        b.disc((step * 29 + turn * 17) % 98 + 1, (step * step * 11 + step * 17 + turn * 13) % 61, 1.1, fill=WHITE)


def room(b: Brush, turn: int) -> None:
    """A papered wall with a window above a wooden floor."""
    wall = (244, 222, 204)
    b.box(0, 0, 100, 101, wall)
    for step in range(9):
        b.box(step * 12 + turn * 2, 0, step * 12 + turn * 2 + 4, 66, mix(wall, (230, 190, 180), 0.5))
    b.box(0, 66, 100, 101, (186, 132, 88))
    for y in (76, 88):
        b.line([(0, y), (100, y)], 0.8, (150, 100, 62))
    b.box(0, 64, 100, 68, CREAM)
    x = 6 + turn * 21
    b.box(x, 6, x + 26, 36, CREAM)
    b.box(x + 2.5, 8.5, x + 23.5, 33.5, (176, 220, 246))
    b.box(x + 12, 6, x + 14, 36, CREAM)
    b.box(x, 20, x + 26, 22, CREAM)


def desert(b: Brush, turn: int) -> None:
    """Sand dunes under a hot sky."""
    _sky(b, (250, 204, 120), (254, 236, 190), 60)
    b.disc(80 - turn * 20, 14, 9, fill=(255, 248, 214))
    b.cap(20 + turn * 8, 76, 60, 30, (180, 360), (228, 178, 106))
    b.cap(86 - turn * 9, 82, 62, 32, (180, 360), (216, 160, 90))
    b.box(0, 76, 100, 101, (222, 170, 98))
    for row in range(3):
        b.arc(30 + row * 18, 90 + row * 3, 22, 5, (200, 330), 1, (190, 136, 72))


def city(b: Brush, turn: int) -> None:
    """A street before a row of tall grey buildings with lit windows."""
    _sky(b, (196, 206, 224), (232, 226, 226), 70)
    for step in range(6):
        x, height = step * 17 - 1, 26 + (step * 17 + turn * 13) % 34
        wall = mix((112, 120, 142), (150, 150, 166), (step % 3) / 2)
        b.box(x, 72 - height, x + 15, 74, wall)
        for row in range(int(height // 9)):
            for column in range(2):
                b.box(x + 3 + column * 6, 76 - height + row * 9, x + 6 + column * 6, 80 - height + row * 9, (255, 232, 150))
    b.box(0, 72, 100, 101, (96, 98, 108))
    b.box(0, 72, 100, 76, (176, 176, 182))
    for step in range(5):
        b.box(step * 22 + turn * 4, 88, step * 22 + turn * 4 + 11, 90.5, WHITE)


def forest(b: Brush, turn: int) -> None:
    """Rows of dark firs above mossy ground."""
    _sky(b, (170, 212, 190), (214, 234, 208), 72)
    for row, shade in ((0, (60, 122, 92)), (1, (36, 92, 66))):
        for step in range(8):
            x, foot = step * 14 + row * 7 + turn * 3 - 4, 62 + row * 8
            for tier in range(3):
                half, top = 8 - tier * 2, foot - 18 - tier * 13
                b.shape([(x - half, top + 20), (x, top), (x + half, top + 20)], shade)
    b.box(0, 68, 100, 101, (104, 122, 62))
    for step in range(12):
        b.disc((step * 31 + turn * 9) % 100, 74 + (step * 13) % 24, 2.4, 1, (84, 100, 50))


def mountain(b: Brush, turn: int) -> None:
    """Pointed peaks with snow caps above a stony slope."""
    _sky(b, (140, 190, 236), (226, 236, 246), 70)
    for x, top in ((18 + turn * 4, 22), (82 - turn * 5, 26), (50 + turn * 2, 8)):
        b.shape([(x, top), (x - 44, 80), (x + 44, 80)], (128, 122, 142) if top == 8 else (156, 154, 172))
        b.shape([(x, top), (x - 11, top + 17), (x - 4, top + 14), (x + 2, top + 19), (x + 11, top + 17)], WHITE)
    b.box(0, 72, 100, 101, (158, 146, 128))
    for step in range(14):
        b.disc((step * 27 + turn * 11) % 100, 76 + (step * 11) % 22, 2.6, 1.6, (132, 120, 104))


BACKGROUNDS: dict[str, Callable[[Brush, int], None]] = {
    "night": night,
    "sea": sea,
    "grass": grass,
    "snow": snow,
    "room": room,
    "desert": desert,
    "city": city,
    "forest": forest,
    "mountain": mountain,
}
