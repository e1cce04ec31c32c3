"""``shotstream serve``, ``monitor`` and ``keygen``: what they print, over the bridge's own names."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import BridgeError

if TYPE_CHECKING:
    from rich.table import Table

    from ..bridge.client import Client
    from ..bridge.messages import Status
    from ..bridge.moderation import Moderation
    from ..bridge.server import ServerConfig


LOOK_EVERY_S = 1.0
"""How often a beats file is looked at for changes."""


def serve(
    config: ServerConfig,
    *,
    bundle: str,
    seed: int,
    device: str,
    until_eof: bool,
    beats: Path | None,
    moderation: Moderation | None,
) -> None:
    """Serve a film until Ctrl-C, SIGTERM, or (with ``until_eof``) the end of standard input."""
    from ..bridge.server import SWITCH_INTERVAL_S, Server
    from ..film import open
    from .story import BookFile

    file = BookFile(beats) if beats is not None else None  # before the bundle: a mistake in it shows at once
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if until_eof:
        threading.Thread(target=_wait_for_eof, args=[stop], name="shotstream-eof", daemon=True).start()
    film = open(bundle, seed=seed, device=device)
    with Server(film, config, book=file.book if file else None, moderation=moderation) as server:
        size = f"{film.spec.width_px}x{film.spec.height_px} at {film.spec.fps:g} frames/s"
        typer.echo(f"{film.bundle} on {film.device}, {size}")
        typer.echo(f"commands on {server.ctl}, frames on {server.frm}")
        typer.echo(f"connection file {server.connection_file}")
        if file is not None:
            typer.echo(f"{len(file.book.beats)} beats of {file.path}")
        while not stop.wait(LOOK_EVERY_S if file else None):
            if file is not None:
                file.follow(server)


def _wait_for_eof(stop: threading.Event) -> None:
    while os.read(0, 4096):  # not sys.stdin: a thread that waits in it would disturb the end of the program
        pass
    stop.set()


def monitor(
    *, name: str, endpoint: str | None, keys: Path | None, server_key: Path | None, updates: int | None
) -> None:
    """Show the server's figures once a second until Ctrl-C, or ``updates`` times."""
    from rich.console import Console
    from rich.live import Live

    from ..bridge import connect

    with (
        connect(endpoint, name=name, role="viewer", keys=keys, server_key=server_key, client="monitor") as client,
        Live(console=Console(), auto_refresh=False) as live,
    ):
        shown = 0
        while updates is None or shown < updates:
            try:
                live.update(table(client.status(), client), refresh=True)
            except BridgeError as error:
                live.update(f"no answer: {error}", refresh=True)
            shown += 1
            if shown != updates:
                threading.Event().wait(1.0)


def table(status: Status, client: Client) -> Table:
    """The server's figures and its clients."""
    from rich.table import Table

    def figure(value: float | None, unit: str) -> str:
        return "-" if value is None else f"{value:.1f} {unit}"

    held = ", held" if status.held else ""
    headroom = None if status.headroom is None else status.headroom * 100
    title = (
        f"{status.bundle} on {status.device}: frame {status.frame}, shot {status.shot}{held}\n"
        f"{status.fps:.1f} of {status.rate:g} frames/s, {status.late} late, block {figure(status.block_ms, 'ms')}, "
        f"headroom {figure(headroom, '%')}, cut to air {figure(status.cut_to_air_ms, 'ms')}, "
        f"round trip {client.rtt_ms:.1f} ms, {status.rejected} rejected"
    )
    made = Table("client", "role", "mode", "sent", "dropped", "waiting", "age", title=title)
    for one in status.viewers:
        age = figure(one.age_ms, "ms")
        made.add_row(one.client, one.role, one.mode, str(one.sent), str(one.dropped), str(one.waiting), age)
    return made


def keygen(folder: Path, name: str) -> None:
    """Write a key pair and say what to do with it."""
    from ..bridge.auth import generate_keys

    public, secret = generate_keys(folder, name)
    typer.echo(f"public key {public}: hand it to the other side")
    typer.echo(f"secret key {secret}: keep it here")
