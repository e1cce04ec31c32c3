"""How the quest looks: map, figures and light in simple shapes; beside it the vision, below it the latest line."""

from __future__ import annotations

import math
import random
from typing import Any

import pygame
from quest import HEIGHT, MAP, WIDTH, Cell, Quest, find
from shapes import TILE, draw_fox, draw_key, draw_map, draw_owl

MAP_SIZE = (WIDTH * TILE, HEIGHT * TILE)
SIDE_PX, STRIP_PX, GAP_PX = 344, 76, 16
SIZE = (MAP_SIZE[0] + SIDE_PX, MAP_SIZE[1] + STRIP_PX)
BACK, PANEL, GOLD, INK, FAINT = (24, 21, 38), (36, 32, 54), (226, 186, 100), (240, 233, 218), (150, 142, 160)
TINTS = {"day": (255, 214, 150, 0), "dusk": (150, 62, 70, 88), "night": (12, 18, 58, 176)}
GOALS = (
    ("try the castle gate", "tried_gate"),
    ("find the key", "has_key"),
    ("ask the owl", "met_owl"),
    ("open the gate", "done"),
)


class Scene:
    """Draws one state of the game after the other; keeps what moves smoothly in between."""

    def __init__(self) -> None:
        self._map = draw_map()
        self._fox, self._owl, self._key = draw_fox(), draw_owl(), draw_key()
        self._shade = pygame.Surface(MAP_SIZE, pygame.SRCALPHA)
        self._glow = _glow(round(TILE * 3.2))
        self._text, self._small = pygame.font.Font(None, 26), pygame.font.Font(None, 20)
        self._title = pygame.font.Font(None, 30)
        self._tint = [float(part) for part in TINTS["day"]]
        self._where = [float(part) for part in find("S")]
        self._flipped = False
        self._tick = 0
        rng = random.Random(4)
        cells = [(x, y) for y, row in enumerate(MAP) for x, letter in enumerate(row) if letter in "fT"]
        self._fireflies = [(*rng.choice(cells), rng.random() * 6.28) for _ in range(26)]

    def draw(self, window: pygame.Surface, quest: Quest, *, line: str, picture: Any, status: str) -> None:
        """Draw everything.

        Args:
            picture: uint8 ``(height, width, 3)`` or None before the first.
        """
        self._tick += 1
        window.fill(BACK)
        window.blit(self._map, (0, 0))
        self._draw_figures(window, quest)
        self._draw_light(window, quest)
        self._draw_vision(window, picture, status)
        self._draw_goals(window, quest)
        self._draw_line(window, line)

    def _draw_figures(self, window: pygame.Surface, quest: Quest) -> None:
        bob = math.sin(self._tick / 9) * 2
        for place in (0, 1):  # sparkles on the sea
            x = (self._tick * 0.3 + place * 331) % MAP_SIZE[0]
            pygame.draw.line(window, (150, 200, 220), (x, 14 + place * 498), (x + 16, 14 + place * 498), 2)
        if not quest.has_key:
            x, y = _centre(find("K"))
            window.blit(self._key, self._key.get_rect(center=(x, y - 2 + bob)))
        owl = _centre(find("O"))
        if quest.met_owl:  # it flies along
            owl = (self._where[0] * TILE + TILE * 1.15, self._where[1] * TILE + 2)
        window.blit(self._owl, self._owl.get_rect(center=(owl[0], owl[1] - 4 + bob)))
        for axis in (0, 1):
            self._where[axis] += (quest.fox[axis] - self._where[axis]) * 0.28
        self._flipped = quest.facing == "left" or (self._flipped and quest.facing != "right")
        fox = pygame.transform.flip(self._fox, self._flipped, False)
        x, y = self._where[0] * TILE + TILE / 2, self._where[1] * TILE + TILE / 2
        hop = abs(math.sin((self._where[0] + self._where[1]) * math.pi)) * 5
        window.blit(fox, fox.get_rect(center=(x, y - 8 - hop)))

    def _draw_light(self, window: pygame.Surface, quest: Quest) -> None:
        goal = TINTS[quest.light]
        self._tint = [now + (want - now) * 0.04 for now, want in zip(self._tint, goal, strict=True)]
        red, green, blue, depth = (round(part) for part in self._tint)
        if depth < 3:
            return
        self._shade.fill((red, green, blue, depth))
        lamps = [(self._where[0] * TILE + TILE / 2, self._where[1] * TILE + TILE / 2), _centre(find("G"))]
        for lamp in lamps:
            self._shade.blit(self._glow, self._glow.get_rect(center=lamp), special_flags=pygame.BLEND_RGBA_SUB)
        window.blit(self._shade, (0, 0))
        if depth > 120:
            for x, y, phase in self._fireflies:
                if math.sin(self._tick / 20 + phase) > 0.1:
                    dx, dy = math.sin(self._tick / 33 + phase) * 12, math.cos(self._tick / 27 + phase * 2) * 9
                    spot = (round(x * TILE + TILE / 2 + dx), round(y * TILE + TILE / 2 + dy))
                    pygame.draw.circle(window, (236, 240, 150), spot, 2)

    def _draw_vision(self, window: pygame.Surface, picture: Any, status: str) -> None:
        left, width = MAP_SIZE[0] + GAP_PX, SIDE_PX - 2 * GAP_PX
        window.blit(self._title.render("The narrator's vision", True, GOLD), (left, 18))
        height = width * 3 // 5
        if picture is not None:
            height = width * picture.shape[0] // picture.shape[1]
        frame = pygame.Rect(left, 50, width, height)
        pygame.draw.rect(window, (88, 66, 40), frame.inflate(12, 12), border_radius=10)
        pygame.draw.rect(window, GOLD, frame.inflate(12, 12), 2, border_radius=10)
        pygame.draw.rect(window, (12, 10, 22), frame)
        if picture is None:
            text = self._small.render("nothing to see yet", True, FAINT)
            window.blit(text, text.get_rect(center=frame.center))
        else:
            size = (picture.shape[1], picture.shape[0])
            image = pygame.image.frombytes(picture.tobytes(), size, "RGB")
            window.blit(pygame.transform.smoothscale(image, frame.size), frame)
        self._wrapped(window, status, self._small, FAINT, pygame.Rect(left, frame.bottom + 14, width, 60))

    def _draw_goals(self, window: pygame.Surface, quest: Quest) -> None:
        left, top = MAP_SIZE[0] + GAP_PX, 340
        window.blit(self._title.render("The locked gate", True, GOLD), (left, top))
        for number, (words, name) in enumerate(GOALS):
            reached = bool(getattr(quest, name))
            y = top + 40 + number * 32
            pygame.draw.circle(window, GOLD if reached else FAINT, (left + 9, y + 9), 8, 0 if reached else 2)
            if reached:
                tick = [(left + 5, y + 9), (left + 8, y + 13), (left + 14, y + 5)]
                pygame.draw.lines(window, BACK, False, tick, 3)
            window.blit(self._text.render(words, True, INK if reached else FAINT), (left + 28, y))
        hint = f"{quest.light}, {quest.steps} steps   -   arrow keys, Esc"
        window.blit(self._small.render(hint, True, FAINT), (left, MAP_SIZE[1] - 26))

    def _draw_line(self, window: pygame.Surface, line: str) -> None:
        strip = pygame.Rect(8, MAP_SIZE[1] + 6, SIZE[0] - 16, STRIP_PX - 14)
        pygame.draw.rect(window, PANEL, strip, border_radius=12)
        pygame.draw.rect(window, (92, 80, 110), strip, 2, border_radius=12)
        self._wrapped(window, line, self._text, INK, strip.inflate(-40, -36))

    def _wrapped(
        self, window: pygame.Surface, text: str, font: pygame.font.Font, ink: tuple[int, int, int], area: pygame.Rect
    ) -> None:
        """Write ``text`` in as many lines as fit into ``area``."""
        y, words = area.top, text.split()
        while words and y < area.bottom:
            count = len(words)
            while count > 1 and font.size(" ".join(words[:count]))[0] > area.width:
                count -= 1
            window.blit(font.render(" ".join(words[:count]), True, ink), (area.left, y))
            words, y = words[count:], y + font.get_linesize()


def _centre(cell: Cell) -> tuple[float, float]:
    return cell[0] * TILE + TILE / 2, cell[1] * TILE + TILE / 2


def _glow(radius: int) -> pygame.Surface:
    """What a lamp takes away from the dark: most in its middle."""
    glow = pygame.Surface((2 * radius, 2 * radius), pygame.SRCALPHA)
    for step in range(radius, 0, -1):
        pygame.draw.circle(glow, (0, 0, 0, round(150 * (1 - step / radius) ** 1.3)), (radius, radius), step)
    return glow
