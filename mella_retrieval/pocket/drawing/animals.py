"""Animals."""

from __future__ import annotations

from mella_retrieval.pocket.drawing.brush import INK, WHITE, Brush, mix


def cat(b: Brush) -> None:
    """Sitting cat, seen from the front, its tail to the right."""
    b.arc(74, 70, 17, 22, (270, 100), 8, b.dark)
    b.disc(50, 76, 24, 19)
    b.disc(50, 84, 12, 9, b.light)
    b.shape([(24, 10), (28, 42), (48, 26)])
    b.shape([(76, 10), (72, 42), (52, 26)])
    b.shape([(28, 18), (31, 34), (41, 27)], b.light)
    b.shape([(72, 18), (69, 34), (59, 27)], b.light)
    b.disc(50, 41, 27, 23)
    b.eye(40, 38, 5.5)
    b.eye(60, 38, 5.5)
    b.shape([(46, 47), (54, 47), (50, 52)], (240, 130, 140))
    for side in (-1, 1):
        b.line([(50 + side * 12, 50), (50 + side * 32, 46)], 1.6, b.dark)
        b.line([(50 + side * 12, 53), (50 + side * 32, 55)], 1.6, b.dark)


def dog(b: Brush) -> None:
    """Standing dog in profile, with a hanging ear."""
    for x in (26, 38, 58, 68):
        b.box(x - 4, 62, x + 4, 92, b.dark if x in (38, 58) else b.main, 3)
    b.line([(22, 56), (8, 36)], 7)
    b.box(18, 46, 74, 74, radius=14)
    b.disc(72, 34, 19, 17)
    b.box(76, 32, 96, 48, radius=7)
    b.disc(94, 36, 5, 4.5, INK)
    b.disc(60, 40, 8, 17, b.dark)
    b.eye(77, 29, 4.5)
    b.line([(58, 54), (76, 56)], 4, (210, 60, 60) if b.main[0] < 180 else (50, 90, 180))


def fish(b: Brush) -> None:
    """Fish swimming to the left."""
    b.shape([(66, 50), (94, 24), (88, 50), (94, 76)], b.dark)
    b.shape([(38, 32), (60, 12), (66, 36)], b.dark)
    b.shape([(42, 66), (58, 86), (62, 62)], b.dark)
    b.disc(42, 50, 36, 24)
    for x in (46, 57, 67):
        b.arc(x - 12, 50, 14, 17, (300, 60), 2.4, b.light)
    b.eye(22, 44, 6)
    b.arc(12, 56, 8, 6, (10, 90), 2.4, b.dark)


def bird(b: Brush) -> None:
    """Plump bird looking to the right."""
    b.line([(46, 76), (44, 94)], 3.2, (214, 140, 50))
    b.line([(58, 76), (60, 94)], 3.2, (214, 140, 50))
    b.shape([(28, 52), (4, 40), (8, 62), (30, 68)], b.dark)
    b.disc(48, 56, 29, 25)
    b.disc(66, 32, 18, 18)
    b.shape([(81, 27), (98, 35), (81, 41)], (240, 160, 40))
    b.disc(40, 56, 17, 12, b.dark)
    b.disc(56, 68, 12, 9, b.light)
    b.eye(70, 28, 5)


def rabbit(b: Brush) -> None:
    """Sitting rabbit with two long upright ears."""
    for x in (38, 62):
        b.disc(x, 22, 9, 20)
        b.disc(x, 22, 4.5, 14, (246, 176, 184))
    b.disc(78, 82, 9, 9, mix(b.light, WHITE, 0.5))
    b.disc(50, 76, 27, 20)
    b.disc(50, 48, 23, 20)
    b.disc(50, 80, 13, 12, b.light)
    b.eye(41, 44, 4.5)
    b.eye(59, 44, 4.5)
    b.disc(50, 53, 3.4, 2.6, (230, 110, 124))
    b.box(46.5, 57, 53.5, 65, WHITE, 1.5)
    b.disc(34, 92, 10, 5, b.dark)
    b.disc(66, 92, 10, 5, b.dark)


def butterfly(b: Brush) -> None:
    """Butterfly from above, four wings with spots."""
    for side in (-1, 1):
        b.disc(50 + side * 24, 34, 22, 23)
        b.disc(50 + side * 20, 70, 16, 18, b.dark)
        b.disc(50 + side * 27, 32, 10, 11, b.light)
        b.disc(50 + side * 21, 70, 7, 8, b.light)
        b.line([(50, 24), (50 + side * 12, 8)], 2, INK)
        b.disc(50 + side * 12, 8, 2.6, fill=INK)
    b.box(46, 22, 54, 84, INK, 4)


def snail(b: Brush) -> None:
    """Snail creeping to the right, its shell a spiral."""
    body = (226, 196, 150)
    b.box(6, 76, 90, 90, body, 7)
    b.disc(84, 64, 10, 22, body)
    for x in (79, 91):
        b.line([(84, 48), (x, 28)], 3, body)
        b.disc(x, 27, 3.6, fill=INK)
    b.disc(42, 52, 32, 31)
    b.disc(44, 54, 23, 22, b.light)
    b.disc(45, 56, 16, 15)
    b.disc(46, 57, 9, 8, b.light)
    b.disc(47, 58, 4.5, 4, b.dark)


def turtle(b: Brush) -> None:
    """Turtle in profile, a domed shell with plates."""
    body = (168, 196, 110)
    b.disc(86, 52, 11, 10, body)
    b.box(74, 56, 86, 72, body, 4)
    for x in (26, 66):
        b.disc(x, 80, 9, 11, body)
    b.shape([(12, 70), (2, 80), (18, 78)], body)
    b.cap(46, 72, 39, 48, (180, 360))
    b.box(6, 68, 86, 76, b.dark, 4)
    for x, y, size in ((46, 44, 10), (26, 58, 7), (66, 58, 7), (46, 62, 5)):
        b.disc(x, y, size, size * 0.75, b.light)
    b.eye(89, 49, 3.8)


DRAWINGS = {
    "cat": cat,
    "dog": dog,
    "fish": fish,
    "bird": bird,
    "rabbit": rabbit,
    "butterfly": butterfly,
    "snail": snail,
    "turtle": turtle,
}
