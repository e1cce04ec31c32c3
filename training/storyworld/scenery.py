"""The eight places. Each is a sky that never moves and two strips that repeat sideways every ``TILE`` units.

Scenery space: one unit is a hundredth of the frame height, x = 0 is the middle of the frame, y = 0 its top, the
horizon is at y = 64. Landmarks stand at the sides, so that the subjects in the middle stay clear of them.
"""

from __future__ import annotations

import skia

from .brush import Brush
from .palette import RGB, SNOW, Light, mix

TILE = 176.0
HORIZON = 64.0
BOTTOM = 140.0
_EDGE = TILE / 2 + 1
"""Half a strip and a little more. Nothing that stands in front may reach further right: the next repeat covers it."""


def draw_sky(brush: Brush, light: Light, half_width: float) -> None:
    """Gradient sky with sun, moon or stars, from y = 0 to the horizon and a little beyond."""
    top, bottom = light.sky()
    paint = skia.Paint()
    ends = [skia.Point(0, 0), skia.Point(0, HORIZON + 6)]
    paint.setShader(skia.GradientShader.MakeLinear(ends, [skia.Color(*top), skia.Color(*bottom)]))
    brush.canvas.drawRect(skia.Rect(-half_width, 0, half_width, 100), paint)
    if light.place == "moon":
        _stars(brush)
        brush.oval(44, 20, 14, 14, (64, 140, 230))
        brush.oval(39, 16, 6, 4.5, (96, 196, 110))
        brush.oval(48, 24, 5, 5.5, (96, 196, 110))
        brush.oval(47, 11.5, 5, 2.2, (236, 246, 255))
        return
    if light.weather != "clear":
        grey = mix(bottom, (255, 255, 255), 0.35) if light.weather == "snow" else mix(top, (30, 36, 60), 0.35)
        for x, y, size in ((-52.0, 10.0, 13.0), (-20, 4, 11), (12, 8, 12), (48, 9, 14)):
            brush.oval(x, y, size * 1.7, size * 0.75, grey)
        return
    if light.time == "day":
        brush.glow(-46, 18, 30, (255, 246, 190), 0.8)
        brush.oval(-46, 18, 9.5, 9.5, (255, 236, 130))
        for x, y, size in ((20, 14, 7), (56, 24, 8)):
            brush.oval(x, y, size * 1.9, size * 0.62, (255, 255, 255), alpha=0.9)
            brush.oval(x - 3, y - 3.5, size * 0.95, size * 0.62, (255, 255, 255), alpha=0.9)
    elif light.time == "dusk":
        brush.glow(-44, 50, 44, (255, 226, 140), 0.85)
        brush.oval(-44, 50, 12, 12, (255, 214, 104))
    else:
        _stars(brush)
        brush.glow(-46, 18, 28, (190, 206, 255), 0.45)
        brush.oval(-46, 18, 9.5, 9.5, (250, 246, 216))
        for x, y, size in ((-49.0, 15.5, 2.4), (-43.0, 20.5, 3.0), (-44.5, 13.0, 1.5)):
            brush.oval(x, y, size, size, (226, 220, 190))


def _stars(brush: Brush) -> None:
    spots = (
        (-70, 8),
        (-62, 34),
        (-26, 9),
        (-14, 26),
        (2, 6),
        (16, 19),
        (32, 7),
        (34, 36),
        (62, 8),
        (70, 30),
        (-34, 36),
        (-78, 22),
    )
    for k, (x, y) in enumerate(spots):
        brush.oval(x, y, 1.35 if k % 3 else 1.9, 1.35 if k % 3 else 1.9, (255, 252, 226))


def draw_far(brush: Brush, light: Light) -> None:
    """The strip behind: hills, sea, towers."""
    _FAR[light.place](brush, light)


def draw_near(brush: Brush, light: Light) -> None:
    """The strip that subjects stand on, with its landmarks."""
    _NEAR[light.place](brush, light)


