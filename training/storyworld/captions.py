"""Captions of stories, as people write them, and what they really say.

A story gets one global caption (who, where, style; sometimes empty) and one caption per shot. The model's prompt
for shot k is the plain concatenation ``global_caption + "shot{k}:" + caption``.

What a caption leaves out means "as before" for who, place, time and weather: the first shot says whatever is not
day and clear, and later shots say whatever changed. An unsaid framing is medium, an unsaid camera static, an unsaid
action standing, an unsaid prop none. A character introduced with "a" and no outfit wears none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import lexicon
from .labels import NOBODY, attributes
from .world import Character, Shot, Story

UNSPECIFIED = "unspecified"
_SETTING = ("place", "time", "weather")
_WHO = ("species", "colour", "outfit")


@dataclass(frozen=True)
class Described:
    """Captions of a story. ``said[k]``: label name -> what the prompt of shot k says, ``UNSPECIFIED`` if nothing."""

    global_caption: str
    shot_captions: tuple[str, ...]
    said: tuple[dict[str, str], ...]

    def prompt(self, shot: int) -> str:
        """The model's prompt for one shot."""
        return prompt_of(self.global_caption, shot, self.shot_captions[shot])


def prompt_of(global_caption: str, shot: int, caption: str) -> str:
    """The published concatenation; ``shot`` counts from 0."""
    return f"{global_caption}shot{shot}:{caption}"


def captions(story: Story, rng_seed: int) -> tuple[str, list[str]]:
    """A global caption and one caption per shot; the same seed gives the same words."""
    described = describe(story, rng_seed)
    return described.global_caption, list(described.shot_captions)


def describe(story: Story, rng_seed: int) -> Described:
    """Captions together with what they say."""
    rng = random.Random(f"captions-{story.seed}-{rng_seed}")
    opening = _Opening.draw(rng, story)
    texts, said = [], []
    for k, shot in enumerate(story.shots):
        text, facts = _ShotText(rng, opening, shot, story.shots[k - 1] if k else None).write()
        texts.append(text)
        said.append(facts)
    return Described(opening.text, tuple(texts), tuple(said))


def _full_name(rng: random.Random, who: Character, article: str = "a", outfit: bool = True) -> str:
    """Such as "a little red fox wearing a hat"."""
    words = [rng.choice(lexicon.COLOUR_WORDS[who.colour]), rng.choice(lexicon.SPECIES_WORDS[who.species])]
    if rng.random() < 0.2:
        words.insert(0, rng.choice(lexicon.ADJECTIVES))
    text = _a(" ".join(words)) if article == "a" else f"{article} {' '.join(words)}".strip()
    return f"{text} {rng.choice(lexicon.OUTFIT_WORDS[who.outfit])}" if outfit and who.outfit != "none" else text


