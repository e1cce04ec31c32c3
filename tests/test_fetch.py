"""Fetching against a hub on the loopback interface, through the real client, in a process of its own.

A process of its own, because the client reads ``HF_ENDPOINT`` when it is imported.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest

from shotstream import fetch as fetcher
from shotstream.bundle import load_bundle
from shotstream.errors import CapacityError, ConfigError, DeviceError
from tests.hub_server import serve
from tests.published import DIT, write_student, write_wan

SOURCE = fetcher.SOURCES["shotstream-1.3b"]
PROGRAM = """
from huggingface_hub import constants
from shotstream.errors import ShotstreamError
from shotstream.fetch import fetch
constants.DOWNLOAD_CHUNK_SIZE = 4096  # the client keeps whole chunks; the files here are small
seen = []
try:
    print("bundle", fetch("shotstream-1.3b", progress=lambda *call: seen.append(call)))
    print("progress", [seen[0][0], seen[-1][1] == seen[-1][2]] if seen else None)
except ShotstreamError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def repos(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    wan = write_wan(root / "wan")
    for name in ("special_tokens_map.json", "spiece.model"):
        (wan / "google" / "umt5-xxl" / name).write_text("{}")
    (root / "student").mkdir()
    write_student(root / "student" / "shotstream_merged.pt")
    return {SOURCE.wan_repo: wan, SOURCE.student_repo: root / "student"}


def run_fetch(url: str, home, **variables: str) -> str:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
        "HF_ENDPOINT": url,
        "SHOTSTREAM_HOME": str(home / "bundles"),
        "HF_HOME": str(home / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_fetch_downloads_checks_and_converts(repos, tmp_path):
    with serve(repos) as hub:
        out = run_fetch(hub.url, tmp_path)
        bundle = load_bundle(tmp_path / "bundles" / "shotstream-1.3b")
        assert bundle.dit == DIT and bundle.dtype == "bfloat16" and bundle.name == "shotstream-1.3b"
        assert "progress ['downloading shotstream_merged.pt', True]" in out
        assert sorted(path.name for path in (tmp_path / "bundles").iterdir()) == [".downloads", "shotstream-1.3b"]
        assert not list((tmp_path / "bundles" / ".downloads").iterdir())
        served = dict(hub.served)
        assert "bundle" in run_fetch(hub.url, tmp_path) and hub.served == served  # nothing is fetched twice


def test_interrupted_download_resumes(repos, tmp_path):
    name = SOURCE.student_file
    size = (repos[SOURCE.student_repo] / name).stat().st_size
    with serve(repos) as hub:
        hub.cut[name] = size // 2
        out = run_fetch(hub.url, tmp_path)
        if "WeightsError" in out:  # the client may resume by itself or leave it to the next call
            out = run_fetch(hub.url, tmp_path)
        assert "bundle" in out
        starts = [int(seen.split("=")[1].split("-")[0]) for seen in hub.ranges if seen.startswith(name)]
        assert starts and 0 < starts[0] <= size // 2, hub.ranges
        assert hub.served[name] == size // 2 + size - starts[0]


def test_damaged_download_is_removed_and_a_second_try_succeeds(repos, tmp_path):
    with serve(repos) as hub:
        hub.corrupt.add("Wan2.1_VAE.pth")
        out = run_fetch(hub.url, tmp_path)
        assert out.startswith("WeightsError") and "arrived damaged" in out and "Wan2.1_VAE.pth" in out
        assert not (tmp_path / "bundles" / "shotstream-1.3b").exists()
        hub.corrupt.clear()
        assert "bundle" in run_fetch(hub.url, tmp_path)
        assert hub.served[SOURCE.student_file] == (repos[SOURCE.student_repo] / SOURCE.student_file).stat().st_size


@pytest.mark.parametrize("variables", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["nothing listens", "offline mode"])
def test_offline_names_the_manual_route(tmp_path, variables):
    out = run_fetch("http://127.0.0.1:9", tmp_path, **variables)
    assert out.startswith("WeightsError") and "http://127.0.0.1:9" in out
    for part in (
        *SOURCE.wan_files,
        SOURCE.wan_repo,
        SOURCE.student_repo,
        SOURCE.student_file,
        "shotstream convert --wan",
    ):
        assert part in out


def test_repository_without_the_file_is_named(repos, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(repos[SOURCE.wan_repo], changed)
    (changed / "Wan2.1_VAE.pth").rename(changed / "renamed.pth")
    with serve({**repos, SOURCE.wan_repo: changed}) as hub:
        out = run_fetch(hub.url, tmp_path)
    assert out.startswith("WeightsError") and "lacks Wan2.1_VAE.pth" in out


def test_unknown_name_lists_what_there_is():
    with pytest.raises(ConfigError, match=r"'shotstream-99b' is no published model; choose one of shotstream-1\.3b"):
        fetcher.fetch("shotstream-99b")


def test_missing_client_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DeviceError, match=r"huggingface_hub.*shotstream\[wan\]"):
        fetcher.fetch(home=tmp_path)


def test_disk_that_fills_up_is_told_from_a_lost_connection(tmp_path):
    class FullDisk:
        @staticmethod
        def hf_hub_download(*_: object, **__: object) -> str:
            raise OSError(errno.ENOSPC, "No space left on device")

    file = fetcher._RemoteFile("a/b", "c", "big.pt", 10**9, None)
    with pytest.raises(CapacityError, match=r"disk is full; big\.pt has 1\.0 GB"):
        fetcher._download(FullDisk, file, tmp_path, SOURCE)


def test_small_disk_is_noticed_before_the_first_byte(monkeypatch, tmp_path):
    files = [fetcher._RemoteFile("a/b", "c", "big.pt", 10**12, None)]
    monkeypatch.setattr(fetcher, "_describe", lambda hub, source: files)
    monkeypatch.setattr(fetcher, "_download", lambda *call: pytest.fail("a download began"))
    with pytest.raises(CapacityError, match=r"needs 2000\.07 GB"):
        fetcher.fetch(home=tmp_path)
