"""Folders and free space, with errors that name a remedy."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from .errors import CapacityError, ConfigError


def make_folder(folder: Path) -> None:
    """Raises:
    ConfigError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made ({error}); give a folder that can be written") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{folder}: cannot be written; give another folder or change its permissions")


def is_disk_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def check_space(folder: Path, needed_bytes: int, *, what: str) -> None:
    """Raises:
    CapacityError: the file system of ``folder`` has less free space.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise CapacityError(
            f"{folder}: {free / 1e9:.2f} GB free, {what} needs {needed_bytes / 1e9:.2f} GB; "
            "free space or use another disk"
        )
