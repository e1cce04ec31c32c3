"""The attributes a shot truly has, as class numbers: the target of probes and of the small text encoder.

Subjects use class 0 for "nobody" (a shot with one subject has no second one); all other labels number the
tuples of ``world.py`` from 0.
"""

from __future__ import annotations

from .world import ACTIONS, CAMERAS, COLOURS, FRAMINGS, OUTFITS, PLACES, PROPS, SPECIES, TIMES, WEATHERS, Shot, Story

NOBODY = "nobody"
_WHO = {"species": (NOBODY, *SPECIES), "colour": (NOBODY, *COLOURS), "outfit": (NOBODY, *OUTFITS)}

LABELS: dict[str, tuple[str, ...]] = {
    **{f"subject{number}_{name}": values for number in (1, 2) for name, values in _WHO.items()},
    "action": ACTIONS,
    "place": PLACES,
    "time": TIMES,
    "weather": WEATHERS,
    "framing": FRAMINGS,
    "camera": CAMERAS,
    "prop": PROPS,
}
"""Label name -> names of its classes, in class order."""


def attributes(shot: Shot) -> dict[str, str]:
    """Label name -> the name of the class that the shot shows."""
    found: dict[str, str] = {}
    for number in (1, 2):
        who = shot.subjects[number - 1] if len(shot.subjects) >= number else None
        for name in _WHO:
            found[f"subject{number}_{name}"] = getattr(who, name) if who else NOBODY
    for name in ("action", "place", "time", "weather", "framing", "camera", "prop"):
        found[name] = getattr(shot, name)
    return found


def shot_labels(story: Story, shot_index: int) -> dict[str, int]:
    """Label name -> class number of shot ``shot_index``."""
    return {name: LABELS[name].index(value) for name, value in attributes(story.shots[shot_index]).items()}
