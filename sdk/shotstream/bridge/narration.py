"""Beats on a server: a narrator, the requests of clients for it, and word of what it does.

Everything about the narrator happens in the worker's thread, so its moderator may take a moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from ..errors import ClosedError
from ..film import Film
from ..frames import Frame
from ..story.beats import BeatBook
from ..story.fired import Fired
from ..story.narrator import Moderator, Narrator
from ..story.variables import Variable
from .beat_receipt import BeatReceipt
from .desk import Subjects, Task, Tasks
from .faults import Busy
from .messages import BeatInfo, BeatRequest, Event, Param, Scalar, VarRequest
from .sessions import Session
from .worker import Worker, in_turn

log = logging.getLogger("shotstream.bridge")


class Narration:
    """Plays ``book`` on ``film`` for the clients of a server.

    Args:
        worker: whose thread everything here happens in.
        moderate: asked about every caption; None judges none.
        tell: told of every beat that enters a state.

    Raises:
        ScriptError: the book's style was refused.
    """

    def __init__(
        self,
        film: Film,
        book: BeatBook,
        *,
        worker: Worker,
        moderate: Moderator | None,
        tell: Callable[[Event], None],
    ) -> None:
        self._worker, self._tell = worker, tell
        self._looking = threading.Event()
        self.narrator: Narrator[Frame] = Narrator(book, film, moderate=moderate, on_change=self._on_change)

    def tasks(self) -> Tasks:
        """The requests that are answered here."""
        return {
            BeatRequest: in_turn(Task("trigger", self._trigger), self._worker),
            VarRequest: in_turn(Task("trigger", self._set), self._worker),
        }

    def subjects(self) -> Subjects:
        """What can be asked for."""
        return {
            "beats": lambda session: self._worker.do(lambda: self._beats(session)),
            "variables": lambda session: self._worker.do(self._variables),
        }

    def look(self) -> None:
        """Frames went out, or a shot failed: let the narrator see, soon."""
        if self._looking.is_set():
            return
        self._looking.set()
        try:
            self._worker.do(self._update)
        except (Busy, ClosedError):
            self._looking.clear()  # the next frame tries again

    def reload(self, book: BeatBook) -> Future[list[str]]:
        """Play another edition of the book; see ``Narrator.reload``."""
        return self._worker.do(lambda: self.narrator.reload(book))

    # --- in the worker's thread ----------------------------------------------------------------------------------

    def _update(self) -> None:
        self._looking.clear()
        try:
            self.narrator.update()
        except ClosedError:
            pass
        except Exception:  # a mistake of ours with one beat must not end the story for everybody
            log.exception("the narrator could not go on with a beat; the film does")

    def _trigger(self, session: Session, request: BeatRequest) -> BeatReceipt:
        return BeatReceipt(self.narrator.trigger(request.name, request.params, role=session.role))

    def _set(self, session: Session, request: VarRequest) -> None:
        self.narrator.set(request.set)

    def _beats(self, session: Session) -> tuple[BeatInfo, ...]:
        if session.role == "viewer":
            return ()  # over the bridge, triggering begins with the role trigger
        book = self.narrator.book
        return tuple(
            BeatInfo(
                name=name,
                ready=refusal is None,
                why="" if refusal is None else str(refusal),
                params={param: _param(kind) for param, kind in book.beats[name].params.items()},
            )
            for name, refusal in self.narrator.refusals(role=session.role).items()
        )

    def _variables(self) -> dict[str, Scalar]:
        return dict(self.narrator.facts)

    def _on_change(self, fired: Fired) -> None:
        text = f"{fired.state}: {fired.reason}" if fired.reason else fired.state
        self._tell(Event(kind="beat", name=fired.beat.name, text=text))


def _param(variable: Variable) -> Param:
    if variable.kind == "number":
        return Param(type="number", min=variable.lowest, max=variable.highest, default=variable.default)
    if variable.kind == "text":
        return Param(type="text", max=variable.max_chars, default=variable.default)
    return Param(type=variable.kind, values=variable.values, default=variable.default)