def _ground(brush: Brush, light: Light, back: RGB, front: RGB, top: float = HORIZON) -> None:
    paint = skia.Paint()
    colours = [skia.Color(*light.ground(back)), skia.Color(*light.ground(front))]
    paint.setShader(skia.GradientShader.MakeLinear([skia.Point(0, top), skia.Point(0, 100)], colours))
    brush.canvas.drawRect(skia.Rect(-_EDGE, top, _EDGE, BOTTOM), paint)


def _conifer(brush: Brush, light: Light, x: float, foot: float, size: float, green: RGB) -> None:
    brush.box(x - size * 0.08, foot - size * 0.2, size * 0.16, size * 0.2, light.scene((112, 74, 52)))
    for k in range(3):
        half, low = size * (0.34 - 0.075 * k), foot - size * (0.14 + 0.25 * k)
        leaf = [(x - half, low), (x + half, low), (x, low - size * 0.42)]
        brush.polygon(leaf, light.scene(mix(green, (255, 255, 200), 0.07 * k)))
        if light.weather == "snow":
            brush.polygon(
                [(x - half * 0.55, low - size * 0.19), (x + half * 0.55, low - size * 0.19), (x, low - size * 0.42)],
                light.scene(SNOW),
            )


def _round_tree(brush: Brush, light: Light, x: float, foot: float, size: float) -> None:
    brush.box(x - size * 0.07, foot - size * 0.45, size * 0.14, size * 0.45, light.scene((132, 88, 58)))
    brush.oval(x, foot - size * 0.68, size * 0.34, size * 0.34, light.ground((78, 172, 82)))
    brush.oval(x - size * 0.1, foot - size * 0.76, size * 0.18, size * 0.16, light.ground((122, 204, 104)))


def _hills(brush: Brush, colour: RGB, tops: tuple[tuple[float, float, float, float], ...]) -> None:
    for x, y, rx, ry in tops:
        brush.oval(x, y, rx, ry, colour)


def _forest_far(brush: Brush, light: Light) -> None:
    for k in range(8):
        x = -77 + 22 * k
        _conifer(brush, light, x, 68, 40 if k % 2 else 48, (94, 158, 126))


def _forest_near(brush: Brush, light: Light) -> None:
    _ground(brush, light, (96, 158, 80), (58, 118, 62))
    for x, size in ((-60, 78), (59, 84)):
        _conifer(brush, light, x, 82, size, (34, 104, 66))
    brush.oval(-38, 76, 7, 4, light.ground((70, 140, 66)))
    brush.oval(38, 78, 8, 4.4, light.ground((70, 140, 66)))


def _beach_far(brush: Brush, light: Light) -> None:
    brush.box(-_EDGE, 50, 2 * _EDGE, 30, light.scene((36, 136, 206)))
    brush.box(-_EDGE, 58, 2 * _EDGE, 22, light.scene((58, 172, 220)))
    brush.polygon([(36, 50), (36, 30), (52, 48)], light.scene((255, 250, 240)))
    brush.polygon([(26, 51), (54, 51), (49, 57), (31, 57)], light.scene((214, 70, 62)))


def _beach_near(brush: Brush, light: Light) -> None:
    brush.box(-_EDGE, 66, 2 * _EDGE, 5, light.scene((236, 250, 255)))
    _ground(brush, light, (250, 226, 164), (236, 194, 120), top=69)
    brush.curve((-64, 84), (-62, 54), (-52, 36), 5, light.scene((150, 104, 64)))
    for x, y in ((-78, 40), (-70, 26), (-38, 24), (-26, 40), (-52, 20)):
        brush.curve((-52, 34), ((-52 + x) / 2, min(y, 34) - 8), (x, y), 6, light.ground((52, 150, 76)))
    brush.oval(62, 86, 7, 4, light.scene((250, 130, 110)))


