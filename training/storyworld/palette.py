"""Colours: of coats, of places, and how time and weather tint them. All are (red, green, blue), 0..255."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[int, int, int]

WHITE: RGB = (255, 255, 255)
INK: RGB = (38, 32, 48)

COATS: dict[str, RGB] = {
    "red": (226, 58, 44),
    "yellow": (252, 204, 44),
    "green": (62, 176, 76),
    "blue": (52, 116, 230),
    "purple": (150, 78, 206),
    "white": (246, 246, 250),
}

SKIES: dict[str, tuple[RGB, RGB]] = {
    "forest": ((142, 206, 210), (222, 240, 208)),
    "beach": ((86, 184, 240), (206, 240, 250)),
    "city": ((136, 178, 226), (226, 226, 232)),
    "desert": ((120, 196, 236), (254, 232, 178)),
    "mountains": ((94, 156, 226), (216, 234, 250)),
    "meadow": ((112, 194, 246), (232, 246, 236)),
    "castle": ((150, 168, 232), (248, 222, 232)),
    "moon": ((14, 14, 38), (46, 44, 84)),
}
"""Top and horizon of the clear day sky."""

DUSK_SKY: tuple[RGB, RGB] = ((108, 70, 150), (255, 162, 92))
NIGHT_SKY: tuple[RGB, RGB] = ((14, 20, 58), (56, 72, 132))
_SCENE_TINT = {"day": (1.0, 1.0, 1.0), "dusk": (1.0, 0.74, 0.66), "night": (0.36, 0.43, 0.68)}
_SUBJECT_TINT = {"day": (1.0, 1.0, 1.0), "dusk": (1.0, 0.9, 0.84), "night": (0.88, 0.87, 0.98)}
_OVERCAST: dict[str, RGB] = {"snow": (206, 214, 228), "rain": (112, 124, 146)}
SNOW: RGB = (240, 246, 255)


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """``a`` with ``share`` (0..1) of ``b`` in it."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


def tint(colour: RGB, factors: tuple[float, float, float]) -> RGB:
    """Channel-wise product, clamped to 255."""
    return tuple(min(255, round(x * f)) for x, f in zip(colour, factors, strict=True))  # type: ignore[return-value]


@dataclass(frozen=True)
class Light:
    """How one place, time and weather colour things."""

    place: str
    time: str
    weather: str

    def scene(self, colour: RGB) -> RGB:
        """A thing of the scenery."""
        if self.weather == "rain":
            colour = mix(colour, (96, 108, 128), 0.3)
        return tint(colour, _SCENE_TINT[self.time])

    def ground(self, colour: RGB) -> RGB:
        """The ground or a tree top: white when it snows."""
        return self.scene(mix(colour, SNOW, 0.86) if self.weather == "snow" else colour)

    def subject(self, colour: RGB) -> RGB:
        """A character: darkened less than the scenery, so that its colour stays readable."""
        return tint(colour, _SUBJECT_TINT[self.time])

    def sky(self) -> tuple[RGB, RGB]:
        """Top and horizon of the sky."""
        top, bottom = SKIES[self.place]
        if self.place == "moon":
            if self.time == "dusk":
                return mix(top, (74, 30, 84), 0.6), mix(bottom, (196, 92, 110), 0.55)
            return (
                (top, bottom)
                if self.time == "night"
                else (mix(top, (30, 40, 96), 0.6), mix(bottom, (96, 104, 176), 0.6))
            )
        if self.time == "dusk":
            top, bottom = DUSK_SKY
        elif self.time == "night":
            top, bottom = NIGHT_SKY
        grey = _OVERCAST.get(self.weather)
        if grey is not None:
            grey = tint(grey, _SCENE_TINT[self.time])
            top, bottom = mix(top, grey, 0.65), mix(bottom, grey, 0.55)
        return top, bottom
