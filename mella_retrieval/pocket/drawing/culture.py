"""Culturally named things: each is drawn in its own colours, whatever the brush carries."""

from __future__ import annotations

from mella_retrieval.pocket.drawing.brush import (
    CREAM,
    GOLD,
    GREY,
    INK,
    LEAF,
    NAVY,
    RED,
    SILVER,
    SKIN,
    WHITE,
    WOOD,
    Brush,
    mix,
    ring,
    star_points,
)

ORANGE = (240, 134, 30)
CRUST = (196, 130, 62)
DOUGH = (238, 196, 110)
STRAW = (232, 206, 130)


def _hair(b: Brush, x: float, y: float, radius: float) -> None:
    b.disc(x, y - radius * 0.25, radius * 1.15, radius * 1.1, INK)
    b.disc(x, y + radius * 0.2, radius * 0.82, radius * 0.9, SKIN)


def jack_o_lantern(b: Brush) -> None:
    """A pumpkin with a carved, glowing face."""
    b.box(46, 8, 55, 26, LEAF, 2)
    for x, rx in ((26, 22), (74, 22), (50, 26)):
        b.disc(x, 56, rx, 36, ORANGE)
    b.arc(50, 56, 13, 34, (0, 360), 2, (206, 100, 16))
    glow = (255, 232, 90)
    for side in (-1, 1):
        b.shape([(50 + side * 9, 50), (50 + side * 29, 50), (50 + side * 19, 34)], glow)
    b.shape([(50, 52), (44, 62), (56, 62)], glow)
    b.shape([(20, 66), (34, 72), (40, 67), (47, 73), (53, 73), (60, 67), (66, 72), (80, 66), (66, 84), (34, 84)], glow)


def double_decker(b: Brush) -> None:
    """A red bus with two rows of windows."""
    b.box(8, 8, 92, 84, (206, 32, 40), 7)
    for y in (16, 46):
        for x in (14, 34, 54, 74):
            b.box(x, y, x + 14, y + 18, (190, 226, 244), 1)
    b.box(8, 38, 92, 42, CREAM)
    for x in (28, 72):
        b.disc(x, 84, 11, fill=INK)
        b.disc(x, 84, 4.5, fill=SILVER)


def dallah(b: Brush) -> None:
    """An Arabic coffee pot: a waisted body, a long beak and a spire on its lid."""
    b.arc(30, 56, 22, 24, (80, 290), 6, mix(GOLD, WOOD, 0.4))
    b.shape([(54, 50), (96, 26), (90, 46), (60, 62)], GOLD)
    b.disc(48, 74, 27, 19, GOLD)
    b.shape([(36, 34), (62, 34), (68, 70), (30, 70)], GOLD)
    b.box(28, 88, 68, 95, mix(GOLD, WOOD, 0.4), 2)
    b.shape([(34, 35), (64, 35), (52, 14), (46, 14)], mix(GOLD, WOOD, 0.35))
    b.disc(49, 10, 4.5, fill=GOLD)
    b.box(33, 48, 65, 53, mix(GOLD, WOOD, 0.4))
    b.dots([(38, 76), (49, 79), (60, 76)], 3.6, RED)


def fanous(b: Brush) -> None:
    """A Ramadan lantern: metal ribs around panes of coloured glass, a crescent on top."""
    b.arc(50, 12, 9, 9, (30, 300), 3.4, GOLD)
    b.shape([(50, 14), (30, 34), (70, 34)], GOLD)
    panes = ((214, 60, 60), (60, 140, 210), (80, 170, 90))
    for step, pane in enumerate(panes):
        b.box(26 + step * 16, 36, 42 + step * 16, 74, pane)
    for x in (24, 40, 56, 72):
        b.box(x, 34, x + 4, 76, GOLD)
    b.shape(star_points(50, 55, 15, 6.5, 8), (255, 240, 150))
    b.box(20, 32, 80, 37, GOLD)
    b.shape([(24, 74), (76, 74), (84, 92), (16, 92)], GOLD)


def trdelnik(b: Brush) -> None:
    """A rolled cone of dough, its turns dusted with sugar, hollow at the top."""
    b.shape([(24, 18), (76, 18), (64, 94), (36, 94)], CRUST)
    for step in range(6):
        y = 26 + step * 12
        b.line([(25 + step * 2, y + 6), (75 - step * 2, y - 3)], 4, (236, 206, 160))
        b.dots([(36 + step * 2, y), (56 - step, y - 1)], 1.6, WHITE)
    b.disc(50, 18, 27, 10, CRUST)
    b.disc(50, 18, 18, 6, (110, 64, 30))


