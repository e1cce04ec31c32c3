"""One running stream: the engine's thread, the commands that reach it, and the short queue of frames that leaves it.

Everything here is shared between the caller's threads and the engine thread under one lock, ``_changed``. The engine
itself is touched by the engine thread only. The queue holds at most ``ahead`` whole blocks that nobody has begun to
take, so that a cut is never far from the screen.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .engine.protocol import Block, Engine, Pin, Prepared, ShotPlan
from .errors import Aborted, ClosedError, ScriptError
from .frame_queue import FrameQueue, Origin
from .frames import Frame
from .receipts import Ledger, Receipt
from .shelf import Shelf, Waiting
from .stats import BlockTimes, SessionStats
from .story.director import Director, Step
from .story.shot import Cut, Shot

if TYPE_CHECKING:
    from .story.checkpoint import FilmState

log = logging.getLogger("shotstream.session")

Job = tuple[Callable[[], object], Future[object]]

JOIN_TIMEOUT_S = 60.0
PAUSE_S = 1.0
"""Nobody watches live any more when no frame was taken for this long."""


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """A prepared shot that is on air already and that the engine is still to go on from, as shot number ``shot``; of
    the one before it ``seen`` frames stay, None for all."""

    made: Prepared
    shot: int
    seen: int | None
    pins: tuple[Pin, ...]


class Session:
    """Runs ``engine`` in a thread of its own until ``close``.

    Args:
        engine: owned by the session from now on.
        seed: noise seed of shots without one.
        world: global caption of the next shots.
        ahead: whole blocks that may wait untaken. 0 makes a block only while a consumer waits for a frame, which makes
            live commands take effect at the same frame on every run.
    """

    def __init__(self, engine: Engine, *, seed: int, world: str = "", ahead: int = 1) -> None:
        self._engine = engine
        self.spec, self.bundle, self.device, self.dtype = engine.spec, engine.name, engine.device, engine.dtype
        self.seed = seed
        self._world = world
        self._ahead = ahead
        self._changed = threading.Condition()
        self._director = Director()
        self._pins: list[Pin] = []
        self._queue = FrameQueue(self.spec.fps)
        self._demand = 0
        self._abort = False
        self._closing = False
        self._error: Exception | None = None
        self._fatal: Exception | None = None
        self._jobs: deque[Job] = deque()
        self._open = Ledger(self._changed)
        self._holds: list[int] = []
        self._shelf = Shelf()
        self._making: Waiting | None = None
        self._adopting: Adoption | None = None
        self._on_shot_start: Callable[[int, bytes], None] | None = None
        self._shot_start: tuple[FilmState, list[Frame]] | None = None
        self._listeners: set[Callable[[], None]] = set()
        self._stats = SessionStats()
        self._thread = threading.Thread(target=self._run, name="shotstream-engine", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    # --- commands, from any thread -------------------------------------------------------------------------------

    def cut(self, cut: Cut) -> Receipt:
        """Queue a cut; see ``story.director`` for the rules."""
        with self._changed:
            receipt = self._receipt("cut", when=cut.when)
            if self._stats.first_command_at is None:
                self._stats.first_command_at = receipt.times["queued"]
            gone = self._director.cut(cut, receipt.id)
            if cut.when != "shot_end":
                gone += self._shelf.unwant()
            self._open.supersede(gone, "a newer cut came before it began")
            self._drop_holds()
            if cut.when == "now" or (cut.when == "block" and self._making is not None):
                self._abort = True
            return receipt

    def prepare(self, shot: Shot) -> Receipt:
        """Make the first block of a shot aside, when there is time for it."""
        with self._changed:
            receipt = self._receipt("prepare")
            gone = self._shelf.add(Waiting(receipt.id, shot))
            self._open.supersede(gone, "a newer prepared shot took its place")
            return receipt

    def take(self, command: int) -> Receipt:
        """Put a prepared shot on air with the next frame, or as soon as it is made. Raises ScriptError when there is no
        such shot."""
        with self._changed:
            self._check_open()
            waiting = self._shelf.find(command)
            if waiting is None:
                raise ScriptError(
                    f"command {command} is no prepared shot that is kept; it was taken, cancelled, replaced by newer "
                    "ones, or lost when the film was restored; prepare it again"
                )
            receipt = self._receipt("take")
            self._open.supersede(self._shelf.want(waiting, receipt.id), "another prepared shot was taken")
            self._director.resume()
            self._drop_holds()
            if waiting.made is not None:
                self._put_on_air(waiting, waiting.made)
            # The block in work is of no use any more, unless it is the one that is waited for.
            self._abort = self._making is not waiting
        self._tell()
        return receipt

    def cancel(self, command: int | None) -> None:
        """Throw a prepared shot away, None for all. Raises ScriptError when there is no such shot."""
        with self._changed:
            self._check_open()
            waiting = None if command is None else self._shelf.find(command)
            if command is not None and waiting is None:
                raise ScriptError(f"command {command} is no prepared shot that is kept; it was taken or is gone")
            gone = self._shelf.remove(None if waiting is None else [waiting])
            self._open.supersede(gone, "it was cancelled")
            if self._making is not None and self._making not in self._shelf:
                self._abort = True
            self._changed.notify_all()

    def edit(self, prompt: str) -> Receipt:
        """Queue an in-shot change of words. Raises ScriptError before the first cut."""
        with self._changed:
            self._check_open()
            receipt = self._receipt("prompt")
            try:
                gone = self._director.edit(prompt, receipt.id)
            except ScriptError:
                self._open.forget(receipt.id)
                raise
            late = [receipt.id] if receipt.id in gone else []
            self._open.supersede(late, "its shot had ended before it could take effect")
            self._open.supersede(gone, "a newer change of words came before it began")
            self._drop_holds()
            return receipt

    def hold(self) -> Receipt:
        """Stop making frames at the next block boundary."""
        with self._changed:
            receipt = self._receipt("hold")
            self._director.hold()
            self._holds.append(receipt.id)
            return receipt

    def resume(self) -> None:
        """Lift a hold."""
        with self._changed:
            self._check_open()
            self._director.resume()
            self._drop_holds()
            self._changed.notify_all()

    def clear(self) -> None:
        """Drop every cut that has not begun."""
        with self._changed:
            self._check_open()
            gone = self._director.clear() + self._shelf.unwant()
            self._open.supersede(gone, "the queue was cleared")
            self._changed.notify_all()

    def set_world(self, world: str) -> None:
        with self._changed:
            self._check_open()
            self._world = world

    def pin(self, pin: Pin) -> None:
        """Keep a memory for the shots opened from now on. Raises ScriptError beyond ``context_lat - 1`` pins, or for a
        frame that was not made."""
        with self._changed:
            self._check_open()
            if pin in self._pins:
                return
            made = self._queue.lengths.get(pin.shot)
            if made is not None and pin.frame is not None and pin.frame >= made:
                raise ScriptError(
                    f"frame={pin.frame} cannot be pinned; shot {pin.shot} has frames 0..{made - 1}; pin one of them"
                )
            if len(self._pins) + 1 > self.spec.context_lat - 1:
                raise ScriptError(
                    f"{len(self._pins) + 1} pins are too many for context_lat={self.spec.context_lat}; "
                    f"at most {self.spec.context_lat - 1} leave room for the newest shot; unpin one first"
                )
            self._pins.append(pin)

    def unpin(self, pin: Pin | None) -> None:
        """Forget a pin, or all for None. Raises ScriptError when it is not pinned."""
        with self._changed:
            self._check_open()
            if pin is None:
                self._pins.clear()
            elif pin in self._pins:
                self._pins.remove(pin)
            else:
                raise ScriptError(f"shot={pin.shot} frame={pin.frame} is not pinned; pinned are {self._pins or 'none'}")

    @property
    def pins(self) -> tuple[Pin, ...]:
        with self._changed:
            return tuple(self._pins)

    @property
    def shot(self) -> int:
        """Number of the newest shot with at least one block, or -1."""
        with self._changed:
            return self._director.shot

    @property
    def held(self) -> bool:
        with self._changed:
            return self._director.held

    @property
    def world(self) -> str:
        with self._changed:
            return self._world

    def stats(self) -> SessionStats:
        """A copy of the counters."""
        with self._changed:
            return self._stats.copy()

    def receipts(self) -> tuple[Receipt, ...]:
        """Commands that are still under way."""
        with self._changed:
            return self._open.receipts()

    # --- frames, for one or several consumers --------------------------------------------------------------------

    def next_frame(self, *, wait_for_commands: bool = False) -> Frame | None:
        """The next frame; waits while one is in work. None when the film has ended or is held.

        Args:
            wait_for_commands: wait for the next command instead of answering None.

        Raises:
            ScriptError: there was no cut yet, or the engine refused one.
            ClosedError: the session was closed.
            Exception: whatever stopped the engine, on this and every further call.
        """
        with self._changed:
            self._demand += 1
            self._changed.notify_all()
            try:
                while True:
                    frame, done = self._take(wait_for_commands)
                    if done:
                        return frame
                    self._changed.wait()
            finally:
                self._demand -= 1

    def poll_frame(self, *, wait_for_commands: bool = False) -> tuple[Frame | None, bool]:
        """Like ``next_frame`` without waiting: (frame or None, whether the answer is final). For event loops."""
        with self._changed:
            return self._take(wait_for_commands)

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Count as a waiting consumer; ``callback`` runs on every change, in the engine thread. Returns the way to
        stop."""
        with self._changed:
            self._listeners.add(callback)
            self._demand += 1
            self._changed.notify_all()

        def stop() -> None:
            with self._changed:
                if callback in self._listeners:
                    self._listeners.discard(callback)
                    self._demand -= 1

        return stop

    def _take(self, wait_for_commands: bool) -> tuple[Frame | None, bool]:
        num_blocks = self._queue.num_blocks
        frame = self._queue.take()
        if self._queue.num_blocks < num_blocks:
            self._changed.notify_all()
        if frame is not None:
            self._delivered(frame)
            return frame, True
        if self._fatal is not None:
            raise self._fatal
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._check_open()
        if not self._director.idle or self._jobs or self._shelf.wanted is not None or wait_for_commands:
            return None, False
        if not self._director.started:
            raise ScriptError(
                "there is nothing to show before the first shot; call film.cut('...') before asking for frames"
            )
        return None, True

    def _delivered(self, frame: Frame) -> None:
        now = time.perf_counter()
        self._stats.frames_delivered += 1
        self._stats.last_frame_at = now
        if self._stats.first_frame_at is None:
            self._stats.first_frame_at = now
        if frame.is_cut:
            self._director.seen(frame.shot)
        for command in frame.receipts:
            receipt = self._open.move(command, "delivered", frame=frame.index)
            if receipt is not None and receipt.kind in ("cut", "take") and receipt.latency_ms is not None:
                self._stats.cut_to_frame_ms.append(receipt.latency_ms)

    # --- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The film at the next block boundary, undelivered frames included."""
        result = self._at_boundary(self._snapshot)
        assert isinstance(result, bytes)
        return result

    def watch_shots(self, callback: Callable[[int, bytes], None] | None) -> None:
        """See ``Film.watch_shots``."""
        with self._changed:
            self._on_shot_start = callback

    def restore(self, data: bytes, *, seed: int | None = None) -> dict[int, Receipt]:
        """Go back to a snapshot: frames not yet taken and commands not yet begun are dropped. With ``seed``, noise from
        there on is drawn anew. Returns new receipts of the commands that waited in it, by the number each had then."""
        state = self.check_snapshot(data)
        receipts: dict[int, Receipt] = {}
        self._at_boundary(lambda: self._restore(state, receipts, seed))
        return receipts

    def check_snapshot(self, data: bytes) -> FilmState:
        """What a snapshot holds. Raises ScriptError when it is none, damaged, or of another bundle."""
        from .story.checkpoint import unpack

        state = unpack(data)
        mine = (self.bundle, self.spec.width_px, self.spec.height_px)
        theirs = (state.bundle, state.width_px, state.height_px)
        if mine != theirs:
            raise ScriptError(
                f"the snapshot is of bundle {theirs[0]!r} at {theirs[1]}x{theirs[2]}, this film has {mine[0]!r} at "
                f"{mine[1]}x{mine[2]}; open the film with the same bundle"
            )
        return state

    def _at_boundary(self, job: Callable[[], object]) -> object:
        """Run ``job`` in the engine thread between two blocks and hand back its result."""
        future: Future[object] = Future()
        with self._changed:
            self._check_open()
            if self._fatal is not None:
                raise self._fatal
            self._jobs.append((job, future))
            self._changed.notify_all()
        return future.result()

    def _snapshot(self) -> bytes:
        from .story.checkpoint import pack, save_frame

        with self._changed:
            untaken = self._queue.untaken()
            state = self._state(len(untaken))
        frames = [save_frame(frame) for frame in untaken]
        return pack(replace(state, frames=frames, engine=self._engine.snapshot()))

    def _state(self, num_untaken: int) -> FilmState:
        """The film between two blocks, as far as the session knows it."""
        from .story.checkpoint import FilmState

        return FilmState(
            bundle=self.bundle,
            width_px=self.spec.width_px,
            height_px=self.spec.height_px,
            seed=self.seed,
            world=self._world,
            next_index=self._queue.next_index - num_untaken,
            pins=[(pin.shot, pin.frame) for pin in self._pins],
            plan=self._director.plan(),
        )

    def _restore(self, state: FilmState, receipts: dict[int, Receipt], seed: int | None) -> None:
        from .story.checkpoint import load_frame

        frames = [
            load_frame(saved, self.spec, index=state.next_index + number) for number, saved in enumerate(state.frames)
        ]
        self._engine.restore(state.engine, seed=seed)
        with self._changed:
            self._open.supersede(self._open.ids(), "the film was restored to a snapshot")
            self._shelf.remove()
            self._adopting = None
            # Their old numbers may be those of other commands by now, above all in another process.
            plan = state.plan.renumbered(lambda old, kind: self._renewed(old, kind, receipts))
            self._director.adopt(plan, seed=seed)
            self._holds.clear()
            self.seed, self._world = state.seed if seed is None else seed, state.world
            self._pins = [Pin(shot=shot, frame=frame) for shot, frame in state.pins]
            lengths = {plan.running.number: plan.running.made} if plan.running else {}
            self._queue.go_back(frames, next_index=state.next_index + len(frames), lengths=lengths)
            self._error = None

    def _renewed(self, old: int, kind: str, receipts: dict[int, Receipt]) -> int:
        receipt = self._open.add("prompt" if kind == "edit" else "cut", when="" if kind == "edit" else kind)
        receipts[old] = receipt
        return receipt.id

    # --- the engine thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    work = self._next_work()
                if work is None:
                    return
                if isinstance(work, Step):
                    self._make(work)
                elif isinstance(work, Waiting):
                    self._prepare(work)
                elif isinstance(work, Adoption):
                    self._adopt(work)
                else:
                    self._do(*work)
        except Exception as error:  # an error of ours or of the engine: hand it to whoever waits, never lose it
            log.debug("the engine thread stopped", exc_info=True)
            self._stop_with(error)
        finally:
            with self._changed:
                leftover = ClosedError("the film was closed before this was done; open it again")
                for _, future in self._jobs:
                    future.set_exception(self._fatal or leftover)
                self._jobs.clear()
                self._changed.notify_all()
            self._tell()
            self._engine.close()

    def _next_work(self) -> Step | Waiting | Adoption | Job | None:
        while True:
            if self._closing:
                return None
            if self._adopting is not None:
                adoption, self._adopting = self._adopting, None
                return adoption
            if self._jobs:
                return self._jobs.popleft()
            if self._director.held:
                self._settle_holds()
            waiting = self._shelf.next_to_make()
            if waiting is not None and (waiting is self._shelf.wanted or self._ahead == 0):
                return self._begin_preparing(waiting)
            if self._has_room():
                step = self._begin()
                if step is not None:
                    return step
                self._tell()
            if waiting is not None and self._has_time():
                return self._begin_preparing(waiting)
            self._changed.wait(None if waiting is None else PAUSE_S / 4)

    def _begin(self) -> Step | None:
        keeps_start = self._on_shot_start is not None and self._director.opens_next
        self._shot_start = (self._state(0), []) if keeps_start else None
        step, gone = self._director.begin()
        self._open.supersede(gone, "its shot had ended before it could take effect")
        if step is not None:
            self._abort = False
            for command in step.commands:
                self._open.move(command, "started")
        return step

    def _begin_preparing(self, waiting: Waiting) -> Waiting:
        self._abort, self._making = False, waiting
        self._open.move(waiting.command, "started")
        if waiting is self._shelf.wanted:
            self._open.move(self._shelf.take, "started")
        return waiting

    def _has_room(self) -> bool:
        if self._ahead == 0:
            return not len(self._queue) and self._demand > 0
        return self._queue.num_blocks < self._ahead

    def _has_time(self) -> bool:
        """A block can be made aside without a consumer in real time noticing: the frames that wait outlast that block
        and the next one, or there is no such consumer."""
        if self._director.idle or not self._stats.blocks:
            return True
        taken_at = self._stats.last_frame_at
        if taken_at is not None and time.perf_counter() - taken_at > PAUSE_S:
            return True
        opening = next((block.context_ms for block in reversed(self._stats.blocks) if block.block == 0), 0.0)
        needed_ms = 2 * self._stats.blocks[-1].block_ms + opening
        return self._queue.seconds * 1e3 >= needed_ms

    def _make(self, step: Step) -> None:
        began = time.perf_counter()
        if step.opens is not None:
            self._keep_start(step.shot)
            with self._changed:
                if step.opens.world is not None:
                    self._world = step.opens.world
                plan = self._plan(step.shot, step.opens.shot)
            try:
                self._engine.open_shot(plan)
            except ScriptError as error:
                with self._changed:
                    if self._director.is_under_way(step):
                        self._director.refuse()
                        for command in step.commands:
                            self._open.move(command, "failed", error=error)
                        self._error = error
                    self._changed.notify_all()
                self._tell()
                return
        try:
            block = self._engine.next_block(caption=step.caption if step.edited else None, abort=self._must_abort)
        except Aborted:
            with self._changed:
                self._stats.blocks_aborted += 1
                if self._director.is_under_way(step):
                    self._open.supersede(self._director.abandon(), "its first block was given up before it was seen")
                self._changed.notify_all()
            return
        with self._changed:
            if self._director.is_under_way(step):  # a take may have come too late to stop the block
                self._accept(step, block, (time.perf_counter() - began) * 1e3)
        self._tell()

    def _plan(self, number: int, shot: Shot) -> ShotPlan:
        return ShotPlan(
            shot=number,
            caption=shot.prompt,
            global_caption=self._world,
            seed=self.seed if shot.seed is None else shot.seed,
            pins=tuple(self._pins),
            num_frames=shot.frames,
        )

    def _keep_start(self, shot: int) -> None:
        """Hand the film as it stood before this shot to whoever watches."""
        from .story.checkpoint import pack, save_frame

        with self._changed:
            start, callback, self._shot_start = self._shot_start, self._on_shot_start, None
        if start is not None and callback is not None:
            state, untaken = start
            frames = [save_frame(frame) for frame in untaken]
            callback(shot, pack(replace(state, frames=frames, engine=self._engine.snapshot())))

    # --- prepared shots ------------------------------------------------------------------------------------------

    def _prepare(self, waiting: Waiting) -> None:
        began = time.perf_counter()
        with self._changed:
            plan = self._plan(self._director.shot + 1, waiting.shot)
        made: Prepared | None = None
        refused: ScriptError | None = None
        try:
            made = self._engine.prepare(plan, abort=self._must_abort)
        except ScriptError as error:
            refused = error
        except Aborted:
            pass
        with self._changed:
            self._making = None
            if waiting in self._shelf:
                if refused is not None:
                    self._error = refused if self._shelf.wanted is waiting else self._error
                    for command in self._shelf.remove([waiting]):
                        self._open.move(command, "failed", error=refused)
                elif made is not None:
                    waiting.made, waiting.block_ms = made, (time.perf_counter() - began) * 1e3
                    self._open.move(waiting.command, "generated", note=_note_on_words(made.block))
                    if self._shelf.wanted is waiting:
                        self._put_on_air(waiting, made)
            self._changed.notify_all()
        self._tell()

    def _put_on_air(self, waiting: Waiting, made: Prepared) -> None:
        """The film goes on with a prepared shot, after the last frame that was taken."""
        untaken = self._queue.untaken()
        first = untaken[0] if untaken else None
        number, seen = self._director.shot + 1, None
        if first is not None:
            number, seen = (first.shot + 1, first.frame_in_shot) if first.frame_in_shot else (first.shot, None)
        keep = min(len(made.block.images), waiting.shot.frames or len(made.block.images))
        take = self._shelf.take
        self._shelf.unwant()
        self._shelf.remove([waiting])
        gone = self._director.take(waiting.shot, number, keep)
        gone += [command for frame in untaken for command in frame.receipts]
        back = self._director.waiting
        self._open.supersede((id for id in gone if id not in back), "a prepared shot was taken before it was seen")
        self._queue.drop(number, seen)
        self._pins = [pin for pin in self._pins if _is_seen(pin, number, seen)]
        self._adopting = Adoption(made=made, shot=number, seen=seen, pins=tuple(self._pins))
        commands = (waiting.command, take)
        frames = self._put(
            made.block,
            keep,
            Origin(
                shot=number,
                block=0,
                frame_in_shot=0,
                revision=0,
                seed=made.plan.seed,
                prompt=waiting.shot.prompt,
                commands=commands,
                block_ms=waiting.block_ms,
            ),
        )
        for command in commands:
            self._open.move(command, "generated", frame=frames[0].index)
        if self._on_shot_start is not None:
            self._shot_start = self._state(keep), frames
        self._changed.notify_all()

    def _adopt(self, adoption: Adoption) -> None:
        self._engine.adopt(adoption.made, shot=adoption.shot, frames=adoption.seen, pins=adoption.pins)
        self._keep_start(adoption.shot)

    def _must_abort(self) -> bool:
        # A lone attribute read: asked between denoising steps, it must not wait for the lock.
        return self._abort or self._closing

    def _accept(self, step: Step, block: Block, block_ms: float) -> None:
        start, keep = self._director.commit(len(block.images))
        frames = self._put(
            block,
            keep,
            Origin(
                shot=step.shot,
                block=step.block,
                frame_in_shot=start,
                revision=step.revision,
                seed=self.seed if step.seed is None else step.seed,
                prompt=step.caption,
                commands=step.commands,
                block_ms=block_ms,
            ),
        )
        note = _note_on_words(block)
        if note:
            self._stats.remember(f"shot {step.shot}: {note}")
        for command in step.commands:
            self._open.move(command, "generated", frame=frames[0].index, note=note)
        self._stats.blocks.append(
            BlockTimes(
                shot=step.shot,
                block=step.block,
                num_frames=keep,
                block_ms=block_ms,
                denoise_ms=block.denoise_ms,
                decode_ms=block.decode_ms,
                context_ms=block.context_ms,
            )
        )
        self._changed.notify_all()

    def _put(self, block: Block, keep: int, origin: Origin) -> list[Frame]:
        self._stats.blocks_made += 1
        self._stats.frames_made += keep
        return self._queue.put(block, keep, origin)

    def _do(self, job: Callable[[], object], future: Future[object]) -> None:
        try:
            result = job()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        with self._changed:
            self._changed.notify_all()
        self._tell()

    def _stop_with(self, error: Exception) -> None:
        with self._changed:
            self._fatal = error
            for command in self._open.ids():
                self._open.move(command, "failed", error=error)
            self._changed.notify_all()

    # --- the end -------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Give up the block in work, stop the thread, free the engine. Safe to call twice, and from any thread."""
        atexit.unregister(self.close)
        with self._changed:
            if not self._closing:
                self._closing = True
                self._open.supersede(self._open.ids(), "the film was closed")
                self._changed.notify_all()
        if threading.current_thread() is self._thread:
            return
        self._thread.join(JOIN_TIMEOUT_S)
        if self._thread.is_alive():
            log.warning("the engine did not stop within %.0f s; its thread is left behind", JOIN_TIMEOUT_S)

    # --- helpers, under the lock ---------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closing:
            raise ClosedError("the film is closed; open a new one with shotstream.open()")

    def _receipt(self, kind: str, *, when: str = "") -> Receipt:
        self._check_open()
        if self._fatal is not None:
            raise self._fatal
        self._changed.notify_all()
        return self._open.add(kind, when=when)

    def _settle_holds(self) -> None:
        for command in self._holds:
            last = self._queue.next_index - 1 if self._queue.next_index else None
            self._open.move(command, "started")
            self._open.move(command, "generated")
            self._open.move(command, "delivered", frame=last)
        self._holds.clear()

    def _drop_holds(self) -> None:
        self._open.supersede(self._holds, "a newer command lifted the hold before it began")
        self._holds.clear()

    def _tell(self) -> None:
        for callback in tuple(self._listeners):
            callback()


def _is_seen(pin: Pin, number: int, seen: int | None) -> bool:
    """The pinned frame is of a shot before ``number``, of which the last has ``seen`` frames."""
    if pin.shot == number - 1 and seen is not None:
        return (pin.frame or 0) < seen
    return pin.shot < number


def _note_on_words(block: Block) -> str:
    notes = []
    if block.unknown_words:
        notes.append(f"words the bundle does not know: {', '.join(block.unknown_words)}")
    if block.caption_truncated:
        notes.append(f"the caption is longer than the text encoder takes ({block.caption_tokens} tokens were used)")
    return "; ".join(notes)
