"""Pictures of the map and its figures, drawn large and scaled down, which smooths their edges."""

from __future__ import annotations

import random

import pygame
from quest import HEIGHT, MAP, WIDTH

TILE = 36
_FINE = 3
_U = TILE * _FINE
GRASS, WOODS, SAND, PATH, ROCK = (128, 178, 92), (84, 132, 82), (236, 214, 160), (214, 186, 138), (150, 145, 150)
SEA, SHALLOW, STONE, HALL = (70, 136, 178), (120, 184, 206), (158, 152, 170), (186, 150, 120)
GROUND = {
    ".": GRASS, "S": GRASS, "W": GRASS, "f": WOODS, "T": WOODS, "K": WOODS, "s": SAND, "p": PATH, ",": (176, 168, 160),
    "O": (176, 168, 160), "^": ROCK, "H": STONE, "h": HALL, "G": HALL,
}  # fmt: skip


def draw_map() -> pygame.Surface:
    """The whole map at its final size."""
    fine = pygame.Surface((WIDTH * _U, HEIGHT * _U))
    fine.fill(SEA)
    cells = [(x, y, letter) for y, row in enumerate(MAP) for x, letter in enumerate(row)]
    land = [(x, y, letter) for x, y, letter in cells if letter not in "~w"]
    for margin, colour in ((0.34, SHALLOW), (0.14, SAND)):
        for x, y, letter in land:
            colour_here = colour if letter != "." or margin > 0.2 else GRASS
            _soft(fine, x, y, colour_here, margin)
    for x, y, letter in land:
        _soft(fine, x, y, GROUND[letter], 0.06)
    rng = random.Random(11)
    for x, y, letter in cells:
        _details(fine, x, y, letter, rng)
    for x, y, letter in cells:
        if letter == "T":
            _tree(fine, x, y, rng)
    return pygame.transform.smoothscale(fine, (WIDTH * TILE, HEIGHT * TILE))


def draw_fox() -> pygame.Surface:
    """The fox, looking right."""
    orange, dark, white = (230, 116, 52), (176, 74, 34), (250, 240, 228)
    canvas, dot = _canvas()
    dot((18, 74, 34, 22), dark)
    dot((8, 70, 26, 20), orange)
    dot((4, 72, 12, 13), white)
    dot((28, 58, 46, 38), orange)
    dot((40, 72, 24, 22), white)
    pygame.draw.polygon(canvas, orange, _points((34, 34), (36, 4), (54, 24)))
    pygame.draw.polygon(canvas, orange, _points((62, 24), (80, 4), (82, 34)))
    pygame.draw.polygon(canvas, dark, _points((39, 26), (40, 13), (48, 23)))
    pygame.draw.polygon(canvas, dark, _points((68, 23), (77, 13), (77, 27)))
    dot((30, 18, 56, 46), orange)
    dot((48, 40, 36, 22), white)
    dot((46, 32, 8, 10), (40, 26, 24))
    dot((68, 32, 8, 10), (40, 26, 24))
    dot((60, 43, 12, 8), (40, 26, 24))
    dot((32, 58, 46, 13), (64, 116, 206))
    pygame.draw.polygon(canvas, (64, 116, 206), _points((36, 64), (48, 66), (42, 88), (32, 84)))
    return _small(canvas, 1.28)


def draw_owl() -> pygame.Surface:
    """The owl."""
    purple, deep, pale = (138, 92, 190), (96, 60, 146), (222, 206, 240)
    canvas, dot = _canvas()
    pygame.draw.polygon(canvas, purple, _points((24, 34), (22, 6), (46, 22)))
    pygame.draw.polygon(canvas, purple, _points((76, 34), (78, 6), (54, 22)))
    dot((20, 14, 60, 78), purple)
    dot((12, 40, 22, 44), deep)
    dot((66, 40, 22, 44), deep)
    dot((34, 52, 32, 36), pale)
    for left in (26, 52):
        dot((left, 26, 24, 24), (250, 246, 236))
        dot((left + 7, 33, 11, 11), (36, 26, 48))
    pygame.draw.polygon(canvas, (240, 180, 70), _points((45, 46), (55, 46), (50, 56)))
    return _small(canvas, 1.1)


def draw_key() -> pygame.Surface:
    """The key of the gate."""
    gold = (248, 208, 84)
    canvas, dot = _canvas()
    dot((8, 32, 36, 36), gold)
    dot((18, 42, 16, 16), (84, 132, 82))
    pygame.draw.rect(canvas, gold, _box((40, 45, 52, 10)))
    pygame.draw.rect(canvas, gold, _box((70, 52, 8, 16)))
    pygame.draw.rect(canvas, gold, _box((84, 52, 8, 20)))
    return _small(canvas, 0.75)


# --- figures: a canvas of 100 x 100 units, with room for fine edges -----------------------------------------------


def _canvas() -> tuple[pygame.Surface, object]:
    canvas = pygame.Surface((400, 400), pygame.SRCALPHA)
    return canvas, lambda box, colour: pygame.draw.ellipse(canvas, colour, _box(box))


def _box(box: tuple[int, int, int, int]) -> pygame.Rect:
    return pygame.Rect(*(4 * part for part in box))


def _points(*points: tuple[int, int]) -> list[tuple[int, int]]:
    return [(4 * x, 4 * y) for x, y in points]


