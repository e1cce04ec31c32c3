"""How things move: poses of the actions and the path of the camera, as functions of the frame number.

Every action repeats after ``PERIOD`` frames (or a divisor of it) and starts at phase 0 at frame 0 of the shot.
Lengths are hundredths of the character's height (poses) or of the frame height (camera); angles are degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PERIOD = 24

_SCROLL = {"walks": 0.25, "runs": 0.5}
_PAN_SPEED = 0.3
_PUSH_SPEED, _PUSH_LIMIT = 0.0020, 1.30


@dataclass(frozen=True)
class Pose:
    """Posture of a character at one moment.

    Arms: 0 hangs down, 90 points sideways, 150 is up. ``look`` shifts the face (x right, y down). ``stretch``
    squeezes the body sideways and is negative when the character is turned around.
    """

    x: float = 0.0
    lift: float = 0.0
    tilt: float = 0.0
    head_tilt: float = 0.0
    head_drop: float = 0.0
    height: float = 1.0
    stretch: float = 1.0
    look: tuple[float, float] = (0.0, 0.0)
    arm_left: float = 22.0
    arm_right: float = 22.0
    foot_left: float = 0.0
    foot_right: float = 0.0
    seated: bool = False
    asleep: bool = False
    phase: float = 0.0


def pose(action: str, t: int) -> Pose:
    """Pose of ``action`` at frame ``t`` of its shot."""
    turn = 2 * math.pi * t / PERIOD
    s, c = math.sin(turn), math.cos(turn)
    s2 = math.sin(2 * turn)
    breath = 1.0 + 0.012 * s
    phase = t / PERIOD
    if action == "walks":
        return Pose(
            lift=2.5 * abs(s),
            tilt=4 + 3 * s,
            look=(8, 0),
            arm_left=30 + 22 * s,
            arm_right=30 - 22 * s,
            foot_left=9 * max(s, 0),
            foot_right=9 * max(-s, 0),
            phase=phase,
        )
    if action == "runs":
        return Pose(
            lift=7 * abs(s2),
            tilt=14 + 3 * s2,
            look=(10, 0),
            arm_left=72 + 30 * s2,
            arm_right=72 - 30 * s2,
            foot_left=17 * max(s2, 0),
            foot_right=17 * max(-s2, 0),
            phase=phase,
        )
    if action == "jumps":
        up = max(0.0, math.sin(math.pi * (t % PERIOD) / 16)) if t % PERIOD < 16 else 0.0
        squash = 0.0 if t % PERIOD < 16 else math.sin(math.pi * (t % PERIOD - 16) / 8)
        return Pose(
            lift=30 * up,
            height=1 - 0.14 * squash,
            arm_left=40 + 95 * up,
            arm_right=40 + 95 * up,
            foot_left=-4 * up,
            foot_right=-4 * up,
            look=(0, -3 * up),
            phase=phase,
        )
    if action == "waves":
        return Pose(height=breath, arm_left=138 + 24 * s2, tilt=-2, head_tilt=-4, phase=phase)
    if action == "looks up":
        return Pose(height=breath, head_tilt=3 * s, look=(0, -12), arm_left=38, arm_right=38, phase=phase)
    if action == "dances":
        return Pose(
            x=5 * s,
            lift=4 * abs(s),
            tilt=13 * s,
            head_tilt=-8 * s,
            arm_left=100 + 45 * s,
            arm_right=100 - 45 * s,
            foot_left=8 * max(s, 0),
            foot_right=8 * max(-s, 0),
            phase=phase,
        )
    if action == "sits":
        return Pose(height=breath, seated=True, arm_left=14, arm_right=14, head_tilt=2 * s, phase=phase)
    if action == "spins":
        squeeze = math.copysign(max(abs(c), 0.12), c)
        return Pose(lift=3 * abs(s), stretch=squeeze, arm_left=88, arm_right=88, phase=phase)
    if action == "sleeps":
        return Pose(
            height=1 + 0.025 * s,
            seated=True,
            asleep=True,
            head_tilt=13,
            head_drop=5 + 1.5 * s,
            arm_left=10,
            arm_right=10,
            phase=phase,
        )
    return Pose(height=breath, phase=phase)


@dataclass(frozen=True)
class View:
    """Where the camera is: ``scroll`` slides the scenery to the left, ``zoom`` and the shift move everything."""

    scroll: float = 0.0
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)


def view(camera: str, action: str, t: int) -> View:
    """Camera at frame ``t``; walking and running make the scenery slide past."""
    scroll = _SCROLL.get(action, 0.0) * t
    turn = 2 * math.pi * t / PERIOD
    if camera == "pan":
        return View(scroll=scroll - _PAN_SPEED * t)
    if camera == "push-in":
        return View(scroll=scroll, zoom=min(1.0 + _PUSH_SPEED * t, _PUSH_LIMIT))
    if camera == "shake":
        return View(scroll=scroll, zoom=1.05, shift=(1.8 * math.sin(3 * turn), 1.4 * math.sin(2 * turn)))
    return View(scroll=scroll)


def is_still(camera: str, action: str) -> bool:
    """Whether the scenery stays where it is, so that it can be drawn once for the whole shot."""
    return camera == "static" and action not in _SCROLL
