"""Save-files and the key that seals them."""

import os
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotstream.bridge.messages import MAX_SAVE_BYTES
from shotstream.bridge.seal import SavedFilm, key_path, machine_key, seal, unseal
from shotstream.bridge.store import MAX_SAVES, SUFFIX, Store
from shotstream.errors import CapacityError, ConfigError, ScriptError

KEY, OTHER = b"k" * 32, b"o" * 32
SAVED = SavedFilm(film=b"film" * 50, frame=12, shot=3, parent="before", story=b"{}")
FILE = seal(SAVED, KEY)


def test_a_save_file_holds_what_was_put_in_and_knows_its_machine():
    assert unseal(FILE, KEY) == (SAVED, True)
    assert unseal(FILE, OTHER) == (SAVED, False)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(FILE) - 1), flip=st.integers(1, 255))
def test_no_changed_byte_passes_for_sealed(at, flip):
    changed = bytearray(FILE)
    changed[at] ^= flip
    try:
        _, genuine = unseal(bytes(changed), KEY)
    except ScriptError:
        return
    assert not genuine and 8 <= at < 40, "only the seal itself may differ in a file that can be read"


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400) | st.integers(0, len(FILE) - 1).map(FILE.__getitem__).map(bytes))
def test_rubbish_is_refused(data):
    for start in (b"", FILE[:8], FILE[:72]):
        with pytest.raises(ScriptError):
            unseal(start + data, KEY)


def test_what_is_too_large_is_refused_unread():
    with pytest.raises(ScriptError, match=str(MAX_SAVE_BYTES)):
        unseal(bytes(MAX_SAVE_BYTES + 1), KEY)


def test_the_key_is_made_once_and_for_its_owner_only():
    assert not key_path().exists()
    key = machine_key()
    assert len(key) == 32 and machine_key() == key
    if os.name == "posix":
        assert stat.S_IMODE(key_path().stat().st_mode) == 0o600
    assert [path.name for path in key_path().parent.iterdir()] == ["seal.key"]


def test_processes_that_start_together_get_the_same_key():
    code = "from shotstream.bridge.seal import machine_key; print(machine_key().hex())"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({one.communicate(timeout=60)[0] for one in running}) == 1


def test_threads_that_start_together_get_the_same_key():
    found, start = [], threading.Barrier(8)

    def ask():
        start.wait()
        found.append(machine_key())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 8


def test_a_key_that_is_none_is_refused():
    machine_key()
    key_path().write_bytes(b"short")
    with pytest.raises(ConfigError, match="no key"):
        machine_key()


@pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")
def test_a_key_that_others_can_read_is_refused():
    machine_key()
    key_path().chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        machine_key()


def test_without_a_place_for_the_key_save_files_are_good_for_this_run(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert len(machine_key()) == 32


# --- the store ---------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "folder"])
def store(request, tmp_path):
    made = Store(tmp_path / "saves" if request.param == "folder" else None)
    made.open(lambda: KEY)
    return made


def test_the_store_keeps_replaces_and_forgets(store):
    info = store.put("a", FILE, SAVED)
    assert (info.name, info.bytes, info.frame, info.shot, info.parent) == ("a", len(FILE), 12, 3, "before")
    store.put("b", FILE, SAVED)
    other = seal(SavedFilm(film=b"x", frame=1, shot=0), KEY)
    store.put("a", other, SAVED)
    assert store.get("a") == other and store.read("b", 5, 7) == FILE[5:12]
    assert [info.name for info in store.infos()] == ["b", "a"]
    store.forget("b")
    for use in (store.get, store.info, store.forget):
        with pytest.raises(ScriptError, match="no checkpoint 'b'; kept are 'a'"):
            use("b")


def test_the_store_is_bounded_and_replacing_needs_no_room(store, monkeypatch):
    for number in range(MAX_SAVES):
        store.put(f"s{number}", FILE, SAVED)
    store.put("s3", FILE, SAVED)
    with pytest.raises(CapacityError, match="forget one"):
        store.put("more", FILE, SAVED)
    store.forget("s0")
    monkeypatch.setattr("shotstream.bridge.store.MAX_TOTAL_BYTES", MAX_SAVES * len(FILE) - 1)
    with pytest.raises(CapacityError, match="forget one"):
        store.put("more", FILE, SAVED)
    assert store.get("s3") == FILE
    monkeypatch.setattr("shotstream.bridge.store.MAX_SAVE_BYTES", len(FILE) - 1)
    with pytest.raises(CapacityError, match="at most"):
        store.put("s3", FILE, SAVED)


def test_a_folder_outlives_the_store_and_what_is_not_ours_is_passed_over(tmp_path):
    folder = tmp_path / "saves"
    first = Store(folder)
    first.open(lambda: KEY)
    first.put("mine", FILE, SAVED)
    (folder / f"foreign{SUFFIX}").write_bytes(seal(SAVED, OTHER))
    (folder / f"damaged{SUFFIX}").write_bytes(FILE[:-1])
    (folder / f"no slug{SUFFIX}").write_bytes(FILE)
    (folder / "else.txt").write_text("x")
    if os.name == "posix":
        os.mkfifo(folder / f"pipe{SUFFIX}")
        (folder / f"link{SUFFIX}").symlink_to(folder / f"mine{SUFFIX}")
        assert stat.S_IMODE((folder / f"mine{SUFFIX}").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    again = Store(folder)
    again.open(lambda: KEY)
    assert [info.name for info in again.infos()] == ["mine"] and again.get("mine") == FILE
    again.forget("mine")
    assert not (folder / f"mine{SUFFIX}").exists()


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    made = Store(tmp_path / "saves")
    made.open(lambda: KEY)
    made.put("a", FILE, SAVED)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CapacityError, match="No space left"):
        made.put("a", seal(SAVED, OTHER), SAVED)
    assert made.get("a") == FILE
    assert [path.name for path in (tmp_path / "saves").iterdir()] == [f"a{SUFFIX}"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot be used"):
        Store(tmp_path / "file" / "saves").open(lambda: KEY)
