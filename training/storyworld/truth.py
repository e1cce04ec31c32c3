"""What a frame really shows, for probes and tests: who is where, in pixels."""

from __future__ import annotations

from dataclasses import dataclass

from .layout import subject_places
from .motion import view
from .render import FOCUS_Y, HEIGHT_PX, WIDTH_PX, subject_pose
from .world import Character, Shot

HALF_WIDTH, HEIGHT = 40.0, 112.0
"""Extent of a character (ears included) in hundredths of its height."""


@dataclass(frozen=True)
class Truth:
    """Ground truth of one frame. ``boxes`` are (left, top, right, bottom) in pixels, one per character, not clipped."""

    characters: tuple[Character, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    place: str
    framing: str


def truth(shot: Shot, t: int, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> Truth:
    """Who is where in frame ``t``; boxes are generous (arms down, ears up) and ignore tilt."""
    camera = view(shot.camera, shot.action, t)
    scale = height_px / 100
    boxes = []
    for who, place in zip(shot.subjects, subject_places(shot), strict=True):
        posture = subject_pose(shot, who, t)
        unit = place.size / 100
        centre, feet = place.x + posture.x * unit, place.feet_y - posture.lift * unit
        corners = (centre - HALF_WIDTH * unit, feet - HEIGHT * unit, centre + HALF_WIDTH * unit, feet)
        xs = [width_px / 2 + (camera.shift[0] + x * camera.zoom) * scale for x in corners[0::2]]
        ys = [(camera.shift[1] + FOCUS_Y + (y - FOCUS_Y) * camera.zoom) * scale for y in corners[1::2]]
        boxes.append((xs[0], ys[0], xs[1], ys[1]))
    return Truth(shot.subjects, tuple(boxes), shot.place, shot.framing)