def kraslice(b: Brush) -> None:
    """A painted Easter egg: white ornaments on red."""
    b.disc(50, 54, 32, 41, RED)
    b.arc(50, 20, 34, 22, (40, 140), 4, WHITE)
    b.arc(50, 90, 34, 22, (220, 320), 4, WHITE)
    b.dots(ring(50, 54, 13, 8), 4.2, WHITE)
    b.disc(50, 54, 6, fill=GOLD)
    b.dots([(26, 54), (74, 54)], 3.6, GOLD)
    b.dots([(38, 24), (50, 22), (62, 24), (38, 86), (50, 88), (62, 86)], 2.4, WHITE)


def kuksa(b: Brush) -> None:
    """A wooden cup with a carved handle and a leather string."""
    b.box(60, 40, 96, 54, (170, 116, 66), 6)
    b.disc(86, 47, 5, 4, CREAM)
    b.line([(86, 50), (82, 66), (90, 78)], 2.6, (92, 56, 30))
    b.cap(38, 42, 34, 46, (0, 180), (186, 130, 76))
    b.disc(38, 42, 34, 12, (206, 154, 98))
    b.disc(38, 43, 26, 8, (104, 66, 36))
    for y in (60, 70):
        b.arc(38, y - 14, 26, 18, (40, 140), 2, WOOD)


def karjalanpiirakka(b: Brush) -> None:
    """A Karelian pasty: an oval boat of crimped rye crust filled with rice."""
    b.disc(50, 52, 46, 28, (120, 76, 40))
    for x, y in ring(0, 0, 1, 20):
        b.disc(50 + x * 40, 52 + y * 24, 7, 6, (146, 96, 54))
    b.disc(50, 52, 32, 16, CREAM)
    b.dots([(36, 48), (48, 56), (60, 48), (52, 44), (68, 54), (32, 56)], 3, DOUGH)


def licitar(b: Brush) -> None:
    """A red gingerbread heart with white icing and a small mirror."""
    b.dots([(31, 36), (69, 36)], 23, RED)
    b.shape([(9, 43), (91, 43), (50, 94)], RED)
    b.dots([(31, 37), (69, 37)], 21, RED)
    edge = [(50, 30), (32, 19), (15, 32), (20, 50), (35, 68), (50, 84), (65, 68), (80, 50), (85, 32), (68, 19)]
    b.dots(edge, 3, WHITE)
    b.box(40, 42, 60, 60, SILVER, 2)
    b.dots(ring(50, 51, 17, 8), 2.6, (255, 222, 110))


def lace(b: Brush) -> None:
    """A round doily of white needle lace on dark paper."""
    b.box(6, 6, 94, 94, (92, 84, 124), 6)
    for radius, width in ((36, 2.4), (24, 2), (10, 2.6)):
        b.arc(50, 50, radius, radius, (0, 360), width, WHITE)
    b.dots(ring(50, 50, 37, 16), 4, WHITE)
    for x, y in ring(50, 50, 34, 8):
        b.line([(50, 50), (x, y)], 1.8, WHITE)
    for x, y in ring(50, 50, 29, 8, 22.5):
        b.arc(x, y, 6, 6, (0, 360), 1.8, WHITE)


def langos(b: Brush) -> None:
    """A flat disc of fried dough with sour cream and grated cheese."""
    b.disc(50, 56, 46, 36, CRUST)
    b.disc(50, 54, 41, 31, DOUGH)
    b.dots([(36, 50), (52, 44), (64, 54), (50, 62), (40, 60)], 12, WHITE)
    for x, y in ((34, 44), (48, 50), (60, 46), (44, 60), (58, 62), (68, 52)):
        b.line([(x, y), (x + 8, y - 4)], 2.8, (250, 196, 40))


