import json
import os
import time

import pytest

from shotstream.errors import ScriptError
from shotstream.story import PromptEdit, load_story

STORY = """\
global: soft evening light
characters:
  Mia: a red fox with a blue scarf
shots:
  - prompt: "wide shot: Mia walks"
    frames: 33
    seed: 3
    edits:
      - {at: 17, prompt: Mia looks up}
  - prompt: close-up
"""

DEMO = {"global_caption": "A fox.", "shot1": "walks", "shot2": "sits", "shot3": "sleeps"}


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(path, **options):
    with pytest.raises(ScriptError) as caught:
        load_story(path, **options)
    message = str(caught.value)
    assert len(message) < 500, "an error must be readable"
    return message


def test_yaml_story(tmp_path):
    story = load_story(write(tmp_path, "s.yaml", STORY))
    assert story.global_caption == "soft evening light Mia: a red fox with a blue scarf."
    first, second = story.shots
    assert (first.prompt, first.frames, first.seed) == ("wide shot: Mia walks", 33, 3)
    assert first.edits == (PromptEdit(at=17, prompt="Mia looks up"),)
    assert (second.prompt, second.frames, second.seed) == ("close-up", 81, None)


def test_same_keys_as_json(tmp_path):
    data = {"global": "dusk", "shots": [{"prompt": "a", "frames": 5}]}
    assert load_story(write(tmp_path, "s.json", json.dumps(data))).shots[0].frames == 5


def test_published_json(tmp_path):
    story = load_story(write(tmp_path, "01.json", json.dumps(DEMO)))
    assert story.global_caption == "A fox."
    assert [(shot.prompt, shot.frames) for shot in story.shots] == [("walks", 81), ("sits", 81), ("sleeps", 81)]


def csv_of(*rows):
    return "shot_num_from_caption,json_path,frame_number\n" + "".join(
        f'{n},{path},"{windows}"\n' for n, path, windows in rows
    )


def test_published_csv_uses_as_many_shots_as_windows(tmp_path):
    write(tmp_path, "01.json", json.dumps(DEMO))
    story = load_story(write(tmp_path, "set.csv", csv_of((3, "01.json", "[[0,81],[81,150]]"))))
    assert [shot.frames for shot in story.shots] == [81, 69]


def test_published_csv_names_files_from_its_repository_root(tmp_path):
    write(tmp_path, "01.json", json.dumps(DEMO))
    path = write(tmp_path, "set.csv", csv_of((3, "demo/testdata/01.json", "[[0,81]]")))
    assert len(load_story(path).shots) == 1


def test_csv_with_several_stories_wants_a_choice(tmp_path):
    write(tmp_path, "01.json", json.dumps(DEMO))
    path = write(tmp_path, "set.csv", csv_of((3, "01.json", "[[0,81]]"), (3, "01.json", "[[0,81],[81,162]]")))
    assert "row 0..1" in refused(path)
    assert len(load_story(path, row=1).shots) == 2
    assert "row=2" in refused(path, row=2)
    assert "row=-1" in refused(path, row=-1)


@pytest.mark.parametrize("given", ["/etc/passwd", "../01.json", "a/../../01.json", "", "no.json", "link.json"])
def test_csv_never_leaves_its_folder(tmp_path, given):
    inner = tmp_path / "inner"
    inner.mkdir()
    write(tmp_path, "01.json", json.dumps(DEMO))
    os.symlink(tmp_path / "01.json", inner / "link.json")
    assert "json_path" in refused(write(inner, "set.csv", csv_of((3, given, "[[0,81]]"))))


@pytest.mark.parametrize(
    "windows",
    [
        "",
        "[]",
        "[[0,0]]",
        "[[0,81],[80,162]]",
        "[[5,81]]",
        "[[0,1.5]]",
        "[[0]]",
        "[" * 5000,
        "[[0,81]] x",
        "[[0,81],[81,1]]",
    ],
)
def test_csv_windows_are_checked(tmp_path, windows):
    write(tmp_path, "01.json", json.dumps(DEMO))
    assert "windows such as" in refused(write(tmp_path, "set.csv", csv_of((3, "01.json", windows))))


def test_csv_window_beyond_a_shot_length_is_refused(tmp_path):
    write(tmp_path, "01.json", json.dumps(DEMO))
    assert "frames=1000000000" in refused(write(tmp_path, "set.csv", csv_of((3, "01.json", "[[0,1000000000]]"))))


