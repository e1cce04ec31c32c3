"""Which shot, which words, when: the decisions of a film at each block boundary. No threads, no clock, no pixels.

The rules, all of them:

* A shot ends when it has its planned frames. An open-ended shot goes on until a cut; if cuts with
  ``when="shot_end"`` wait behind it, it ends at the first block boundary with ``DEFAULT_SHOT_FRAMES`` or more.
* A cut with ``when="block"`` or ``"now"`` is *urgent*: it opens at the next boundary, before all cuts that wait for a
  shot's end. Those keep waiting. A newer urgent cut supersedes one that has not begun.
* ``"now"`` also gives up the block in work. If that block was to open a shot, an urgent one is superseded, a waiting
  one
  goes back to the head of the queue: it was never seen.
* A prompt edit belongs to the urgent cut that waits or is in work, else to the shot on screen. It takes effect with
  the next block; a
  newer edit supersedes an older one, and the end of its shot supersedes it too.
* A hold stops at the next boundary. The next cut, edit, take or resume lifts it.
* A prepared shot that is taken opens at once, with its first block. What was made and not seen is void: a shot of it
  that had waited for its turn goes back to the head of the queue, an urgent one is superseded.
* With nothing to do the director answers None: the film has ended, until the next command.

The caller tells what it did with each ``Step``: ``commit`` (block made), ``abandon`` (given up) or ``refuse`` (the
engine would not open the shot).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from ..errors import ScriptError
from .limits import DEFAULT_SHOT_FRAMES
from .shot import Cut, Shot


@dataclass(kw_only=True)
class Waiting:
    """A command that has not taken effect; ``command`` is its id, 0 for one that nobody follows."""

    cut: Cut
    command: int = 0
    edit: str | None = None
    edit_command: int = 0


@dataclass(kw_only=True)
class Running:
    """The shot on screen: ``made`` frames so far in ``blocks`` blocks, showing ``caption``."""

    number: int
    shot: Shot
    caption: str
    made: int = 0
    blocks: int = 0
    revision: int = 0
    edits_done: int = 0
    edit: str | None = None
    edit_command: int = 0


W = TypeVar("W", Waiting, Running)


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next block to make.

    Attributes:
        shot, block: where it stands.
        opens: the cut whose shot is to be opened first, or None when it is open.
        caption: what the block shows; ``edited`` says that it differs from what the engine was told before.
        revision: prompt edits this shot has seen, this block included.
        seed: noise seed of the shot; None means that of the film.
        commands: ids of the commands that take effect with it.
    """

    shot: int
    block: int
    opens: Cut | None
    caption: str
    edited: bool
    revision: int
    seed: int | None
    commands: tuple[int, ...]


@dataclass(kw_only=True)
class Plan:
    """All that a director knows between two blocks, as one value (for snapshots)."""

    running: Running | None = None
    urgent: Waiting | None = None
    queue: list[Waiting] = field(default_factory=list)
    held: bool = False

    def renumbered(self, renew: Callable[[int, str], int]) -> Plan:
        """The plan with other command ids: ``renew`` gets each old one, and "edit" or the cut's ``when``."""

        def edited(part: W) -> W:
            command = renew(part.edit_command, "edit") if part.edit is not None and part.edit_command else 0
            return replace(part, edit_command=command)

        def waiting(part: Waiting) -> Waiting:
            return edited(replace(part, command=renew(part.command, part.cut.when)) if part.command else part)

        return Plan(
            running=edited(self.running) if self.running else None,
            urgent=waiting(self.urgent) if self.urgent else None,
            queue=[waiting(part) for part in self.queue],
            held=self.held,
        )


