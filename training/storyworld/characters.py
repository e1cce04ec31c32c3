"""The cast: eight species on one paper-doll rig.

Space of a character: feet at (0, 0), top of the head near y = -96, so that one unit is a hundredth of its height.
Heads are about (0, -68) and 60 wide: large heads keep species readable at 96 pixels. The rig draws tail, feet, body,
head, outfit and arms in this order; species differ in shape of head, ears, face, body and tail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .brush import Brush
from .motion import Pose
from .palette import COATS, INK, RGB, WHITE, Light, mix
from .world import Character

HEAD_Y = -68.0
SHOULDER = (17.0, -37.0)
ARM_LENGTH = 27.0
BEAKED = ("owl", "penguin")
ORANGE: RGB = (255, 150, 40)


@dataclass(frozen=True)
class Coat:
    """The colours of one character under one light."""

    base: RGB
    light: RGB
    dark: RGB
    rim: RGB
    ink: RGB
    white: RGB
    pink: RGB
    orange: RGB

    @classmethod
    def of(cls, colour: str, light: Light) -> Coat:
        base = COATS[colour]
        pale = (224, 228, 240) if colour == "white" else mix(base, (255, 246, 228), 0.8)
        dark = mix(base, (60, 66, 104), 0.28 if colour == "white" else 0.4)
        rim = mix(base, (28, 24, 52), 0.6 if colour == "white" else 0.66)
        tone = light.subject
        return cls(
            tone(base), tone(pale), tone(dark), tone(rim), tone(INK), tone(WHITE), tone((255, 150, 165)), tone(ORANGE)
        )


def hand(side: int, angle: float) -> tuple[float, float]:
    """Where a hand is; ``side`` -1 is the left of the screen, +1 the right."""
    a = math.radians(angle)
    return side * (SHOULDER[0] + ARM_LENGTH * math.sin(a)), SHOULDER[1] + ARM_LENGTH * math.cos(a) * 0.9


def draw_character(brush: Brush, who: Character, coat: Coat, light: Light, pose: Pose) -> None:
    """Draw ``who`` with the canvas in character space; ``brush`` must carry the coat's rim colour."""
    canvas = brush.canvas
    _tail(brush, who.species, coat, pose)
    _feet(brush, who.species, coat, pose)
    _body(brush, who.species, coat)
    canvas.save()
    canvas.translate(0, HEAD_Y + pose.head_drop)
    canvas.rotate(pose.head_tilt)
    _HEADS[who.species](brush, coat, pose)
    if who.outfit == "hat":
        _hat(brush, who, light)
    if pose.asleep:
        _dream(brush, light, pose.phase)
    canvas.restore()
    if who.outfit == "scarf":
        _scarf(brush, who, light)
    for side, angle in ((-1, pose.arm_left), (1, pose.arm_right)):
        _arm(brush, who.species, coat, side, angle)


# ---------------------------------------------------------------------------------------------- body


def _tail(brush: Brush, species: str, coat: Coat, pose: Pose) -> None:
    sway = 3 * math.sin(2 * math.pi * pose.phase)
    if species == "fox":
        brush.curve((-8, -10), (-44, -2), (-42 + sway, -36), 19, coat.base, rim=True)
        brush.oval(-42 + sway, -40, 9, 11, coat.light)
    elif species == "cat":
        brush.curve((10, -8), (48, -4), (38 + sway, -44), 7, coat.base, rim=True)
    elif species == "rabbit":
        brush.oval(-21, -12, 9, 9, coat.light, rim=True)


def _feet(brush: Brush, species: str, coat: Coat, pose: Pose) -> None:
    colour = coat.orange if species in BEAKED else coat.dark
    for side, up in ((-1, pose.foot_left), (1, pose.foot_right)):
        if species == "robot":
            brush.box(side * 11 - 8, -10 - up, 16, 10, colour, round_=3, rim=True)
        elif pose.seated:
            brush.oval(side * 19, -7, 12, 9, colour, rim=True)
        else:
            brush.oval(
                side * (14 if species == "frog" else 11),
                -5 - up,
                14 if species == "frog" else 10.5,
                6,
                colour,
                rim=True,
            )