def rubik(b: Brush) -> None:
    """A cube of coloured tiles, three of its faces seen."""
    b.shape([(50, 4), (94, 26), (94, 74), (50, 97), (6, 74), (6, 26)], INK)
    tiles = [RED, (255, 214, 40), (40, 110, 220), WHITE, (250, 140, 30), (46, 160, 80)]

    def face(corner: tuple[float, float], across: tuple[float, float], down: tuple[float, float], first: int) -> None:
        for row in range(3):
            for column in range(3):
                points = [(column + a, row + d) for a, d in ((0.12, 0.12), (0.88, 0.12), (0.88, 0.88), (0.12, 0.88))]
                place = [(corner[0] + a * across[0] + d * down[0], corner[1] + a * across[1] + d * down[1]) for a, d in points]
                b.shape(place, tiles[(first + 2 * row + 3 * column + row * column) % 6])

    face((8, 27), (14, 7.3), (0, 15.6), 0)
    face((50, 49), (14, -7.3), (0, 15.6), 2)
    face((50, 5), (14, 7.2), (-14, 7.2), 3)


def matyo(b: Brush) -> None:
    """A black cloth embroidered with bright roses and leaves."""
    b.box(6, 10, 94, 90, (24, 20, 26), 4)
    for x in range(10, 94, 7):
        b.line([(x, 90), (x, 95)], 1.8, RED)
    for x, y in ((28, 32), (72, 32), (28, 72), (72, 72)):
        for dx, dy in ring(0, 0, 13, 4, 45):
            b.disc(x + dx, y + dy, 5, 5, (70, 170, 80))
        b.disc(x, y, 12, fill=RED)
        b.disc(x, y, 8, fill=(246, 120, 150))
        b.disc(x, y, 4, fill=GOLD)
    b.dots(ring(50, 52, 11, 6), 6, (70, 120, 220))
    b.disc(50, 52, 8, fill=GOLD)


def hanbok(b: Brush) -> None:
    """A Korean dress: a short jacket with a long bow over a wide bell of a skirt."""
    _hair(b, 50, 14, 10)
    b.shape([(42, 42), (58, 42), (92, 94), (8, 94)], (240, 120, 170))
    b.cap(50, 92, 42, 8, (0, 180), (240, 120, 170))
    b.shape([(40, 26), (60, 26), (84, 52), (74, 60), (60, 44), (40, 44), (26, 60), (16, 52)], (250, 226, 120))
    b.line([(43, 26), (52, 38)], 3, WHITE)
    b.line([(57, 26), (48, 38)], 3, WHITE)
    b.line([(52, 40), (56, 66)], 4, RED)
    b.line([(50, 40), (46, 58)], 4, RED)
    b.disc(50, 40, 4.5, 3.6, RED)


def kimchi(b: Brush) -> None:
    """A white bowl heaped with red, leafy cabbage."""
    for x, y, size in ((30, 44, 15), (50, 36, 18), (70, 44, 15), (40, 40, 14), (60, 40, 14)):
        b.disc(x, y, size, size * 0.8, (206, 52, 36))
    for x, y in ((28, 42), (46, 32), (62, 40), (52, 46), (74, 46)):
        b.line([(x - 6, y + 3), (x + 5, y - 4)], 4, (244, 222, 180))
        b.line([(x, y + 5), (x + 8, y + 2)], 2.6, LEAF)
    b.dots([(36, 36), (58, 30), (68, 38), (42, 46)], 2, (120, 16, 16))
    b.cap(50, 50, 42, 42, (0, 180), (236, 240, 246))
    b.box(8, 46, 92, 54, WHITE, 4)
    b.arc(50, 56, 34, 26, (30, 150), 2.4, (90, 120, 180))


def nai(b: Brush) -> None:
    """A Romanian pan flute: pipes of falling length in a curved row."""
    for step in range(8):
        x = 10 + step * 10
        b.box(x, 16, x + 8.4, 92 - step * 8, (224, 184, 96), 3)
        b.disc(x + 4.2, 17, 4.2, 3, (96, 60, 30))
    b.line([(8, 40), (92, 30)], 6, WOOD)
    b.line([(8, 56), (80, 46)], 4, RED)


def martisor(b: Brush) -> None:
    """A spring charm: a red and white twisted cord with two tassels."""
    b.arc(36, 24, 20, 15, (0, 360), 6, RED)
    b.arc(64, 24, 20, 15, (0, 360), 6, WHITE)
    for x, fill in ((34, RED), (66, WHITE)):
        b.line([(50, 30), (x, 62)], 5, fill)
        b.disc(x, 62, 8, fill=fill)
        b.shape([(x - 7, 66), (x + 7, 66), (x + 12, 94), (x - 12, 94)], fill)
    for x in (26, 34, 42):
        b.line([(34, 72), (x, 92)], 1.4, (150, 20, 26))
    for x in (58, 66, 74):
        b.line([(66, 72), (x, 92)], 1.4, GREY)
    b.disc(50, 30, 7, fill=RED)


