"""Things that the first character of a shot holds in its right hand, drawn about that hand in character space."""

from __future__ import annotations

import math

from .brush import Brush
from .palette import WHITE, Light

HOLDING_ANGLE = 118.0
"""Angle of an arm that holds something: high enough to be seen in a close-up."""


def draw_prop(brush: Brush, prop: str, light: Light, x: float, y: float, phase: float) -> None:
    """Draw ``prop`` with the hand at (x, y); ``phase`` counts periods of the action, for the balloon's sway."""
    tone = light.subject
    if prop == "ball":
        brush.oval(x + 4, y - 8, 15, 15, tone((250, 250, 250)), rim=True)
        for start in (0, 120, 240):
            a, b = math.radians(start), math.radians(start + 60)
            wedge = [(x + 4, y - 8)] + [
                (x + 4 + 15 * math.cos(a + (b - a) * k / 4), y - 8 + 15 * math.sin(a + (b - a) * k / 4))
                for k in range(5)
            ]
            brush.polygon(wedge, tone(((236, 64, 70), (54, 130, 236), (252, 206, 60))[start // 120]))
    elif prop == "lantern":
        brush.glow(x + 4, y + 8, 38, (255, 214, 110), 0.75 if light.time == "night" else 0.4)
        brush.line([(x + 4, y - 4), (x + 4, y)], 2.5, tone((70, 56, 60)))
        brush.box(x - 6, y, 20, 22, (255, 224, 120), round_=4, rim=True)
        brush.oval(x + 4, y + 12, 5, 7, (255, 250, 214))
        brush.box(x - 8, y - 2, 24, 5, tone((70, 56, 60)), round_=2)
        brush.box(x - 8, y + 20, 24, 5, tone((70, 56, 60)), round_=2)
    elif prop == "flower":
        brush.line([(x, y + 6), (x + 5, y - 18)], 4, tone((60, 160, 70)), rim=True)
        for k in range(5):
            angle = 2 * math.pi * k / 5 - math.pi / 2
            brush.oval(
                x + 5 + 8.5 * math.cos(angle), y - 20 + 8.5 * math.sin(angle), 7, 7, tone((255, 110, 170)), rim=True
            )
        brush.oval(x + 5, y - 20, 6.5, 6.5, tone((255, 220, 80)))
    elif prop == "balloon":
        sway = 3 * math.sin(2 * math.pi * phase)
        brush.line([(x, y), (x + 10 + sway, y - 26)], 1.8, tone(WHITE))
        brush.polygon([(x + 6 + sway, y - 21), (x + 14 + sway, y - 21), (x + 10 + sway, y - 29)], tone((240, 60, 130)))
        brush.oval(x + 10 + sway, y - 46, 17, 20, tone((255, 84, 150)), rim=True)
        brush.oval(x + 4 + sway, y - 53, 4, 6, tone((255, 206, 226)))
