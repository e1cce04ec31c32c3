"""How a server listens and what it grants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from . import auth
from .program import SessionClock


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """How a server listens and what it grants.

    Attributes:
        name: of the connection file; clients on this machine find the server by it.
        bind: ``tcp://IP[:PORT]``; without a port, free ones. With port P, ``frm`` listens on P + 1.
        clock: "realtime" releases frames at the film's rate; "demand" when a client has room.
        keys: the server's CURVE pair; needed for a bind that other machines reach.
        allow: folder of the clients' public keys, ``ROLE/*.key``.
        lease_ms: a client that is silent for longer is forgotten.
        rate_hz, burst: requests a client may make.
        spool_mb: pictures that wait for a "lossless" client before new ones are lost, in MiB; at least 16 frames.
        max_clients: more are turned away.
        saves: folder where checkpoints outlive the server; None keeps them in memory.
        undo: keep the film as it was at the start of each of the latest shots.
    """

    name: str = "default"
    bind: str = auth.LOOPBACK
    clock: SessionClock = "realtime"
    keys: auth.Keys | None = None
    allow: Path | None = None
    lease_ms: int = 5000
    rate_hz: int = 20
    burst: int = 40
    spool_mb: int = 256
    max_clients: int = 32
    saves: Path | None = None
    undo: bool = True

    def __post_init__(self) -> None:
        auth.check_bind(self.bind, has_keys=self.keys is not None)
        if (self.keys is None) != (self.allow is None):
            raise ConfigError("keys and allow go together: the server's own pair, and the folder of its clients' keys")
        for field, low, high in (
            ("lease_ms", 50, 60_000),
            ("rate_hz", 1, 10_000),
            ("burst", 1, 10_000),
            ("spool_mb", 1, 100_000),
            ("max_clients", 1, 1000),
        ):
            if not low <= getattr(self, field) <= high:
                raise ConfigError(f"{field}={getattr(self, field)} is outside {low}..{high}")
