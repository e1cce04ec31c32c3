"""A game says what happened; a beats file says how it looks: parameters, facts, an interruption, and what follows."""

import sys
from pathlib import Path

import shotstream as ss
from shotstream.story import load_beats
from shotstream.story.narrator import Narrator

BOOK = load_beats(Path(__file__).parents[1] / "beats" / "fox_and_robot.yaml")
EVENTS = {  # frame of the film -> what happens in the game then
    0: lambda narrator: narrator.trigger("arrive", place="in the city", role="trigger"),
    10: lambda narrator: narrator.set(weather="snow"),
    30: lambda narrator: narrator.trigger("storm", role="trigger"),
    60: lambda narrator: narrator.trigger("jump", role="trigger"),  # refused: the storm matters more
    110: lambda narrator: narrator.trigger("jump", role="trigger"),
}

with ss.open(sys.argv[1] if len(sys.argv) > 1 else "storyworld-tiny", seed=3, ahead=0) as film:
    narrator = Narrator(BOOK, film)
    prompt = ""
    EVENTS[0](narrator)
    for frame in narrator.frames(count=150):
        if frame.prompt != prompt:
            prompt = frame.prompt
            print(f"frame {frame.index:3}, shot {frame.shot}: {prompt}")
        if frame.index in EVENTS and frame.index > 0:
            try:
                EVENTS[frame.index](narrator)
            except ss.ScriptError as error:
                print(f"frame {frame.index:3}: {error}")
