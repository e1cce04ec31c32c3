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
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from .engine.protocol import Block, Engine, Pin, ShotPlan
from .errors import Aborted, ClosedError, ScriptError
from .frames import Frame, Image
from .receipts import Receipt, State
from .story.director import Director, Step
from .story.shot import Cut

if TYPE_CHECKING:
    from .story.checkpoint import FilmState, SavedFrame

log = logging.getLogger("shotstream.session")

JOIN_TIMEOUT_S = 60.0
_KEPT_TIMES = 4096
_KEPT_NOTES = 1000


@dataclass(frozen=True, kw_only=True)
class BlockTimes:
    """What one block cost, in milliseconds; ``block_ms`` is the wall time of the whole call."""

    shot: int
    block: int
    num_frames: int
    block_ms: float
    denoise_ms: float
    decode_ms: float
    context_ms: float


@dataclass(kw_only=True)
class SessionStats:
    """Counters since the start; the lists of times keep the latest few thousand entries.

    ``notes`` says once per shot which of its words were lost: not known to the bundle, or beyond what it takes.
    """

    blocks_made: int = 0
    blocks_aborted: int = 0
    frames_made: int = 0
    frames_delivered: int = 0
    first_command_at: float | None = None
    first_frame_at: float | None = None
    last_frame_at: float | None = None
    notes: list[str] = field(default_factory=list)
    blocks: deque[BlockTimes] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))
    cut_to_frame_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_KEPT_TIMES))

    @property
    def first_frame_ms(self) -> float | None:
        """From the first cut to the delivery of the first frame."""
        if self.first_command_at is None or self.first_frame_at is None:
            return None
        return (self.first_frame_at - self.first_command_at) * 1e3

    def copy(self) -> SessionStats:
        return replace(
            self, notes=self.notes.copy(), blocks=self.blocks.copy(), cut_to_frame_ms=self.cut_to_frame_ms.copy()
        )


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
        self._blocks: deque[deque[Frame]] = deque()
        self._taking: deque[Frame] = deque()
        self._next_index = 0
        self._demand = 0
        self._abort = False
        self._closing = False
        self._error: Exception | None = None
        self._fatal: Exception | None = None
        self._jobs: deque[tuple[Callable[[], object], Future[object]]] = deque()
        self._receipts: dict[int, Receipt] = {}
        self._holds: list[int] = []
        self._num_commands = 0
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
            self._supersede(self._director.cut(cut, receipt.id), "a newer cut came before it began")
            self._drop_holds()
            if cut.when == "now":
                self._abort = True
            return receipt

    def edit(self, prompt: str) -> Receipt:
        """Queue an in-shot change of words. Raises ScriptError before the first cut."""
        with self._changed:
            self._check_open()
            receipt = self._receipt("prompt")
            try:
                gone = self._director.edit(prompt, receipt.id)
            except ScriptError:
                del self._receipts[receipt.id]
                raise
            late = [receipt.id] if receipt.id in gone else []
            self._supersede(late, "its shot had ended before it could take effect")
            self._supersede(gone, "a newer change of words came before it began")
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
            self._supersede(self._director.clear(), "the queue was cleared")
            self._changed.notify_all()

    def set_world(self, world: str) -> None:
        with self._changed:
            self._check_open()
            self._world = world

    def pin(self, pin: Pin) -> None:
        """Keep a memory for the shots opened from now on. Raises ScriptError beyond ``context_lat - 1`` pins."""
        with self._changed:
            self._check_open()
            if pin in self._pins:
                return
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
            return tuple(self._receipts.values())

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
        if not self._taking and self._blocks:
            self._taking = self._blocks.popleft()
            self._changed.notify_all()
        if self._taking:
            frame = self._taking.popleft()
            self._delivered(frame)
            return frame, True
        if self._fatal is not None:
            raise self._fatal
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        self._check_open()
        if not self._director.idle or self._jobs or wait_for_commands:
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
        for command in frame.receipts:
            receipt = self._receipts.pop(command, None)
            if receipt is not None:
                receipt.move("delivered", frame=frame.index)
                if receipt.kind == "cut" and receipt.latency_ms is not None:
                    self._stats.cut_to_frame_ms.append(receipt.latency_ms)

    # --- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The film at the next block boundary, undelivered frames included."""
        result = self._at_boundary(self._snapshot, abort=False)
        assert isinstance(result, bytes)
        return result

    def restore(self, data: bytes) -> None:
        """Go back to a snapshot: frames not yet taken and commands not yet begun are dropped."""
        from .story.checkpoint import unpack

        state = unpack(data)
        mine = (self.bundle, self.spec.width_px, self.spec.height_px)
        theirs = (state.bundle, state.width_px, state.height_px)
        if mine != theirs:
            raise ScriptError(
                f"the snapshot is of bundle {theirs[0]!r} at {theirs[1]}x{theirs[2]}, this film has {mine[0]!r} at "
                f"{mine[1]}x{mine[2]}; open the film with the same bundle"
            )
        self._at_boundary(lambda: self._restore(state), abort=True)

    def _at_boundary(self, job: Callable[[], object], *, abort: bool) -> object:
        """Run ``job`` in the engine thread between two blocks and hand back its result."""
        future: Future[object] = Future()
        with self._changed:
            self._check_open()
            if self._fatal is not None:
                raise self._fatal
            self._jobs.append((job, future))
            self._abort = self._abort or abort
            self._changed.notify_all()
        return future.result()

    def _snapshot(self) -> bytes:
        import numpy as np

        from .story.checkpoint import FilmState, SavedFrame, pack, pack_pixels

        with self._changed:
            untaken = [*self._taking, *(frame for block in self._blocks for frame in block)]
            state = FilmState(
                bundle=self.bundle,
                width_px=self.spec.width_px,
                height_px=self.spec.height_px,
                seed=self.seed,
                world=self._world,
                next_index=self._next_index - len(untaken),
                pins=[(pin.shot, pin.frame) for pin in self._pins],
                plan=self._director.plan(),
            )
        frames = [
            SavedFrame(
                shot=frame.shot,
                block=frame.block,
                frame_in_shot=frame.frame_in_shot,
                revision=frame.revision,
                seed=frame.seed,
                prompt=frame.prompt,
                pixels=pack_pixels(np.ascontiguousarray(frame.image).tobytes()),
            )
            for frame in untaken
        ]
        return pack(replace(state, frames=frames, engine=self._engine.snapshot()))

    def _restore(self, state: FilmState) -> None:
        import numpy as np

        from .story.checkpoint import unpack_pixels

        height, width = self.spec.height_px, self.spec.width_px
        images = [
            np.frombuffer(unpack_pixels(saved.pixels, self.spec.frame_bytes), np.uint8).reshape(height, width, 3).copy()
            for saved in state.frames
        ]
        self._engine.restore(state.engine)
        with self._changed:
            self._supersede(self._director.adopt(state.plan), "the film was restored to a snapshot")
            self._supersede(list(self._receipts), "the film was restored to a snapshot")
            self._holds.clear()
            self.seed, self._world = state.seed, state.world
            self._pins = [Pin(shot=shot, frame=frame) for shot, frame in state.pins]
            self._next_index = state.next_index
            self._blocks.clear()
            self._taking.clear()
            self._error = None
            for saved, image in zip(state.frames, images, strict=True):
                self._taking.append(self._frame(saved, image))

    def _frame(self, saved: SavedFrame, image: Image) -> Frame:
        index = self._next_index
        self._next_index += 1
        return Frame(
            image=image,
            index=index,
            shot=saved.shot,
            block=saved.block,
            frame_in_shot=saved.frame_in_shot,
            time_s=index / self.spec.fps,
            revision=saved.revision,
            seed=saved.seed,
            prompt=saved.prompt,
            is_cut=saved.frame_in_shot == 0,
            generated_at=time.perf_counter(),
        )

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

    def _next_work(self) -> Step | tuple[Callable[[], object], Future[object]] | None:
        while True:
            if self._closing:
                return None
            if self._jobs:
                self._abort = False
                return self._jobs.popleft()
            if self._director.held:
                self._settle_holds()
            if self._has_room():
                step, gone = self._director.begin()
                self._supersede(gone, "its shot had ended before it could take effect")
                if step is not None:
                    self._abort = False
                    for command in step.commands:
                        self._move(command, "started")
                    return step
                self._tell()
            self._changed.wait()

    def _has_room(self) -> bool:
        if self._ahead == 0:
            return not self._blocks and not self._taking and self._demand > 0
        return len(self._blocks) < self._ahead

    def _make(self, step: Step) -> None:
        began = time.perf_counter()
        if step.opens is not None:
            with self._changed:
                if step.opens.world is not None:
                    self._world = step.opens.world
                plan = ShotPlan(
                    shot=step.shot,
                    caption=step.opens.shot.prompt,
                    global_caption=self._world,
                    seed=self.seed if step.seed is None else step.seed,
                    pins=tuple(self._pins),
                    num_frames=step.opens.shot.frames,
                )
            try:
                self._engine.open_shot(plan)
            except ScriptError as error:
                with self._changed:
                    self._director.refuse()
                    for command in step.commands:
                        self._move(command, "failed", error=error)
                    self._error = error
                    self._changed.notify_all()
                self._tell()
                return
        try:
            block = self._engine.next_block(caption=step.caption if step.edited else None, abort=self._must_abort)
        except Aborted:
            with self._changed:
                self._stats.blocks_aborted += 1
                self._supersede(self._director.abandon(), "its first block was given up before it was seen")
                self._changed.notify_all()
            return
        with self._changed:
            self._accept(step, block, (time.perf_counter() - began) * 1e3)
        self._tell()

    def _must_abort(self) -> bool:
        # A lone attribute read: asked between denoising steps, it must not wait for the lock.
        return self._abort or self._closing

    def _accept(self, step: Step, block: Block, block_ms: float) -> None:
        start, keep = self._director.commit(len(block.images))
        now = time.perf_counter()
        frames: deque[Frame] = deque()
        for offset, image in enumerate(block.images[:keep]):
            index = self._next_index
            self._next_index += 1
            frames.append(
                Frame(
                    image=image,
                    index=index,
                    shot=step.shot,
                    block=step.block,
                    frame_in_shot=start + offset,
                    time_s=index / self.spec.fps,
                    revision=step.revision,
                    seed=self.seed if step.seed is None else step.seed,
                    prompt=step.caption,
                    is_cut=start + offset == 0,
                    receipts=step.commands if offset == 0 else (),
                    generated_at=now,
                    block_ms=block_ms,
                )
            )
        note = _note_on_words(block)
        self._remember(f"shot {step.shot}: {note}" if note else "")
        for command in step.commands:
            self._move(command, "generated", frame=frames[0].index, note=note)
        self._stats.blocks_made += 1
        self._stats.frames_made += keep
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
        self._blocks.append(frames)
        self._changed.notify_all()

    def _remember(self, note: str) -> None:
        if note and note not in self._stats.notes and len(self._stats.notes) < _KEPT_NOTES:
            self._stats.notes.append(note)

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
            for command in list(self._receipts):
                self._move(command, "failed", error=error)
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
                self._supersede(list(self._receipts), "the film was closed")
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
        self._num_commands += 1
        receipt = Receipt(self._num_commands, kind, changed=self._changed, when=when)
        self._receipts[receipt.id] = receipt
        self._changed.notify_all()
        return receipt

    def _move(
        self, command: int, state: State, *, frame: int | None = None, error: Exception | None = None, note: str = ""
    ) -> None:
        receipt = self._receipts.get(command)
        if receipt is None:
            return
        receipt.move(state, frame=frame, error=error, note=note)
        if receipt.final:
            del self._receipts[command]

    def _supersede(self, commands: Iterable[int], why: str) -> None:
        for command in commands:
            self._move(command, "superseded", note=why)

    def _settle_holds(self) -> None:
        for command in self._holds:
            last = self._next_index - 1 if self._next_index else None
            self._move(command, "started")
            self._move(command, "generated")
            self._move(command, "delivered", frame=last)
        self._holds.clear()

    def _drop_holds(self) -> None:
        self._supersede(self._holds, "a newer command lifted the hold before it began")
        self._holds.clear()

    def _tell(self) -> None:
        for callback in tuple(self._listeners):
            callback()


def _note_on_words(block: Block) -> str:
    notes = []
    if block.unknown_words:
        notes.append(f"words the bundle does not know: {', '.join(block.unknown_words)}")
    if block.caption_truncated:
        notes.append(f"the caption is longer than the text encoder takes ({block.caption_tokens} tokens were used)")
    return "; ".join(notes)
