"""The narrator plays beats on a film: who may trigger what, when, and what waits for what. No threads of its own.

* A beat of higher priority than the one on screen interrupts it: cuts that wait in the film are dropped. Any other
  waits and follows at the end of that beat's last shot, highest priority first, then first come.
* A beat is *done* as soon as its last shot is on screen. Then the first of its follow-ups whose condition holds joins
  those that wait, ahead of others of its priority.
* A condition is asked when a beat is triggered, and again when its turn comes.
* An edit never waits: it changes the words of the shot on screen, unless that belongs to a beat of higher priority.

The narrator sees its own cuts only: mixed with others, a beat is dropped when they take its place.

``update`` moves things on; ``frames`` calls it for each frame. Conditions and cooldowns are the game's time, not the
film's: the clock is handed in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Generic, Literal, Protocol, TypeVar

from ..errors import CapacityError, ScriptError
from .beats import FOLLOW_UP, ROLES, Beat, BeatBook, Cue
from .limits import check_frames
from .shot import When
from .variables import Blackboard, Value, plain_text, shorten

MAX_WAITING = 64

Moderator = Callable[[str, str], "str | None"]
"""``(caption, beat)`` to the caption to show, changed or not, or None to refuse it."""


class Ticket(Protocol):
    """What a film answers to a command; ``shotstream.Receipt`` is one."""

    @property
    def state(self) -> str: ...

    @property
    def final(self) -> bool: ...


F = TypeVar("F", covariant=True)


class Screen(Protocol[F]):
    """What the narrator needs of a film; ``shotstream.Film`` has it all. ``F`` is its type of frame."""

    def cut(self, prompt: str, when: When = ..., frames: int | None = ..., *, seed: int | None = ...) -> Ticket: ...

    def prompt(self, text: str) -> Ticket: ...

    def clear(self) -> None: ...

    def world(self, text: str) -> None: ...

    def frames(self, *, count: int | None = ..., wait: bool = ...) -> Iterator[F]: ...


class Fired:
    """What became of a trigger.

    Attributes:
        cue: the beat with its gaps filled: captions, and fields that were left out.
        state: "waiting"; "running", the film has its cuts; "done", its last shot is on screen or its edit is with the
            film; or "dropped".
        reason: why it was dropped.
        tickets: the film's receipts of its cuts or edit, in order.
    """

    def __init__(self, beat: Beat, cue: Cue) -> None:
        self.beat = beat
        self.cue = cue
        self.state: Literal["waiting", "running", "done", "dropped"] = "waiting"
        self.reason = ""
        self.tickets: list[Ticket] = []

    def drop(self, reason: str) -> None:
        """For the narrator: it will not happen, or not to its end."""
        self.state, self.reason = "dropped", reason

    def __repr__(self) -> str:
        return f"<Fired {self.beat.name} {self.state}{': ' + self.reason if self.reason else ''}>"


G = TypeVar("G")


class Narrator(Generic[G]):
    """Plays a book of beats on a film. Safe to use from any thread.

    Args:
        book: the beats; its style becomes the film's global caption.
        film: a ``shotstream.Film``.
        clock: seconds, never going back; for cooldowns.
        moderate: asked about every caption before the film gets it; what it raises refuses the beat.
    """

    def __init__(
        self,
        book: BeatBook,
        film: Screen[G],
        *,
        clock: Callable[[], float] = time.monotonic,
        moderate: Moderator | None = None,
    ) -> None:
        self.book = book
        self._film = film
        self._clock = clock
        self._moderate = moderate
        self._facts = Blackboard(book.variables)
        self._waiting: list[Fired] = []
        self._current: Fired | None = None
        self._before: Fired | None = None  # whose last shot the current one waits for
        self._ready_at: dict[str, float] = {}
        self._lock = threading.RLock()
        if book.style:
            film.world(self._moderated(book.style, "style"))

    @property
    def facts(self) -> dict[str, Value]:
        """The blackboard, as a copy; ``set`` takes it back, so a save-game can hold it."""
        with self._lock:
            return self._facts.values

    def set(self, **values: object) -> None:
        """Set variables of the blackboard, all or none. Raises ScriptError for an unknown name or a wrong value."""
        with self._lock:
            self._facts.update(values)

    @property
    def current(self) -> Fired | None:
        """The beat that was started last, or None before the first; follow-ups show up here."""
        with self._lock:
            return self._current

    @property
    def waiting(self) -> tuple[Fired, ...]:
        """Beats that wait, the next one first."""
        with self._lock:
            return tuple(self._waiting)

    def available(self, *, role: str = "operator") -> tuple[str, ...]:
        """Names of the beats that ``role`` could trigger now."""
        with self._lock:
            return tuple(name for name, beat in self.book.beats.items() if self._refusal(beat, role) is None)

    def trigger(self, name: str, /, *, role: str = "operator", **params: object) -> Fired:
        """Make a beat happen, now or when its turn comes.

        Args:
            name: of the beat.
            role: of who asks: "viewer", "trigger", "director" or "operator".
            params: its parameters.

        Raises:
            ScriptError: no such beat, not allowed, not now (condition, cooldown, an edit under a beat of higher
                priority), a wrong parameter, or a caption that the moderator refused. Nothing has changed then.
            CapacityError: too many beats wait.
        """
        with self._lock:
            self.update()
            beat = self.book.beat(name)
            refusal = self._refusal(beat, role)
            if refusal is not None:
                raise ScriptError(refusal)
            fired = self._prepare(beat, params)
            running = self._current if self._current is not None and self._current.state == "running" else None
            on_screen = self._on_screen()
            if beat.edit is not None:
                if on_screen is not None and on_screen.priority > beat.priority:
                    raise ScriptError(
                        f"beat {beat.name} of priority {beat.priority} would change the words of {on_screen.name} "
                        f"of priority {on_screen.priority}; trigger it later, or raise its priority"
                    )
                fired.tickets.append(self._film.prompt(fired.cue.captions[0]))
                fired.state = "done"
            elif running is None or beat.priority > running.beat.priority:
                if running is not None:
                    self._film.clear()
                    running.drop(f"{beat.name} interrupted it")
                self._start(fired, after=on_screen is not None and on_screen.priority >= beat.priority)
            else:
                self._queue(fired)
            self._ready_at[beat.name] = self._clock() + beat.cooldown_s
            return fired

    def update(self) -> bool:
        """Look what the film has shown, and start what waits for it. Returns whether a beat was started."""
        with self._lock:
            current = self._current
            if current is not None and current.state == "running":
                if any(ticket.state in ("superseded", "failed") for ticket in current.tickets):
                    current.drop("the film was given other cuts")
                elif current.tickets[-1].final:
                    current.state = "done"
                    self._follow(current.beat)
                else:
                    return False
            while self._waiting:
                fired = self._waiting.pop(0)
                condition = fired.beat.condition
                if condition is not None and not condition.holds(self._facts.values):
                    fired.drop(f"its condition {condition.source!r} no longer held when its turn came")
                    continue
                self._start(fired, after=True)
                return True
            return False

    def frames(self, *, count: int | None = None, wait: bool = False) -> Iterator[G]:
        """``Film.frames``, with ``update`` for each frame, so that waiting beats follow without a gap."""
        left = None if count is None else check_frames(count, "count")
        while True:
            for frame in self._film.frames(count=left, wait=wait):
                left = None if left is None else left - 1
                self.update()
                yield frame
                if left == 0:
                    return
            if not self.update():
                return

    # --- inside ---------------------------------------------------------------------------------------------------

    def _refusal(self, beat: Beat, role: str) -> str | None:
        """Why a beat may not happen now, or None."""
        if role not in ROLES:
            return f"role={shorten(role)} is unknown; use one of {', '.join(ROLES)}"
        if beat.role == FOLLOW_UP:
            return f"beat {beat.name} only follows other beats; trigger one that leads to it"
        if ROLES.index(role) < ROLES.index(beat.role):
            return f"beat {beat.name} needs the role {beat.role!r}, and {role!r} is below it; ask with a higher role"
        return self._not_now(beat)

    def _not_now(self, beat: Beat) -> str | None:
        if beat.condition is not None and not beat.condition.holds(self._facts.values):
            now = ", ".join(f"{name}={self._facts.values[name]!r}" for name in sorted(beat.condition.names))
            return f"beat {beat.name} needs {beat.condition.source!r}, and now {now}; set the variables, or wait"
        left_s = self._ready_at.get(beat.name, float("-inf")) - self._clock()
        if left_s > 0:
            return f"beat {beat.name} has a cooldown of {beat.cooldown_s:g} s; it is ready in {left_s:.1f} s; wait"
        return None

    def _prepare(self, beat: Beat, params: Mapping[str, object]) -> Fired:
        """Fill the gaps and ask the moderator."""
        cue = self.book.cue(beat.name, params, self._facts.values)
        if self._moderate is None:
            return Fired(beat, cue)
        texts = [self._moderated(caption, beat.name) for caption in cue.captions]
        if cue.edit is not None:
            return Fired(beat, Cue(beat=cue.beat, edit=texts[0]))
        cuts = tuple(
            replace(cut, shot=replace(cut.shot, prompt=text)) for cut, text in zip(cue.cuts, texts, strict=True)
        )
        return Fired(beat, replace(cue, cuts=cuts))

    def _moderated(self, caption: str, beat: str) -> str:
        if self._moderate is None:
            return caption
        try:
            answer = self._moderate(caption, beat)
        except ScriptError:
            raise
        except Exception as error:  # whatever it is: a caption that was not judged is not shown
            raise ScriptError(
                f"{beat}: the moderator failed ({error!r}); its captions are not shown; repair it"
            ) from error
        if answer is None:
            raise ScriptError(f"{beat}: the moderator refused {shorten(caption)}; use other words")
        return plain_text(answer, f"the moderator's caption for {beat}")

    def _queue(self, fired: Fired, *, first: bool = False) -> None:
        """Put a beat among those that wait: behind its equals, or before them with ``first``."""
        if len(self._waiting) >= MAX_WAITING:
            raise CapacityError(
                f"{MAX_WAITING} beats wait already; at most that many may; trigger fewer, or clear them"
            )
        rank = fired.beat.priority
        ahead = [
            other
            for other in self._waiting
            if other.beat.priority > rank or (other.beat.priority == rank and not first)
        ]
        self._waiting.insert(len(ahead), fired)

    def _on_screen(self) -> Beat | None:
        """The beat that has the screen. One that is done keeps it while its last shot runs, if that shot has an end."""
        last = self._current
        if last is not None and self._before is not None and last.tickets[0].state != "delivered":
            last = self._before
        if last is None or last.state == "dropped":
            return None
        return last.beat if last.state == "running" or last.cue.cuts[-1].shot.frames is not None else None

    def _start(self, fired: Fired, *, after: bool) -> None:
        """Hand a beat's cuts to the film; ``after``: behind the shot on screen, however the beat wants to begin."""
        for number, cut in enumerate(fired.cue.cuts):
            when: When = "shot_end" if number == 0 and after else cut.when
            ticket = self._film.cut(cut.shot.prompt, when, cut.shot.frames, seed=cut.shot.seed)
            fired.tickets.append(ticket)
        replaced = self._current
        if replaced is not None and replaced.state == "dropped" and not _seen(replaced):
            replaced = self._before  # it was interrupted before its turn came
        self._before = replaced if after else None
        self._current = fired
        fired.state = "running"

    def _follow(self, beat: Beat) -> None:
        """Queue the first follow-up that may happen."""
        for name in beat.then:
            follower = self.book.beats[name]
            if self._not_now(follower) is None and len(self._waiting) < MAX_WAITING:
                fired = Fired(follower, Cue(beat=name))
                try:
                    fired = self._prepare(follower, {})
                    self._queue(fired, first=True)
                except ScriptError as error:
                    fired.drop(str(error))
                    continue
                self._ready_at[name] = self._clock() + follower.cooldown_s
                return


def _seen(fired: Fired) -> bool:
    return any(ticket.state == "delivered" for ticket in fired.tickets)
