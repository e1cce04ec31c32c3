"""The C library under sanitizers for longer than a test may take: ``python -m tests.sanitize``.

Plays the story of a client against a server of the test chart again and again, with AddressSanitizer and
UndefinedBehaviorSanitizer and then with ThreadSanitizer, and gives the readers of messages that many fuzzed inputs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import shotstream as ss
from shotstream.bridge.server import Server, ServerConfig
from shotstream.testing import FakeEngine
from tests.bridge.c_library import ROOT, SANITIZERS, build, missing

GOLDEN = ROOT / "tests/golden/bridge"


def stories(folder, sanitizer, rounds):
    """Build and play; raises when a program fails."""
    options = [f"-DSHOTSTREAM_BRIDGE_SANITIZE={sanitizer}", "-DCMAKE_BUILD_TYPE=Debug"]
    made = build(folder / sanitizer.replace(",", "_"), *options)
    environment = {**os.environ, **SANITIZERS[sanitizer], "SHOTSTREAM_RUNTIME": str(folder / "runtime")}
    began = time.monotonic()
    for _ in range(rounds):
        film = ss.open("test-chart", engine=FakeEngine(), ahead=1)
        with Server(film, ServerConfig(clock="demand", rate_hz=10_000, burst=10_000)):
            subprocess.run([made / "tests/story_of_a_client", "300"], env=environment, check=True, stderr=sys.stdout)
        subprocess.run([made / "tests/lonely_checks"], env=environment, check=True)
    print(f"{sanitizer}: {rounds} rounds in {time.monotonic() - began:.0f} s, nothing found", flush=True)


def fuzz(folder, inputs):
    """Give the readers of messages ``inputs`` inputs; raises when one of them finds something."""
    compilers = ["-DCMAKE_C_COMPILER=clang", "-DCMAKE_CXX_COMPILER=clang++", "-DSHOTSTREAM_BRIDGE_TESTS=OFF"]
    made = build(folder / "fuzz", "-DSHOTSTREAM_BRIDGE_FUZZ=ON", *compilers)
    found = folder / "found"
    found.mkdir()
    limits = [f"-runs={inputs}", "-max_len=4096", "-malloc_limit_mb=64", "-print_final_stats=1"]
    command = [made / "fuzz/fuzz_messages", "-seed=1", *limits, found, GOLDEN]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, cwd=folder)
    lines = done.stderr.splitlines()
    print("\n".join([line for line in lines if "cov:" in line][-1:] + lines[-12:]), flush=True)
    done.check_returncode()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    arguments = parser.parse_args()
    if reason := missing():
        sys.exit(f"the C library cannot be built: {reason}")
    with tempfile.TemporaryDirectory() as name:
        os.environ["SHOTSTREAM_RUNTIME"] = str(Path(name) / "runtime")
        for sanitizer in SANITIZERS:
            stories(Path(name), sanitizer, arguments.rounds)
        fuzz(Path(name), arguments.inputs)


if __name__ == "__main__":
    main()
