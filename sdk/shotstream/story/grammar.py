"""Shot grammar: what a shot shows as typed fields, put into words as a bundle's training captions had them.

    framing      extreme-wide wide medium close extreme-close
    lens_height  low eye high overhead
    subjects     who: names of characters, or free text          action   what they do: free text, such as "walks"
    place        where: free text, such as "in a forest"
    light        day dawn dusk night                             weather  clear rain snow fog storm
    camera       static pan tilt push-in pull-out track handheld

Free text may have gaps (``"in {place}"``); a field of fixed words may be one gap of a choice variable
(``"{weather}"``).

Two ways of phrasing: *short*, one clause as the small bundles learned it, and *prose*, sentences for a large text
encoder. A style lacks words for what its bundles never saw; such a field is left out and reported, see ``Caption``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, get_args

from ..errors import ScriptError
from .templates import Template
from .variables import Variable, plain_text, shorten

Style = Literal["short", "prose"]
MAX_SUBJECTS = 4

_WORDS: dict[Style, dict[str, dict[str, str]]] = {
    "short": {
        "framing": {
            "extreme-wide": "very wide shot", "wide": "wide shot", "medium": "medium shot", "close": "close-up",
            "extreme-close": "extreme close-up",
        },
        "lens_height": {"eye": ""},
        "light": {"day": "by day", "dusk": "at dusk", "night": "at night"},
        "weather": {"clear": "under a clear sky", "rain": "in the rain", "snow": "in the snow"},
        "camera": {
            "static": "static camera", "pan": "the camera pans", "push-in": "the camera pushes in",
            "handheld": "handheld camera",
        },
    },
    "prose": {
        "framing": {
            "extreme-wide": "extreme wide shot", "wide": "wide shot", "medium": "medium shot", "close": "close-up",
            "extreme-close": "extreme close-up",
        },
        "lens_height": {
            "low": "from a low angle", "eye": "at eye level", "high": "from a high angle", "overhead": "from overhead",
        },
        "light": {
            "day": "in clear daylight", "dawn": "in the first light of dawn", "dusk": "in the warm light of dusk",
            "night": "at night",
        },
        "weather": {
            "clear": "under a clear sky", "rain": "in steady rain", "snow": "in falling snow", "fog": "in thick fog",
            "storm": "in a storm",
        },
        "camera": {
            "static": "The camera is still.", "pan": "The camera pans slowly.", "tilt": "The camera tilts slowly.",
            "push-in": "The camera pushes in slowly.", "pull-out": "The camera pulls out slowly.",
            "track": "The camera moves along beside them.", "handheld": "Handheld camera.",
        },
    },
}  # fmt: skip

CHOICES: dict[str, tuple[str, ...]] = {
    field: tuple(dict.fromkeys(word for style in ("prose", "short") for word in _WORDS[style][field]))
    for field in ("framing", "lens_height", "light", "weather", "camera")
}
"""Fields of fixed words, and the words."""


@dataclass(frozen=True)
class Caption:
    """Words for one shot.

    Attributes:
        text: what the model reads.
        left_out: fields the style has no words for, as "camera=track".
    """

    text: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShotForm:
    """A shot as fields; None says nothing. At least subjects, action or place is needed."""

    subjects: tuple[Template, ...] = ()
    action: Template | None = None
    place: Template | None = None
    framing: Template | None = None
    lens_height: Template | None = None
    light: Template | None = None
    weather: Template | None = None
    camera: Template | None = None

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> ShotForm:
        """Read fields by name; ``subjects`` is a list of texts, the others are texts.

        Raises:
            ScriptError: an unknown field, a word the field does not have, or nothing to see.
        """
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            close = difflib.get_close_matches(unknown[0], known, 1)
            hint = f"did you mean {close[0]!r}?" if close else "remove it"
            raise ScriptError(f"unknown field {shorten(unknown[0])} of a shot; known are {', '.join(known)}; {hint}")
        subjects = values.get("subjects", ())
        if not isinstance(subjects, (list, tuple)) or len(subjects) > MAX_SUBJECTS:
            raise ScriptError(f"subjects={shorten(subjects)} must be a list of at most {MAX_SUBJECTS}; shorten it")
        form = cls(
            subjects=tuple(Template.parse(subject, "a subject") for subject in subjects),
            **{name: Template.parse(values[name], name) for name in known if name != "subjects" and name in values},
        )
        if not (form.subjects or form.action or form.place):
            raise ScriptError(
                "the shot has no subjects, no action and no place; expected one of them; add who or where"
            )
        for name, words in CHOICES.items():
            template: Template | None = getattr(form, name)
            if template is None or template.only_gap:
                continue
            if template.names or template.literals[0] not in words:
                raise ScriptError(
                    f"{name}={shorten(values[name])} is unknown; use one of {', '.join(words)}, or one gap; "
                    "say anything else in 'action' or 'place'"
                )
        return form

    @property
    def texts(self) -> dict[str, Template]:
        """All fields in use; the subjects as "subjects[0]" and so on."""
        named = {f"subjects[{number}]": subject for number, subject in enumerate(self.subjects)}
        others = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "subjects"}
        return named | {name: template for name, template in others.items() if template is not None}

    def check_gaps(self, variables: Mapping[str, Variable]) -> None:
        """Raises ScriptError when a field of fixed words has a gap whose variable can hold other words."""
        for name, words in CHOICES.items():
            template: Template | None = getattr(self, name)
            if template is None or not template.only_gap:
                continue
            variable = variables.get(template.only_gap)
            strange = [value for value in variable.values if value not in words] if variable else []
            if variable is None or variable.kind != "choice" or strange:
                problem = f"may be {strange[0]!r}" if strange else "is no choice"
                raise ScriptError(
                    f"{name}: {{{template.only_gap}}} {problem}; expected a variable of type choice whose values are "
                    f"among {', '.join(words)}; change its values"
                )

    def caption(self, values: Mapping[str, str], style: Style) -> Caption:
        """The fields in words; ``values`` fills the gaps.

        Raises:
            ScriptError: a gap without value, or a word that a field does not have.
        """
        words = _WORDS[check_style(style)]
        said: dict[str, str] = {}
        left_out = []
        for name, choices in CHOICES.items():
            template: Template | None = getattr(self, name)
            if template is None:
                continue
            chosen = template.fill(values)
            if chosen not in choices:
                raise ScriptError(f"{name}={shorten(chosen)} is unknown; use one of {', '.join(choices)}")
            if chosen in words[name]:
                said[name] = words[name][chosen]
            else:
                left_out.append(f"{name}={chosen}")
        who = _listed([subject.fill(values) for subject in self.subjects])
        action = self.action.fill(values) if self.action else ""
        place = self.place.fill(values) if self.place else ""
        phrase = _short if style == "short" else _prose
        return Caption(plain_text(phrase(said, who, action, place), "the caption"), tuple(left_out))


def check_style(style: str) -> Style:
    """A name of a style. Raises ScriptError for any other."""
    if style not in get_args(Style):
        raise ScriptError(f"captions={shorten(style)} is unknown; use one of {', '.join(get_args(Style))}")
    return style  # type: ignore[return-value]


def style_for(caption_style: str) -> Style:
    """The style for a bundle, from the ``caption_style`` of its description."""
    return "short" if caption_style.lower().startswith("short ") else "prose"


def _short(said: Mapping[str, str], who: str, action: str, place: str) -> str:
    """Such as "wide shot: a red fox walks in a forest at night in the snow, the camera pans"."""
    core = _joined(" ", who, action, place, said.get("light", ""), said.get("weather", ""))
    text = _joined(", ", core, said.get("camera", ""))
    return f"{said['framing']}: {text}" if "framing" in said else text


def _prose(said: Mapping[str, str], who: str, action: str, place: str) -> str:
    """Such as "Wide shot from a low angle. A red fox walks in a forest, at night, in falling snow." and the camera."""
    seen = _joined(" ", said.get("framing", ""), said.get("lens_height", ""))
    core = _joined(", ", _joined(" ", who, action, place), said.get("light", ""), said.get("weather", ""))
    return _joined(" ", *(_sentence(part) for part in (seen, core, said.get("camera", "")) if part))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _joined(separator: str, *parts: str) -> str:
    return separator.join(part for part in parts if part)


def _listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)
