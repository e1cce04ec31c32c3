"""Prompts in and frames out of another process: a server, its clients, and the protocol between them.

``shotstream.connect()`` is the client, ``shotstream.bridge.aio`` the same for asyncio, ``bridge.server.Server`` what
``shotstream serve`` runs. This module is quick to import; ZeroMQ is loaded on first use.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
    from .messages import OnDisconnect, Role

__all__ = ["connect"]


def connect(
    endpoint: str | None = None,
    *,
    name: str = "default",
    role: Role = "operator",
    token: str | None = None,
    keys: str | os.PathLike[str] | None = None,
    server_key: str | os.PathLike[str] | None = None,
    client: str = "",
    on_disconnect: OnDisconnect = "keep",
    timeout: float = 5.0,
) -> Client:
    """Connect to a server that ``shotstream serve`` started.

    Without ``endpoint`` the server of that ``name`` on this machine is found by its connection file.

    Args:
        endpoint: ``tcp://IP:PORT`` of the server's ``ctl`` socket.
        role: what the client may do: "viewer", "trigger", "director" or "operator". Ask for the least that does.
        token: of that role, for an endpoint on this machine.
        keys, server_key: CURVE keys for another machine: your ``.key_secret`` file, and the server's ``.key`` file.
        client: how the server calls this client in its figures.
        on_disconnect: what happens to the film when this client is lost without a goodbye: "keep" lets it go on, "hold"
            stops it at the next block, which needs the role operator.
        timeout: seconds to try; a server at ``endpoint`` that refuses this client ends it sooner.

    Raises:
        BridgeError: no connection; its class and text say why (``shotstream.bridge.faults``).
        ConfigError: the arguments do not fit together.
    """
    from .client import make_client
    from .faults import ConnectionLost

    made = make_client(
        endpoint,
        name=name,
        role=role,
        token=token,
        keys=Path(keys) if keys is not None else None,
        server_key=Path(server_key) if server_key is not None else None,
        client=client or f"python-{os.getpid()}",
        on_disconnect=on_disconnect,
    )
    # A connection file may be that of a server which is just being replaced; the next look at it may help.
    if not made.wait_connected(timeout, or_refused=endpoint is not None):
        error = made.error or ConnectionLost(
            f"no server answered within {timeout} s; start one with 'shotstream serve'"
        )
        made.close()
        raise error
    return made
