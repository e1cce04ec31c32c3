"""Where subjects stand and how large they are, in hundredths of the frame height, x = 0 in the middle of the frame."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .world import Shot


@dataclass(frozen=True)
class Place:
    """Feet of a character and its height in hundredths of the frame height."""

    x: float
    feet_y: float
    size: float


_SIZE = {"wide": (45.0, 45.0), "medium": (68.0, 64.0), "close": (112.0, 100.0)}
_FEET = {"wide": 86.0, "medium": 95.0, "close": 135.0}
_SIDE = {"wide": 30.0, "medium": 34.0, "close": 41.0}
BACKDROP_ZOOM = {"wide": 1.0, "medium": 1.12, "close": 1.3}
_MAX_OFFSET = 4.0


def subject_places(shot: Shot) -> tuple[Place, ...]:
    """One place per subject: the middle third for one, left and right thirds for two, moved a little by the seed."""
    rng = random.Random(shot.seed)
    pair = len(shot.subjects) == 2
    size = _SIZE[shot.framing][pair]
    feet = _FEET[shot.framing] - (12.0 if pair and shot.framing == "close" else 0.0)
    centres = (-_SIDE[shot.framing], _SIDE[shot.framing]) if pair else (0.0,)
    offset = rng.uniform(-_MAX_OFFSET, _MAX_OFFSET)
    return tuple(Place(x + offset, feet, size) for x in centres)
