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

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from ..errors import CapacityError, ScriptError
from .beats import FOLLOW_UP, ROLES, Beat, BeatBook
from .fired import BeatRefused, Fired, FiredState, Screen, Ticket
from .limits import check_frames
from .narrator_state import MAX_WAITING, NarratorState, SavedBeat, as_dict, check_state
from .shot import When
from .variables import Blackboard, Value, plain_text, shorten

log = logging.getLogger("shotstream.story")

Moderator = Callable[[str, str], "str | None"]
"""``(caption, beat)`` to the caption to show, changed or not, or None to refuse it."""

Listener = Callable[[Fired], None]
"""Called when a beat enters a state. It must return at once, and not call the narrator."""


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The ticket of a cut that was on screen before the film was restored."""

    id: int = 0
    state: str = "delivered"
    final: bool = True


G = TypeVar("G")


class Narrator(Generic[G]):
    """Plays a book of beats on a film. Safe to use from any thread.

    Args:
        book: the beats; its style becomes the film's global caption.
        film: a ``shotstream.Film``.
        clock: seconds, never going back; for cooldowns.
        moderate: asked about every caption before the film gets it; what it raises refuses the beat.
        on_change: told of every beat that enters a state, follow-ups included.
    """

    def __init__(
        self,
        book: BeatBook,
        film: Screen[G],
        *,
        clock: Callable[[], float] = time.monotonic,
        moderate: Moderator | None = None,
        on_change: Listener | None = None,
    ) -> None:
        self.book = book
        self._film = film
        self._clock = clock
        self._moderate = moderate
        self._on_change = on_change
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
        """The blackboard, as a copy."""
        with self._lock:
            return self._facts.values

    def set(self, values: Mapping[str, object] | None = None, /, **more: object) -> None:
        """Set variables of the blackboard, all or none. Raises ScriptError for an unknown name or a wrong value."""
        with self._lock:
            self._facts.update({**(values or {}), **more})

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

    def refusals(self, *, role: str = "operator") -> dict[str, BeatRefused | None]:
        """The beats that ``role`` may ever trigger: why not now, or None."""
        with self._lock:
            found = {name: self._refusal(beat, role) for name, beat in self.book.beats.items()}
            return {name: refusal for name, refusal in found.items() if refusal is None or not refusal.denied}

    def trigger(
        self, name: str, params: Mapping[str, object] | None = None, /, *, role: str = "operator", **more: object
    ) -> Fired:
        """Make a beat happen, now or when its turn comes.

        Args:
            name: of the beat.
            params: its parameters; also as keywords: ``trigger("arrive", place="in the city")``.
            role: of who asks: "viewer", "trigger", "director" or "operator".

        Raises:
            BeatRefused: not allowed, or not now (condition, cooldown, an edit under a beat of higher priority).
            ScriptError: no such beat, a wrong parameter, or a caption that the moderator refused. Whatever is raised,
                nothing has changed.
            CapacityError: too many beats wait.
        """
        with self._lock:
            self.update()
            beat = self.book.beat(name)
            refusal = self._refusal(beat, role)
            if refusal is not None:
                raise refusal
            fired = self._prepare(beat, {**(params or {}), **more}, self._facts.values)
            running = self._current if self._current is not None and self._current.state == "running" else None
            on_screen = self._on_screen()
            if beat.edit is not None:
                if on_screen is not None and on_screen.priority > beat.priority:
                    raise BeatRefused(
                        f"beat {beat.name} of priority {beat.priority} would change the words of {on_screen.name} "
                        f"of priority {on_screen.priority}; trigger it later, or raise its priority"
                    )
                fired.tickets.append(self._film.prompt(fired.cue.captions[0]))
                self._enter(fired, "done")
            elif running is None or beat.priority > running.beat.priority:
                if running is not None:
                    self._drop(running, f"{beat.name} interrupted it")
                    self._film.clear()
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
                broken = next((ticket for ticket in current.tickets if ticket.state in ("superseded", "failed")), None)
                if broken is not None:
                    failed = broken.state == "failed"
                    self._drop(current, "the film refused it" if failed else "the film was given other cuts", failed)
                elif current.tickets[-1].final:
                    self._enter(current, "done")
                    self._follow(current.beat)
                else:
                    return False
            while self._waiting:
                fired = self._waiting.pop(0)
                condition = fired.beat.condition
                if condition is not None and not condition.holds(self._facts.values):
                    why = f"its condition {condition.source!r} no longer held when its turn came"
                    self._drop(fired, why, failed=True)
                    continue
                try:
                    self._start(fired, after=True)
                except ScriptError as error:
                    log.warning("beat %s was dropped: %s", fired.beat.name, error)
                    continue
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

    # --- save-games and other books ---------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Facts, cooldowns, and the beats that wait or run, as plain values; for a save-game, beside
        ``Film.snapshot``. Take both without a trigger in between."""
        with self._lock:
            now, current = self._clock(), self._current
            left = {name: ready - now for name, ready in self._ready_at.items() if name in self.book.beats}
            if current is not None and current.state == "dropped":
                current = None
            return as_dict(
                NarratorState(
                    facts=self._facts.values,
                    cooldowns_s={name: seconds for name, seconds in left.items() if seconds > 0},
                    waiting=tuple(_saved(fired) for fired in self._waiting),
                    current=_saved(current) if current is not None else None,
                    running=current is not None and current.state == "running",
                    before=_saved(self._before) if current is not None and self._before is not None else None,
                )
            )

    def adopt(self, state: object, tickets: Mapping[int, Ticket] | None = None) -> list[str]:
        """Go on from what ``state`` returned, after ``Film.restore``.

        Args:
            state: of this book, or of an earlier edition of it.
            tickets: what ``Film.restore`` returned.

        Returns:
            What does not fit this book any more, and was left out.

        Raises:
            ScriptError: it is no state of a narrator; ``narrator_state.check_state`` finds that out beforehand. Nothing
                has changed then.
        """
        saved = check_state(state)
        with self._lock:
            for fired in (self._current, *self._waiting):
                if fired is not None and fired.state in ("waiting", "running"):
                    self._drop(fired, "the story went back to a checkpoint")
            left_out: list[str] = []
            self._facts = self._board(saved.facts, left_out)
            now = self._clock()
            self._ready_at = {
                name: now + min(seconds, self.book.beats[name].cooldown_s)
                for name, seconds in saved.cooldowns_s.items()
                if name in self.book.beats
            }
            self._before = self._resumed(saved.before, {}, left_out)
            self._current = self._resumed(saved.current, tickets or {}, left_out)
            if self._current is None:
                self._before = None
            elif saved.running:
                self._enter(self._current, "running")
            self._waiting = []
            for one in saved.waiting:
                self._wait_again(one, left_out)
            return left_out

    def reload(self, book: BeatBook) -> list[str]:
        """Play another edition of the book from now on. The beat on screen goes on as it began; facts and beats that
        wait are kept where they fit. Returns what was left out.

        Raises:
            ScriptError: the moderator refused its style. The old book stays then.
        """
        with self._lock:
            if book.style != self.book.style:
                self._film.world(self._moderated(book.style, "style") if book.style else "")
            left_out: list[str] = []
            self.book = book
            self._facts = self._board(self._facts.values, left_out)
            waiting, self._waiting = self._waiting, []
            for fired in waiting:
                self._wait_again(_saved(fired), left_out, instead_of=fired)
            return left_out

    def _board(self, facts: Mapping[str, Value], left_out: list[str]) -> Blackboard:
        """A blackboard with those of ``facts`` that are values of this book's variables."""
        board = Blackboard(self.book.variables)
        for name, value in facts.items():
            try:
                board.update({name: value})
            except ScriptError as error:
                left_out.append(str(error))
        return board

    def _resumed(self, saved: SavedBeat | None, tickets: Mapping[int, Ticket], left_out: list[str]) -> Fired | None:
        """A beat whose cuts the film has already."""
        if saved is None or not saved.tickets:
            return None
        try:
            beat = self.book.beat(saved.name)
            cue = self.book.cue(saved.name, saved.params, self._board(saved.facts, left_out).values)
            if len(cue.cuts) != len(saved.tickets):
                raise ScriptError(f"beat {saved.name} has other shots now; it ends without its follow-up")
        except ScriptError as error:
            left_out.append(str(error))
            return None
        fired = Fired(beat, cue, params=saved.params, facts=saved.facts)
        fired.tickets = [tickets.get(number, _Shown()) for number in saved.tickets]
        fired.state = "done"
        return fired

    def _wait_again(self, saved: SavedBeat, left_out: list[str], *, instead_of: Fired | None = None) -> None:
        """Put a beat back among those that wait, in its old order."""
        try:
            beat = self.book.beat(saved.name)
            fresh = self._prepare(beat, saved.params, self._board(saved.facts, left_out).values)
            fired = instead_of or fresh
            fired.beat, fired.cue = fresh.beat, fresh.cue
            self._queue(fired)
        except ScriptError as error:
            left_out.append(str(error))
            if instead_of is not None:
                self._drop(instead_of, str(error), failed=True)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _refusal(self, beat: Beat, role: str) -> BeatRefused | None:
        """Why a beat may not happen now, or None."""
        if role not in ROLES:
            text = f"role={shorten(role)} is unknown; use one of {', '.join(ROLES)}"
        elif beat.role == FOLLOW_UP:
            text = f"beat {beat.name} only follows other beats; trigger one that leads to it"
        elif ROLES.index(role) < ROLES.index(beat.role):
            text = f"beat {beat.name} needs the role {beat.role!r}, and {role!r} is below it; ask with a higher role"
        else:
            return self._not_now(beat)
        return BeatRefused(text, denied=True)

    def _not_now(self, beat: Beat) -> BeatRefused | None:
        if beat.condition is not None and not beat.condition.holds(self._facts.values):
            now = ", ".join(f"{name}={self._facts.values[name]!r}" for name in sorted(beat.condition.names))
            return BeatRefused(
                f"beat {beat.name} needs {beat.condition.source!r}, and now {now}; set the variables, or wait"
            )
        left_s = self._ready_at.get(beat.name, float("-inf")) - self._clock()
        if left_s > 0:
            return BeatRefused(
                f"beat {beat.name} has a cooldown of {beat.cooldown_s:g} s; it is ready in {left_s:.1f} s; wait",
                retry_s=left_s,
            )
        return None

    def _enter(self, fired: Fired, state: FiredState) -> None:
        fired.state = state
        self._tell(fired)

    def _drop(self, fired: Fired, reason: str, failed: bool = False) -> None:
        fired.drop(reason, failed=failed)
        self._tell(fired)

    def _tell(self, fired: Fired) -> None:
        if self._on_change is not None:
            self._on_change(fired)

    def _prepare(self, beat: Beat, params: Mapping[str, object], facts: Mapping[str, Value]) -> Fired:
        """Fill the gaps and ask the moderator."""
        cue = self.book.cue(beat.name, params, facts)
        if self._moderate is not None:
            texts = [self._moderated(caption, beat.name) for caption in cue.captions]
            if cue.edit is not None:
                cue = replace(cue, edit=texts[0])
            else:
                cuts = zip(cue.cuts, texts, strict=True)
                cue = replace(cue, cuts=tuple(replace(cut, shot=replace(cut.shot, prompt=text)) for cut, text in cuts))
        return Fired(beat, cue, params=beat.arguments(params), facts=facts)

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
        self._enter(fired, "waiting")

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
        try:
            for number, cut in enumerate(fired.cue.cuts):
                when: When = "shot_end" if number == 0 and after else cut.when
                ticket = self._film.cut(cut.shot.prompt, when, cut.shot.frames, seed=cut.shot.seed)
                fired.tickets.append(ticket)
        except Exception as error:
            self._drop(fired, f"the film refused it: {error}", failed=True)
            raise
        replaced = self._current
        if replaced is not None and replaced.state == "dropped" and not _seen(replaced):
            replaced = self._before  # it was interrupted before its turn came
        self._before = replaced if after else None
        self._current = fired
        self._enter(fired, "running")

    def _follow(self, beat: Beat) -> None:
        """Queue the first follow-up that may happen."""
        for name in beat.then:
            follower = self.book.beats.get(name)  # the book may be a newer edition than the beat
            if follower is None or self._not_now(follower) is not None or len(self._waiting) >= MAX_WAITING:
                continue
            try:
                self._queue(self._prepare(follower, {}, self._facts.values), first=True)
            except ScriptError as error:
                log.warning("follow-up %s of %s was dropped: %s", name, beat.name, error)
                continue
            self._ready_at[name] = self._clock() + follower.cooldown_s
            return


def _seen(fired: Fired) -> bool:
    return any(ticket.state == "delivered" for ticket in fired.tickets)


def _saved(fired: Fired) -> SavedBeat:
    return SavedBeat(
        name=fired.beat.name,
        params=fired.params,
        facts=fired.facts,
        tickets=tuple(ticket.id for ticket in fired.tickets),
    )
