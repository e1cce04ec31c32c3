"""Streaming text prompts into an endless, coherent, multi-shot film.

    import shotstream as ss

    with ss.open("storyworld-tiny", seed=7) as film:
        film.cut("wide shot: a red fox walks through a snowy forest")
        for frame in film.frames(seconds=6):
            show(frame.image)

Importing this package is quick and loads no torch; ``open`` does.
"""

from .bridge import connect
from .engine.protocol import Block, Engine, Pin, ShotPlan
from .errors import (
    Aborted,
    BridgeError,
    CapacityError,
    ClosedError,
    ConfigError,
    DeviceError,
    ScriptError,
    ShotstreamError,
    WeightsError,
)
from .film import Film, open
from .frames import Frame, VideoSpec
from .receipts import Receipt
from .story import Cut, PromptEdit, Shot, Story, load_story

__version__ = "0.1.0"

__all__ = [
    "Aborted",
    "Block",
    "BridgeError",
    "CapacityError",
    "ClosedError",
    "ConfigError",
    "Cut",
    "DeviceError",
    "Engine",
    "Film",
    "Frame",
    "Pin",
    "PromptEdit",
    "Receipt",
    "ScriptError",
    "Shot",
    "ShotPlan",
    "ShotstreamError",
    "Story",
    "VideoSpec",
    "WeightsError",
    "connect",
    "load_story",
    "open",
]
