"""A small quest in a window. What happens in it triggers story events on a server, whose film is the narrator's vision.

shotstream serve --beats samples/quest_game/beats.yaml
python samples/quest_game/quest_game.py                 # arrow keys or WASD; Esc quits
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame
from quest import Happening, Quest
from scene import SIZE, Scene
from vision import Vision

TICKS_PER_S = 30
STEP_EVERY = 5
"""Ticks between two steps while a key is held down."""
AUTOPLAY_STEP_EVERY, AUTOPLAY_PAUSE, AUTOPLAY_LOOK = 11, 60, 36
"""The same for the program playing by itself, and how long it stops to read a line, and to look at a new picture."""
KEYS = {
    pygame.K_LEFT: "left", pygame.K_a: "left", pygame.K_RIGHT: "right", pygame.K_d: "right",
    pygame.K_UP: "up", pygame.K_w: "up", pygame.K_DOWN: "down", pygame.K_s: "down",
}  # fmt: skip


class Game:
    """One window, one quest, one vision."""

    def __init__(self, vision: Vision, *, autoplay: bool) -> None:
        self.quest = Quest()
        self.vision = vision
        self.line = ""
        self._autoplay = autoplay
        self._next_step = 0
        self._happen(self.quest.begin(), 0)

    def tick(self, number: int, held: str | None) -> None:
        """One tick of the clock; ``held`` is the direction that the player asks for."""
        if self._autoplay and not self.vision.caught_up:
            self._next_step = max(self._next_step, number + AUTOPLAY_LOOK)
        if number < self._next_step:
            return
        direction = self.quest.autoplay() if self._autoplay else held
        if direction is None:
            return
        self._next_step = number + (AUTOPLAY_STEP_EVERY if self._autoplay else STEP_EVERY)
        self._happen(self.quest.step(direction), number)

    def _happen(self, happenings: list[Happening], number: int) -> None:
        for one in happenings:
            self.vision.tell(one.beat, one.facts)
            if one.line:
                self.line = one.line
                self._next_step = number + AUTOPLAY_PAUSE if self._autoplay else self._next_step


def held_direction() -> str | None:
    keys = pygame.key.get_pressed()
    return next((name for key, name in KEYS.items() if keys[key]), None)


def main() -> None:
    parser = argparse.ArgumentParser(description="A small quest whose story events trigger beats of a film.")
    parser.add_argument("--name", default="default", help="which server on this machine")
    parser.add_argument("--autoplay", action="store_true", help="the program plays by itself")
    parser.add_argument("--frames", type=int, help="stop after so many ticks, 30 a second")
    parser.add_argument("--screenshot", type=Path, help="PNG of the window as it was in the end")
    options = parser.parse_args()

    pygame.display.init()
    pygame.font.init()
    window = pygame.display.set_mode(SIZE)
    pygame.display.set_caption("The locked gate")
    clock = pygame.time.Clock()
    vision = Vision(name=options.name)
    game, scene = Game(vision, autoplay=options.autoplay), Scene()
    number = 0
    try:
        while options.frames is None or number < options.frames:
            events = pygame.event.get()
            if any(e.type == pygame.QUIT or (e.type == pygame.KEYDOWN and e.key == pygame.K_ESCAPE) for e in events):
                break
            game.tick(number, held_direction())
            scene.draw(window, game.quest, line=game.line, picture=vision.image, status=vision.status)
            pygame.display.flip()
            clock.tick(TICKS_PER_S)
            number += 1
        if options.screenshot is not None:
            pygame.image.save(window, str(options.screenshot))
    finally:
        vision.close()
        pygame.quit()
    print(f"{game.quest.steps} steps, {len(vision.told)} events told, {vision.num_frames} frames seen")


if __name__ == "__main__":
    main()