def _body(brush: Brush, species: str, coat: Coat) -> None:
    if species == "robot":
        brush.box(-20, -44, 40, 38, coat.base, round_=6, rim=True)
        brush.box(-12, -35, 24, 17, coat.light, round_=3)
        brush.oval(-4, -27, 3.6, 3.6, coat.pink)
        brush.oval(6, -27, 3.6, 3.6, coat.orange)
        return
    wide = {"bear": 25.0, "owl": 26.0, "penguin": 25.0, "frog": 23.0}.get(species, 20.0)
    brush.oval(0, -25, wide, 24, coat.base, rim=True)
    if species == "penguin":
        brush.oval(0, -24, 18, 21, coat.white if coat.base != coat.white else coat.light)
    else:
        brush.oval(0, -21, wide * 0.62, 17, coat.light)
    if species == "owl":
        for y in (-28, -18):
            brush.line([(-8, y), (-4, y + 4), (0, y), (4, y + 4), (8, y)], 2.4, coat.dark)


def _arm(brush: Brush, species: str, coat: Coat, side: int, angle: float) -> None:
    start = (side * SHOULDER[0], SHOULDER[1])
    end = hand(side, angle)
    if species in BEAKED:
        brush.line([start, end], 13, coat.dark, rim=True)
    elif species == "robot":
        brush.line([start, end], 7, coat.light, rim=True)
        brush.oval(*end, 6.5, 6.5, coat.base, rim=True)
    else:
        brush.line([start, end], 10.5, coat.base, rim=True)
        brush.oval(*end, 5, 5, coat.light)


# ---------------------------------------------------------------------------------------------- heads, about (0, 0)


def _eyes(brush: Brush, coat: Coat, pose: Pose, spread: float, y: float, size: float = 4.6) -> None:
    """Dark eyes with a highlight; closed ones are arcs."""
    dx, dy = pose.look
    for side in (-1, 1):
        x = side * spread + dx * 0.7
        if pose.asleep:
            brush.curve((x - 5, y), (x, y + 6), (x + 5, y), 2.6, coat.ink)
            continue
        brush.oval(x, y + dy * 0.6, size, size * 1.25, coat.ink)
        brush.oval(x + size * 0.3, y + dy * 0.6 - size * 0.45, size * 0.38, size * 0.38, coat.white)