def matryoshka(b: Brush) -> None:
    """A nesting doll with a kerchief, a round face and flowers on its apron."""
    b.disc(50, 68, 32, 28, RED)
    b.disc(50, 30, 25, 25, RED)
    b.box(28, 40, 72, 66, RED, 8)
    b.disc(50, 32, 17, 17, SKIN)
    b.cap(50, 28, 17, 14, (180, 360), (110, 64, 30))
    b.dots([(43, 33), (57, 33)], 2.4, INK)
    b.dots([(40, 39), (60, 39)], 3, (240, 130, 130))
    b.arc(50, 37, 5, 5, (20, 160), 2, RED)
    b.disc(50, 74, 20, 17, (255, 214, 90))
    b.dots(ring(50, 74, 8, 5), 4.6, (210, 60, 100))
    b.disc(50, 74, 4, fill=WHITE)
    b.dots([(36, 82), (64, 82)], 3.4, LEAF)


def balalaika(b: Brush) -> None:
    """A three-stringed Russian instrument with a triangular body."""
    b.box(46, 14, 54, 60, (110, 64, 30))
    b.shape([(42, 4), (58, 4), (55, 18), (45, 18)], (80, 46, 24))
    b.shape([(50, 38), (10, 92), (90, 92)], (232, 140, 60))
    b.shape([(50, 38), (33, 61), (67, 61)], (196, 104, 40))
    b.disc(50, 70, 6.5, fill=INK)
    b.box(40, 82, 60, 86, INK, 1)
    for x in (47.6, 50, 52.4):
        b.line([(x, 10), (x, 84)], 0.9, CREAM)


def sajkaca(b: Brush) -> None:
    """A Serbian boat-shaped cloth cap with a deep fold and a small badge."""
    olive = (98, 122, 72)
    b.shape([(8, 74), (14, 34), (42, 46), (62, 28), (90, 40), (94, 74)], olive)
    b.shape([(14, 34), (42, 46), (62, 28), (90, 40), (70, 54), (34, 56)], mix(olive, INK, 0.35))
    b.box(6, 66, 95, 82, mix(olive, WHITE, 0.2), 6)
    b.line([(20, 60), (50, 64)], 2, mix(olive, INK, 0.4))
    b.disc(52, 62, 6, fill=GOLD)


def opanci(b: Brush) -> None:
    """Serbian leather shoes with woven uppers and upturned tips."""
    for x, y in ((12, 4), (0, 38)):
        leather = (150, 84, 42)
        b.shape([(x + 6, y + 24), (x + 30, y + 20), (x + 64, y + 36), (x + 66, y + 50), (x + 8, y + 50)], leather)
        b.line([(x + 58, y + 46), (x + 74, y + 42), (x + 80, y + 28), (x + 74, y + 20)], 7, leather)
        b.disc(x + 18, y + 24, 13, 6, (84, 44, 22))
        for step in range(3):
            b.line([(x + 34 + step * 8, y + 26 + step * 4), (x + 28 + step * 9, y + 44)], 2.2, DOUGH)
        b.box(x + 6, y + 48, x + 64, y + 53, (84, 44, 22), 2)


def kanga(b: Brush) -> None:
    """An East African printed cloth: a wide border, a central motif and a line for its saying."""
    b.box(4, 12, 96, 88, (236, 120, 30), 3)
    b.box(12, 20, 88, 80, (30, 30, 46))
    b.box(16, 24, 84, 76, (250, 196, 60))
    for x in range(10, 96, 10):
        b.dots([(x, 16), (x, 84)], 2.4, WHITE)
    b.shape([(50, 26), (74, 46), (50, 66), (26, 46)], (200, 40, 60))
    b.dots(ring(50, 46, 9, 6), 4, WHITE)
    b.line([(28, 71), (38, 71), (44, 71)], 2.6, INK)
    b.line([(50, 71), (72, 71)], 2.6, INK)


