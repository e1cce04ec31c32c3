"""Compare this implementation with a folder of recorded numbers.

    python tests/golden/check.py [DIR] [--part NAME ...]

Every size, case and seed is read from the folder. Prints one line per case with its error and bound, then
``N passed, N failed``. Exit status: 0 all passed, 1 a case failed, 2 the folder cannot be checked.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]  # the parts beside this file, and the training package
try:
    import shotstream  # noqa: F401
except ImportError:  # not installed: take the source tree
    sys.path.insert(0, str(ROOT / "sdk"))

import torch  # noqa: E402
from parts.common import Case, GoldenError, Part  # noqa: E402

from shotstream.errors import ConfigError, WeightsError  # noqa: E402
from shotstream.model.config import ScheduleConfig  # noqa: E402
from shotstream.model.weights import read_tensors  # noqa: E402

FORMAT, VERSION = "shotstream-golden", 1
PARTS = ("schedule", "dit_causal", "rollout", "vae", "teacher", "umt5", "training")
CASE_LISTS = {"cases", "shots", "stats", "streaming", "context_tables", "nearest", "training_timesteps", "warped_steps"}
WITHOUT_TENSORS = ("schedule",)


def read_info(folder: Path, name: str) -> dict[str, Any]:
    """The JSON of one part.

    Raises:
        GoldenError: it is missing, damaged, or of another format version.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise GoldenError(f"{path}: missing; the folder must hold {', '.join(PARTS)}")
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GoldenError(f"{path}: not readable JSON ({error}); copy the folder again") from error
    if not isinstance(info, dict) or (info.get("format"), info.get("version")) != (FORMAT, VERSION):
        found = (info.get("format"), info.get("version")) if isinstance(info, dict) else type(info).__name__
        raise GoldenError(f"{path}: format and version are {found}, this checker reads {(FORMAT, VERSION)}")
    return info


def read_schedule(folder: Path) -> ScheduleConfig:
    """The noise schedule that all parts were recorded with."""
    info = read_info(folder, "schedule")
    try:
        return ScheduleConfig(shift=info["shift"], steps=tuple(step["listed"] for step in info["warped_steps"]))
    except (KeyError, TypeError, ConfigError) as error:
        raise GoldenError(f"{folder / 'schedule.json'}: shift or warped_steps cannot be used ({error})") from error


def read_part(folder: Path, name: str, schedule: ScheduleConfig) -> Part:
    """Read one part.

    Raises:
        GoldenError: a file is missing, damaged, or of another format version.
    """
    info = read_info(folder, name)
    require_cases(folder / f"{name}.json", info)
    if name in WITHOUT_TENSORS:
        return Part(name, info, schedule)
    try:
        return Part(name, info, schedule, read_tensors(folder / f"{name}.safetensors"))
    except WeightsError as error:
        raise GoldenError(str(error)) from error


def require_cases(path: Path, info: Mapping[str, object]) -> None:
    """Raise GoldenError when a list of recorded cases is empty: nothing would be compared, and nothing said."""
    for key, value in info.items():
        if key in CASE_LISTS and not value:
            raise GoldenError(f"{path}: {key} is empty, so there is nothing to compare; copy the folder again")
        if isinstance(value, dict):
            require_cases(path, value)


def manifest_cases(folder: Path) -> list[Case]:
    """Files against ``manifest.json``: a difference is a failed case, for the numbers may still be of use."""
    path = folder / "manifest.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        wanted = {name: (entry["bytes"], entry["sha256"]) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GoldenError(f"{path}: missing or not readable ({error!r}); copy the folder again") from error
    cases = []
    for name, (size, digest) in wanted.items():
        file = folder / name
        if not file.is_file():
            raise GoldenError(f"{file}: named in manifest.json but missing; copy the folder again")
        data = file.read_bytes()
        same = len(data) == size and hashlib.sha256(data).hexdigest() == digest
        cases.append(Case(f"manifest: {name}", 0.0 if same else 1.0, 0.0))
    return cases


class Report:
    """Prints cases as they come and counts them."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def add(self, part: str, case: Case) -> None:
        self.passed += case.passed
        self.failed += not case.passed
        verdict = "ok  " if case.passed else "FAIL"
        print(f"{verdict} {part:10s} {case.name:68s} error {case.error:8.1e}  bound {case.bound:8.1e}", flush=True)

    def crash(self, part: str, error: Exception) -> None:
        """A part that could not be finished is a failed case."""
        self.failed += 1
        where = traceback.extract_tb(error.__traceback__)[-1]
        print(
            f"FAIL {part:10s} {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})", flush=True
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare this implementation with a folder of recorded numbers.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=HERE / "fixtures", help="default: fixtures beside this file"
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="check this part alone; may be repeated")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # the networks are tiny: threads only add overhead, and sums keep their order
    report = Report()
    try:
        if not options.folder.is_dir():
            raise GoldenError(f"{options.folder}: no such folder; give a folder of recorded numbers")
        manifest = manifest_cases(options.folder)
        schedule = read_schedule(options.folder)
        parts = [read_part(options.folder, name, schedule) for name in options.part or PARTS]
        for case in manifest:
            report.add("files", case)
        for part in parts:
            try:
                for case in importlib.import_module(f"parts.{part.name}").check(part):
                    report.add(part.name, case)
            except GoldenError:
                raise
            except Exception as error:
                report.crash(part.name, error)
    except GoldenError as error:
        print(f"cannot check: {error}", file=sys.stderr)
        return 2
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
