"""``FakeEngine``: numbered test charts instead of a model, with scripted timing. For tests of everything around the
engine.

Each chart shows three rows of large digits (shot, block, frame of the shot) on a colour that belongs to the caption,
so a test can read from pixels alone which frame it holds: see ``read_chart``. Also open to users as the bundle
"test-chart".
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engine.protocol import Block, Pin, Prepared, ShotPlan
from .errors import Aborted, ClosedError, ScriptError
from .frames import VideoSpec

ROWS = ("shot", "block", "frame")
NUM_DIGITS = 5
_SEGMENTS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")
_FONT_HEIGHT, _FONT_WIDTH = 7, 4
_INK = 235


def _glyph(digit: int) -> NDArray[np.bool_]:
    """Seven-segment digit, ``(7, 4)``."""
    glyph = np.zeros((_FONT_HEIGHT, _FONT_WIDTH), bool)
    columns, left, right = slice(None), slice(0, 1), slice(3, 4)
    top, bottom = slice(0, 4), slice(3, 7)
    areas = {"a": (slice(0, 1), columns), "d": (slice(6, 7), columns), "g": (slice(3, 4), columns)}
    areas |= {"f": (top, left), "b": (top, right), "e": (bottom, left), "c": (bottom, right)}
    for segment in _SEGMENTS[digit]:
        glyph[areas[segment]] = True
    return glyph


_GLYPHS = np.stack([_glyph(digit) for digit in range(10)])


def _cell_px(height_px: int, width_px: int) -> int:
    """Size of one font pixel, so that three rows of digits with margins fit."""
    return max(1, min(height_px // (3 * (_FONT_HEIGHT + 1) + 1), width_px // (NUM_DIGITS * (_FONT_WIDTH + 1) + 1)))


def _colour(caption: str, seed: int) -> tuple[int, int, int]:
    digest = hashlib.sha256(f"{seed}|{caption}".encode()).digest()
    return digest[0] % 96, digest[1] % 96, digest[2] % 96


@functools.lru_cache(maxsize=2)
def _blank(height_px: int, width_px: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture of one colour."""
    image = np.empty((height_px, width_px, 3), np.uint8)
    image[:] = colour
    return image


