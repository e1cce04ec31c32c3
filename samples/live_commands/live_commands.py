"""Cuts from another thread, as a game would send them, each followed to the frame it took effect on."""

import sys
import threading

import shotstream as ss

EVENTS = [
    ("cut", "medium shot: a blue robot dances in the city at night"),
    ("prompt", "medium shot: the blue robot waves in the city at night"),
    ("cut", "close-up: a purple owl looks up on the moon"),
]


def game(film: ss.Film) -> None:
    """Three events, each sent when the one before is on screen."""
    for kind, words in EVENTS:
        receipt = film.cut(words) if kind == "cut" else film.prompt(words)
        receipt.wait("delivered", timeout=60)
        print(f"{kind:<6} on screen from frame {receipt.frame} after {receipt.latency_ms:.0f} ms: {words}")
    film.hold()


with ss.open(sys.argv[1] if len(sys.argv) > 1 else "storyworld-tiny", seed=7) as film:
    film.cut("wide shot: a red fox walks through a snowy forest")
    thread = threading.Thread(target=game, args=[film])
    thread.start()
    shown = sum(1 for frame in film.frames())
    thread.join()
print(f"{shown} frames shown before the hold")
