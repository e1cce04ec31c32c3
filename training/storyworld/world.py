"""What exists in the world, as plain values: characters, shots, stories, and how a story is drawn from a seed.

A character keeps its look through a story; place, time and weather change rarely, so that a later caption may
leave them out and mean "as before". Some (species, colour, place) triples never occur in the training split:
they test whether a model composes what it knows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

SPECIES = ("fox", "bear", "rabbit", "cat", "robot", "owl", "penguin", "frog")
COLOURS = ("red", "yellow", "green", "blue", "purple", "white")
OUTFITS = ("none", "scarf", "hat")
PLACES = ("forest", "beach", "city", "desert", "mountains", "meadow", "castle", "moon")
TIMES = ("day", "dusk", "night")
WEATHERS = ("clear", "snow", "rain")
ACTIONS = ("stands", "walks", "runs", "jumps", "waves", "looks up", "dances", "sits", "spins", "sleeps")
FRAMINGS = ("wide", "medium", "close")
CAMERAS = ("static", "pan", "push-in", "shake")
PROPS = ("none", "ball", "lantern", "flower", "balloon")
SPLITS = ("train", "test")

FPS = 16
MIN_FRAMES, MAX_FRAMES = 33, 121
_HELD_OUT_ONE_IN = 10


def _check(kind: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{kind}={value!r} is not in this world; use one of {', '.join(allowed)}")


@dataclass(frozen=True)
class Character:
    """One animal (or robot) and how it always looks."""

    species: str
    colour: str
    outfit: str = "none"

    def __post_init__(self) -> None:
        _check("species", self.species, SPECIES)
        _check("colour", self.colour, COLOURS)
        _check("outfit", self.outfit, OUTFITS)


@dataclass(frozen=True)
class Shot:
    """Everything that a shot shows. One subject stands in the middle third, two stand left and right; the first one
    holds the prop. ``num_frames`` is at 16 frames a second; ``seed`` moves the subjects by a few pixels."""

    place: str
    subjects: tuple[Character, ...]
    time: str = "day"
    weather: str = "clear"
    framing: str = "medium"
    camera: str = "static"
    action: str = "stands"
    prop: str = "none"
    num_frames: int = 81
    seed: int = 0

    def __post_init__(self) -> None:
        _check("place", self.place, PLACES)
        _check("time", self.time, TIMES)
        _check("weather", self.weather, WEATHERS)
        _check("framing", self.framing, FRAMINGS)
        _check("camera", self.camera, CAMERAS)
        _check("action", self.action, ACTIONS)
        _check("prop", self.prop, PROPS)
        if not 1 <= len(self.subjects) <= 2:
            raise ValueError(f"a shot has {len(self.subjects)} subjects; it must have 1 or 2")
        if self.num_frames < 1:
            raise ValueError(f"num_frames={self.num_frames} must be at least 1")


@dataclass(frozen=True)
class Story:
    """Shots that belong together, and the seed they were drawn from."""

    shots: tuple[Shot, ...]
    seed: int

    @property
    def characters(self) -> tuple[Character, ...]:
        """Everyone who appears, in order of appearance."""
        return tuple(dict.fromkeys(who for shot in self.shots for who in shot.subjects))


def is_held_out(character: Character, place: str) -> bool:
    """Whether this (species, colour, place) belongs to the test split; at most one place per species and colour."""
    code = SPECIES.index(character.species) + 2 * COLOURS.index(character.colour) + 3 * PLACES.index(place)
    return code % _HELD_OUT_ONE_IN == 3


def sample_story(seed: int, split: str = "train") -> Story:
    """Draw a story of 2 to 6 shots.

    In the training split no subject of any shot makes a held-out triple with its place; in the test split the
    first subject of every shot does.

    Raises:
        ValueError: unknown split.
    """
    _check("split", split, SPLITS)
    rng = random.Random(f"{split}-{seed}")
    cast, homes = _draw_cast(rng, split)
    num_shots = rng.randint(2, 6)
    place, time, weather = rng.choice(homes), rng.choice(TIMES), _draw_weather(rng)
    travels = rng.random() < 0.4
    shots: list[Shot] = []
    for _ in range(num_shots):
        if shots and travels and rng.random() < 0.5:
            place = rng.choice(homes)
        if shots and rng.random() < 0.12:
            time = rng.choice(TIMES)
        if shots and rng.random() < 0.08:
            weather = _draw_weather(rng)
        shots.append(_draw_shot(rng, cast, place, time, "clear" if place == "moon" else weather, split))
    return Story(shots=tuple(shots), seed=seed)


def _draw_cast(rng: random.Random, split: str) -> tuple[tuple[Character, ...], tuple[str, ...]]:
    """One or two characters that differ in species and in colour, and the places where this split lets them be."""
    while True:
        size = 2 if rng.random() < 0.45 else 1
        cast = tuple(
            Character(species, colour, rng.choices(OUTFITS, weights=(4, 3, 3))[0])
            for species, colour in zip(rng.sample(SPECIES, size), rng.sample(COLOURS, size), strict=True)
        )
        if split == "train":
            homes = tuple(place for place in PLACES if not any(is_held_out(who, place) for who in cast))
        else:
            homes = tuple(place for place in PLACES if is_held_out(cast[0], place))
        if homes:
            return cast, homes


def _draw_weather(rng: random.Random) -> str:
    return rng.choices(WEATHERS, weights=(6, 2, 2))[0]


def _draw_shot(
    rng: random.Random, cast: tuple[Character, ...], place: str, time: str, weather: str, split: str
) -> Shot:
    subjects = cast[:1]
    if len(cast) == 2:
        both = rng.random() < 0.35
        alone = cast[:1] if split == "test" or rng.random() < 0.5 else cast[1:]
        subjects = cast if both else alone
    shot = Shot(
        place=place,
        subjects=subjects,
        time=time,
        weather=weather,
        framing=rng.choices(FRAMINGS, weights=(25, 40, 35))[0],
        camera=rng.choices(CAMERAS, weights=(50, 18, 18, 14))[0],
        action=rng.choice(ACTIONS),
        prop=rng.choices(PROPS, weights=(60, 10, 10, 10, 10))[0],
        num_frames=rng.randrange(MIN_FRAMES, MAX_FRAMES + 1, 4),
        seed=rng.randrange(2**31),
    )
    # A pan and a walk would fight over which way the scenery slides.
    return replace(shot, camera="static") if shot.camera == "pan" and shot.action in ("walks", "runs") else shot