def _city_far(brush: Brush, light: Light) -> None:
    lit = light.time != "day"
    pane: RGB = (255, 222, 120) if lit else light.scene((206, 226, 244))
    towers = (
        (-88, 22, 40, (112, 128, 160)),
        (-64, 26, 26, (146, 120, 140)),
        (-36, 22, 44, (100, 116, 150)),
        (-12, 24, 34, (134, 140, 170)),
        (14, 22, 46, (116, 112, 146)),
        (38, 26, 22, (96, 120, 156)),
        (66, 22, 38, (140, 124, 150)),
    )
    for left, width, top, colour in towers:
        brush.box(left, top, width - 1.5, 70 - top, light.scene(colour))
        if light.weather == "snow":
            brush.box(left, top - 2, width - 1.5, 3.4, light.scene(SNOW), round_=1.5)
        for row in range(int((60 - top) // 9)):
            for column in range(2):
                brush.box(left + 3.5 + column * (width * 0.42), top + 5 + row * 9, width * 0.26, 4.6, pane)


def _city_near(brush: Brush, light: Light) -> None:
    brush.box(-_EDGE, 64, 2 * _EDGE, 7, light.ground((176, 176, 184)))
    _ground(brush, light, (92, 96, 110), (66, 68, 84), top=71)
    for k in range(4):
        brush.box(-82 + 44 * k, 83, 22, 3.4, light.scene((250, 226, 130)))
    brush.line([(-58, 78), (-58, 28), (-46, 28)], 3, light.scene((62, 66, 82)))
    if light.time != "day":
        brush.glow(-46, 32, 22, (255, 226, 140), 0.8)
    brush.oval(-46, 31, 5.5, 4, (255, 240, 180) if light.time != "day" else light.scene((240, 240, 226)))


def _desert_far(brush: Brush, light: Light) -> None:
    brush.polygon([(14, 68), (50, 26), (86, 68)], light.ground((232, 176, 96)))
    brush.polygon([(50, 26), (86, 68), (58, 68)], light.ground((200, 140, 74)))
    _hills(brush, light.ground((240, 184, 104)), ((-56, 76, 46, 20), (4, 78, 40, 14)))


def _desert_near(brush: Brush, light: Light) -> None:
    _ground(brush, light, (250, 204, 124), (226, 156, 82))
    brush.oval(42, 70, 44, 8, light.ground((252, 214, 140)))
    green = light.scene((56, 150, 84))
    brush.line([(-58, 82), (-58, 34)], 10, green)
    brush.line([(-58, 62), (-44, 62), (-44, 46)], 7, green)
    brush.line([(-58, 56), (-71, 56), (-71, 42)], 7, green)
    brush.line([(60, 84), (60, 62)], 8, green)


def _mountains_far(brush: Brush, light: Light) -> None:
    for x, top, half in ((-64, 26, 44), (62, 18, 50), (2, 32, 42)):
        slope = (72 - top) / half
        brush.polygon([(x - half, 72), (x, top), (x + half, 72)], light.scene((104, 124, 168)))
        brush.polygon([(x, top), (x + half, 72), (x + half * 0.2, 72)], light.scene((82, 98, 142)))
        cap = 15.0
        edge = cap / slope
        snow = [
            (x - edge, top + cap),
            (x, top),
            (x + edge, top + cap),
            (x + edge * 0.4, top + cap - 4),
            (x, top + cap + 2),
            (x - edge * 0.4, top + cap - 4),
        ]
        brush.polygon(snow, light.scene((244, 248, 255)))


def _mountains_near(brush: Brush, light: Light) -> None:
    _ground(brush, light, (134, 168, 112), (92, 130, 88))
    for x, y, rx, ry in ((-62, 80, 16, 11), (-46, 84, 9, 6), (64, 82, 18, 12)):
        brush.oval(x, y, rx, ry, light.ground((142, 146, 158)))
        brush.oval(x - rx * 0.2, y - ry * 0.3, rx * 0.6, ry * 0.5, light.ground((176, 180, 190)))


def _meadow_far(brush: Brush, light: Light) -> None:
    _hills(brush, light.ground((150, 214, 128)), ((-48, 80, 56, 30), (64, 82, 52, 34)))
    _hills(brush, light.ground((126, 200, 108)), ((6, 82, 50, 24), (-88, 84, 40, 24), (88, 84, 40, 24)))


def _meadow_near(brush: Brush, light: Light) -> None:
    _ground(brush, light, (132, 210, 92), (84, 176, 74))
    _round_tree(brush, light, 58, 80, 56)
    for x, y, petal in (
        (-70, 84, (255, 96, 120)),
        (-54, 78, (255, 214, 70)),
        (-44, 90, (246, 130, 220)),
        (-62, 70, (255, 255, 255)),
        (44, 90, (255, 96, 120)),
        (74, 90, (255, 214, 70)),
    ):
        brush.line([(x, y + 7), (x, y)], 1.8, light.scene((50, 130, 60)))
        brush.oval(x, y, 4.6, 4.6, light.scene(petal))
        brush.oval(x, y, 1.9, 1.9, light.scene((250, 180, 50)))


def _castle_far(brush: Brush, light: Light) -> None:
    stone, dark, roof = light.scene((188, 182, 202)), light.scene((150, 144, 172)), light.ground((214, 74, 92))
    brush.box(-64, 42, 128, 30, stone)
    for k in range(11):
        brush.box(-64 + 12 * k, 37, 7, 6, stone)
    for x, width, top in ((-60, 24, 30), (36, 24, 30), (-14, 28, 20)):
        brush.box(x, top, width, 72 - top, dark)
        brush.polygon([(x - 3, top), (x + width / 2, top - 22), (x + width + 3, top)], roof)
        glass = (255, 224, 130) if light.time != "day" else light.scene((92, 92, 134))
        brush.box(x + width / 2 - 3, top + 8, 6, 10, glass, round_=3)


def _castle_near(brush: Brush, light: Light) -> None:
    _ground(brush, light, (120, 188, 104), (80, 150, 84), top=68)
    brush.polygon([(-10, 68), (10, 68), (34, BOTTOM), (-34, BOTTOM)], light.ground((224, 204, 168)))
    for x in (-62, 62):
        brush.line([(x, 82), (x, 44)], 2.6, light.scene((120, 90, 70)))
        brush.polygon([(x, 44), (x + 15, 49), (x, 54)], light.scene((80, 110, 220)))
        brush.oval(x, 83, 11, 6, light.ground((58, 138, 76)))


def _moon_far(brush: Brush, light: Light) -> None:
    _hills(brush, light.scene((150, 150, 172)), ((-58, 76, 44, 22), (70, 78, 46, 22)))


def _moon_near(brush: Brush, light: Light) -> None:
    _ground(brush, light, (206, 206, 222), (158, 158, 182))
    for x, y, rx, ry in ((-58, 80, 17, 5), (62, 76, 13, 3.8), (42, 92, 10, 3.2)):
        brush.oval(x, y, rx, ry, light.scene((126, 126, 152)))
        brush.oval(x + 1, y + 1.2, rx * 0.84, ry * 0.7, light.scene((150, 150, 174)))
    brush.line([(60, 74), (60, 48)], 2, light.scene((230, 230, 240)))
    brush.polygon([(60, 48), (76, 48), (76, 58), (60, 58)], light.scene((240, 90, 90)))


_FAR = {
    "forest": _forest_far,
    "beach": _beach_far,
    "city": _city_far,
    "desert": _desert_far,
    "mountains": _mountains_far,
    "meadow": _meadow_far,
    "castle": _castle_far,
    "moon": _moon_far,
}
_NEAR = {
    "forest": _forest_near,
    "beach": _beach_near,
    "city": _city_near,
    "desert": _desert_near,
    "mountains": _mountains_near,
    "meadow": _meadow_near,
    "castle": _castle_near,
    "moon": _moon_near,
}


def draw_weather(brush: Brush, light: Light, t: int) -> None:
    """Falling snow or rain over the whole frame. Columns repeat, so that the picture returns every 24 frames."""
    if light.weather == "snow":
        for k in range(11):
            x, fall = -80.0 + 16 * k, t * (100 / 72) + 61.8 * k
            for row in range(3):
                brush.oval(
                    x + (5 if row % 2 else -3), (fall + row * 100 / 3) % 100, 1.9, 1.9, (255, 255, 255), alpha=0.95
                )
    elif light.weather == "rain":
        for k in range(12):
            x, fall = -80 + 14.5 * k, t * (50 / 12) + 31 * k
            for row in range(2):
                y = (fall + row * 50) % 100
                brush.line([(x, y - 5), (x - 2.4, y + 5)], 1.3, (206, 226, 250))
