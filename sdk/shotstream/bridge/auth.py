"""Who may connect: where a server may listen, the connection file with its tokens, and keys for other machines.

A server listens on the loopback interface and lets in whoever can read its connection file, which is the user who runs
it. Every role has a token of its own, so that a shipped game can be given the weakest one that does. Other machines
connect with CURVE keys, and only those in the allow-list of the server.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import os
import secrets
import stat
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ..errors import BridgeError, CapacityError, ConfigError
from .messages import ROLES, Name, Role

MAX_FILE_BYTES = 64 * 1024
LOOPBACK = "tcp://127.0.0.1"


class ConnectionFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a client on this machine needs: where the server is, and the token of each role."""

    proto: int
    pid: int
    epoch: int
    ctl: str
    frm: str
    tokens: dict[Role, str]


def new_tokens() -> dict[Role, str]:
    """32 random bytes for each role, as hexadecimal text."""
    return {role: secrets.token_hex(32) for role in ROLES}


def role_of_token(token: str, tokens: dict[Role, str]) -> Role | None:
    """The strongest role that ``token`` opens, or None. Takes the same time whatever the token is."""
    found: Role | None = None
    for role in ROLES:
        if role in tokens and hmac.compare_digest(token.encode(), tokens[role].encode()):
            found = role
    return found


def allows(granted: Role, wanted: Role) -> bool:
    """``granted`` includes ``wanted``."""
    return ROLES.index(granted) >= ROLES.index(wanted)


# --- where a server may listen -----------------------------------------------------------------------------------


def check_bind(endpoint: str, *, has_keys: bool) -> tuple[str, int]:
    """The (host, port) of ``tcp://HOST[:PORT]``; port 0 takes a free one.

    Raises:
        ConfigError: not such an address, or one that other machines reach and there are no CURVE keys.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port or 0
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigError(f"{endpoint!r} is no address; use tcp://IP[:PORT], such as {LOOPBACK}:5570") from None
    if parts.scheme != "tcp" or parts.path or parts.query or parts.username:
        raise ConfigError(f"{endpoint!r} is not of the form tcp://IP[:PORT]; use {LOOPBACK}:5570")
    if not address.is_loopback and not has_keys:
        raise ConfigError(
            f"{endpoint!r} can be reached from other machines, and nothing would be encrypted; make keys with "
            f"'shotstream keygen' and pass --keys, or use {LOOPBACK}"
        )
    return (f"[{address}]" if address.version == 6 else str(address)), port


def is_loopback(host: str) -> bool:
    """``host``, an address of ZeroMQ or of a URL, is this machine talking to itself. False for what is no address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


# --- files -------------------------------------------------------------------------------------------------------


def runtime_folder() -> Path:
    """The folder of connection files, made if needed: ``$SHOTSTREAM_RUNTIME``, else one of the user's own.

    Raises:
        ConfigError: it cannot be made, belongs to somebody else, or others may enter it.
    """
    given = os.environ.get("SHOTSTREAM_RUNTIME")
    base = os.environ.get("XDG_RUNTIME_DIR")
    uid = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(given or (Path(base) / "shotstream" if base else Path(tempfile.gettempdir()) / f"shotstream-{uid}"))
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        info = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"the runtime folder {folder} cannot be made ({error.strerror}); set SHOTSTREAM_RUNTIME to another"
        ) from None
    if not stat.S_ISDIR(info.st_mode):
        raise ConfigError(f"the runtime folder {folder} is no folder; remove it, or set SHOTSTREAM_RUNTIME")
    if os.name == "posix" and (info.st_uid != uid or stat.S_IMODE(info.st_mode) & 0o077):
        raise ConfigError(
            f"the runtime folder {folder} can be entered by others (owner {info.st_uid}, "
            f"mode {stat.S_IMODE(info.st_mode):o}); expected your own with mode 700; run chmod 700, or remove it"
        )
    return folder


class Registration:
    """A server's name on this machine: a lock while it runs, and its connection file.

    Raises:
        ConfigError: the name cannot be a file name.
        CapacityError: a running server has the name.
    """

    def __init__(self, name: str) -> None:
        self.path = connection_path(name)
        self._lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock_file(self._lock)
        except OSError:
            os.close(self._lock)
            raise CapacityError(
                f"a server named {name!r} is running already ({self.path}); stop it, or choose another --name"
            ) from None

    def publish(self, connection: ConnectionFile) -> None:
        """Write the connection file, readable by its owner only; a reader sees the old one or the new one whole."""
        temporary = self.path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(connection)))
        temporary.replace(self.path)

    def close(self) -> None:
        """Take the name back. The lock file stays: removing it could free a lock that somebody else just took."""
        self.path.unlink(missing_ok=True)
        os.close(self._lock)


