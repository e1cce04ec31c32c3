"""Save a film at a choice, go one way, go back, go the other way."""

import sys

import shotstream as ss


def prompts(frames: list[ss.Frame]) -> str:
    return " | ".join(dict.fromkeys(frame.prompt for frame in frames))


with ss.open(sys.argv[1] if len(sys.argv) > 1 else "storyworld-tiny", seed=7) as film:
    film.cut("wide shot: a red fox stands in front of the castle", frames=33)
    beginning = list(film.frames())
    choice = film.snapshot()

    film.cut("medium shot: the fox walks in the forest at night", frames=33)
    left = list(film.frames())

    film.restore(choice)
    film.cut("medium shot: the fox dances on the beach by day", frames=33)
    right = list(film.frames())

print(f"the choice is {len(choice) / 1024:.0f} KiB, at frame {beginning[-1].index}")
print(f"left : frames {left[0].index}..{left[-1].index}: {prompts(left)}")
print(f"right: frames {right[0].index}..{right[-1].index}: {prompts(right)}")
