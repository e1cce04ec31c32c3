"""The words people use for what the world shows: synonyms and phrases, without any grammar."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """One way to name an action: "the fox waves", "they wave", "a fox waving"."""

    singular: str
    plural: str
    participle: str


def _verb(base: str, rest: str = "", *, third: str = "", ing: str = "") -> Verb:
    tail = f" {rest}" if rest else ""
    return Verb((third or base + "s") + tail, base + tail, (ing or base + "ing") + tail)


SPECIES_WORDS: dict[str, tuple[str, ...]] = {
    "fox": ("fox", "fox", "fox", "vixen"),
    "bear": ("bear", "bear", "bear", "teddy bear"),
    "rabbit": ("rabbit", "rabbit", "bunny", "hare"),
    "cat": ("cat", "cat", "kitten", "kitty"),
    "robot": ("robot", "robot", "android", "droid"),
    "owl": ("owl",),
    "penguin": ("penguin",),
    "frog": ("frog", "frog", "toad"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "red", "red", "crimson", "scarlet"),
    "yellow": ("yellow", "yellow", "golden", "gold"),
    "green": ("green", "green", "emerald"),
    "blue": ("blue", "blue", "azure"),
    "purple": ("purple", "purple", "violet"),
    "white": ("white", "white", "pale"),
}
OUTFIT_WORDS: dict[str, tuple[str, ...]] = {
    "scarf": ("with a scarf", "wearing a scarf", "in a scarf", "with a warm scarf", "in a striped scarf"),
    "hat": ("with a hat", "wearing a hat", "in a hat", "wearing a top hat", "in a tall hat"),
}
ADJECTIVES = (
    "little",
    "happy",
    "cute",
    "brave",
    "curious",
    "small",
    "young",
    "friendly",
    "lonely",
    "big",
    "old",
    "sweet",
)
NAMES = ("Mia", "Tom", "Luna", "Max", "Nora", "Leo", "Ivy", "Finn")

PLACE_WORDS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "forest": (
        ("in", "a", "forest"),
        ("in", "the", "forest"),
        ("through", "the", "forest"),
        ("in", "the", "woods"),
        ("among", "the", "trees"),
    ),
    "beach": (
        ("on", "the", "beach"),
        ("on", "a", "beach"),
        ("by", "the", "sea"),
        ("at", "the", "seaside"),
        ("along", "the", "shore"),
        ("near", "the", "ocean"),
    ),
    "city": (
        ("in", "the", "city"),
        ("in", "a", "city"),
        ("on", "a", "city street"),
        ("in", "the", "town"),
        ("in", "the", "streets"),
        ("through", "the", "city"),
    ),
    "desert": (
        ("in", "the", "desert"),
        ("in", "a", "desert"),
        ("across", "the", "desert"),
        ("among", "the", "dunes"),
        ("near", "the", "pyramid"),
    ),
    "mountains": (
        ("in", "the", "mountains"),
        ("among", "the", "mountains"),
        ("below", "the", "peaks"),
        ("on", "a", "mountain"),
        ("in", "the", "alps"),
    ),
    "meadow": (
        ("in", "a", "meadow"),
        ("in", "the", "meadow"),
        ("across", "the", "meadow"),
        ("in", "a", "field"),
        ("on", "the", "grass"),
    ),
    "castle": (
        ("at", "the", "castle"),
        ("near", "a", "castle"),
        ("in front of", "the", "castle"),
        ("by", "the", "palace"),
        ("outside", "a", "castle"),
    ),
    "moon": (
        ("on", "the", "moon"),
        ("across", "the", "moon"),
        ("on", "the", "lunar surface"),
        ("on", "the surface of the", "moon"),
    ),
}
"""Preposition, article, noun."""

TIME_WORDS: dict[str, tuple[str, ...]] = {
    "day": ("by day", "during the day", "in daylight", "in the morning", "at noon", "in the afternoon", "daytime"),
    "dusk": ("at dusk", "at sunset", "in the evening", "at twilight", "as the sun sets", "at sundown", "dusk"),
    "night": ("at night", "by night", "under the stars", "in the dark", "at midnight", "in the moonlight", "night"),
}
TIME_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "day": ("bright",),
    "dusk": ("dusky",),
    "night": ("dark", "starry", "moonlit"),
}
WEATHER_WORDS: dict[str, tuple[str, ...]] = {
    "clear": ("in clear weather", "under a clear sky", "in dry weather", "under a cloudless sky"),
    "snow": (
        "in the snow",
        "while snow falls",
        "as it snows",
        "in falling snow",
        "during a snowfall",
        "in a snowstorm",
        "snow",
    ),
    "rain": ("in the rain", "while rain falls", "as it rains", "in heavy rain", "during a storm", "rain"),
}
WEATHER_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "clear": ("clear",),
    "snow": ("snowy", "snow-covered"),
    "rain": ("rainy", "wet"),
}
WEATHER_SENTENCES: dict[str, tuple[str, ...]] = {
    "clear": ("The sky is clear", "The weather is clear"),
    "snow": ("It is snowing", "Snow is falling", "Snowflakes fall"),
    "rain": ("It is raining", "Rain is falling", "Raindrops fall"),
}

ACTION_WORDS: dict[str, tuple[Verb, ...]] = {
    "stands": (_verb("stand"), _verb("stand", "still"), _verb("wait"), _verb("stand", "there")),
    "walks": (_verb("walk"), _verb("walk"), _verb("stroll"), _verb("wander"), _verb("walk", "slowly")),
    "runs": (
        _verb("run", ing="running"),
        _verb("run", ing="running"),
        _verb("race", ing="racing"),
        _verb("sprint"),
        _verb("dash", third="dashes"),
    ),
    "jumps": (
        _verb("jump"),
        _verb("jump"),
        _verb("hop", ing="hopping"),
        _verb("leap"),
        _verb("bounce", ing="bouncing"),
        _verb("jump", "up and down"),
    ),
    "waves": (
        _verb("wave", ing="waving"),
        _verb("wave", ing="waving"),
        _verb("wave", "hello", ing="waving"),
        _verb("wave", "goodbye", ing="waving"),
        _verb("greet", "us"),
    ),
    "looks up": (
        _verb("look", "up"),
        _verb("look", "up"),
        _verb("look", "up at the sky"),
        _verb("gaze", "upwards", ing="gazing"),
        _verb("stare", "at the sky", ing="staring"),
    ),
    "dances": (
        _verb("dance", ing="dancing"),
        _verb("dance", ing="dancing"),
        _verb("dance", "happily", ing="dancing"),
        _verb("sway", "to the music"),
    ),
    "sits": (
        _verb("sit", ing="sitting"),
        _verb("sit", "down", ing="sitting"),
        _verb("rest"),
        _verb("sit", "quietly", ing="sitting"),
    ),
    "spins": (
        _verb("spin", ing="spinning"),
        _verb("spin", "around", ing="spinning"),
        _verb("twirl"),
        _verb("turn", "around"),
    ),
    "sleeps": (
        _verb("sleep"),
        _verb("sleep"),
        _verb("nap", ing="napping"),
        _verb("doze", ing="dozing"),
        _verb("take", "a nap", ing="taking"),
        _verb("fall", "asleep"),
    ),
}
STARGAZING: tuple[Verb, ...] = (
    _verb("look", "up at the stars"),
    _verb("gaze", "at the stars", ing="gazing"),
    _verb("look", "at the stars"),
)
"""Ways to look up that also say that it is night."""

FRAMING_WORDS: dict[str, tuple[str, ...]] = {
    "wide": ("wide shot", "wide shot", "long shot", "establishing shot", "wide view", "very wide shot"),
    "medium": ("medium shot", "medium shot", "mid shot", "medium view"),
    "close": (
        "close-up",
        "close-up",
        "close up",
        "closeup",
        "close shot",
        "extreme close-up",
        "tight close-up",
        "portrait",
    ),
}
CAMERA_WORDS: dict[str, tuple[str, ...]] = {
    "static": ("static camera", "fixed camera", "the camera is still", "the camera does not move"),
    "pan": ("the camera pans", "the camera pans slowly", "slow pan", "panning camera", "the camera slides sideways"),
    "push-in": (
        "the camera pushes in",
        "slow push-in",
        "push in",
        "the camera zooms in",
        "slow zoom in",
        "dolly in",
        "the camera moves closer",
    ),
    "shake": ("handheld camera", "hand-held camera", "shaky camera", "the camera shakes", "camera shake"),
}
PROP_NOUNS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "ball", "toy ball"),
    "lantern": ("lantern", "lantern", "lamp", "glowing lantern"),
    "flower": ("flower", "flower", "pink flower", "rose"),
    "balloon": ("balloon", "balloon", "pink balloon"),
}
HOLDING = ("holding a", "with a", "carrying a", "and holds a")
STYLES = (
    "Flat paper-cut cartoon.",
    "A colourful children's cartoon.",
    "Style: soft vector animation.",
    "A gentle animated film.",
    "Style: storybook.",
    "Simple shapes and bright colours.",
)
FILLERS = (
    "now",
    "again",
    "then",
    "slowly",
    "here",
    "beautiful",
    "lovely",
    "calm",
    "quietly",
    "finally",
    "next",
    "still in frame",
)
