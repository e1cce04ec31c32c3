"""The server: one film, many clients. Commands come in on ``ctl``, frames go out on ``frm`` against credit.

One thread owns both sockets and everything about clients; another takes frames from the film (``program``). They meet
in queues and a bell. No client can make the programme wait, except in a film on demand, which waits by design.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import zmq

from ..errors import ConfigError
from ..film import Film
from ..frames import Frame
from ..story.beats import BeatBook
from . import auth, wire
from .clock import steady_ns
from .commands import film_tasks
from .config import ServerConfig
from .desk import Desk, Tasks
from .faults import Fault
from .figures import status
from .follower import Follower
from .messages import (
    MAX_CREDIT_BYTES,
    MAX_CTL_BYTES,
    PROTO_MAX,
    Credit,
    Event,
    EventMask,
    FrameHeader,
    Message,
    Role,
    State,
    Status,
)
from .moderation import FrameGate, Moderation, StandIn, TextGate
from .narration import Narration
from .packing import Packer, Picture
from .program import Program
from .saves import Saves
from .sessions import Clients, Released
from .sockets import Sockets
from .streams import Streams
from .wake import Wake
from .worker import Worker, in_turn

__all__ = ["Server", "ServerConfig"]

log = logging.getLogger("shotstream.bridge")

WAKE_UP_NS = 100_000
"""What a thread that slept is late by, as a rule."""
SWITCH_INTERVAL_S = 0.001
"""For ``sys.setswitchinterval`` in a process that does nothing but serve: how long the engine's Python may keep frames
and requests waiting."""
_REVOKE_EVERY_NS = 2_000_000_000


class Server:
    """Serves ``film`` from ``start`` to ``close``; a ``with`` statement does both.

    Args:
        film: the server's from now on; ``close`` closes it.
        book: beats that clients may trigger.
        moderation: what is judged before it is shown.

    Raises:
        ConfigError: the configuration cannot work on this machine.
        CapacityError: a running server has the name, or the port is taken.
        ScriptError: the moderator refused the book's style.
    """

    def __init__(
        self,
        film: Film,
        config: ServerConfig | None = None,
        *,
        book: BeatBook | None = None,
        moderation: Moderation | None = None,
    ) -> None:
        self.config = config or ServerConfig()
        self.film = film
        self.epoch = secrets.randbits(63)
        self.ctl = self.frm = ""
        """Endpoints, once started."""
        self.clients = Clients()
        self._began_ns = steady_ns()
        self._released: deque[Released] = deque()
        self._num_released = self._timeline = 0
        self._shot_on_air = -1
        self._events: deque[Event] = deque()
        self._asked = self._revoke_at_ns = 0
        self._closing = threading.Event()
        self._allow = auth.AllowList(self.config.allow) if self.config.allow else None
        self._follower = Follower()
        self._wake: Wake | None = None
        self._worker = Worker()
        self._texts = TextGate(moderation or Moderation(), self.tell)
        self._pictures = FrameGate(moderation) if moderation and moderation.frame else None
        self._stands_in = False
        self._narration = narration = self._narrate(film, book) if book else None
        self._packer = Packer(film.spec.fps, epoch=self.epoch)
        self._program = Program(
            film,
            clock=self.config.clock,
            pack=self._pack,
            release=self._on_released,
            failed=self._on_failed,
            look=self._pictures.look if self._pictures else None,
        )
        self._streams = Streams(
            film, self.config, self.clients, packer=self._packer, send=self._send, send_frame=self._send_frame
        )
        self._saves = Saves(
            film,
            worker=self._worker,
            clients=self.clients,
            on_air=lambda: self._shot_on_air,
            tell=self.tell,
            narrator=narration.narrator if narration else None,
            folder=self.config.saves,
            with_undo=self.config.undo,
            only_sealed=self._texts.judges,
        )
        self._desk = Desk(
            film,
            self.config,
            epoch=self.epoch,
            clients=self.clients,
            follower=self._follower,
            tasks={
                **self._film_tasks(film),
                **self._streams.tasks(),
                **self._saves.tasks(),
                **(narration.tasks() if narration else {}),
            },
            subjects={
                "status": lambda session: self._status(),
                **self._saves.subjects(),
                **(narration.subjects() if narration else {}),
            },
            send=self._send,
            ring=self._ring,
            allow=self._allow,
        )
        self._thread = threading.Thread(target=self._run, name="shotstream-bridge", daemon=True)
        self._registration: auth.Registration | None = None
        self._sockets: Sockets | None = None

    def _narrate(self, film: Film, book: BeatBook) -> Narration:
        judge = self._texts.judge if self._texts.judges else None
        return Narration(film, book, worker=self._worker, moderate=judge, tell=self.tell)

    def _film_tasks(self, film: Film) -> Tasks:
        """Commands for the film, their texts cleaned and judged. What a moderator or the narrator may delay is done in
        the worker's thread, and then everything is, so that commands keep their order."""
        tasks = {
            kind: self._texts.screening(kind, task) if "text" in kind.__struct_fields__ else task
            for kind, task in film_tasks(film).items()
        }
        if self._narration is None and not self._texts.judges:
            return tasks
        return {kind: in_turn(task, self._worker) for kind, task in tasks.items()}

    # --- from the owner's threads --------------------------------------------------------------------------------

    @property
    def tokens(self) -> dict[Role, str]:
        """What opens each role to a client on this machine."""
        return self._desk.tokens

    def start(self) -> Server:
        """Listen, write the connection file, and run."""
        self._registration = auth.Registration(self.config.name)
        try:
            self._saves.start()
            self._packer.clean_up()
            self._listen()
        except BaseException:
            self._free()
            raise
        self._registration.publish(
            auth.ConnectionFile(
                proto=PROTO_MAX,
                pid=os.getpid(),
                epoch=self.epoch,
                ctl=self.ctl,
                frm=self.frm,
                tokens={} if self.config.keys else self.tokens,
            )
        )
        self._thread.start()
        self._program.start()
        return self

    @property
    def connection_file(self) -> Path:
        """What clients on this machine read."""
        return auth.connection_path(self.config.name)

    def close(self) -> None:
        """Tell the clients, stop both threads, close the film, remove the connection file. Safe to call twice."""
        self._closing.set()
        if self._sockets is not None:
            self._ring()
            self._thread.join(10.0)
        self._worker.close()
        self.film.close()
        self._program.close()
        self._texts.close()
        if self._pictures is not None:
            self._pictures.close()
        self._packer.close()
        self._free()

    def __enter__(self) -> Server:
        try:
            return self.start()
        except BaseException:
            self.film.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def load_beats(self, book: BeatBook) -> list[str]:
        """Play another edition of the book from now on, without a break. Returns what it has no place for any more.

        Raises:
            ConfigError: the server was started without a book. ScriptError: the moderator refused its style, and the
                old book stays.
        """
        if self._narration is None:
            raise ConfigError("this server was started without beats; start it with a book")
        return self._narration.reload(book).result()

    def tell(self, event: Event) -> None:
        """Tell the clients that asked for events of this kind; from any thread."""
        self._events.append(event)
        self._ring()

    def _ring(self) -> None:
        if self._wake is not None:
            self._wake.ring()

    def _status(self) -> Status:
        return status(
            self.film,
            program=self._program,
            clients=self.clients,
            follower=self._follower,
            newest=self._streams.newest,
            rejected=self._desk.strikes.num_rejected + (self._sockets.num_cut if self._sockets else 0),
            began_ns=self._began_ns,
        )

    # --- from the programme's thread -----------------------------------------------------------------------------

    def _pack(self, frame: Frame, due_ns: int) -> Picture:
        return self._packer.pack(frame, number=self._num_released, due_ns=due_ns)

    def _on_released(self, frame: Frame, picture: Picture, due_ns: int) -> None:
        self._timeline += frame.is_restored
        self._shot_on_air = frame.shot
        self._released.append(
            Released(frame=frame, number=self._num_released, timeline=self._timeline, due_ns=due_ns, picture=picture)
        )
        stands_in = isinstance(frame, StandIn)
        if stands_in and not self._stands_in:
            text = "a picture was refused; an earlier one stands in for it"
            self.tell(Event(kind="moderation", frame=self._num_released, shot=frame.shot, text=text))
        self._stands_in = stands_in
        self._num_released += 1
        self._ring()

    def _on_failed(self, error: Exception) -> None:
        if self._narration is not None:
            self._narration.look()
        self.tell(Event(kind="engine", text=str(error)))

    def _listen(self) -> None:
        self._wake = Wake()
        self._sockets = sockets = Sockets(self.config, self._allow)
        self.ctl = sockets.ctl.getsockopt_string(zmq.LAST_ENDPOINT)
        self.frm = sockets.frm.getsockopt_string(zmq.LAST_ENDPOINT)
        self._desk.frm_port = int(self.frm.rpartition(":")[2])

    def _free(self) -> None:
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None
        if self._wake is not None:
            self._wake.close()
            self._wake = None
        if self._registration is not None:
            self._registration.close()
            self._registration = None

    # --- the bridge thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        assert self._wake is not None and self._sockets is not None
        bell, sockets = self._wake, self._sockets
        poller = zmq.Poller()
        for readable in (sockets.ctl, sockets.frm, bell.reader):
            poller.register(readable, zmq.POLLIN)
        while not self._closing.is_set():
            ready = dict(poller.poll(self._timeout_ms()))
            if bell.reader.fileno() in ready:
                bell.clear()
            try:
                if sockets.ctl in ready:
                    sockets.drain(sockets.ctl, self._desk.on_message, max_bytes=MAX_CTL_BYTES)
                if sockets.frm in ready:
                    sockets.drain(sockets.frm, self._on_frm, max_bytes=MAX_CREDIT_BYTES)
                self._desk.settle()
                self._wait_for_due_frame()
                self._pass_on()
                self._expire()
            except Exception:  # a mistake of ours with one message must not end the show for everybody
                log.exception("the bridge could not handle something; it goes on")
        self._tell_all(Event(kind="shutdown"))

    def _timeout_ms(self) -> int:
        # Receipts change in the film's thread without a bell; while some are followed, look often.
        longest_ms = 5 if len(self._follower) else 100
        if not self._released:
            return longest_ms
        return max(0, min(longest_ms, (self._released[0].due_ns - steady_ns()) // 1_000_000))

    def _wait_for_due_frame(self) -> None:
        """Wait the last part of a millisecond before a frame is due: a poller knows whole ones only, and a thread that
        sleeps wakes up a little late."""
        if self._released:
            due_ns = self._released[0].due_ns
            wait_ns = due_ns - steady_ns()
            if 0 < wait_ns < 1_000_000:
                time.sleep(max(0, wait_ns - WAKE_UP_NS) / 1e9)
                while steady_ns() < due_ns:
                    pass

    def _send(self, peer: bytes, message: Message) -> None:
        assert self._sockets is not None
        self._sockets.send(peer, message)

    def _send_frame(self, peer: bytes, header: FrameHeader, pixels: memoryview | None) -> None:
        assert self._sockets is not None
        self._sockets.send_frame(peer, header, pixels)

    def _tell_all(self, event: Event) -> None:
        for session in self.clients:
            if session.events & EventMask[event.kind.upper()]:
                self._send(session.peer, event)

    def _on_frm(self, message: wire.Received) -> None:
        peer, strikes = message.parts[0], self._desk.strikes
        if strikes.banned(message.sender):
            return
        try:
            credit: Credit = wire.decode(wire.credits, message.parts[1:], limit_bytes=MAX_CREDIT_BYTES)
        except Fault:
            strikes.add(message.sender)
            return
        session = self.clients.by_id.get(credit.s)
        if session is None and credit.s in self.clients.ended:
            return
        if session is None or session.user != message.user:
            strikes.add(message.sender)
            return
        now_ns = session.heard_ns = steady_ns()
        if credit.rel >= 0:
            # A client cannot have shown a frame in the future, whatever its clock says.
            self._report(self._follower.presented(credit.rel, min(credit.presented, now_ns)))
        self._streams.on_credit(session, peer, credit)

    def _pass_on(self) -> None:
        """Move frames from the programme to the clients that have credit, and say what that changed."""
        while self._released and self._released[0].due_ns <= steady_ns():
            released = self._released.popleft()
            self._asked = max(0, self._asked - 1)
            self._follower.released(released)
            if released.frame.is_cut:
                self._tell_all(Event(kind="shot_start", frame=released.number, shot=released.frame.shot))
            self._streams.offer(released)
            if self._narration is not None:
                self._narration.look()
        self._streams.pump()
        while self._events:
            self._tell_all(self._events.popleft())
        self._report(self._follower.changes())
        # On demand: one more frame, if it is welcome.
        if self.config.clock == "demand" and not self._asked and self._streams.wants_a_frame:
            self._asked = 1
            self._program.ask()

    def _report(self, changes: Iterable[tuple[int, State]]) -> None:
        for session_id, state in list(changes):
            session = self.clients.by_id.get(session_id)
            if session is not None:
                self._send(session.peer, state)

    def _expire(self) -> None:
        if self._sockets is not None:
            self._sockets.check()
        if steady_ns() >= self._revoke_at_ns:
            self._revoke_at_ns = steady_ns() + _REVOKE_EVERY_NS
            self._desk.revoke()
        for session in self.clients.silent_since(steady_ns() - self.config.lease_ms * 1_000_000):
            log.info("client %r was silent for %d ms and is forgotten", session.client, self.config.lease_ms)
            self.clients.forget(session)
            if session.on_disconnect == "hold" and auth.allows(session.role, "operator"):
                self.film.hold()
