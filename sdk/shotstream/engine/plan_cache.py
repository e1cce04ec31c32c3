"""Plans that were built on this machine, kept so that they are built once.

A plan fits one kind of GPU, one driver, one TensorRT and one set of plugins; all of them are in its key, as is the
graph.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import CapacityError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a plan depends on beside its graph.

    Attributes:
        gpu: its name. compute_capability: such as "8.9". driver: such as "13.0".
        runtime: name and version, such as "tensorrt 11.4.0.106".
        plugins: SHA-256 of the plugins' code; "" without any.
    """

    gpu: str
    compute_capability: str
    driver: str
    runtime: str
    plugins: str = ""


def plan_key(machine: Machine, graph_sha256: str, options: Mapping[str, str | int | bool]) -> str:
    """Name of the plan for a graph on a machine, as a hexadecimal hash.

    Args:
        options: of the build (precision, refit, profiles ...); their order does not matter.
    """
    described = json.dumps([asdict(machine), graph_sha256, dict(options)], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:32]


class PlanCache:
    """Plans in a folder, and one timing cache per machine. A damaged plan counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: str) -> bytes | None:
        """A plan that was put under ``key``, if it is whole."""
        try:
            data = (self.folder / f"{key}.plan").read_bytes()
            want = (self.folder / f"{key}.sha256").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        if hashlib.sha256(data).hexdigest() == want:
            return data
        log.warning("the plan %s in %s is damaged and is built again", key, self.folder)
        return None

    def put(self, key: str, plan: bytes) -> None:
        """Keep a plan.

        Raises:
            CapacityError: the disk is full or may not be written.
        """
        self._write(f"{key}.plan", plan)
        self._write(f"{key}.sha256", hashlib.sha256(plan).hexdigest().encode())

    def timings(self, machine: Machine) -> bytes:
        """What earlier builds on this machine measured; nothing at first."""
        try:
            return self._timing_file(machine).read_bytes()
        except OSError:
            return b""

    def put_timings(self, machine: Machine, timings: bytes) -> None:
        """Keep the timing cache of a build; raises as :meth:`put`."""
        self._write(self._timing_file(machine).name, timings)

    def _timing_file(self, machine: Machine) -> Path:
        return self.folder / f"{plan_key(machine, '', {})}.timing"

    def _write(self, name: str, data: bytes) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                os.replace(temporary, self.folder / name)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise CapacityError(
                f"{self.folder / name}: {len(data)} bytes cannot be kept ({error.strerror}); free some space, or set "
                "SHOTSTREAM_HOME to a folder that can be written"
            ) from error
