"""Plans that are built once per machine."""

import dataclasses

import pytest

from shotstream.engine.plan_cache import Machine, PlanCache, plan_key
from shotstream.errors import CapacityError

MACHINE = Machine(gpu="NVIDIA H200", compute_capability="9.0", driver="13.0", runtime="tensorrt 11.4", plugins="ab")
OPTIONS = {"refit": True, "dtype": "bfloat16"}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Machine)])
def test_every_part_of_the_machine_counts(name):
    other = dataclasses.replace(MACHINE, **{name: "another"})
    assert plan_key(other, "graph", OPTIONS) != plan_key(MACHINE, "graph", OPTIONS)


def test_graph_and_options_count_and_their_order_does_not():
    key = plan_key(MACHINE, "graph", OPTIONS)
    assert key == plan_key(MACHINE, "graph", dict(reversed(OPTIONS.items())))
    assert key != plan_key(MACHINE, "other", OPTIONS) and key != plan_key(MACHINE, "graph", {**OPTIONS, "refit": False})
    assert key.isalnum()


def test_a_plan_comes_back_unless_it_is_damaged(tmp_path, caplog):
    cache = PlanCache(tmp_path / "plans")
    assert cache.find("a") is None
    cache.put("a", b"plan")
    assert cache.find("a") == b"plan"
    assert sorted(path.name for path in cache.folder.iterdir()) == ["a.plan", "a.sha256"]
    (cache.folder / "a.plan").write_bytes(b"plam")
    assert cache.find("a") is None and "built again" in caplog.text
    (cache.folder / "a.sha256").unlink()
    assert cache.find("a") is None


def test_timings_belong_to_a_machine(tmp_path):
    cache = PlanCache(tmp_path)
    cache.put_timings(MACHINE, b"fast")
    assert cache.timings(MACHINE) == b"fast"
    assert cache.timings(dataclasses.replace(MACHINE, driver="13.1")) == b""


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CapacityError, match="SHOTSTREAM_HOME"):
        PlanCache(tmp_path / "file").put("a", b"plan")
