"""Where checkpoints are kept: in memory, or as files in a folder. A bounded number, under names."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import msgspec

from ..errors import CapacityError, ConfigError, ScriptError, ShotstreamError
from .messages import MAX_SAVE_BYTES, CheckpointInfo, Slug
from .seal import SavedFilm, unseal

log = logging.getLogger("shotstream.bridge")

MAX_SAVES = 16
MAX_TOTAL_BYTES = 256 * 1024 * 1024
SUFFIX = ".shssave"


@dataclass(frozen=True, kw_only=True)
class _Kept:
    info: CheckpointInfo
    data: bytes | None
    """None: in the folder."""


def info_of(name: str, data: bytes, saved: SavedFilm) -> CheckpointInfo:
    """What is told of a save-file."""
    return CheckpointInfo(name=name, bytes=len(data), frame=saved.frame, shot=saved.shot, parent=saved.parent)


class Store:
    """Save-files by name; safe to use from several threads.

    Args:
        folder: made if needed, for its owner only; None keeps everything in memory, for as long as the server runs.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    def open(self, key: Callable[[], bytes]) -> None:
        """Look what the folder holds. A file without the seal of ``key`` is passed over, with a word in the log.

        Raises:
            ConfigError: the folder cannot be used.
        """
        if self._folder is not None:
            self._read_folder(self._folder, key())

    def infos(self) -> tuple[CheckpointInfo, ...]:
        """What is kept, oldest first."""
        with self._lock:
            return tuple(kept.info for kept in self._kept.values())

    def put(self, name: str, data: bytes, saved: SavedFilm) -> CheckpointInfo:
        """Keep a save-file, in place of the one of that name.

        Raises:
            CapacityError: too large, too many, too much in all, or the disk is full. The one of that name stays then.
        """
        info = info_of(name, data, saved)
        with self._lock:
            others = [kept.info.bytes for other, kept in self._kept.items() if other != name]
            if len(data) > MAX_SAVE_BYTES:
                raise CapacityError(f"the checkpoint has {len(data)} bytes; at most {MAX_SAVE_BYTES} are kept")
            if len(others) >= MAX_SAVES or sum(others) + len(data) > MAX_TOTAL_BYTES:
                raise CapacityError(
                    f"{len(others)} checkpoints of {sum(others)} bytes are kept, and {MAX_SAVES} of {MAX_TOTAL_BYTES} "
                    "bytes are the most; forget one first"
                )
            if self._folder is not None:
                self._write(self._folder, name, data)
            self._kept.pop(name, None)
            self._kept[name] = _Kept(info=info, data=None if self._folder is not None else data)
        return info

    def get(self, name: str) -> bytes:
        """A save-file. Raises ScriptError when there is none of that name, or it cannot be read any more."""
        return self.read(name, 0, MAX_SAVE_BYTES)

    def read(self, name: str, offset: int, num_bytes: int) -> bytes:
        """Part of a save-file; see ``get``."""
        with self._lock:
            kept = self._find(name)
            if kept.data is not None:
                return kept.data[offset : offset + num_bytes]
            assert self._folder is not None
            try:
                with _open_file(self._folder / (name + SUFFIX)) as file:
                    file.seek(offset)
                    return file.read(num_bytes)
            except OSError as error:
                raise ScriptError(f"checkpoint {name!r} cannot be read ({error.strerror}); forget it") from None

    def info(self, name: str) -> CheckpointInfo:
        """What is told of a checkpoint. Raises ScriptError when there is none of that name."""
        with self._lock:
            return self._find(name).info

    def forget(self, name: str) -> None:
        """Drop a checkpoint. Raises ScriptError when there is none of that name."""
        with self._lock:
            self._find(name)
            del self._kept[name]
            if self._folder is not None:
                with contextlib.suppress(FileNotFoundError):
                    (self._folder / (name + SUFFIX)).unlink()

    def _find(self, name: str) -> _Kept:
        kept = self._kept.get(name)
        if kept is None:
            names = ", ".join(map(repr, self._kept)) or "none"
            raise ScriptError(f"there is no checkpoint {name!r}; kept are {names}")
        return kept

    def _write(self, folder: Path, name: str, data: bytes) -> None:
        """Whoever reads sees the old file or the new one, also after a crash."""
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=folder)  # mode 600
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, folder / (name + SUFFIX))
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise CapacityError(f"checkpoint {name!r} cannot be written to {folder} ({error.strerror})") from None

    def _read_folder(self, folder: Path, key: bytes) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files = sorted(folder.glob("*" + SUFFIX), key=lambda path: path.lstat().st_mtime_ns)
        except OSError as error:
            raise ConfigError(f"the folder of checkpoints {folder} cannot be used ({error.strerror})") from None
        for path in files:
            name = path.name.removesuffix(SUFFIX)
            try:
                msgspec.convert(name, Slug)
                with _open_file(path) as file:
                    data = file.read(MAX_SAVE_BYTES + 1)
                saved, genuine = unseal(data, key)
            except (OSError, msgspec.ValidationError, ShotstreamError) as error:
                log.warning("%s is passed over: %s", path, error)
                continue
            if not genuine or len(self._kept) == MAX_SAVES:
                log.warning("%s is passed over: %s", path, "no room" if genuine else "not sealed on this machine")
                continue
            self._kept[name] = _Kept(info=info_of(name, data, saved), data=None)


def _open_file(path: Path) -> BufferedReader:
    """An ordinary file; nothing else that somebody may have put there. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(22, "not a file")
    return file