def _small(canvas: pygame.Surface, tiles: float) -> pygame.Surface:
    return pygame.transform.smoothscale(canvas, (round(TILE * tiles), round(TILE * tiles)))


# --- the map ------------------------------------------------------------------------------------------------------


def _soft(fine: pygame.Surface, x: int, y: int, colour: tuple[int, int, int], margin: float) -> None:
    """One cell with round corners, a little larger than itself, so that shores are not square."""
    grown = round(_U * margin)
    box = pygame.Rect(x * _U, y * _U, _U, _U).inflate(2 * grown, 2 * grown)
    pygame.draw.rect(fine, colour, box, border_radius=grown + _U // 6)


def _details(fine: pygame.Surface, x: int, y: int, letter: str, rng: random.Random) -> None:
    left, top = x * _U, y * _U

    def spot() -> tuple[int, int]:
        return left + rng.randrange(10, _U - 10), top + rng.randrange(10, _U - 10)

    if letter in ".S":
        for _ in range(3):
            px, py = spot()
            pygame.draw.line(fine, (106, 156, 78), (px, py), (px + rng.randrange(-5, 6), py - 14), 4)
        if rng.random() < 0.22:
            px, py = spot()
            colour = rng.choice([(244, 226, 120), (236, 150, 160), (250, 246, 240)])
            for dx, dy in ((0, -7), (7, 0), (0, 7), (-7, 0)):
                pygame.draw.circle(fine, colour, (px + dx, py + dy), 6)
            pygame.draw.circle(fine, (214, 150, 60), (px, py), 5)
    elif letter in "fK":
        for _ in range(5):
            pygame.draw.circle(fine, rng.choice([(72, 118, 72), (98, 146, 90)]), spot(), rng.randrange(4, 9))
    elif letter in "sp,":
        shade = tuple(part - 22 for part in GROUND[letter])
        for _ in range(4):
            pygame.draw.circle(fine, shade, spot(), rng.randrange(3, 6))
    elif letter in "~w" and rng.random() < 0.5:
        px, py = spot()
        pygame.draw.arc(fine, (112, 172, 204), (px - 30, py - 8, 34, 18), 0.3, 2.8, 4)
        pygame.draw.arc(fine, (112, 172, 204), (px, py - 8, 34, 18), 0.3, 2.8, 4)
    elif letter == "^":
        _peak(fine, left, top, rng)
    elif letter == "H":
        for row in range(3):
            for column in range(3):
                box = (left + column * 36 + (row % 2) * 14 - 6, top + row * 36 + 3, 32, 30)
                pygame.draw.rect(fine, rng.choice([(146, 140, 158), (170, 164, 182)]), box, border_radius=5)
        if y == 0 or MAP[y - 1][x] not in "HhG":
            for column in range(3):
                pygame.draw.rect(fine, STONE, (left + column * 38, top - 16, 24, 24))
    elif letter == "h":
        pygame.draw.rect(fine, (150, 60, 70), (left + 14, top, _U - 28, _U))
    elif letter == "G":
        pygame.draw.rect(fine, (92, 60, 40), (left + 10, top + 4, _U - 20, _U - 4), border_top_left_radius=44,
                         border_top_right_radius=44)  # fmt: skip
        for part in (1, 2, 3):
            pygame.draw.line(fine, (62, 40, 28), (left + part * 27, top + 12), (left + part * 27, top + _U), 4)
        pygame.draw.circle(fine, (240, 200, 90), (left + 78, top + 64), 8)
    elif letter == "W":
        pygame.draw.circle(fine, (120, 116, 124), (left + _U // 2, top + _U // 2), 42)
        pygame.draw.circle(fine, (66, 120, 160), (left + _U // 2, top + _U // 2), 28)


def _peak(fine: pygame.Surface, left: int, top: int, rng: random.Random) -> None:
    middle, tip = left + _U // 2 + rng.randrange(-12, 13), top - 22 + rng.randrange(0, 26)
    foot = top + _U - 4
    pygame.draw.polygon(fine, (128, 122, 132), [(left - 8, foot), (middle, tip), (left + _U + 8, foot)])
    pygame.draw.polygon(fine, (106, 100, 114), [(middle, foot), (middle, tip), (left + _U + 8, foot)])
    snow = [(0, 0), (-20, 36), (-6, 28), (6, 40), (20, 34)]
    pygame.draw.polygon(fine, (244, 246, 250), [(middle + dx, tip + dy) for dx, dy in snow])


def _tree(fine: pygame.Surface, x: int, y: int, rng: random.Random) -> None:
    cx, cy = x * _U + _U // 2 + rng.randrange(-8, 9), y * _U + _U // 2 + rng.randrange(-6, 7)
    pygame.draw.ellipse(fine, (60, 98, 62), (cx - 46, cy + 22, 92, 34))
    pygame.draw.rect(fine, (110, 76, 52), (cx - 9, cy + 10, 18, 34), border_radius=6)
    for dx, dy, radius, colour in (
        (0, -2, 46, (52, 104, 62)),
        (-14, -10, 34, (66, 124, 72)),
        (10, -20, 26, (88, 148, 84)),
        (-10, -24, 12, (118, 172, 100)),
    ):
        pygame.draw.circle(fine, colour, (cx + dx, cy + dy), radius)
