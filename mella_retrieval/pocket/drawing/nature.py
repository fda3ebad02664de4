"""Plants, food, buildings and a star."""

from __future__ import annotations

from mella_retrieval.pocket.drawing.brush import CREAM, GOLD, LEAF, RED, WHITE, WOOD, Brush, mix, ring, star_points


def house(b: Brush) -> None:
    """House with coloured walls, a dark roof, a door and two windows."""
    b.box(66, 12, 76, 36, b.dark)
    b.box(16, 44, 84, 92)
    b.shape([(50, 8), (4, 48), (96, 48)], b.dark)
    b.box(42, 64, 58, 92, WOOD, 2)
    for x in (22, 64):
        b.box(x, 56, x + 14, 70, (255, 236, 150), 1)


def tower(b: Brush) -> None:
    """Castle tower with battlements and a flag."""
    b.line([(50, 4), (50, 22)], 2.4, WOOD)
    b.shape([(51, 4), (70, 9), (51, 15)], RED if b.main != RED else GOLD)
    b.box(32, 34, 68, 94)
    b.box(24, 28, 76, 42, b.dark)
    for x in (24, 44, 64):
        b.box(x, 19, x + 12, 30, b.dark)
    b.cap(50, 58, 6, 9, (180, 360), CREAM)
    b.box(44, 57, 56, 66, CREAM)
    b.cap(50, 84, 8, 11, (180, 360), WOOD)
    b.box(42, 83, 58, 94, WOOD)


def tent(b: Brush) -> None:
    """Triangular tent with an open front."""
    b.shape([(50, 12), (2, 90), (98, 90)])
    b.shape([(50, 12), (26, 90), (10, 77)], b.light)
    b.shape([(50, 12), (98, 90), (90, 77)], b.light)
    b.shape([(50, 34), (34, 90), (66, 90)], mix(b.dark, (20, 20, 30), 0.5))
    b.shape([(50, 34), (66, 90), (74, 90)], b.light)
    b.line([(44, 6), (50, 13), (56, 6)], 3, WOOD)


def tree(b: Brush) -> None:
    """Tree with a crown of round tufts."""
    b.shape([(43, 94), (46, 56), (54, 56), (57, 94)], WOOD)
    b.dots([(28, 46), (72, 46), (38, 28), (62, 28)], 20)
    b.dots([(50, 44), (50, 22)], 19)
    b.dots([(34, 32), (58, 22), (66, 46), (42, 50)], 6, b.light)


def flower(b: Brush) -> None:
    """Flower with six petals on a stem."""
    b.line([(50, 40), (50, 94)], 5, LEAF)
    b.disc(36, 74, 14, 6, LEAF)
    b.disc(64, 80, 14, 6, LEAF)
    b.dots(ring(50, 34, 20, 6), 12.5)
    b.dots(ring(50, 34, 15, 6, 30), 6, b.dark)
    b.disc(50, 34, 11, fill=GOLD if b.main[2] > 90 or b.main[1] < 120 else WOOD)


def mushroom(b: Brush) -> None:
    """Mushroom with a dotted cap."""
    b.box(37, 48, 63, 93, CREAM, 9)
    b.cap(50, 54, 45, 44, (180, 360))
    b.box(5, 51, 95, 58, b.dark, 3)
    spot = WHITE if b.main != WHITE and sum(b.main) < 700 else (200, 190, 200)
    for x, y, size in ((30, 38, 7), (54, 24, 8), (73, 42, 6), (50, 44, 5)):
        b.disc(x, y, size, size * 0.85, spot)


def leaf(b: Brush) -> None:
    """Pointed leaf with veins, its stalk down to the left."""
    b.line([(8, 94), (36, 64)], 5, b.dark)
    b.shape([(94, 6), (88, 44), (70, 70), (40, 78), (24, 66), (24, 40), (46, 20)])
    b.disc(50, 50, 27, 27)
    b.line([(30, 70), (82, 18)], 3, b.dark)
    for x, y in ((44, 56), (58, 42), (70, 30)):
        b.line([(x, y), (x + 17, y + 3)], 2.4, b.dark)
        b.line([(x, y), (x - 3, y - 17)], 2.4, b.dark)


def apple(b: Brush) -> None:
    """Apple with a stalk and a leaf."""
    b.line([(50, 28), (54, 8)], 5, WOOD)
    b.disc(68, 16, 14, 7, LEAF)
    b.disc(35, 56, 28, 33)
    b.disc(65, 56, 28, 33)
    b.disc(50, 64, 30, 28)
    b.disc(28, 46, 7, 11, b.light)


def pear(b: Brush) -> None:
    """Pear: a narrow top on a wide bottom."""
    b.line([(50, 20), (55, 4)], 5, WOOD)
    b.disc(50, 32, 17, 18)
    b.shape([(34, 34), (66, 34), (80, 62), (20, 62)])
    b.disc(50, 66, 32, 28)
    b.disc(36, 64, 7, 12, b.light)


def cake(b: Brush) -> None:
    """Cake of two tiers with icing and a candle."""
    b.box(47, 8, 53, 28, CREAM)
    b.disc(50, 7, 4, 5, GOLD)
    b.box(26, 26, 74, 54, radius=4)
    b.box(10, 52, 90, 90, b.dark, 4)
    for x in (30, 40, 50, 60, 70):
        b.disc(x, 32, 6, 7, CREAM)
    for x in (16, 27, 38, 50, 62, 73, 84):
        b.disc(x, 58, 6.5, 8, CREAM)


def ice_cream(b: Brush) -> None:
    """Cone with three scoops."""
    b.shape([(28, 48), (72, 48), (50, 97)], (222, 166, 96))
    b.line([(36, 56), (55, 84)], 2, WOOD)
    b.line([(64, 56), (45, 84)], 2, WOOD)
    b.disc(34, 38, 18, 16)
    b.disc(66, 38, 18, 16, b.dark)
    b.disc(50, 22, 19, 18)
    b.disc(44, 16, 5, 6, b.light)


def star(b: Brush) -> None:
    """Five-pointed star."""
    b.shape(star_points(50, 54, 48, 21))
    b.shape(star_points(50, 54, 26, 12), b.light)


DRAWINGS = {
    "house": house,
    "tower": tower,
    "tent": tent,
    "tree": tree,
    "flower": flower,
    "mushroom": mushroom,
    "leaf": leaf,
    "apple": apple,
    "pear": pear,
    "cake": cake,
    "ice_cream": ice_cream,
    "star": star,
}
