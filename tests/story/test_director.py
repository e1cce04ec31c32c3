"""The director's rules, one by one; blocks of ten frames."""

import pytest

from shotstream.errors import ScriptError
from shotstream.story import Cut, PromptEdit, Shot
from shotstream.story.director import Director
from shotstream.story.limits import DEFAULT_SHOT_FRAMES


def cut(director, prompt, when="block", frames=None, command=0, edits=()):
    return director.cut(Cut(shot=Shot(prompt=prompt, frames=frames, edits=edits), when=when), command)


def make(director, num_frames=10):
    """Run one block; returns (shot, caption, frames kept), or None when idle."""
    step, _ = director.begin()
    if step is None:
        return None
    _, keep = director.commit(num_frames)
    return step.shot, step.caption, keep


def test_nothing_to_do_before_the_first_cut():
    assert make(Director()) is None


def test_cut_opens_shots_in_order():
    director = Director()
    for number, prompt in enumerate("abc"):
        cut(director, prompt)
        assert make(director) == (number, prompt, 10)
        assert make(director) == (number, prompt, 10)


def test_planned_shot_is_trimmed_to_its_length_and_ends_the_film():
    director = Director()
    cut(director, "a", frames=25)
    assert [make(director) for _ in range(4)] == [(0, "a", 10), (0, "a", 10), (0, "a", 5), None]


def test_shot_end_cuts_play_in_order():
    director = Director()
    for prompt in "abc":
        cut(director, prompt, "shot_end", frames=15)
    made = [make(director) for _ in range(7)]
    assert made == [(0, "a", 10), (0, "a", 5), (1, "b", 10), (1, "b", 5), (2, "c", 10), (2, "c", 5), None]


def test_shot_end_after_an_open_ended_shot_waits_for_the_usual_length():
    director = Director()
    cut(director, "a")
    cut(director, "b", "shot_end")
    shots = [made[0] for _ in range(10) if (made := make(director))]
    assert shots == [0] * -(-DEFAULT_SHOT_FRAMES // 10) + [1]


def test_block_cut_goes_before_the_queue_and_the_queue_stays():
    director = Director()
    cut(director, "a", "shot_end", frames=20)
    cut(director, "b", "shot_end", frames=10)
    make(director)
    cut(director, "boss", frames=10)
    assert [made[1] for _ in range(3) if (made := make(director))] == ["boss", "b"]


def test_newer_urgent_cut_supersedes_the_one_that_waits():
    director = Director()
    assert cut(director, "a", command=1) == []
    assert cut(director, "b", "now", command=2) == [1]
    assert make(director) == (0, "b", 10)


def test_urgent_cut_in_work_is_not_superseded():
    director = Director()
    cut(director, "a", command=1)
    director.begin()
    assert cut(director, "b", command=2) == []
    director.commit(10)
    assert make(director)[:2] == (1, "b")


def test_edit_changes_words_and_revision_without_a_new_shot():
    director = Director()
    cut(director, "a")
    make(director)
    director.edit("b", 5)
    step, _ = director.begin()
    assert (step.shot, step.opens, step.caption, step.edited, step.revision, step.commands) == (
        0,
        None,
        "b",
        True,
        1,
        (5,),
    )
    director.commit(10)
    step, _ = director.begin()
    assert (step.caption, step.edited, step.revision, step.commands) == ("b", False, 1, ())


def test_edit_during_a_block_waits_for_the_next():
    director = Director()
    cut(director, "a")
    director.begin()
    director.edit("b", 5)
    director.commit(10)
    assert make(director)[1] == "b"


def test_edit_before_any_cut_is_refused():
    with pytest.raises(ScriptError, match="before any shot"):
        Director().edit("b")


def test_newer_edit_supersedes_the_older():
    director = Director()
    cut(director, "a")
    make(director)
    assert director.edit("b", 5) == []
    assert director.edit("c", 6) == [5]


def test_edit_belongs_to_the_cut_that_waits():
    director = Director()
    cut(director, "a")
    make(director)
    cut(director, "b")
    director.edit("c", 7)
    assert make(director)[:2] == (1, "c")


def test_edit_dies_with_its_shot():
    director = Director()
    cut(director, "a")
    make(director)
    director.edit("b", 5)
    cut(director, "c")
    assert director.begin()[1] == [5]


def test_edit_after_the_last_block_of_a_planned_shot_is_superseded():
    director = Director()
    cut(director, "a", frames=10)
    director.begin()
    director.edit("b", 5)
    director.commit(10)
    assert director.begin() == (None, [5])
    assert director.edit("c", 6) == [6]


def test_planned_edits_take_effect_at_the_first_boundary_at_or_after_their_frame():
    director = Director()
    cut(director, "a", frames=40, edits=(PromptEdit(at=10, prompt="b"), PromptEdit(at=11, prompt="c")))
    assert [make(director)[1] for _ in range(4)] == ["a", "b", "c", "c"]


def test_hold_stops_and_every_command_lifts_it():
    for lift in (lambda d: d.resume(), lambda d: d.edit("b"), lambda d: cut(d, "c")):
        director = Director()
        cut(director, "a")
        make(director)
        director.hold()
        assert director.idle and make(director) is None
        lift(director)
        assert make(director) is not None


def test_abandoned_urgent_cut_is_superseded_and_its_number_used_again():
    director = Director()
    cut(director, "a")
    make(director)
    cut(director, "b", command=2)
    director.begin()
    cut(director, "c", "now", command=3)
    assert director.abandon() == [2]
    assert make(director)[:2] == (1, "c")


def test_abandoned_waiting_shot_goes_back_to_the_queue():
    director = Director()
    cut(director, "a", "shot_end", frames=10)
    make(director)
    cut(director, "b", "shot_end", frames=10, command=2)
    director.begin()
    cut(director, "c", "now", frames=10, command=3)
    assert director.abandon() == []
    assert [make(director)[:2] for _ in range(2)] == [(1, "c"), (2, "b")]


def test_clear_drops_what_waits_and_the_shot_goes_on():
    director = Director()
    cut(director, "a", command=1)
    make(director)
    cut(director, "b", command=2)
    cut(director, "c", "shot_end", command=3)
    assert director.clear() == [2, 3]
    assert make(director)[:2] == (0, "a")


def test_refused_shot_is_forgotten():
    director = Director()
    cut(director, "a")
    make(director)
    cut(director, "b")
    director.begin()
    director.refuse()
    assert make(director)[:2] == (0, "a")


def test_adopted_plan_goes_on_where_it_was_taken():
    director = Director()
    cut(director, "a", "shot_end", frames=25, edits=(PromptEdit(at=10, prompt="e"),))
    cut(director, "b", "shot_end", frames=10)
    make(director)
    plan = director.plan()
    rest = [make(director) for _ in range(4)]
    other = Director()
    cut(other, "x", command=9)
    assert other.adopt(plan) == [9]
    assert [make(other) for _ in range(4)] == rest