def _a(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


@dataclass(frozen=True)
class _Opening:
    """The global caption: its text, whom it introduces, under which names, and which constants it states."""

    text: str
    cast: tuple[Character, ...]
    names: dict[Character, str]
    setting: dict[str, str]

    @classmethod
    def draw(cls, rng: random.Random, story: Story) -> _Opening:
        if rng.random() < 0.25:
            return cls("", (), {}, {})
        cast = story.characters
        names = dict(zip(cast, rng.sample(lexicon.NAMES, len(cast)), strict=True)) if rng.random() < 0.2 else {}
        setting: dict[str, str] = {}
        for key in _SETTING:
            values = {getattr(shot, key) for shot in story.shots}
            if len(values) == 1 and rng.random() < 0.5:
                setting[key] = values.pop()
        people = [f"{names[who]}, {_full_name(rng, who)}" if who in names else _full_name(rng, who) for who in cast]
        joiner = rng.choice((" and ", ", ", ", and "))
        where = _setting_words(rng, setting)
        style = rng.random()
        who_text = joiner.join(people)
        if style < 0.3:
            text = f"Characters: {who_text}." + (f" Setting: {where}." if where else "")
        elif style < 0.55:
            text = f"{rng.choice(('The story of', 'A film about', 'A short story about'))} {who_text}" + (
                f", {where}." if where else "."
            )
        elif style < 0.8:
            text = f"{who_text} {where}".strip() + rng.choice((". ", "; ", ", ", " "))
        else:
            text = f"{where}: {who_text}. " if where else f"{who_text}. "
        if rng.random() < 0.35:
            text = f"{text} {rng.choice(lexicon.STYLES)}"
        return cls(text, cast, names, setting)


def _setting_words(rng: random.Random, setting: dict[str, str]) -> str:
    """Such as "in a snowy forest, at night"; any of the three may be missing."""
    parts = []
    left = dict(setting)
    if "place" in left:
        preposition, article, noun = rng.choice(lexicon.PLACE_WORDS[left.pop("place")])
        adjective = ""
        if "weather" in left and rng.random() < 0.55:
            adjective = rng.choice(lexicon.WEATHER_ADJECTIVES[left.pop("weather")])
        elif "time" in left and rng.random() < 0.2:
            adjective = rng.choice(lexicon.TIME_ADJECTIVES[left.pop("time")])
        bare = rng.random() < 0.08
        parts.append(_words(*("", "") if bare else (preposition, article), adjective, noun))
    if "time" in left:
        parts.append(rng.choice(lexicon.TIME_WORDS[left["time"]]))
    if "weather" in left:
        parts.append(rng.choice(lexicon.WEATHER_WORDS[left["weather"]]))
    if rng.random() < 0.3:
        rng.shuffle(parts)
    return rng.choice((" ", ", ")).join(parts)


class _ShotText:
    """Writes the caption of one shot."""

    def __init__(self, rng: random.Random, opening: _Opening, shot: Shot, before: Shot | None) -> None:
        self.rng, self.opening, self.shot, self.before = rng, opening, shot, before
        truth = attributes(shot)
        self.said = {name: truth[name] for name in ("framing", "camera", "action", "prop")}

    def write(self) -> tuple[str, dict[str, str]]:
        rng, shot = self.rng, self.shot
        who, plural = self._subjects()
        verb = rng.choice(lexicon.ACTION_WORDS[shot.action])
        told = self._setting_to_tell()
        if shot.action == "looks up" and shot.time == "night" and rng.random() < 0.6:
            verb = rng.choice(lexicon.STARGAZING)
            told.pop("time", None)
            self.said["time"] = "night"
        prop = self._prop()
        camera = self._camera()
        framing = rng.choice(lexicon.FRAMING_WORDS[shot.framing])
        says_framing = shot.framing != "medium" or rng.random() < 0.6
        silent = shot.action == "stands" and rng.random() < 0.2
        weather = ""
        if "weather" in told and rng.random() < 0.2:
            weather = rng.choice(lexicon.WEATHER_SENTENCES[told.pop("weather")])
        where = _setting_words(rng, told)
        doing = verb.plural if plural else verb.singular
        if rng.random() < 0.2:
            doing = f"{'are' if plural else 'is'} {verb.participle}"
        doing = "" if silent else doing
        being = "" if silent else verb.participle
        clauses = self._arrange(framing if says_framing else "", who, doing, being, prop, where, weather, camera)
        text = self._decorate(clauses)
        self._infer_moon_weather()
        return text, self.said

    def _arrange(
        self, framing: str, who: str, doing: str, being: str, prop: str, where: str, weather: str, camera: str
    ) -> str:
        """One of several layouts; empty parts vanish."""
        rng = self.rng
        roll = rng.random()
        core = _words(who, doing, prop, where)
        if roll < 0.4:
            return _list((f"{framing}: {core}" if framing else core), weather, camera)
        if roll < 0.55:
            tail = [framing, camera, weather]
            rng.shuffle(tail)
            return _list(core, *tail)
        if roll < 0.7 and who:
            link = rng.choice((" of ", " on "))
            scene = _words(who, being, prop, where)
            return _list(f"{_a(framing)}{link}{scene}" if framing else scene, camera, weather)
        if roll < 0.8:
            parts = [framing, _words(who, prop), rng.choice((doing, being)), where, weather, camera]
            rng.shuffle(parts)
            return _list(*parts)
        if roll < 0.9:
            return _list(where, _words(who, doing, prop), framing, weather, camera)
        sentences = [framing.capitalize(), core.capitalize(), weather, camera.capitalize()]
        return ". ".join(part for part in sentences if part) + "."

    def _decorate(self, text: str) -> str:
        rng = self.rng
        text = text or "the same again"
        if rng.random() < 0.12:
            text = (
                f"{rng.choice(lexicon.FILLERS)}, {text}"
                if rng.random() < 0.5
                else f"{text} {rng.choice(lexicon.FILLERS)}"
            )
        if rng.random() < 0.3:
            text = text[0].upper() + text[1:] + "."
        return text

    # ------------------------------------------------------------------------------------------ who

    def _subjects(self) -> tuple[str, bool]:
        """Words for the subjects, and whether their verb is plural; records what they say."""
        rng, shot, opening = self.rng, self.shot, self.opening
        plural = len(shot.subjects) == 2
        if not plural:
            for name in _WHO:
                self.said[f"subject2_{name}"] = NOBODY
        same_as_before = self.before is not None and self.before.subjects == shot.subjects
        is_whole_cast = opening.cast == shot.subjects
        if (same_as_before or is_whole_cast) and rng.random() < 0.25:
            for number, who in enumerate(shot.subjects, 1):
                for name in _WHO:
                    self.said[f"subject{number}_{name}"] = getattr(who, name) if is_whole_cast else UNSPECIFIED
            if plural:
                return rng.choice(("they", "they", "both of them", "the two friends")), True
            return rng.choice(("she", "he", "it", "")), False
        words = [self._name(number, who) for number, who in enumerate(shot.subjects, 1)]
        return rng.choice((" and ", " and ", " with ", " next to ")).join(words), plural

    def _name(self, number: int, who: Character) -> str:
        """Words for one named subject; records what they say."""
        rng, opening = self.rng, self.opening
        known = who in opening.cast
        met = known or (self.before is not None and who in self.before.subjects)
        style = "full" if not met else rng.choices(("full", "coloured", "plain", "name"), weights=(25, 15, 40, 20))[0]
        if style == "name" and who not in opening.names:
            style = "plain"
        outfit = style == "full" or known
        colour = style in ("full", "coloured") or known
        for name, is_said in (("species", True), ("colour", colour), ("outfit", outfit)):
            self.said[f"subject{number}_{name}"] = getattr(who, name) if is_said else UNSPECIFIED
        if style == "full":
            # "the red fox" leaves the outfit open, so only a worn one may follow a definite article
            article = rng.choice(("a", "the")) if who.outfit != "none" or known else "a"
            article = "" if rng.random() < 0.08 else article
            return _full_name(rng, who, article)
        if style == "coloured":
            return _full_name(rng, who, "the", outfit=False)
        if style == "name":
            return opening.names[who]
        adjective = f"{rng.choice(lexicon.ADJECTIVES)} " if rng.random() < 0.15 else ""
        article = "" if rng.random() < 0.08 else "the "
        return f"{article}{adjective}{rng.choice(lexicon.SPECIES_WORDS[who.species])}"

    # ------------------------------------------------------------------------------------------ the rest

    def _setting_to_tell(self) -> dict[str, str]:
        """Place, time and weather that this caption states; records what the prompt says."""
        rng, shot, before = self.rng, self.shot, self.before
        defaults = {"time": "day", "weather": "clear"}
        told = {}
        for key in _SETTING:
            value = getattr(shot, key)
            in_global = key in self.opening.setting
            expected = getattr(before, key) if before else defaults.get(key)
            needed = not in_global and value != expected
            if key == "weather" and shot.place == "moon":
                needed = False  # nothing falls on the moon; see _infer_moon_weather
            if needed or rng.random() < 0.25:
                told[key] = value
            self.said[key] = value if in_global or key in told else UNSPECIFIED
        return told

    def _infer_moon_weather(self) -> None:
        if self.said["place"] == "moon":
            self.said["weather"] = "clear"

    def _prop(self) -> str:
        rng, prop = self.rng, self.shot.prop
        if prop == "none":
            return ""
        noun = rng.choice(lexicon.PROP_NOUNS[prop])
        if rng.random() < 0.1:  # a colour beside a thing does not colour its owner
            noun = f"{rng.choice(list(lexicon.COLOUR_WORDS))} {noun.split()[-1]}"
        return f"{rng.choice(lexicon.HOLDING)} {noun}"

    def _camera(self) -> str:
        rng, camera = self.rng, self.shot.camera
        if camera == "static" and rng.random() < 0.85:
            return ""
        return rng.choice(lexicon.CAMERA_WORDS[camera])


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _list(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