def _fox(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    for side in (-1, 1):
        brush.polygon([(side * 5, -20), (side * 25, -50), (side * 31, -8)], coat.base, rim=True)
        brush.polygon([(side * 19, -35), (side * 25, -50), (side * 28.5, -29)], coat.ink)
        brush.polygon([(side * 14, -23), (side * 21, -34), (side * 25, -16)], coat.light)
    outline = [(-23, -22), (0, -27), (23, -22), (31, -4), (40, 11), (20, 16), (0, 28), (-20, 16), (-40, 11), (-31, -4)]
    brush.polygon(outline, coat.base, rim=True)
    for side in (-1, 1):  # white cheeks meet at the muzzle
        brush.polygon([(dx * 0.5, 4 + dy * 0.5), (side * 39, 11), (side * 20, 15.5), (0, 27)], coat.light)
    _eyes(brush, coat, pose, 13, -4)
    brush.oval(dx, 16 + dy * 0.8, 5.5, 4.5, coat.ink)


def _bear(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    for side in (-1, 1):
        brush.oval(side * 23, -22, 12, 12, coat.base, rim=True)
        brush.oval(side * 23, -22, 6.5, 6.5, coat.light)
    brush.oval(0, 0, 32, 28, coat.base, rim=True)
    brush.oval(dx, 10 + dy * 0.7, 15, 12, coat.light)
    brush.oval(dx, 4 + dy * 0.8, 6.5, 4.6, coat.ink)
    brush.curve((dx - 6, 13 + dy * 0.7), (dx, 18 + dy * 0.7), (dx + 6, 13 + dy * 0.7), 2, coat.ink)
    _eyes(brush, coat, pose, 14, -7, 4.2)


def _rabbit(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    for side in (-1, 1):
        brush.canvas.save()
        brush.canvas.rotate(side * 12)
        brush.oval(side * 7, -44, 9, 25, coat.base, rim=True)
        brush.oval(side * 7, -42, 4.6, 18, coat.pink)
        brush.canvas.restore()
    brush.oval(0, 0, 28, 26, coat.base, rim=True)
    for side in (-1, 1):
        brush.oval(side * 8 + dx, 11 + dy * 0.7, 10, 8.5, coat.light)
    brush.box(dx - 4.5, 14 + dy * 0.7, 9, 9, coat.white, round_=2)
    brush.oval(dx, 6 + dy * 0.8, 4.5, 3.4, coat.pink)
    _eyes(brush, coat, pose, 12, -6, 4.6)


def _cat(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    for side in (-1, 1):
        brush.polygon([(side * 8, -22), (side * 27, -40), (side * 31, -6)], coat.base, rim=True)
        brush.polygon([(side * 15, -23), (side * 25, -33), (side * 27, -14)], coat.pink)
    brush.oval(0, 0, 34, 26, coat.base, rim=True)
    for x, length in ((-8.0, 9), (0.0, 12), (8.0, 9)):  # tabby stripes
        brush.line([(x + dx * 0.4, -24), (x + dx * 0.4, -24 + length)], 3.6, coat.dark)
    for side in (-1, 1):
        x = side * 14 + dx * 0.7
        if not pose.asleep:
            brush.oval(x, -1 + dy * 0.6, 7.5, 7.5, (214, 238, 96))
            brush.oval(x, -1 + dy * 0.9, 3, 6.5, coat.ink)
        for y in (9, 14):
            brush.line([(side * 14 + dx, y + dy * 0.6), (side * 40 + dx * 0.5, y * 1.5 - 6 + dy * 0.6)], 1.7, coat.ink)
    if pose.asleep:
        _eyes(brush, coat, pose, 14, -1)
    brush.oval(dx, 11 + dy * 0.8, 9, 6.5, coat.light)
    brush.oval(dx, 8 + dy * 0.8, 3.6, 2.8, coat.pink)


def _robot(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    brush.line([(0, -24), (0, -38)], 3.4, coat.dark, rim=True)
    brush.oval(0, -40, 5.5, 5.5, (255, 90, 80), rim=True)
    for side in (-1, 1):
        brush.box(side * 33 - 4, -8, 8, 16, coat.dark, round_=2, rim=True)
    brush.box(-31, -25, 62, 48, coat.base, round_=8, rim=True)
    brush.box(-23 + dx * 0.6, -15 + dy * 0.5, 46, 29, (36, 44, 66), round_=6)
    for side in (-1, 1):
        x, y = side * 11 + dx * 0.9, -3 + dy * 0.7
        if pose.asleep:
            brush.line([(x - 5, y), (x + 5, y)], 3, (110, 240, 255))
        else:
            brush.box(x - 5, y - 6, 10, 12, (110, 240, 255), round_=3)
    brush.line([(-6 + dx * 0.9, 9 + dy * 0.6), (6 + dx * 0.9, 9 + dy * 0.6)], 2.6, (110, 240, 255))


def _owl(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    for side in (-1, 1):
        brush.polygon([(side * 6, -20), (side * 31, -40), (side * 30, -2)], coat.dark, rim=True)
    brush.oval(0, 0, 32, 27, coat.base, rim=True)
    for side in (-1, 1):
        x = side * 14 + dx * 0.5
        brush.oval(x, -3 + dy * 0.3, 15, 15, coat.light)
        if pose.asleep:
            brush.curve((x - 8, -3), (x, 6), (x + 8, -3), 3, coat.ink)
        else:
            brush.oval(x, -3 + dy * 0.3, 11, 11, (255, 200, 60))
            brush.oval(x + dx * 0.3, -3 + dy * 0.7, 6.5, 6.5, coat.ink)
            brush.oval(x + 2 + dx * 0.3, -6 + dy * 0.7, 2.2, 2.2, coat.white)
    brush.polygon([(dx * 0.7 - 6, 5 + dy * 0.5), (dx * 0.7 + 6, 5 + dy * 0.5), (dx * 0.8, 18 + dy * 0.6)], coat.orange)


def _penguin(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    brush.oval(0, 0, 29, 27, coat.base, rim=True)
    face = coat.white if coat.base != coat.white else coat.light
    for side in (-1, 1):
        brush.oval(side * 9 + dx * 0.7, 1 + dy * 0.5, 13, 14, face)
    brush.oval(dx * 0.7, 11 + dy * 0.5, 18, 12, face)
    _eyes(brush, coat, pose, 10, -2, 4.2)
    x, y = dx, 9 + dy * 0.7
    brush.polygon([(x - 10, y - 3), (x, y - 8), (x + 10, y - 3), (x, y + 6)], coat.orange)
    for side in (-1, 1):
        brush.oval(side * 19 + dx * 0.7, 9 + dy * 0.5, 4, 3, coat.pink)


def _frog(brush: Brush, coat: Coat, pose: Pose) -> None:
    dx, dy = pose.look
    for side in (-1, 1):
        brush.oval(side * 19, -20, 13.5, 13.5, coat.base, rim=True)
    brush.oval(0, 3, 38, 22, coat.base, rim=True)
    for side in (-1, 1):
        x, y = side * 19, -21.0
        brush.oval(x, y + 4, 10, 8, coat.base)
        if pose.asleep:
            brush.curve((x - 8, y), (x, y + 8), (x + 8, y), 3, coat.ink)
        else:
            brush.oval(x, y, 9.5, 9.5, coat.white)
            brush.oval(x + dx * 0.4, y + dy * 0.4, 5, 5, coat.ink)
    brush.oval(0, 14, 24, 9, coat.light)
    brush.curve((dx * 0.6 - 23, 5 + dy * 0.4), (dx * 0.6, 18 + dy * 0.4), (dx * 0.6 + 23, 5 + dy * 0.4), 3, coat.ink)


_HEADS = {
    "fox": _fox,
    "bear": _bear,
    "rabbit": _rabbit,
    "cat": _cat,
    "robot": _robot,
    "owl": _owl,
    "penguin": _penguin,
    "frog": _frog,
}


# ---------------------------------------------------------------------------------------------- outfits and dreams


def _hat(brush: Brush, who: Character, light: Light) -> None:
    """A top hat: crimson, or navy on a red character."""
    felt, band = ((34, 48, 110), (255, 214, 80)) if who.colour == "red" else ((198, 30, 62), (255, 240, 220))
    top = {"frog": -14.0, "robot": -23.0}.get(who.species, -21.0)
    brush.box(-15, top - 27, 30, 28, light.subject(felt), round_=3, rim=True)
    brush.box(-15, top - 9, 30, 7, light.subject(band))
    brush.oval(0, top, 25, 5, light.subject(felt), rim=True)


def _scarf(brush: Brush, who: Character, light: Light) -> None:
    """A thick scarf: orange, or turquoise on a warm coat."""
    wool, stripe = (
        ((30, 190, 196), (226, 252, 250)) if who.colour in ("red", "yellow") else ((255, 138, 36), (255, 236, 190))
    )
    brush.box(-26, -33, 13, 26, light.subject(wool), round_=4, rim=True)
    brush.box(-26, -17, 13, 5, light.subject(stripe))
    brush.box(-25, -46, 50, 14, light.subject(wool), round_=7, rim=True)
    for x in (-9, 7):
        brush.box(x, -46, 5, 14, light.subject(stripe))


def _dream(brush: Brush, light: Light, phase: float) -> None:
    """A Z that drifts up from the head."""
    rise = phase % 1.0
    x, y, size = 38 + 6 * rise, -20 - 18 * rise, 6 + 4 * rise
    brush.line(
        [(x, y - size), (x + size * 1.4, y - size), (x, y + size), (x + size * 1.4, y + size)], 3.4, WHITE, rim=True
    )
