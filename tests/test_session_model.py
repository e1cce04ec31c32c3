"""Random sequences of commands, against a naive model that keeps a film as a flat list of frames.

With ``ahead=0`` a block is made only while a frame is asked for, so the model knows which frame each command affects.
"""

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import shotstream as ss
from shotstream.testing import FakeEngine, read_chart

SPEC = ss.VideoSpec(width_px=32, height_px=32, block_lat=1)
LONG = 81
NAMES = st.sampled_from(["fox", "owl", "cat", "bear"])
LENGTHS = st.sampled_from([None, 1, 3, 5, 8])


class Naive:
    """One film, one dict per shot, no cleverness."""

    def __init__(self):
        self.shot = None
        self.urgent = None
        self.queue = []
        self.held = False
        self.ready = []
        self.index = 0

    def cut(self, prompt, frames, when):
        self.held = False
        shot = {"prompt": prompt, "frames": frames, "edit": None}
        if when == "shot_end":
            self.queue.append(shot)
        else:
            self.urgent = shot

    def edit(self, prompt):
        self.held = False
        target = self.urgent or self.shot or self.queue[0]
        if target is self.shot and self.over():
            return
        target["edit"] = prompt

    def over(self):
        made, frames = self.shot["made"], self.shot["frames"]
        return made >= frames if frames else bool(self.queue) and made >= LONG

    def next(self):
        if not self.ready:
            self.make_block()
        if not self.ready:
            return None
        self.index += 1
        return (self.index - 1, *self.ready.pop(0))

    def make_block(self):
        if self.held:
            return
        new = self.urgent or (self.queue[0] if self.queue and (self.shot is None or self.over()) else None)
        if new is not None:
            if new is self.urgent:
                self.urgent = None
            else:
                self.queue.pop(0)
            number = self.shot["number"] + 1 if self.shot else 0
            self.shot = {**new, "number": number, "made": 0, "block": 0, "revision": 0}
        elif self.shot is None or self.over():
            return
        shot = self.shot
        if shot["edit"]:
            shot["prompt"], shot["edit"] = shot["edit"], None
            shot["revision"] += 1
        for _ in range(1 if shot["block"] == 0 else 4):
            if not shot["frames"] or shot["made"] < shot["frames"]:
                self.ready.append((shot["number"], shot["block"], shot["made"], shot["prompt"], shot["revision"]))
                shot["made"] += 1
        shot["block"] += 1


class FilmAgainstModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.film = ss.open(engine=FakeEngine(SPEC), ahead=0)
        self.model = Naive()
        self.receipts = []
        self.saved = None

    @rule(prompt=NAMES, frames=LENGTHS, when=st.sampled_from(["block", "shot_end", "now"]))
    def cut(self, prompt, frames, when):
        self.receipts.append(self.film.cut(prompt, when=when, frames=frames))
        self.model.cut(prompt, frames, when)

    @rule(prompt=NAMES)
    def prompt(self, prompt):
        if not (self.model.shot or self.model.urgent or self.model.queue):
            return
        self.receipts.append(self.film.prompt(prompt))
        self.model.edit(prompt)

    @rule()
    def hold(self):
        self.receipts.append(self.film.hold())
        self.model.held = True

    @rule()
    def resume(self):
        self.film.resume()
        self.model.held = False

    @rule()
    def clear(self):
        self.film.clear()
        self.model.urgent, self.model.queue = None, []

    @rule()
    def snapshot(self):
        self.saved = (self.film.snapshot(), copy.deepcopy(self.model))

    @rule()
    def restore(self):
        if self.saved is not None:
            self.film.restore(self.saved[0])
            self.model = copy.deepcopy(self.saved[1])

    @rule(count=st.sampled_from([1, 2, 5, 30, 100]))
    def take(self, count):
        waiting = self.model.urgent or self.model.queue
        if self.model.shot is None and (self.model.held or not waiting):
            return  # nothing to show before the first shot: an error, tested elsewhere
        frames = list(self.film.frames(count=count))
        expected = []
        while len(expected) < count and (frame := self.model.next()) is not None:
            expected.append(frame)
        assert [(f.index, f.shot, f.block, f.frame_in_shot, f.prompt, f.revision) for f in frames] == expected
        for frame in frames:
            shown = read_chart(frame.image)
            assert (shown["shot"], shown["block"], shown["frame"]) == (frame.shot, frame.block, frame.frame_in_shot)
            assert frame.is_cut == (frame.frame_in_shot == 0)

    @invariant()
    def receipts_are_consistent(self):
        for receipt in self.receipts:
            assert receipt.state != "failed"
            assert (receipt.state in ("generated", "delivered")) <= (
                receipt.frame is not None or receipt.kind == "hold"
            )

    def teardown(self):
        self.film.close()


TestFilmAgainstModel = FilmAgainstModel.TestCase
TestFilmAgainstModel.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)
