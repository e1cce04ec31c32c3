"""An Ink story directs a film: its tags trigger beats on a server.

A game calls ``on_line`` with what its Ink runtime gives it: ``story.Continue()`` and ``story.currentTags``. Here a
reader of the few things that ``lighthouse.ink`` uses stands in for the runtime, and always takes the first choice.
"""

import re
import sys
from pathlib import Path

import shotstream as ss
from shotstream.bridge.child import ServerProcess
from shotstream.story.directions import perform

HERE = Path(__file__).parent
BOOK = HERE.parent / "beats" / "fox_and_robot.yaml"


def on_line(tags, client):
    """Carry out the stage directions among a line's tags. One that is refused must not stop the dialogue."""
    for tag in tags:
        try:
            receipt = perform(tag, client)
        except ss.ScriptError as error:
            print(f"    [{tag}] refused: {error}")
        else:
            if receipt is not None:
                print(f"    [{tag}] taken")


def read_ink(text):
    """(line, tags) of a story with knots, diverts and choices, always by the first choice."""
    knots = dict(re.findall(r"=== (\w+) ===\n(.*?)(?=\n===|\Z)", text, re.DOTALL))
    knot = re.search(r"->\s*(\w+)", text)[1]
    while knot != "END":
        chosen = None
        for line in knots[knot].splitlines():
            if choice := re.match(r"\*\s*\[(.*)\]", line):
                chosen = chosen is None
                if chosen:
                    yield f"> {choice[1]}", []
            elif divert := re.match(r"\s*->\s*(\w+)", line):
                if chosen is not False:
                    knot = divert[1]
                    break
            elif line.strip() and chosen is not False:
                words, *tags = line.split("#")
                yield words.strip(), [tag.strip() for tag in tags]


if __name__ == "__main__":
    bundle = sys.argv[1] if len(sys.argv) > 1 else "storyworld-tiny"
    with (
        ServerProcess("--bundle", bundle, "--beats", str(BOOK), "--clock", "demand") as server,
        server.connect(role="trigger") as client,
    ):
        frames = client.frames(mode="lossless")
        for line, tags in read_ink((HERE / "lighthouse.ink").read_text()):
            print(line)
            on_line(tags, client)
            for _ in range(16):  # the film goes on while the line is read out
                frame = next(frames)
            print(f"    frame {frame.index}, shot {frame.shot}")