class Director:
    """Keeps the plan of one film. Not thread-safe: the session calls it under its lock."""

    def __init__(self) -> None:
        self._running: Running | None = None
        self._urgent: Waiting | None = None
        self._queue: deque[Waiting] = deque()
        self._held = False
        self._step: Step | None = None
        self._next: Running | None = None
        self._opening: Waiting | None = None
        self._unseen: list[tuple[int, Waiting]] = []

    # --- commands; each returns the ids that it supersedes -------------------------------------------------------

    def cut(self, cut: Cut, command: int = 0) -> list[int]:
        """Queue a cut."""
        self._held = False
        waiting = Waiting(cut=cut, command=command)
        if cut.when == "shot_end":
            self._queue.append(waiting)
            return []
        gone = _ids(self._urgent)
        self._urgent = waiting
        return gone

    def edit(self, prompt: str, command: int = 0) -> list[int]:
        """Queue an in-shot change of words. Raises ScriptError when there has been no cut yet."""
        target = self._urgent or self._next or self._running
        if target is None:
            if not self._queue:
                raise ScriptError(
                    f"prompt({prompt!r}) before any shot; a change of words needs a shot; call cut() first"
                )
            target = self._queue[0]
        self._held = False
        if isinstance(target, Running) and target is self._running and self._over(target):
            return [command]
        gone = [target.edit_command] if target.edit is not None else []
        target.edit, target.edit_command = prompt, command
        return gone

    def hold(self) -> None:
        """Stop at the next boundary."""
        self._held = True

    def resume(self) -> None:
        """Lift a hold."""
        self._held = False

    def clear(self) -> list[int]:
        """Drop every cut that has not begun."""
        gone = _ids(self._urgent, *self._queue)
        self._urgent = None
        self._queue.clear()
        return gone

    def take(self, shot: Shot, number: int, num_frames: int) -> list[int]:
        """Open ``shot`` as number ``number`` with ``num_frames`` frames of a first block. The film before it ends with
        shot ``number - 1``."""
        gone = self.abandon() if self._step is not None else []
        gone += _ids(self._urgent)
        if self._running is not None and self._running.edit is not None:
            gone.append(self._running.edit_command)
        self._urgent = None
        self._queue.extendleft(waiting for unseen, waiting in reversed(self._unseen) if unseen >= number)
        self._unseen.clear()
        self._running = Running(number=number, shot=shot, caption=shot.prompt, made=num_frames, blocks=1)
        return [command for command in gone if command]

    # --- the loop ------------------------------------------------------------------------------------------------

    @property
    def held(self) -> bool:
        return self._held

    @property
    def started(self) -> bool:
        """A shot has been opened, or is being opened."""
        return self._running is not None or self._step is not None

    @property
    def shot(self) -> int:
        """Number of the shot on screen, or -1 before the first."""
        return self._running.number if self._running else -1

    @property
    def waiting(self) -> list[int]:
        """Ids of the cuts that have not begun."""
        return _ids(self._urgent, *self._queue)

    @property
    def opens_next(self) -> bool:
        """The next step, if there is one, opens a shot."""
        return not self.idle and (self._urgent is not None or self._running is None or self._over(self._running))

    @property
    def idle(self) -> bool:
        """Nothing is in work and nothing is to do until the next command."""
        if self._step is not None:
            return False
        if self._held:
            return True
        return not self._urgent and not self._queue and (self._running is None or self._over(self._running))

    def begin(self) -> tuple[Step | None, list[int]]:
        """The next block to make, or None when idle; with the ids of commands that can no longer take effect."""
        assert self._step is None, "the step before was neither committed nor abandoned"
        gone: list[int] = []
        if self.idle:
            if self._running is not None and self._running.edit is not None and self._over(self._running):
                gone.append(self._running.edit_command)
                self._running.edit = None
            return None, gone
        ended = self._running is None or self._over(self._running)
        opening = self._take_waiting() if self._urgent or ended else None
        if opening is not None:
            if self._running is not None and self._running.edit is not None:
                gone.append(self._running.edit_command)
                self._running.edit = None
            nxt = Running(number=self.shot + 1, shot=opening.cut.shot, caption=opening.cut.shot.prompt)
            nxt.edit, nxt.edit_command = opening.edit, opening.edit_command
        else:
            assert self._running is not None
            nxt = replace(self._running)
            # An edit in work belongs to the step; one that arrives meanwhile waits in the copy for the next block.
            self._running.edit = None
        commands = [opening.command] if opening else []
        told = nxt.caption
        for edit in nxt.shot.edits[nxt.edits_done :]:
            if edit.at <= nxt.made:
                nxt.caption, nxt.revision, nxt.edits_done = edit.prompt, nxt.revision + 1, nxt.edits_done + 1
        if nxt.edit is not None:
            nxt.caption, nxt.revision = nxt.edit, nxt.revision + 1
            commands.append(nxt.edit_command)
            nxt.edit, nxt.edit_command = None, 0
        self._opening, self._next = opening, nxt
        self._step = Step(
            shot=nxt.number,
            block=nxt.blocks,
            opens=opening.cut if opening else None,
            caption=nxt.caption,
            edited=nxt.caption != told,
            revision=nxt.revision,
            seed=nxt.shot.seed,
            commands=tuple(command for command in commands if command),
        )
        return self._step, [command for command in gone if command]

    def commit(self, num_frames: int) -> tuple[int, int]:
        """The block was made and holds ``num_frames``. Returns (frame of the shot it begins at, frames to keep)."""
        assert self._next is not None
        running = self._next
        start = running.made
        planned = running.shot.frames
        keep = num_frames if planned is None else min(num_frames, planned - start)
        running.made += keep
        running.blocks += 1
        if self._opening is not None and self._opening.cut.when == "shot_end":
            self._unseen.append((running.number, Waiting(cut=self._opening.cut, command=self._opening.command)))
        self._running, self._next, self._opening, self._step = running, None, None, None
        return start, keep

    def abandon(self) -> list[int]:
        """The block was given up for a cut that came in between. Returns the ids superseded by that."""
        assert self._step is not None
        gone = list(self._step.commands)
        if self._next is not None and self._next.edit is not None:
            gone.append(self._next.edit_command)
        opening = self._opening
        if opening is not None and opening.cut.when == "shot_end":
            gone = [command for command in gone if command != opening.command]
            self._queue.appendleft(Waiting(cut=opening.cut, command=opening.command))
        self._step = self._next = self._opening = None
        return [command for command in gone if command]

    def is_under_way(self, step: Step) -> bool:
        """``step`` is still what is being made."""
        return self._step is step

    def seen(self, shot: int) -> None:
        """The first frame of a shot was delivered."""
        self._unseen = [(number, waiting) for number, waiting in self._unseen if number > shot]

    def refuse(self) -> None:
        """The engine would not open the shot: forget it; the shot on screen, if any, goes on."""
        self._step = self._next = self._opening = None

    # --- snapshots -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """A copy of the plan; between blocks only."""
        assert self._step is None
        return Plan(
            running=replace(self._running) if self._running else None,
            urgent=replace(self._urgent) if self._urgent else None,
            queue=[replace(waiting) for waiting in self._queue],
            held=self._held,
        )

    def adopt(self, plan: Plan, *, seed: int | None = None) -> list[int]:
        """Go on from ``plan`` (owned by the director from now on), the open shot with another noise seed if one is
        given. Returns the ids of what was waiting before."""
        gone = self.clear()
        if self._running is not None and self._running.edit is not None:
            gone.append(self._running.edit_command)
        self._running, self._urgent, self._held = plan.running, plan.urgent, plan.held
        if seed is not None and self._running is not None:
            self._running.shot = replace(self._running.shot, seed=seed)
        self._queue = deque(plan.queue)
        self._unseen.clear()
        self._step = self._next = self._opening = None
        return [command for command in gone if command]

    # --- helpers -------------------------------------------------------------------------------------------------

    def _over(self, running: Running) -> bool:
        if running.shot.frames is not None:
            return running.made >= running.shot.frames
        return bool(self._queue) and running.made >= DEFAULT_SHOT_FRAMES

    def _take_waiting(self) -> Waiting | None:
        if self._urgent is not None:
            waiting, self._urgent = self._urgent, None
            return waiting
        return self._queue.popleft() if self._queue else None


def _ids(*waitings: Waiting | None) -> list[int]:
    """Command ids held by waiting cuts and the edits bound to them."""
    return [command for command in _all_ids(waitings) if command]


def _all_ids(waitings: Iterable[Waiting | None]) -> Iterable[int]:
    for waiting in waitings:
        if waiting is not None:
            yield waiting.command
            yield waiting.edit_command
