"""``Film``: the class users meet. Prompts go in, frames come out; everything else is the session's business."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .engine.protocol import Engine, Pin
from .errors import ConfigError, DeviceError, ScriptError
from .frames import Frame, VideoSpec
from .receipts import Receipt
from .session import Session
from .stats import SessionStats
from .story.limits import MAX_SHOT_FRAMES, check_frames, check_seed, clean_prompt
from .story.shot import Cut, Shot, Story, When

if TYPE_CHECKING:
    from os import PathLike

DEFAULT_BUNDLE = "storyworld-tiny"
TEST_CHART = "test-chart"
"""Name of a bundle without weights: numbered charts, for trying an integration before any model is there."""


def open(
    bundle: str | PathLike[str] = DEFAULT_BUNDLE,
    *,
    seed: int = 0,
    device: str = "auto",
    engine: Engine | None = None,
    global_caption: str = "",
    ahead: int = 1,
) -> Film:
    """Open a film: load a bundle and stand ready for the first cut.

    Args:
        bundle: name of an embedded or fetched bundle, a folder (a bundle, or what "shotstream export" wrote), or
            "test-chart".
        seed: of the noise. The same seed and the same commands at the same blocks give the same frames.
        device: "auto", "cpu" or "cuda[:n]".
        engine: a ready engine instead of one made from ``bundle`` and ``device``; the film closes it.
        global_caption: what all shots share: characters, setting, style. ``Film.world`` changes it.
        ahead: blocks that may be made before somebody asks for them. 1 keeps the engine busy while the caller shows
            frames. 0 makes a block only on demand: slower, and then a command takes effect at the same frame on every
            run.

    Raises:
        WeightsError: the bundle is missing or damaged.
        DeviceError: the device is not available.
        ScriptError, ConfigError: another argument cannot work.
    """
    check_seed(seed)
    caption = clean_prompt(global_caption, "global_caption", empty_ok=True)
    if not _is_whole(ahead) or not 0 <= ahead <= 64:
        raise ConfigError(f"ahead={ahead!r} is not a whole number in 0..64; use 1, or 0 for frames on demand")
    if engine is None:
        engine = _make_engine(str(bundle), device)
    return Film(Session(engine, seed=seed, world=caption, ahead=ahead))


def _make_engine(bundle: str, device: str) -> Engine:
    if bundle == TEST_CHART:
        from .testing import FakeEngine

        if device not in ("auto", "cpu"):
            raise DeviceError(f"device={device!r} cannot draw the test chart; use 'cpu' or 'auto'")
        return FakeEngine()
    from .bundle import is_export, load_bundle

    try:
        if is_export(bundle):
            from .engine.exported import open_exported

            return open_exported(Path(bundle), device=device)
        loaded = load_bundle(bundle)
        from .engine.loader import open_engine

        return open_engine(loaded, device=device)
    except ModuleNotFoundError as error:
        raise DeviceError(
            f"bundle {bundle!r} needs the package {error.name!r}, which is not installed; "
            f"run 'pip install {error.name}', or use bundle {TEST_CHART!r}"
        ) from error


class Film:
    """A running film. Made by ``shotstream.open``; use it in a ``with`` statement or call ``close``.

    All methods may be called from any thread. Commands return at once with a ``Receipt``; frames are made by a thread
    of the film's own, at most ``ahead`` blocks before they are taken.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    # --- what the film is ----------------------------------------------------------------------------------------

    @property
    def spec(self) -> VideoSpec:
        return self._session.spec

    @property
    def bundle(self) -> str:
        """Name of the bundle."""
        return self._session.bundle

    @property
    def device(self) -> str:
        return self._session.device

    @property
    def dtype(self) -> str:
        return self._session.dtype

    @property
    def seed(self) -> int:
        return self._session.seed

    @property
    def shot(self) -> int:
        """Number of the newest shot, or -1 before the first block."""
        return self._session.shot

    @property
    def held(self) -> bool:
        """A hold is in force, or comes into force at the next block boundary."""
        return self._session.held

    @property
    def pins(self) -> tuple[Pin, ...]:
        return self._session.pins

    @property
    def global_caption(self) -> str:
        return self._session.world

    # --- commands ------------------------------------------------------------------------------------------------

    def cut(self, prompt: str, when: When = "block", frames: int | None = None, *, seed: int | None = None) -> Receipt:
        """Open a new shot.

        Args:
            prompt: what it shows; 1..4000 characters.
            when: "block": when the block in work is done; that block is still delivered.
                "now": the block in work is given up between two denoising steps; blocks already made are delivered.
                "shot_end": when the shot before it has its planned frames; an open-ended one ends after 81 or more.
                Several of these wait in order. "block" and "now" go before them, and replace each other while they
                wait.
            frames: exact length, 1..100000; None goes on until the next cut.
            seed: noise seed of this shot; None takes the film's.

        Raises:
            ScriptError: an argument cannot be accepted. Nothing has changed then.
        """
        return self._session.cut(Cut(shot=Shot(prompt=prompt, frames=frames, seed=seed), when=when))

    def play(self, story: Story) -> list[Receipt]:
        """Queue all shots of a story, each at the end of the one before, under the story's global caption if any."""
        worlds = [story.global_caption or None] + [None] * (len(story.shots) - 1)
        cuts = [Cut(shot=shot, when="shot_end", world=world) for shot, world in zip(story.shots, worlds, strict=True)]
        return [self._session.cut(cut) for cut in cuts]

    def prompt(self, text: str) -> Receipt:
        """Change the words of the shot on screen (or of the cut that is about to open) without a cut.

        From the next block on the shot shows ``text``. What it has built up stays, so the picture moves on smoothly. If
        the shot ends before that block, the receipt says superseded.

        Raises:
            ScriptError: the text cannot be accepted, or there has been no cut yet.
        """
        return self._session.edit(clean_prompt(text))

    def hold(self) -> Receipt:
        """Stop making frames once the block in work is done, until the next ``cut``, ``prompt`` or ``resume``.

        ``frames()`` delivers what is made and then stops (or waits, with ``wait=True``); the last frame is the one to
        keep showing. The shot is not over: it goes on where it stopped, with nothing to make up for.
        """
        return self._session.hold()

    def resume(self) -> None:
        """Lift a hold."""
        self._session.resume()

    def clear(self) -> None:
        """Drop every cut that has not begun; the shot on screen goes on."""
        self._session.clear()

    def world(self, text: str) -> None:
        """Set the global caption of the shots opened from now on; "" removes it."""
        self._session.set_world(clean_prompt(text, "global caption", empty_ok=True))

    def pin(self, shot: int | None = None, frame: int | None = None) -> Pin:
        """Keep a shot, or one frame of it, in the memory of the shots opened from now on.

        Args:
            shot: its number; None is the newest one.
            frame: frame within the shot that was made; None is its first.

        Raises:
            ScriptError: no such shot yet, or more pins than the context has room for.
        """
        newest = self._session.shot
        number = newest if shot is None else shot
        if not _is_whole(number) or not 0 <= number <= newest:
            there = f"shots 0..{newest}" if newest >= 0 else "no shot yet"
            raise ScriptError(
                f"shot={number!r} cannot be pinned; the film has {there}; pin a shot that has been on screen"
            )
        if frame is not None and (not _is_whole(frame) or not 0 <= frame < MAX_SHOT_FRAMES):
            raise ScriptError(f"frame={frame!r} cannot be pinned; use a frame number within the shot, from 0")
        pin = Pin(shot=number, frame=frame)
        self._session.pin(pin)
        return pin

    def unpin(self, shot: int | None = None, frame: int | None = None) -> None:
        """Forget a pin; without arguments, all of them. Raises ScriptError when it is not pinned."""
        self._session.unpin(None if shot is None else Pin(shot=shot, frame=frame))

    # --- shots made ahead ----------------------------------------------------------------------------------------

    def prepare(self, prompt: str, frames: int | None = None, *, seed: int | None = None) -> Receipt:
        """Make the first block of a shot off air, so that ``take`` can put it on air with the next frame.

        It is made when the engine has time: while frames wait that last longer than the work, while the film is held
        or has ended, or when nobody has taken a frame for a second; at the latest when it is taken. The shot remembers
        what the film had shown when it was made, whatever is shown until it is taken. At most three are kept; a fourth
        supersedes the oldest. A snapshot does not hold them.

        Args:
            prompt, frames, seed: as in ``cut``.

        Returns:
            "generated" once the shot is ready, "delivered" with its first frame.

        Raises:
            ScriptError: an argument cannot be accepted.
        """
        return self._session.prepare(Shot(prompt=prompt, frames=frames, seed=seed))

    def take(self, prepared: Receipt | int) -> Receipt:
        """Put a prepared shot on air with the next frame, in place of all that was made and not yet taken.

        Shots of which no frame was taken go back into the queue if they waited for a shot's end, else they are
        superseded. If the shot is not ready, the block in work is given up for it, and it comes as soon as it is.

        Args:
            prepared: what ``prepare`` returned, or its number.

        Raises:
            ScriptError: it was taken, cancelled or superseded.
        """
        return self._session.take(prepared if isinstance(prepared, int) else prepared.id)

    def cancel(self, prepared: Receipt | int | None = None) -> None:
        """Throw a prepared shot away; None for all. Raises ScriptError when it is not kept any more."""
        self._session.cancel(prepared.id if isinstance(prepared, Receipt) else prepared)

    # --- frames --------------------------------------------------------------------------------------------------

    def frames(self, *, seconds: float | None = None, count: int | None = None, wait: bool = False) -> Iterator[Frame]:
        """The next frames, as fast as they are made.

        Stops after ``count`` frames or ``seconds`` of film, and before that when the film has ended (its last shot
        has its planned frames and nothing is queued) or is held. A later call goes on with the frame after the last
        one taken.

        Args:
            seconds: film time, not wall time; rounded to whole frames.
            count: 1..100000.
            wait: wait for the next command instead of stopping at the end.

        Raises:
            ScriptError: there was no cut yet, both limits are given, or the engine refused a cut.
            ClosedError: the film is closed.
        """
        # Checked here and not in the generator, so that the mistake shows where the call stands.
        return self._frames(self._limit(seconds, count), wait)

    def _frames(self, limit: int | None, wait: bool) -> Iterator[Frame]:
        taken = 0
        while limit is None or taken < limit:
            frame = self._session.next_frame(wait_for_commands=wait)
            if frame is None:
                return
            taken += 1
            yield frame

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def aframes(
        self, *, seconds: float | None = None, count: int | None = None, wait: bool = False
    ) -> AsyncIterator[Frame]:
        """``frames`` for an event loop: waiting never blocks the loop, and a cancelled wait loses no frame."""
        return self._aframes(self._limit(seconds, count), wait)

    async def _aframes(self, limit: int | None, wait: bool) -> AsyncIterator[Frame]:
        import asyncio  # slow to import, and only event loops come here

        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be gone by now
                loop.call_soon_threadsafe(changed.set)

        taken = 0
        while limit is None or taken < limit:
            stop_listening = self._session.listen(wake)
            try:
                while True:
                    changed.clear()
                    frame, done = self._session.poll_frame(wait_for_commands=wait)
                    if done:
                        break
                    await changed.wait()
            finally:
                stop_listening()
            if frame is None:
                return
            taken += 1
            yield frame

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self.aframes()

    def _limit(self, seconds: float | None, count: int | None) -> int | None:
        if seconds is not None and count is not None:
            raise ScriptError(f"seconds={seconds} and count={count} are both given; give one of them")
        if count is not None:
            return check_frames(count, "count")
        if seconds is None:
            return None
        longest = MAX_SHOT_FRAMES / self.spec.fps
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= longest:
            raise ScriptError(f"seconds={seconds!r} is outside 0..{longest:g}; use a few seconds")
        return max(1, round(seconds * self.spec.fps))

    # --- story state ---------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The film as it stands, after the block in work: a few megabytes of latents and plan, no weights, no KV cache.

        The frames made and not yet taken are included, so a restored film goes on with exactly the frame that comes
        next.
        """
        return self._session.snapshot()

    def restore(self, state: bytes, *, seed: int | None = None) -> dict[int, Receipt]:
        """Go on from a snapshot of a film with the same bundle, in this or another process.

        Frames not yet taken, commands not yet begun and prepared shots are dropped; frame numbers go on from those of
        the snapshot.

        Args:
            state: what ``snapshot`` returned.
            seed: None makes the same frames again. A seed branches off: the same memory, other noise in all that was
                not made yet. Shots in the queue keep seeds of their own.

        Returns:
            New receipts of the commands that waited in the snapshot, by the ``Receipt.id`` each had then.

        Raises:
            ScriptError: no snapshot, damaged, or of another bundle. The film is as it was then.
        """
        return self._session.restore(state, seed=None if seed is None else check_seed(seed))

    def check_snapshot(self, state: bytes) -> None:
        """Look whether this film could go on from a snapshot. What the engine thinks of its part, a restore tells.

        Raises:
            ScriptError: no snapshot, damaged, or of another bundle.
        """
        self._session.check_snapshot(state)

    def watch_shots(self, callback: Callable[[int, bytes], None] | None) -> None:
        """Have ``callback(shot, state)`` called before each shot opens, with a snapshot that begins with its first
        frame; None ends that. It runs in the film's thread and delays the shot by as long as it takes."""
        self._session.watch_shots(callback)

    def stats(self) -> SessionStats:
        """Counts and times since the film was opened."""
        return self._session.stats()

    # --- the end -------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        return self._session.closed

    def close(self) -> None:
        """Stop the engine and free its memory. Frames already handed out stay valid."""
        self._session.close()

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"shot {self.shot}"
        size = f"{self.spec.width_px}x{self.spec.height_px}"
        return f"<Film {self.bundle} {size} on {self.device}, seed {self.seed}, {state}>"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
