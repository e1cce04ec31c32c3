"""The rules of the quest: a map, a fox, and what happens where. No window, no network.

``Quest.step`` moves the fox and returns what happened as ``Happening``: a story event by name, new facts about the
world, a line to read. How any of it looks is the business of ``beats.yaml``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MAP = """
~~~~~~~~~~~~~~~~~~~~
~TTTTT^^^^^^^^HHHHH~
~TfffTT^^,,,^^HhhhH~
~TfKfffT^,O,^^HhhhH~
~TTfffff.,,,^^HHGHH~
~TfffTff..,^^...p..~
~TffTTff........p..~
~TTfffff.....w..p..~
~~TfffT..W..www.p..~
~~TTfT......ww..p..~
~~~TT....S......p..~
~~~..........pppp..~
~~sss.......sss..s~~
~~~ssssssssssssss~~~
~~~~~~~~~~~~~~~~~~~~
""".strip().splitlines()
"""``T`` tree, ``f`` forest, ``.`` meadow, ``p`` path, ``s`` sand, ``~`` and ``w`` water, ``^`` rock, ``,`` mountain
path, ``H`` wall, ``h`` hall, ``G`` gate; ``S`` start, ``K`` key, ``O`` owl, ``W`` well."""

WIDTH, HEIGHT = len(MAP[0]), len(MAP)
SOLID = set("T~w^HWO")
PLACES = {"f": "forest", "K": "forest", ",": "mountains", "s": "beach", "h": "castle"}
WORDS = {
    "meadow": "in a meadow",
    "forest": "in a forest",
    "mountains": "in the mountains",
    "beach": "on the beach",
    "castle": "near the castle",
}
"""The places, as captions name them."""
DUSK_AT, NIGHT_AT = 24, 40
"""Steps after which the light changes."""

Cell = tuple[int, int]
DIRECTIONS: dict[str, Cell] = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def find(letter: str) -> Cell:
    """Where a letter stands on the map, as (column, row)."""
    return next((row.index(letter), number) for number, row in enumerate(MAP) if letter in row)


@dataclass(frozen=True)
class Happening:
    """What a step brought: the name of a beat ("" for none), new facts, and a line for the player."""

    beat: str = ""
    facts: dict[str, str | bool] = field(default_factory=dict)
    line: str = ""


class Quest:
    """One play-through, from ``begin`` to the open gate."""

    def __init__(self) -> None:
        self.fox: Cell = find("S")
        self.facing = "down"
        self.steps = 0
        self.light = "day"
        self.has_key = self.met_owl = self.tried_gate = self.done = False
        self.place = "meadow"

    @property
    def facts(self) -> dict[str, str | bool]:
        """Everything the beats' conditions and captions need to know."""
        return {
            "light": self.light,
            "place": WORDS[self.place],
            "has_key": self.has_key,
            "met_owl": self.met_owl,
        }

    def begin(self) -> list[Happening]:
        """The opening."""
        return [Happening("begin", self.facts, "Mia wakes in the meadow. The castle gate is locked, they say.")]

    def step(self, direction: str) -> list[Happening]:
        """Move by one cell if nothing is in the way; what that leads to, in order."""
        if self.done:
            return []
        self.facing = direction
        target = self._beside(direction)
        letter = self._letter(target)
        if letter in SOLID:
            return self._meet() if letter == "O" else []
        if letter == "G" and not self.has_key:
            self.tried_gate = True
            return [Happening("gate_locked", {}, "Locked. There must be a key, somewhere among the trees.")]
        self.fox = target
        self.steps += 1
        return [*self._time_passes(), *self._arrive(letter)]

    def way_to(self, goal: Cell) -> list[str]:
        """Directions of a shortest way to ``goal``, or to the cell before it when it is solid; empty without one."""
        came: dict[Cell, tuple[Cell, str]] = {}
        queue = deque([self.fox])
        while queue:
            cell = queue.popleft()
            for name, (dx, dy) in DIRECTIONS.items():
                following = (cell[0] + dx, cell[1] + dy)
                if following in came or following == self.fox:
                    continue
                if following != goal and not self._open(following):
                    continue
                came[following] = (cell, name)
                if following == goal:
                    return self._walk_back(came, goal)
                queue.append(following)
        return []

    def autoplay(self) -> str | None:
        """The next direction of somebody who tries the gate first and then plays well; None when the quest is over."""
        if self.done:
            return None
        if not self.tried_gate or (self.has_key and self.met_owl):
            return self.way_to(find("G"))[0]
        return self.way_to(find("O" if self.has_key else "K"))[0]

    # --- inside ---------------------------------------------------------------------------------------------------

    def _walk_back(self, came: dict[Cell, tuple[Cell, str]], goal: Cell) -> list[str]:
        way: list[str] = []
        cell = goal
        while cell != self.fox:
            cell, name = came[cell]
            way.append(name)
        return way[::-1]

    def _beside(self, direction: str) -> Cell:
        dx, dy = DIRECTIONS[direction]
        return self.fox[0] + dx, self.fox[1] + dy

    def _letter(self, cell: Cell) -> str:
        return MAP[cell[1]][cell[0]]

    def _open(self, cell: Cell) -> bool:
        return self._letter(cell) not in SOLID | {"G"}

    def _meet(self) -> list[Happening]:
        if self.met_owl:
            return [Happening(line="Owl: 'What are you waiting for? The gate!'")]
        self.met_owl = True
        return [Happening("meet_owl", {"met_owl": True}, "A purple owl: 'I know the castle. May I come with you?'")]

    def _time_passes(self) -> list[Happening]:
        if self.steps == DUSK_AT:
            self.light = "dusk"
            return [Happening(facts={"light": "dusk"}, line="The sun goes down.")]
        if self.steps == NIGHT_AT:
            self.light = "night"
            return [Happening("night_falls", {"light": "night"}, "Night falls. The stars come out.")]
        return []

    def _arrive(self, letter: str) -> list[Happening]:
        happened = []
        place = PLACES.get(letter, "meadow")
        if place != self.place:
            self.place = place
            happened.append(Happening("" if place == "castle" else f"enter_{place}", {"place": WORDS[place]}))
        if letter == "K" and not self.has_key:
            self.has_key = True
            happened.append(Happening("find_key", {"has_key": True}, "Something glitters in the moss: the key!"))
        if letter == "G":
            self.done, self.place = True, "castle"
            company = "Fox and owl walk in side by side." if self.met_owl else "Mia walks in, alone."
            happened.append(Happening("open_gate", {"place": WORDS["castle"]}, f"The key turns. {company}"))
        return happened
