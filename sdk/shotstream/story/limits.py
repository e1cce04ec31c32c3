"""What a prompt, a length and a seed may be. Everything a user hands in passes through here once, at the edge."""

from __future__ import annotations

import unicodedata

from ..errors import ScriptError

MAX_PROMPT_CHARS = 4000
MAX_SHOT_FRAMES = 100_000
MAX_SEED = 2**63 - 1
DEFAULT_SHOT_FRAMES = 81
"""One published shot: 21 latent frames of the Wan2.1 VAE."""


def clean_prompt(text: object, what: str = "prompt", *, empty_ok: bool = False) -> str:
    """Text as the model reads it: one line, single spaces, no surrounding blanks.

    Raises:
        ScriptError: not text, empty, longer than ``MAX_PROMPT_CHARS``, or holding control characters or lone
            surrogates.
    """
    if not isinstance(text, str):
        raise ScriptError(f"{what} is {type(text).__name__} {_short(text)}; expected text; put it in quotes")
    if len(text) > MAX_PROMPT_CHARS:
        raise ScriptError(
            f"{what} has {len(text)} characters ({_short(text)}); at most {MAX_PROMPT_CHARS} are accepted; shorten it"
        )
    for position, char in enumerate(text):
        if unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n\r":
            raise ScriptError(
                f"{what} holds the control character U+{ord(char):04X} at position {position}; "
                "expected plain text; remove it"
            )
    cleaned = " ".join(text.split())
    if not cleaned and not empty_ok:
        raise ScriptError(f"{what} is empty; expected words that say what the shot shows; write at least one")
    return cleaned


def printable(text: str) -> str:
    """The text without control and invisible characters, for a terminal or a log."""
    return "".join(char for char in text if char.isprintable())


def check_frames(frames: object, what: str = "frames") -> int:
    """A shot length in frames. Raises ScriptError outside 1..``MAX_SHOT_FRAMES``."""
    if isinstance(frames, bool) or not isinstance(frames, int):
        raise ScriptError(f"{what}={_short(frames)} is not a whole number; use 1..{MAX_SHOT_FRAMES}, such as 81")
    if not 1 <= frames <= MAX_SHOT_FRAMES:
        raise ScriptError(f"{what}={frames} is outside 1..{MAX_SHOT_FRAMES}; a shot of five seconds has 81")
    return frames


def check_seed(seed: object, what: str = "seed") -> int:
    """A noise seed. Raises ScriptError outside 0..2**63-1."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ScriptError(f"{what}={_short(seed)} is not a whole number; use 0..{MAX_SEED}")
    if not 0 <= seed <= MAX_SEED:
        raise ScriptError(f"{what}={seed} is outside 0..{MAX_SEED}; use a smaller positive number")
    return seed


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
