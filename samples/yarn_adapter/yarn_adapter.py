"""A Yarn story directs a film: its commands trigger beats on a server.

A game registers the commands ``shot`` and ``fact`` with its Yarn runtime and hands their text to ``on_command``. Here
a reader of the few things that ``lighthouse.yarn`` uses stands in for the runtime.
"""

import re
import sys
from pathlib import Path

import shotstream as ss
from shotstream.bridge.child import ServerProcess
from shotstream.story.directions import perform

HERE = Path(__file__).parent
BOOK = HERE.parent / "beats" / "fox_and_robot.yaml"


def on_command(text, client):
    """Carry out a command if it is a stage direction. One that is refused must not stop the dialogue."""
    try:
        receipt = perform(text, client)
    except ss.ScriptError as error:
        print(f"    <<{text}>> refused: {error}")
    else:
        if receipt is not None:
            print(f"    <<{text}>> taken")


def read_yarn(text):
    """Lines and, without their brackets, commands of a story with nodes and jumps: ("line" or "command", text)."""
    nodes = dict(re.findall(r"title: (\w+)\n---\n(.*?)\n===", text, re.DOTALL))
    node = next(iter(nodes))
    while node:
        lines, node = nodes[node].splitlines(), None
        for line in lines:
            command = re.fullmatch(r"\s*<<(.*)>>\s*", line)
            if command and command[1].startswith("jump "):
                node = command[1].split()[1]
                break
            yield ("command", command[1]) if command else ("line", line)


if __name__ == "__main__":
    bundle = sys.argv[1] if len(sys.argv) > 1 else "storyworld-tiny"
    with (
        ServerProcess("--bundle", bundle, "--beats", str(BOOK), "--clock", "demand") as server,
        server.connect(role="trigger") as client,
    ):
        frames = client.frames(mode="lossless")
        shown = False  # a film without a shot has no frames to wait for
        for kind, text in read_yarn((HERE / "lighthouse.yarn").read_text()):
            if kind == "command":
                on_command(text, client)
                shown = True
                continue
            print(text)
            for _ in range(16 if shown else 0):  # the film goes on while the line is spoken
                frame = next(frames)
                if frame.is_cut:
                    print(f"    frame {frame.index}: shot {frame.shot}")
