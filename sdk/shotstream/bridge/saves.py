"""Checkpoints for the clients of a server: keep, go back, branch off, undo, and a game's own save-files.

Whatever waits for the film is done by the worker, one request after the other, and so never between two words of the
narrator. The chunks of save-files are handled in the bridge thread: they come out of memory or out of a file.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..errors import ClosedError, ScriptError
from ..film import Film
from ..frames import Frame
from ..story.checkpoint import unpack
from ..story.narrator import Narrator
from ..story.narrator_state import check_state
from . import auth
from .desk import Answer, Subjects, Task, Tasks
from .faults import Busy, Denied
from .messages import (
    MAX_CHUNK_BYTES,
    BranchRequest,
    CheckpointInfo,
    CheckpointRequest,
    Chunk,
    DownloadRequest,
    Event,
    ForgetRequest,
    RestoreRequest,
    Saved,
    UndoRequest,
    UploadRequest,
)
from .seal import SavedFilm, machine_key, seal, unseal
from .sessions import Clients, Session, Upload
from .store import Store
from .worker import Worker, in_turn

MAX_STARTS = 16
MAX_STARTS_BYTES = 256 * 1024 * 1024
MAX_UPLOADS_BYTES = 128 * 1024 * 1024
"""Of all clients together."""


@dataclass(kw_only=True)
class _Start:
    """The film before a shot; ``story`` comes a little later, when the worker gets to it."""

    shot: int
    film: bytes
    story: bytes = b""


class Saves:
    """The checkpoints of ``film``.

    Args:
        worker: whose thread waits for the film.
        clients: whose uploads are counted.
        on_air: number of the shot on air, -1 before the first.
        tell: tells the clients of an event.
        narrator: whose state belongs to each checkpoint; None without a book.
        folder: where checkpoints outlive the server; None keeps them in memory.
        with_undo: keep the film as it was at the start of each of the latest shots.
        only_sealed: take no save-file of another machine, from a director neither: nobody judged its prompts.
    """

    def __init__(
        self,
        film: Film,
        *,
        worker: Worker,
        clients: Clients,
        on_air: Callable[[], int],
        tell: Callable[[Event], None],
        narrator: Narrator[Frame] | None = None,
        folder: Path | None = None,
        with_undo: bool = True,
        only_sealed: bool = False,
    ) -> None:
        self._film, self._worker, self._clients = film, worker, clients
        self._on_air, self._tell, self._narrator = on_air, tell, narrator
        self._key_lock = threading.Lock()
        self._known_key = b""
        self._store = Store(folder)
        self._parent = ""
        self._starts: deque[_Start] = deque(maxlen=MAX_STARTS)
        self._starts_lock = threading.Lock()
        self._with_undo, self._only_sealed = with_undo, only_sealed

    def start(self) -> None:
        """Look into the folder, and begin to keep the starts of shots.

        Raises:
            ConfigError: the folder or the key of the seals cannot be used.
        """
        self._store.open(self._key)
        if self._with_undo:
            self._film.watch_shots(self._on_shot_start)

    def _key(self) -> bytes:
        """Of the seals; made when the first one is."""
        with self._key_lock:
            self._known_key = self._known_key or machine_key()
            return self._known_key

    def tasks(self) -> Tasks:
        """The requests that are answered here."""
        return {
            CheckpointRequest: in_turn(Task("trigger", self._checkpoint), self._worker),
            RestoreRequest: in_turn(Task("trigger", self._restore), self._worker),
            BranchRequest: in_turn(Task("director", self._branch), self._worker),
            UndoRequest: in_turn(Task("director", self._undo), self._worker),
            ForgetRequest: in_turn(Task("trigger", self._forget), self._worker),
            DownloadRequest: Task("trigger", self._download, is_chunk=True),
            UploadRequest: Task("trigger", self._upload, is_chunk=True),
        }

    def subjects(self) -> Subjects:
        """What can be asked for."""
        return {"checkpoints": lambda session: self._infos(session)}

    # --- in the worker's thread ----------------------------------------------------------------------------------

    def _checkpoint(self, session: Session, request: CheckpointRequest) -> Saved:
        story = self._story()
        saved = _described(self._film.snapshot(), story=story, parent=self._parent)
        return self._keep(request.id, request.name, seal(saved, self._key()), saved)

    def _keep(self, request: int, name: str, data: bytes, saved: SavedFilm) -> Saved:
        info = self._store.put(name, data, saved)
        return Saved(id=request, name=name, bytes=info.bytes, frame=info.frame, shot=info.shot)

    def _restore(self, session: Session, request: RestoreRequest) -> None:
        self._go_back(request.name, seed=None)

    def _branch(self, session: Session, request: BranchRequest) -> None:
        self._go_back(request.name, seed=secrets.randbits(62) if request.seed is None else request.seed)

    def _go_back(self, name: str, *, seed: int | None) -> None:
        saved, genuine = unseal(self._store.get(name), self._key())
        if not genuine:
            raise ScriptError(f"checkpoint {name!r} was not sealed on this machine; forget it")
        self._adopt(saved.film, saved.story, seed=seed)
        self._parent = name
        with self._starts_lock:
            self._starts.clear()  # they lead back into another past
        self._tell(Event(kind="restored", name=name, shot=saved.shot))

    def _undo(self, session: Session, request: UndoRequest) -> None:
        if not self._with_undo:
            raise ScriptError("this server keeps no starts of shots; use checkpoints")
        newest = self._on_air()
        with self._starts_lock:
            known = [start for start in self._starts if start.shot <= newest]
        if len(known) < request.n:
            raise ScriptError(
                f"undo {request.n}: the starts of {len(known)} shots are kept, counted from the newest on air"
            )
        start = known[-request.n]
        self._adopt(start.film, start.story, seed=None)
        with self._starts_lock:
            while self._starts and self._starts[-1].shot > start.shot:
                self._starts.pop()
        self._tell(Event(kind="restored", shot=start.shot))

    def _adopt(self, film: bytes, story: bytes, *, seed: int | None) -> None:
        """Bring film and narrator back; when one of them cannot, neither is changed."""
        state = _decoded(story) if self._narrator is not None and story else None
        tickets = self._film.restore(film, seed=seed)
        if self._narrator is not None and state is not None:
            self._narrator.adopt(state, tickets)

    def _forget(self, session: Session, request: ForgetRequest) -> None:
        self._store.forget(request.name)

    def _finish_upload(self, request: UploadRequest, data: bytes, *, trusted: bool) -> Saved:
        saved, genuine = unseal(data, self._key())
        if not genuine and not trusted:
            who = "this server judges texts, and takes no" if self._only_sealed else "only a director may hand back a"
            raise Denied(
                f"{request.name!r} was not sealed on this machine, or was changed since; {who} save-file of another "
                "machine"
            )
        self._film.check_snapshot(saved.film)
        described = _described(saved.film, story=saved.story, parent=saved.parent)
        if saved.story:
            check_state(_decoded(saved.story))
        if not genuine or described != saved:
            data = seal(described, self._key())
        return self._keep(request.id, request.name, data, described)

    # --- in the bridge thread ------------------------------------------------------------------------------------

    def _infos(self, session: Session) -> tuple[CheckpointInfo, ...]:
        return self._store.infos() if auth.allows(session.role, "trigger") else ()

    def _download(self, session: Session, request: DownloadRequest) -> Chunk:
        total = self._store.info(request.name).bytes
        if request.offset >= total:
            raise ScriptError(f"offset={request.offset} is beyond the {total} bytes of {request.name!r}")
        data = self._store.read(request.name, request.offset, MAX_CHUNK_BYTES)
        return Chunk(id=request.id, offset=request.offset, total=total, data=data)

    def _upload(self, session: Session, request: UploadRequest) -> Answer | Future[Answer]:
        upload = session.upload
        if request.offset == 0:
            upload = session.upload = self._begin_upload(session, request)
        if upload is None or (upload.name, upload.total) != (request.name, request.total):
            raise ScriptError(
                f"no upload of {request.name!r} with {request.total} bytes is under way; begin at offset 0"
            )
        if request.offset != len(upload.data) or request.offset + len(request.data) > request.total:
            session.upload = None
            raise ScriptError(
                f"{len(request.data)} bytes at offset {request.offset} do not follow the {len(upload.data)} of "
                f"{request.total} that came; begin again at offset 0"
            )
        upload.data += request.data
        if len(upload.data) < request.total:
            return None
        session.upload = None
        data, trusted = bytes(upload.data), auth.allows(session.role, "director") and not self._only_sealed
        return self._worker.do(lambda: self._finish_upload(request, data, trusted=trusted))

    def _begin_upload(self, session: Session, request: UploadRequest) -> Upload:
        others = sum(one.upload.total for one in self._clients if one.upload is not None and one is not session)
        if others + request.total > MAX_UPLOADS_BYTES:
            raise Busy("too many save-files are on their way to the server; try again soon", retry_ms=1000)
        return Upload(name=request.name, total=request.total)

    # --- in the film's thread ------------------------------------------------------------------------------------

    def _on_shot_start(self, shot: int, film: bytes) -> None:
        start = _Start(shot=shot, film=film)
        with self._starts_lock:
            while self._starts and self._starts[-1].shot >= shot:
                self._starts.pop()
            self._starts.append(start)
            while sum(len(one.film) for one in self._starts) > MAX_STARTS_BYTES:
                self._starts.popleft()
        if self._narrator is not None:
            with contextlib.suppress(Busy, ClosedError):
                self._worker.do(lambda: self._note(start))

    def _note(self, start: _Start) -> None:
        start.story = self._story()

    def _story(self) -> bytes:
        return msgspec.json.encode(self._narrator.state()) if self._narrator is not None else b""


def _described(film: bytes, *, story: bytes, parent: str) -> SavedFilm:
    """A snapshot with what is told of it, read from the snapshot itself."""
    state = unpack(film)
    shot = state.frames[0].shot if state.frames else state.plan.running.number if state.plan.running else -1
    return SavedFilm(film=film, story=story, parent=parent, frame=state.next_index, shot=shot)


def _decoded(story: bytes) -> object:
    try:
        return msgspec.json.decode(story)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ScriptError(f"the narrator's state in the checkpoint cannot be read ({error})") from None
