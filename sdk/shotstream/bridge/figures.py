"""The server's figures, as ``query`` gives them and ``monitor`` shows them."""

from __future__ import annotations

import statistics

from ..film import Film
from .clock import steady_ns
from .follower import Follower
from .messages import Status, Viewer
from .packing import Picture
from .program import Program
from .sessions import Clients, Session


def status(
    film: Film,
    *,
    program: Program[Picture],
    clients: Clients,
    follower: Follower,
    newest: int,
    rejected: int,
    began_ns: int,
) -> Status:
    """Everything at this moment. ``newest`` is the number of the latest frame on air, -1 before the first."""
    stats = film.stats()
    recent = list(stats.blocks)[-32:]
    work_ms = sum(block.block_ms for block in recent)
    film_ms = sum(block.num_frames for block in recent) / film.spec.fps * 1e3
    waits = follower.cut_to_air_ms
    return Status(
        bundle=film.bundle,
        device=film.device,
        uptime_s=round((steady_ns() - began_ns) / 1e9, 3),
        frame=newest,
        shot=film.shot,
        held=film.held,
        fps=round(program.fps(), 3),
        rate=film.spec.fps,
        late=program.late,
        viewers=tuple(_viewer(session) for session in clients),
        block_ms=round(work_ms / len(recent), 3) if recent else None,
        headroom=round(1 - work_ms / film_ms, 4) if film_ms else None,
        cut_to_air_ms=round(statistics.median(waits), 3) if waits else None,
        rejected=rejected,
    )


def _viewer(session: Session) -> Viewer:
    box = session.outbox
    return Viewer(
        client=session.client,
        role=session.role,
        mode=box.mode if box else "-",
        sent=box.sent if box else 0,
        dropped=box.dropped if box else 0,
        waiting=len(box) if box else 0,
        age_ms=round(statistics.median(session.ages_ms), 3) if session.ages_ms else None,
    )