@functools.lru_cache(maxsize=64)
def _tile(digit: int, cell: int, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A digit on that colour, each font pixel ``cell`` pixels wide."""
    ink = np.kron(_GLYPHS[digit], np.ones((cell, cell), bool))
    return np.where(ink[..., None], np.uint8(_INK), np.array(colour, np.uint8))


def draw_chart(
    spec: VideoSpec, *, shot: int, block: int, frame: int, caption: str = "", seed: int = 0
) -> NDArray[np.uint8]:
    """One test chart, uint8 ``(height, width, 3)``. Numbers are shown modulo 100000.

    Quick enough (0.1 ms at 832x480) that it does not disturb what is measured with it.
    """
    colour = _colour(caption, seed)
    image = _blank(spec.height_px, spec.width_px, colour).copy()
    cell = _cell_px(spec.height_px, spec.width_px)
    for row, number in enumerate((shot, block, frame)):
        for column, char in enumerate(f"{number % 10**NUM_DIGITS:0{NUM_DIGITS}d}"):
            top, left = (1 + row * (_FONT_HEIGHT + 1)) * cell, (1 + column * (_FONT_WIDTH + 1)) * cell
            tile = _tile(int(char), cell, colour)
            image[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return image


def read_chart(image: NDArray[np.uint8]) -> dict[str, int]:
    """The numbers on a chart, also after lossy video: ``{"shot": 0, "block": 1, "frame": 12}``."""
    cell = _cell_px(*image.shape[:2])
    light = image.astype(np.float32).mean(axis=2)
    numbers = {}
    for row, name in enumerate(ROWS):
        text = ""
        for column in range(NUM_DIGITS):
            top, left = (1 + row * (_FONT_HEIGHT + 1)) * cell, (1 + column * (_FONT_WIDTH + 1)) * cell
            area = light[top : top + _FONT_HEIGHT * cell, left : left + _FONT_WIDTH * cell]
            cells = area.reshape(_FONT_HEIGHT, cell, _FONT_WIDTH, cell).mean(axis=(1, 3))
            distance = np.abs(_GLYPHS.astype(int) - (cells > 160)).sum(axis=(1, 2))
            text += str(int(distance.argmin()))
        numbers[name] = int(text)
    return numbers


def describe_chart() -> dict[str, Any]:
    """What ``shotstream info test-chart`` prints: plain values, as ``Bundle.describe`` has them."""
    engine = FakeEngine()
    spec = engine.spec
    return {
        "name": engine.name,
        "path": "drawn by shotstream.testing, no files",
        "size": f"{spec.width_px}x{spec.height_px}",
        "fps": spec.fps,
        "frames_per_block": spec.block_lat * spec.time_factor,
        "description": "numbered charts for trying an integration; no model",
    }


class FakeEngine:
    """An ``Engine`` that draws charts.

    Args:
        spec: sizes; 160x96 by default.
        step_ms, decode_ms: time spent in each of ``num_steps`` denoising steps, and per block after them.
        fail_at: error to raise for a (shot, block).
        sleep: how time is spent; ``time.sleep`` or a test's own clock.

    The picture depends on seed, shot, block, frame and caption only. ``calls`` lists what was asked of it.
    """

    def __init__(
        self,
        spec: VideoSpec | None = None,
        *,
        step_ms: float = 0.0,
        decode_ms: float = 0.0,
        num_steps: int = 4,
        fail_at: Mapping[tuple[int, int], Exception] | None = None,
        unknown_words: tuple[str, ...] = (),
        sleep: Callable[[float], None] = time.sleep,
        name: str = "test-chart",
    ) -> None:
        self.spec = spec or VideoSpec(width_px=160, height_px=96)
        self.name = name
        self.device = "cpu"
        self.dtype = "uint8"
        self.closed = False
        self.calls: list[str] = []
        self.plans: list[ShotPlan] = []
        self._step_s, self._decode_s, self._num_steps = step_ms / 1e3, decode_ms / 1e3, num_steps
        self._fail_at = dict(fail_at or {})
        self._unknown = frozenset(unknown_words)
        self._sleep = sleep
        self._plan: ShotPlan | None = None
        self._caption = ""
        self._block = 0
        self._lengths: list[int] = []
        self._thread: int | None = None

    def open_shot(self, plan: ShotPlan) -> None:
        self._check_plan(plan)
        self.calls.append(f"open {plan.shot}")
        self.plans.append(plan)
        # A shot that was opened and never got a block is replaced by the next one of the same number.
        self._lengths = self._lengths[: plan.shot]
        self._plan, self._caption, self._block = plan, plan.caption, 0

    def next_block(self, *, caption: str | None = None, abort: Callable[[], bool] | None = None) -> Block:
        self._check()
        if self._plan is None:
            raise ScriptError("there is no open shot; call open_shot first")
        shot, number = self._plan.shot, self._block
        block = self._make(self._plan, number, caption or self._caption, abort)
        if caption is not None:
            self._caption = caption
        self._block += 1
        self._lengths[shot:] = [self.spec.frames_from_latents(number * self.spec.block_lat) + len(block.images)]
        return block

    def prepare(self, plan: ShotPlan, *, abort: Callable[[], bool] | None = None) -> Prepared:
        self._check_plan(plan)
        block = self._make(plan, 0, plan.caption, abort, what="prepare")
        self.plans.append(plan)
        return Prepared(plan=plan, block=block)

    def adopt(self, prepared: Prepared, *, shot: int, frames: int | None, pins: tuple[Pin, ...] = ()) -> None:
        self._check()
        self.calls.append(f"adopt {shot}")
        self._lengths = self._lengths[:shot]
        if frames is not None:
            self._lengths[-1] = frames
        self._lengths.append(len(prepared.block.images))
        self._plan = replace(prepared.plan, shot=shot, made_as=prepared.plan.number)
        self._caption, self._block = prepared.plan.caption, 1

    def _make(
        self, plan: ShotPlan, block: int, caption: str, abort: Callable[[], bool] | None, *, what: str = "block"
    ) -> Block:
        if (plan.shot, block) in self._fail_at:
            raise self._fail_at[plan.shot, block]
        for _ in range(self._num_steps):
            self._sleep(self._step_s)
            if abort is not None and abort():
                self.calls.append(f"abort {plan.shot}/{block}")
                raise Aborted(f"block {block} of shot {plan.shot} was abandoned on request")
        self._sleep(self._decode_s)
        self.calls.append(f"{what} {plan.shot}/{block}")
        first = self.spec.frames_from_latents(block * self.spec.block_lat)
        images = tuple(
            draw_chart(self.spec, shot=plan.number, block=block, frame=first + n, caption=caption, seed=plan.seed)
            for n in range(self.spec.frames_of_block(block))
        )
        words = caption.split()
        return Block(
            images=images,
            shot=plan.shot,
            block=block,
            denoise_ms=self._step_s * self._num_steps * 1e3,
            decode_ms=self._decode_s * 1e3,
            caption_tokens=len(words),
            unknown_words=tuple(word for word in words if word in self._unknown),
        )

    def snapshot(self) -> bytes:
        self._check()
        state = {
            "plan": asdict(self._plan) if self._plan else None,
            "caption": self._caption,
            "block": self._block,
            "lengths": self._lengths,
        }
        return b"FAKE" + json.dumps(state).encode()

    def restore(self, state: bytes, *, seed: int | None = None) -> None:
        self._check()
        if state[:4] != b"FAKE":
            raise ScriptError(f"the engine state starts with {state[:4]!r}; expected a snapshot of the test chart")
        data = json.loads(state[4:])
        plan = data["plan"]
        if plan is not None:
            plan["pins"] = tuple(Pin(**pin) for pin in plan["pins"])
            plan["seed"] = plan["seed"] if seed is None else seed
        self._plan = ShotPlan(**plan) if plan else None
        self._caption, self._block, self._lengths = data["caption"], data["block"], data["lengths"]
        self.calls.append("restore")

    def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        if self.closed:
            raise ClosedError("the engine is closed; open a new one")
        # The protocol promises a single thread; a session that breaks that promise fails here at once.
        self._thread = self._thread or threading.get_ident()
        assert self._thread == threading.get_ident(), "the engine was called from a second thread"

    def _check_plan(self, plan: ShotPlan) -> None:
        self._check()
        if not plan.caption:
            raise ScriptError("the caption of the shot is empty; write what it shows")
        finished = self._lengths[: plan.shot]
        if len(finished) < plan.shot:
            raise ScriptError(f"shot={plan.shot} leaves a gap after {len(self._lengths)} shots; open them in order")
        for pin in plan.pins:
            self._check_pin(pin, finished)

    def _check_pin(self, pin: Pin, lengths: list[int]) -> None:
        if pin.shot >= len(lengths) or (pin.frame or 0) >= lengths[pin.shot]:
            raise ScriptError(
                f"pin of shot={pin.shot} frame={pin.frame} names no kept frame; shots so far have {lengths} frames"
            )
