"""Draws shots: flat vector pictures by skia, any size, the same bytes for the same values.

The scenery is baked once per shot (a still picture where the camera allows, else a sky and two strips that repeat
sideways); subjects and weather are drawn for each frame. Frame space is hundredths of the frame height with x = 0
in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import skia
from numpy.typing import NDArray

from . import scenery
from .brush import Brush
from .characters import Coat, draw_character, hand
from .layout import BACKDROP_ZOOM, Place, subject_places
from .motion import Pose, View, is_still, pose, view
from .palette import Light
from .props import HOLDING_ANGLE, draw_prop
from .world import Character, Shot

WIDTH_PX, HEIGHT_PX = 160, 96
FAR_SHARE = 0.45
"""How much slower the strip behind slides than the one in front."""
_RIM = 2.4
FOCUS_Y = 52.0
_LINEAR = skia.SamplingOptions(skia.FilterMode.kLinear)


def _canvas_over(pixels: NDArray[np.uint8]) -> skia.Surface:
    """A surface that draws into ``pixels`` (height, width, 4); the caller keeps the array alive."""
    return skia.Surface(pixels, colorType=skia.kRGBA_8888_ColorType)


@dataclass(frozen=True)
class _Subject:
    who: Character
    place: Place
    coat: Coat
    brush: Brush


class ShotRenderer:
    """Draws the frames of one shot at one size; owns the baked scenery."""

    def __init__(self, shot: Shot, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> None:
        if width_px < 1 or height_px < 1:
            raise ValueError(f"size {width_px}x{height_px} must be positive, for example {WIDTH_PX}x{HEIGHT_PX}")
        self.shot = shot
        self.light = Light(shot.place, shot.time, shot.weather)
        self._size = width_px, height_px
        self._scale = height_px / 100
        self._half_width = 50 * width_px / height_px
        self._pixels = np.zeros((height_px, width_px, 4), np.uint8)
        self._surface = _canvas_over(self._pixels)
        self._canvas = self._surface.getCanvas()
        self._brush = Brush(self._canvas)
        self._cast = tuple(
            self._prepare(who, place) for who, place in zip(shot.subjects, subject_places(shot), strict=True)
        )
        self._sky, self._strips = _bake(self.light, shot.framing, width_px, height_px)
        self._still = self._bake_still() if is_still(shot.camera, shot.action) else None

    def frame(self, t: int) -> NDArray[np.uint8]:
        """Frame ``t`` (from 0): uint8 ``(height, width, 3)`` RGB, a new array."""
        canvas = self._canvas
        canvas.resetMatrix()
        camera = view(self.shot.camera, self.shot.action, t)
        if self._still is not None:
            canvas.drawImage(self._still, 0, 0)
        else:
            self._draw_scenery(canvas, camera)
        self._enter_frame_space(canvas, camera)
        for subject in self._cast:
            self._draw_subject(subject, subject_pose(self.shot, subject.who, t))
        canvas.resetMatrix()
        canvas.translate(self._size[0] / 2, 0)
        canvas.scale(self._scale, self._scale)
        scenery.draw_weather(self._brush, self.light, t)
        self._surface.flushAndSubmit()
        return np.ascontiguousarray(self._pixels[:, :, :3])

    def _enter_frame_space(self, canvas: skia.Canvas, camera: View) -> None:
        canvas.translate(self._size[0] / 2 + camera.shift[0] * self._scale, camera.shift[1] * self._scale)
        canvas.translate(0, FOCUS_Y * self._scale)
        canvas.scale(self._scale * camera.zoom, self._scale * camera.zoom)
        canvas.translate(0, -FOCUS_Y)

    def _draw_scenery(self, canvas: skia.Canvas, camera: View) -> None:
        canvas.drawImage(self._sky, 0, 0)
        width_px, height_px = self._size
        canvas.save()
        canvas.translate(width_px / 2 + camera.shift[0] * self._scale, (FOCUS_Y + camera.shift[1]) * self._scale)
        canvas.scale(camera.zoom, camera.zoom)
        canvas.translate(0, -FOCUS_Y * self._scale)
        for strip, share in zip(self._strips, (FAR_SHARE, 1.0), strict=True):
            left = -strip.width() / 2 - camera.scroll * share * self._scale
            matrix = skia.Matrix.Translate(left, 0)
            paint = skia.Paint()
            paint.setShader(strip.makeShader(skia.TileMode.kRepeat, skia.TileMode.kClamp, _LINEAR, matrix))
            canvas.drawRect(skia.Rect(-width_px, 0, width_px, 2 * height_px), paint)
        canvas.restore()

    def _bake_still(self) -> skia.Image:
        surface = skia.Surface(*self._size)
        self._draw_scenery(surface.getCanvas(), View())
        return surface.makeImageSnapshot()

    def _prepare(self, who: Character, place: Place) -> _Subject:
        coat = Coat.of(who.colour, self.light)
        return _Subject(who, place, coat, Brush(self._canvas, outline=_RIM, rim=coat.rim))

    def _draw_subject(self, subject: _Subject, posture: Pose) -> None:
        place, canvas, unit = subject.place, self._canvas, subject.place.size / 100
        self._brush.oval(
            place.x + posture.x * unit,
            place.feet_y,
            (34 - 0.4 * posture.lift) * unit,
            (6 - 0.06 * posture.lift) * unit,
            (20, 24, 50),
            alpha=0.3,
        )
        canvas.save()
        canvas.translate(place.x + posture.x * unit, place.feet_y - posture.lift * unit)
        canvas.scale(unit * posture.stretch, unit * posture.height)
        canvas.rotate(posture.tilt)
        if posture.seated:
            canvas.translate(0, 4)
        draw_character(subject.brush, subject.who, subject.coat, self.light, posture)
        if self.shot.prop != "none" and subject.who == self.shot.subjects[0]:
            draw_prop(subject.brush, self.shot.prop, self.light, *hand(1, posture.arm_right), posture.phase)
        canvas.restore()


def subject_pose(shot: Shot, who: Character, t: int) -> Pose:
    """Pose of one subject; an arm that holds something stays raised."""
    posture = pose(shot.action, t)
    if shot.framing == "close":  # a full jump would leave the frame
        posture = replace(posture, lift=0.5 * posture.lift)
    if shot.prop != "none" and who == shot.subjects[0]:
        posture = replace(posture, arm_right=HOLDING_ANGLE)
    return posture


@lru_cache(maxsize=64)
def _bake(
    light: Light, framing: str, width_px: int, height_px: int
) -> tuple[skia.Image, tuple[skia.Image, skia.Image]]:
    """The sky picture and the two strips of a place, scaled for a framing."""
    zoom = BACKDROP_ZOOM[framing]
    scale = height_px / 100
    sky = skia.Surface(width_px, height_px)
    canvas = sky.getCanvas()
    canvas.translate(width_px / 2, 0)
    canvas.scale(scale, scale)
    scenery.draw_sky(Brush(canvas), light, 50 * width_px / height_px)
    # A strip must repeat after a whole number of pixels, else a seam shows.
    tile_px = max(1, round(scenery.TILE * scale * zoom))
    strips = []
    for draw in (scenery.draw_far, scenery.draw_near):
        surface = skia.Surface(tile_px, height_px)
        canvas = surface.getCanvas()
        for shift in (-1, 0, 1):
            canvas.save()
            canvas.translate(tile_px / 2 + shift * tile_px, FOCUS_Y * scale)
            canvas.scale(tile_px / scenery.TILE, scale * zoom)
            canvas.translate(0, -FOCUS_Y)
            canvas.clipRect(skia.Rect(-scenery.TILE / 2 - 40, -100, scenery.TILE / 2 + 40, 200))
            draw(Brush(canvas), light)
            canvas.restore()
        strips.append(surface.makeImageSnapshot())
    return sky.makeImageSnapshot(), (strips[0], strips[1])


def render_frame(shot: Shot, t: int, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> NDArray[np.uint8]:
    """Frame ``t`` of a shot: uint8 ``(height_px, width_px, 3)`` RGB. For many frames of a shot use ``render_shot``."""
    return ShotRenderer(shot, width_px, height_px).frame(t)


def iter_frames(
    shot: Shot, frames: Sequence[int] | None = None, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX
) -> Iterator[NDArray[np.uint8]]:
    """Frames of a shot one by one; all of them when ``frames`` is None."""
    renderer = ShotRenderer(shot, width_px, height_px)
    for t in range(shot.num_frames) if frames is None else frames:
        yield renderer.frame(t)


def render_shot(
    shot: Shot, frames: Sequence[int] | None = None, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX
) -> NDArray[np.uint8]:
    """Frames of a shot: uint8 ``(num_frames, height_px, width_px, 3)`` RGB; all of them when ``frames`` is None."""
    numbers = range(shot.num_frames) if frames is None else frames
    out = np.empty((len(numbers), height_px, width_px, 3), np.uint8)
    for k, image in enumerate(iter_frames(shot, numbers, width_px=width_px, height_px=height_px)):
        out[k] = image
    return out