def kiondo(b: Brush) -> None:
    """A Kenyan sisal basket: a round striped bag with leather straps."""
    for x in (38, 62):
        b.arc(x, 36, 18, 30, (180, 360), 4.4, (92, 52, 28))
    b.cap(50, 36, 40, 58, (0, 180), (206, 160, 100))
    for y, half, fill in ((44, 38, RED), (58, 34, NAVY), (72, 27, RED)):
        b.box(50 - half, y, 50 + half, y + 5, fill)
    for x in range(18, 86, 9):
        b.line([(x, 52), (x + 4, 56)], 2, (120, 70, 36))
    b.disc(50, 36, 40, 9, (150, 98, 56))
    b.disc(50, 36, 34, 6, (84, 50, 28))


def tuktuk(b: Brush) -> None:
    """A Thai three-wheeled taxi with a roof on posts."""
    b.box(14, 8, 78, 20, (250, 206, 50), 6)
    for x in (18, 48, 70):
        b.box(x, 18, x + 4, 52, SILVER)
    b.shape([(10, 48), (52, 48), (56, 62), (70, 46), (86, 50), (95, 76), (10, 76)], (40, 96, 206))
    b.box(22, 40, 46, 52, RED, 4)
    b.box(10, 62, 92, 67, (250, 206, 50))
    b.disc(90, 60, 4.6, fill=CREAM)
    for x in (28, 80):
        b.disc(x, 80, 12, fill=INK)
        b.disc(x, 80, 5, fill=SILVER)


def krathong(b: Brush) -> None:
    """A banana-leaf float with folded petals, flowers, a candle and incense."""
    b.line([(62, 44), (70, 8)], 2, WOOD)
    b.line([(40, 44), (32, 10)], 2, WOOD)
    b.box(46, 22, 55, 52, (255, 236, 150), 1)
    b.disc(50.5, 14, 4.4, 8, (250, 150, 40))
    for x, lean in ((12, -8), (26, -4), (74, 4), (88, 8), (38, -2), (62, 2), (50, 0)):
        b.shape([(x - 11, 72), (x + 11, 72), (x + lean, 38)], (62, 148, 66))
        b.shape([(x - 5, 72), (x + 5, 72), (x + lean * 0.7, 52)], (130, 196, 96))
    b.cap(50, 70, 46, 26, (0, 180), (44, 112, 54))
    b.dots([(20, 72), (80, 72), (40, 74), (60, 74)], 6, (246, 130, 180))
    b.dots([(20, 72), (80, 72), (40, 74), (60, 74)], 2.4, GOLD)


def non_la(b: Brush) -> None:
    """A Vietnamese conical leaf hat with its chin ribbon."""
    b.arc(50, 70, 30, 24, (10, 170), 4, (226, 90, 140))
    b.shape([(50, 12), (2, 68), (98, 68)], STRAW)
    b.cap(50, 66, 48, 11, (0, 180), STRAW)
    for step, half in ((28, 12), (41, 24), (54, 36)):
        b.arc(50, step, half, 6, (10, 170), 1.8, CRUST)
    for x in (22, 40, 60, 78):
        b.line([(50, 14), (x, 70)], 1.3, CRUST)


def ao_dai(b: Brush) -> None:
    """A Vietnamese long tunic, slit at the sides, over wide white trousers."""
    b.shape([(34, 52), (66, 52), (72, 95), (28, 95)], WHITE)
    b.line([(50, 60), (50, 94)], 1.6, GREY)
    violet = (136, 64, 170)
    b.shape([(41, 26), (59, 26), (62, 50), (66, 90), (38, 90), (38, 50)], violet)
    for side in (-1, 1):
        b.line([(50 + side * 9, 30), (50 + side * 20, 48), (50 + side * 18, 62)], 7, violet)
        b.disc(50 + side * 18, 65, 3.6, fill=SKIN)
    b.box(44, 20, 56, 28, violet, 2)
    _hair(b, 50, 12, 8)
    b.dots([(50, 66), (46, 74), (54, 78)], 3, (255, 214, 120))


DRAWINGS = {
    function.__name__: function
    for function in (
        jack_o_lantern,
        double_decker,
        dallah,
        fanous,
        trdelnik,
        kraslice,
        kuksa,
        karjalanpiirakka,
        licitar,
        lace,
        langos,
        rubik,
        matyo,
        hanbok,
        kimchi,
        nai,
        martisor,
        matryoshka,
        balalaika,
        sajkaca,
        opanci,
        kanga,
        kiondo,
        tuktuk,
        krathong,
        non_la,
        ao_dai,
    )
}
