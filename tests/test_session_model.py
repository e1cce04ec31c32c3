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
        self.shelf = []
        self.opened = []

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
        frame = self.ready.pop(0)
        self.opened = [(number, waiting) for number, waiting in self.opened if number > frame[0]]
        return (self.index - 1, *frame)

    def make_block(self):
        if self.held:
            return
        new = self.urgent or (self.queue[0] if self.queue and (self.shot is None or self.over()) else None)
        if new is not None:
            number = self.shot["number"] + 1 if self.shot else 0
            if new is self.urgent:
                self.urgent = None
            else:
                self.opened.append((number, {**self.queue.pop(0), "edit": None}))
            self.shot = {**new, "number": number, "shown_as": number, "made": 0, "block": 0, "revision": 0}
        elif self.shot is None or self.over():
            return
        shot = self.shot
        if shot["edit"]:
            shot["prompt"], shot["edit"] = shot["edit"], None
            shot["revision"] += 1
        self.make_frames(1 if shot["block"] == 0 else 4)

    def make_frames(self, count):
        shot = self.shot
        for _ in range(count):
            if not shot["frames"] or shot["made"] < shot["frames"]:
                words = (shot["prompt"], shot["revision"], shot["shown_as"])
                self.ready.append((shot["number"], shot["block"], shot["made"], *words))
                shot["made"] += 1
        shot["block"] += 1

    def prepare(self, prompt, frames):
        number = self.shot["number"] + 1 if self.shot else 0
        self.shelf = [*self.shelf, {"prompt": prompt, "frames": frames, "edit": None, "shown_as": number}][-3:]

    def take_prepared(self, place):
        shot = self.shelf.pop(place)
        if self.ready:
            number = self.ready[0][0] + (self.ready[0][2] > 0)
        else:
            number = self.shot["number"] + 1 if self.shot else 0
        self.queue = [waiting for unseen, waiting in self.opened if unseen >= number] + self.queue
        self.urgent, self.ready, self.held, self.opened = None, [], False, []
        self.shot = {**shot, "number": number, "made": 0, "block": 0, "revision": 0}
        self.make_frames(1)


class FilmAgainstModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.film = ss.open(engine=FakeEngine(SPEC), ahead=0)
        self.model = Naive()
        self.receipts = []
        self.prepared = []
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

    @rule(prompt=NAMES, frames=LENGTHS)
    def prepare(self, prompt, frames):
        receipt = self.film.prepare(prompt, frames)
        assert receipt.wait("generated", timeout=30)  # else a later rule could come before it is made
        self.receipts.append(receipt)
        self.prepared = [*self.prepared, receipt][-3:]
        self.model.prepare(prompt, frames)

    @rule(place=st.integers(0, 2))
    def take_prepared(self, place):
        if place < len(self.prepared):
            self.receipts.append(self.film.take(self.prepared.pop(place)))
            self.model.take_prepared(place)

    @rule(place=st.sampled_from([None, 0, 1]))
    def cancel(self, place):
        if place is None:
            self.film.cancel()
            self.prepared, self.model.shelf = [], []
        elif place < len(self.prepared):
            self.film.cancel(self.prepared.pop(place))
            self.model.shelf.pop(place)

    @rule()
    def snapshot(self):
        self.saved = (self.film.snapshot(), copy.deepcopy(self.model))

    @rule()
    def restore(self):
        if self.saved is not None:
            self.film.restore(self.saved[0])
            self.model = copy.deepcopy(self.saved[1])
            # Neither prepared shots nor the way back into the queue are in a snapshot.
            self.prepared, self.model.shelf, self.model.opened = [], [], []

    @rule(count=st.sampled_from([1, 2, 5, 30, 100]))
    def take(self, count):
        waiting = self.model.urgent or self.model.queue
        if self.model.shot is None and (self.model.held or not waiting):
            return  # nothing to show before the first shot: an error, tested elsewhere
        frames = list(self.film.frames(count=count))
        expected = []
        while len(expected) < count and (frame := self.model.next()) is not None:
            expected.append(frame)
        shown = [read_chart(frame.image) for frame in frames]
        assert [
            (f.index, f.shot, f.block, f.frame_in_shot, f.prompt, f.revision, chart["shot"])
            for f, chart in zip(frames, shown, strict=True)
        ] == expected
        for frame, chart in zip(frames, shown, strict=True):
            assert (chart["block"], chart["frame"]) == (frame.block, frame.frame_in_shot)
            assert frame.is_cut == (frame.frame_in_shot == 0)

    @invariant()
    def receipts_are_consistent(self):
        for receipt in self.receipts:
            assert receipt.state != "failed"
            assert (receipt.state in ("generated", "delivered")) <= (
                receipt.frame is not None or receipt.kind in ("hold", "prepare")
            )

    def teardown(self):
        self.film.close()


TestFilmAgainstModel = FilmAgainstModel.TestCase
TestFilmAgainstModel.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)