def _lock_file(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def connection_path(name: str) -> Path:
    """Where the server of that name has its connection file. Raises ConfigError when it cannot be a file name."""
    if not 0 < len(name) <= 64 or not all(char.isalnum() or char in "-_" for char in name):
        raise ConfigError(f"name={name!r} cannot name a server; use 1..64 letters, digits, '-' and '_'")
    return runtime_folder() / f"{name}.json"


def read_connection(path: Path) -> ConnectionFile:
    """Read a connection file.

    Raises:
        BridgeError: there is none, it is damaged, or somebody else may have written or read it.
    """
    try:
        # Not through a link, and without waiting for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise BridgeError(f"{path} is no file; expected a connection file that 'shotstream serve' wrote")
            if os.name == "posix" and (info.st_uid != os.getuid() or stat.S_IMODE(info.st_mode) & 0o077):
                raise BridgeError(
                    f"{path} is not to be trusted (owner {info.st_uid}, mode {stat.S_IMODE(info.st_mode):o}); "
                    "expected your own with mode 600; remove it and restart the server"
                )
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise BridgeError(f"{path} is larger than {MAX_FILE_BYTES} bytes; expected a connection file")
        return msgspec.json.decode(data, type=ConnectionFile)
    except FileNotFoundError:
        raise BridgeError(f"no server has written {path}; start one with 'shotstream serve'") from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BridgeError(f"{path} is not a readable connection file ({error}); restart the server") from None


# --- keys --------------------------------------------------------------------------------------------------------


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """A CURVE key pair in Z85 text; ``server`` is the other side's public key, on clients."""

    public: Name
    secret: Name
    server: Name = ""


def generate_keys(folder: Path, name: str) -> tuple[Path, Path]:
    """Write ``NAME.key`` (public, to hand on) and ``NAME.key_secret`` (mode 600) into ``folder``; returns both.

    Raises:
        ConfigError: ``name`` cannot be a file name, or a file is there already, or cannot be written.
    """
    import zmq.auth

    if not 0 < len(name) <= 64 or name[0] == "." or not all(char.isalnum() or char in "-_." for char in name):
        raise ConfigError(f"name={name!r} cannot name keys; use 1..64 letters, digits, '-', '_' and '.'")
    paths = folder / f"{name}.key", folder / f"{name}.key_secret"
    for path in paths:
        if path.exists():
            raise ConfigError(f"{path} is there already; remove it, or choose another name")
    before = os.umask(0o077) if os.name == "posix" else 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        zmq.auth.create_certificates(folder, name)
    except OSError as error:
        raise ConfigError(f"keys cannot be written to {folder} ({error.strerror}); choose another folder") from None
    finally:
        if os.name == "posix":
            os.umask(before)
    return paths


def load_keys(path: Path, *, server: Path | None = None) -> Keys:
    """The pair in a ``.key_secret`` file, and the public key in ``server`` if given.

    Raises:
        ConfigError: a file is missing or holds no such key.
    """
    public, secret = _load(path)
    if secret is None:
        raise ConfigError(f"{path} holds no secret key; pass the .key_secret file that 'shotstream keygen' wrote")
    return Keys(public=public, secret=secret, server=_load(server)[0] if server else "")


def _load(path: Path) -> tuple[str, str | None]:
    import zmq.auth

    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} holds no key ({error}); make one with 'shotstream keygen'") from None
    return public.decode(), secret.decode() if secret else None


class AllowList:
    """Public keys of clients: ``FOLDER/ROLE/*.key``. Read anew at every connection, so that removing a file revokes a
    key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def roles(self) -> dict[str, Role]:
        """The strongest role of each key, the key as Z85 text."""
        found: dict[str, Role] = {}
        for role in ROLES:
            for path in sorted((self._folder / role).glob("*.key"))[:1000]:
                with contextlib.suppress(ConfigError):  # a broken file lets nobody in
                    found[_load(path)[0]] = role
        return found

    def role(self, public: str) -> Role | None:
        """The strongest role of a key, or None."""
        return self.roles().get(public)

    def callback(self, domain: str, key: bytes) -> bool:
        """For pyzmq's authenticator: ``key`` is Z85 text."""
        return self.role(key.decode("ascii", "replace")) is not None
