"""Things of the house and the street."""

from __future__ import annotations

from mella_retrieval.pocket.drawing.brush import CREAM, GOLD, GREY, INK, SILVER, WHITE, WOOD, Brush, ring

GLASS = (190, 226, 244)


def ball(b: Brush) -> None:
    """Beach ball with pale stripes."""
    b.disc(50, 50, 42)
    b.pie(50, 50, 42, 42, (200, 250), CREAM)
    b.pie(50, 50, 42, 42, (320, 370), CREAM)
    b.pie(50, 50, 42, 42, (80, 130), CREAM)
    b.disc(50, 50, 9, fill=b.dark)


def car(b: Brush) -> None:
    """Car in profile."""
    b.shape([(22, 48), (34, 24), (68, 24), (82, 48)])
    b.shape([(29, 46), (37, 30), (49, 30), (49, 46)], GLASS)
    b.shape([(54, 46), (54, 30), (65, 30), (74, 46)], GLASS)
    b.box(4, 46, 96, 72, radius=9)
    b.box(4, 62, 96, 68, b.dark)
    b.disc(92, 54, 4, fill=GOLD)
    for x in (26, 74):
        b.disc(x, 72, 13, fill=INK)
        b.disc(x, 72, 6, fill=SILVER)


def sailboat(b: Brush) -> None:
    """Boat with two coloured sails."""
    b.box(47, 6, 51, 74, WOOD)
    b.shape([(54, 8), (54, 64), (92, 64)])
    b.shape([(44, 18), (44, 64), (14, 64)], b.light)
    b.shape([(6, 70), (94, 70), (80, 92), (20, 92)], b.dark)


def umbrella(b: Brush) -> None:
    """Open umbrella with a hooked handle."""
    b.box(47.5, 14, 52.5, 82, WOOD)
    b.arc(58, 82, 10, 10, (0, 180), 5, WOOD)
    b.cap(50, 54, 44, 44, (180, 360))
    b.pie(50, 54, 18, 44, (180, 360), b.light)
    for x in (20, 50, 80):
        b.cap(x, 54, 14, 7, (180, 360), b.dark)
    b.line([(50, 5), (50, 12)], 4, INK)


def book(b: Brush) -> None:
    """Standing closed book, its pages to the right."""
    b.box(14, 12, 84, 90, b.dark, 5)
    b.box(22, 16, 88, 84, CREAM, 2)
    b.box(16, 10, 78, 84, radius=4)
    b.box(16, 10, 26, 84, b.dark, 3)
    b.box(36, 24, 70, 32, CREAM, 2)
    b.box(36, 38, 60, 44, CREAM, 2)


def key(b: Brush) -> None:
    """Key lying aslant: a ring, a shaft and two teeth."""
    b.line([(36, 64), (88, 12)], 9)
    b.line([(74, 26), (86, 38)], 8)
    b.line([(60, 40), (70, 50)], 8)
    b.arc(28, 72, 24, 24, (0, 360), 11)
    b.arc(28, 72, 24, 24, (150, 300), 4, b.light)


def clock(b: Brush) -> None:
    """Alarm clock with two bells."""
    for side in (-1, 1):
        b.disc(50 + side * 26, 18, 14, 12, b.dark)
        b.line([(50 + side * 20, 80), (50 + side * 30, 93)], 7, b.dark)
    b.disc(50, 52, 38, 38)
    b.disc(50, 52, 28, 28, CREAM)
    b.dots(ring(50, 52, 22, 4), 2.6, INK)
    b.line([(50, 52), (50, 34)], 4, INK)
    b.line([(50, 52), (64, 58)], 4, INK)


def chair(b: Brush) -> None:
    """Chair with a slatted back."""
    b.box(24, 6, 32, 94, radius=3)
    b.box(32, 12, 68, 20, b.dark, 2)
    b.box(32, 28, 68, 36, b.dark, 2)
    b.box(62, 6, 70, 54, radius=3)
    b.box(22, 50, 80, 62, b.light, 4)
    b.box(70, 60, 78, 94, radius=3)
    b.box(46, 62, 53, 86, b.dark, 2)


def balloon(b: Brush) -> None:
    """Balloon on a wavy string."""
    b.line([(50, 72), (44, 80), (54, 88), (48, 96)], 2.2, INK)
    b.disc(50, 38, 30, 34)
    b.shape([(50, 68), (43, 77), (57, 77)], b.dark)
    b.disc(39, 26, 7, 11, b.light)


def drum(b: Brush) -> None:
    """Drum with zigzag cords and two sticks."""
    b.box(12, 40, 88, 74)
    b.disc(50, 74, 38, 15)
    b.line([(13, 52), (28, 80), (42, 54), (57, 85), (72, 54), (87, 74)], 3, CREAM)
    b.disc(50, 40, 38, 15, b.dark)
    b.disc(50, 39, 33, 11, CREAM)
    for side in (-1, 1):
        b.line([(50 + side * 8, 36), (50 + side * 34, 10)], 4, WOOD)
        b.disc(50 + side * 8, 36, 4.5, fill=WOOD)


def gift(b: Brush) -> None:
    """Box with a ribbon and a bow."""
    ribbon = GOLD if b.main != GOLD else WHITE
    b.box(14, 42, 86, 92, radius=3)
    b.box(9, 30, 91, 48, b.dark, 3)
    b.box(43, 30, 57, 92, ribbon)
    for side in (-1, 1):
        b.arc(50 + side * 14, 20, 14, 11, (0, 360), 6, ribbon)
    b.disc(50, 27, 6, fill=ribbon)


def train(b: Brush) -> None:
    """Steam engine with a chimney and a cab."""
    b.box(72, 8, 84, 34, b.dark, 2)
    b.disc(80, 6, 9, 5, SILVER)
    b.box(30, 34, 94, 68, radius=10)
    b.box(8, 14, 42, 68, radius=3)
    b.box(4, 8, 46, 17, b.dark, 2)
    b.box(15, 24, 34, 42, GLASS, 2)
    b.box(6, 66, 96, 74, b.dark)
    for x in (22, 50, 76):
        b.disc(x, 80, 12, fill=INK)
        b.disc(x, 80, 5, fill=GREY)


def bicycle(b: Brush) -> None:
    """Bicycle in profile with a coloured frame."""
    for x in (24, 76):
        b.arc(x, 66, 23, 23, (0, 360), 5, INK)
        b.disc(x, 66, 4, fill=GREY)
    b.line([(24, 66), (40, 36), (68, 36), (50, 66), (24, 66)], 7)
    b.line([(50, 66), (37, 28)], 7)
    b.line([(76, 66), (66, 24)], 7)
    b.line([(28, 26), (46, 26)], 6, INK)
    b.line([(66, 24), (80, 22)], 5, INK)
    b.disc(50, 66, 6, fill=b.dark)


DRAWINGS = {
    "ball": ball,
    "car": car,
    "sailboat": sailboat,
    "umbrella": umbrella,
    "book": book,
    "key": key,
    "clock": clock,
    "chair": chair,
    "balloon": balloon,
    "drum": drum,
    "gift": gift,
    "train": train,
    "bicycle": bicycle,
}
