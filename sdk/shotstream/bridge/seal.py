"""A film at a moment as a save-file: what it holds, and the seal that proves which machine made it.

Layout: 8 bytes magic, 32 bytes HMAC-SHA256 of all that follows, 32 bytes SHA-256 of the body, the body. The body is a
MessagePack map checked against ``SavedFilm``. The seal is there because a save holds prompts: who may not send words to
the model may not smuggle them in with a save-file either.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from ..errors import ConfigError, ScriptError
from .messages import MAX_SAVE_BYTES

log = logging.getLogger("shotstream.bridge")

MAGIC = b"SHSSAVE1"
KEY_BYTES = 32
_HEAD_BYTES = len(MAGIC) + 32 + 32


class SavedFilm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a save-file holds.

    Attributes:
        film: what ``Film.snapshot`` gave.
        frame: number in the film of the first frame that comes after a restore; shot: where that is.
        parent: the checkpoint that the film had gone back to before, "" for none.
        story: the narrator's state as JSON; empty without one.
    """

    film: bytes
    frame: Annotated[int, Meta(ge=0, le=2**62)]
    shot: Annotated[int, Meta(ge=-1, le=2**62)]
    parent: Annotated[str, Meta(max_length=64)] = ""
    story: bytes = b""


def seal(saved: SavedFilm, key: bytes) -> bytes:
    """The save-file of ``saved``, with the seal of ``key``."""
    body = msgspec.msgpack.encode(saved)
    rest = hashlib.sha256(body).digest() + body
    return MAGIC + hmac.digest(key, rest, "sha256") + rest


def unseal(data: bytes, key: bytes) -> tuple[SavedFilm, bool]:
    """What a save-file holds, and whether ``key`` sealed it.

    Raises:
        ScriptError: no save-file, too large, or damaged.
    """
    if len(data) > MAX_SAVE_BYTES:
        raise ScriptError(f"the save-file has {len(data)} bytes; at most {MAX_SAVE_BYTES} are taken")
    if data[: len(MAGIC)] != MAGIC:
        raise ScriptError(f"the save-file begins with {data[:8].hex()}; expected {MAGIC.hex()} ({MAGIC.decode()})")
    mac, rest, body = data[8:40], data[40:], data[_HEAD_BYTES:]
    if not hmac.compare_digest(hashlib.sha256(body).digest(), data[40:_HEAD_BYTES]):
        raise ScriptError(f"the save-file of {len(data)} bytes is damaged (its checksum differs); use an intact copy")
    try:
        saved = msgspec.msgpack.decode(body, type=SavedFilm)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ScriptError(f"the save-file does not hold what this version expects ({error})") from None
    return saved, hmac.compare_digest(hmac.digest(key, rest, "sha256"), mac)


def key_path() -> Path:
    """Where the key of this user's seals lies: ``$XDG_STATE_HOME/shotstream/seal.key``."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "shotstream" / "seal.key"


def machine_key() -> bytes:
    """The key of this user on this machine, made on first use. All servers of the user share it.

    Raises:
        ConfigError: the file is not what this function makes, or others can read it.
    """
    try:
        path = key_path()
        if not path.exists():
            _make_key(path)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            info = os.fstat(file.fileno())
            key = file.read(KEY_BYTES + 1) if stat.S_ISREG(info.st_mode) else b""
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        log.warning("no key for seals can be kept (%s); save-files of this run are only good for this run", error)
        return secrets.token_bytes(KEY_BYTES)
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{path} is no key of {KEY_BYTES} bytes; remove it, and save-files sealed with it are void")
    if os.name == "posix" and (info.st_uid != os.getuid() or stat.S_IMODE(info.st_mode) & 0o077):
        raise ConfigError(
            f"{path} can be read by others (owner {info.st_uid}, mode {stat.S_IMODE(info.st_mode):o}); "
            "expected your own with mode 600; run chmod 600, or remove it"
        )
    return key


def _make_key(path: Path) -> None:
    """Put a new key at ``path``, whole from the first moment on; one that another process put there first stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".seal-", dir=path.parent)  # mode 600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if os.name == "posix":
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.rename(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