def test_csv_with_more_windows_than_shots(tmp_path):
    write(tmp_path, "01.json", json.dumps(DEMO))
    path = write(tmp_path, "set.csv", csv_of((3, "01.json", "[[0,1],[1,2],[2,3],[3,4]]")))
    assert "has 3 shots" in refused(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("s.yaml", "", "the file is empty"),
        ("s.yaml", "- a\n- b\n", "expected `object`"),
        ("s.yaml", "shots:\n  - promt: a\n    prompt: b\n", ":2: unknown key 'promt' in shots[0]"),
        ("s.yaml", "shots:\n  - promt: a\n    prompt: b\n", "did you mean 'prompt'?"),
        ("s.yaml", "shots: []\nscenes: []\n", ":2: unknown key 'scenes' in the story"),
        ("s.yaml", "shots:\n  - frames: 9\n", ":2: shots[0] has no 'prompt'"),
        ("s.yaml", "shots:\n  - prompt: a\n    frames: many\n", ":3: shots[0].frames='many'"),
        ("s.yaml", "shots:\n  - prompt: yes\n", ":2: shots[0].prompt=True"),
        ("s.yaml", "shots:\n  - prompt: ''\n", ":2: shots[0]: prompt is empty"),
        ("s.yaml", "shots:\n  - prompt: a\n  - prompt: b\n    frames: 0\n", ":3: shots[1]: frames=0"),
        ("s.yaml", "shots:\n  - prompt: a\n    frames: 1000000000\n", "frames=1000000000 is outside 1..100000"),
        ("s.yaml", "shots:\n  - {prompt: a, edits: [{at: 3, prompt: b, when: now}]}\n", "'when' in shots[0].edits[0]"),
        ("s.yaml", "shots:\n  - prompt: a: b: c\n", ":2: not a story in YAML"),
        ("s.yaml", "shots: [{prompt: a}]\nshots: []\n", ":2: the key 'shots' stands twice"),
        ("s.yaml", "a: &x [1]\nshots: *x\n", ":2: not a story in YAML (the alias *x is not accepted)"),
        ("s.yaml", "shots: !!python/object/apply:os.system [ls]\n", "apply:os.system is not accepted"),
        ("s.yaml", "shots:\n  - prompt: !!python/name:os.system x\n", "name:os.system is not accepted"),
        ("s.yaml", "[" * 400, "more than 16 levels"),
        ("s.yaml", "shots: [" + "a," * 25_000 + "]", "more than 20000 values"),
        ("s.yaml", "shots:\n" + "  - prompt: a\n" * 1001, "1001 shots"),
        ("s.yaml", "? {a: b}\n: c\n", "a key must be a word"),
        ("s.yaml", "shots:\n  - prompt: a\0b\n", "not a story in YAML"),
        ("s.yaml", b"\xff\xfe\xff", "is not UTF-8"),
        ("s.yaml", "#" * 1_000_001, "more than 1000000 bytes"),
        ("s.json", "{", "s.json:1: not JSON"),
        ("s.json", "[]", "holds a list"),
        ("s.json", '{"shot1": "a", "shot1": "b"}', "'shot1' stands twice"),
        ("s.yaml", "shots:\n  - prompt: 2020-13-45\n", ":2: '2020-13-45' is no valid date or number"),
        ("s.yaml", "shots:\n  - prompt: a\n    frames: " + "9" * 5000, ":3: '9999"),
        ("s.json", '{"shot1": "a", "title": "b"}', "unknown key 'title'"),
        ("s.json", '{"shot1": "a", "shot3": "b"}', "'shot2' is missing"),
        ("s.json", '{"global_caption": "a"}', "no 'shot1'"),
        ("s.json", '{"shot1": 5}', "shot1: prompt is int"),
        ("s.json", '{"shot1": "a", "global_caption": 5}', "global caption is int"),
        ("s.json", "[" * 200_000, "nested too deep"),
        ("s.json", json.dumps({f"shot{n}": "a" for n in range(1, 1002)}), "at most 1000"),
        ("s.csv", "", "'json_path' is missing"),
        ("s.csv", "json_path,frame_number\n", "no story below the header"),
        ("s.csv", "json_path,frame_number,notes\na,b,c\n", "unknown column 'notes'"),
        ("s.csv", "json_path,frame_number\na,[[0,81],[81,162]]\n", "more cells"),
        ("s.csv", "json_path,frame_number\na\n", "fewer cells"),
        ("s.txt", "a fox", "the ending '.txt' is unknown"),
    ],
)  # fmt: skip
def test_bad_files_are_refused_by_name_place_and_remedy(tmp_path, name, content, says):
    message = refused(write(tmp_path, name, content))
    assert name in message
    assert says in message


def test_missing_file_folder_and_row(tmp_path):
    assert "no such file" in refused(tmp_path / "no.yaml")
    (tmp_path / "folder.yaml").mkdir()
    assert "cannot be read" in refused(tmp_path / "folder.yaml")
    assert "row=0" in refused(write(tmp_path, "s.yaml", STORY), row=0)


def test_repeated_key_among_many_is_found_quickly(tmp_path):
    keys = [*range(60_000), 59_999]
    path = tmp_path / "s.json"
    path.write_text("{" + ",".join(f'"s{key}":1' for key in keys) + "}")
    began = time.perf_counter()
    with pytest.raises(ScriptError, match="'s59999' stands twice"):
        load_story(path)
    assert time.perf_counter() - began < 10, "comparing every key with every other takes minutes"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "s.yaml")
    with pytest.raises(ScriptError, match="a pipe"):
        load_story(tmp_path / "s.yaml")


def test_endless_file_is_not_read_to_its_end(tmp_path):
    os.symlink("/dev/zero", tmp_path / "s.yaml")
    assert "more than 1000000 bytes" in refused(tmp_path / "s.yaml")
