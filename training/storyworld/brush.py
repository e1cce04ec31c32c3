"""A thin brush over a skia canvas: filled and outlined shapes with colours as plain tuples.

Coordinates are whatever the canvas transform says; scenery uses hundredths of the frame height, characters use
hundredths of their own height. y points down.
"""

from __future__ import annotations

from collections.abc import Sequence

import skia

from .palette import RGB

Point = tuple[float, float]


def _argb(colour: RGB, alpha: float = 1.0) -> int:
    red, green, blue = colour
    return round(255 * alpha) << 24 | red << 16 | green << 8 | blue


class Brush:
    """Draws on ``canvas``; every shape is antialiased. ``outline`` is the width of the dark rim, 0 for none."""

    def __init__(self, canvas: skia.Canvas, *, outline: float = 0.0, rim: RGB = (0, 0, 0)) -> None:
        self.canvas = canvas
        self.outline = outline
        self._fill = skia.Paint(AntiAlias=True)
        self._rim = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style, StrokeWidth=2 * outline)
        self._rim.setStrokeJoin(skia.Paint.kRound_Join)
        self._rim.setColor(_argb(rim))
        self._line = skia.Paint(AntiAlias=True, Style=skia.Paint.kStroke_Style)
        self._line.setStrokeCap(skia.Paint.kRound_Cap)
        self._line.setStrokeJoin(skia.Paint.kRound_Join)
        self._rim_colour = rim

    def path(self, path: skia.Path, colour: RGB, *, alpha: float = 1.0, rim: bool = False) -> None:
        """Fill a path; with ``rim`` a dark outline lies under it (drawn first, so that it shows outside only)."""
        if rim and self.outline:
            self.canvas.drawPath(path, self._rim)
        self._fill.setColor(_argb(colour, alpha))
        self.canvas.drawPath(path, self._fill)

    def oval(
        self, x: float, y: float, rx: float, ry: float, colour: RGB, *, alpha: float = 1.0, rim: bool = False
    ) -> None:
        """Ellipse about (x, y)."""
        box = skia.Rect(x - rx, y - ry, x + rx, y + ry)
        if rim and self.outline:
            self.canvas.drawOval(box, self._rim)
        self._fill.setColor(_argb(colour, alpha))
        self.canvas.drawOval(box, self._fill)

    def box(
        self,
        left: float,
        top: float,
        width: float,
        height: float,
        colour: RGB,
        *,
        round_: float = 0.0,
        alpha: float = 1.0,
        rim: bool = False,
    ) -> None:
        """Rectangle with rounded corners."""
        rect = skia.Rect.MakeXYWH(left, top, width, height)
        if rim and self.outline:
            self.canvas.drawRoundRect(rect, round_, round_, self._rim)
        self._fill.setColor(_argb(colour, alpha))
        self.canvas.drawRoundRect(rect, round_, round_, self._fill)

    def polygon(self, points: Sequence[Point], colour: RGB, *, alpha: float = 1.0, rim: bool = False) -> None:
        """Closed polygon."""
        self.path(skia.Path.Polygon([skia.Point(*point) for point in points], True), colour, alpha=alpha, rim=rim)

    def line(self, points: Sequence[Point], width: float, colour: RGB, *, rim: bool = False) -> None:
        """Round-ended line through points."""
        path = skia.Path.Polygon([skia.Point(*point) for point in points], False)
        if rim and self.outline:
            self._line.setStrokeWidth(width + 2 * self.outline)
            self._line.setColor(_argb(self._rim_colour))
            self.canvas.drawPath(path, self._line)
        self._line.setStrokeWidth(width)
        self._line.setColor(_argb(colour))
        self.canvas.drawPath(path, self._line)

    def curve(self, start: Point, bend: Point, end: Point, width: float, colour: RGB, *, rim: bool = False) -> None:
        """Round-ended quadratic curve."""
        path = skia.Path()
        path.moveTo(*start)
        path.quadTo(*bend, *end)
        if rim and self.outline:
            self._line.setStrokeWidth(width + 2 * self.outline)
            self._line.setColor(_argb(self._rim_colour))
            self.canvas.drawPath(path, self._line)
        self._line.setStrokeWidth(width)
        self._line.setColor(_argb(colour))
        self.canvas.drawPath(path, self._line)

    def glow(self, x: float, y: float, radius: float, colour: RGB, strength: float) -> None:
        """Soft round light that fades to nothing at ``radius``."""
        paint = skia.Paint(AntiAlias=True)
        stops = [_argb(colour, strength), _argb(colour, 0.0)]
        paint.setShader(skia.GradientShader.MakeRadial(skia.Point(x, y), radius, stops))
        self.canvas.drawCircle(x, y, radius, paint)
