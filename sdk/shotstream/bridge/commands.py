"""Requests of clients as commands of a film."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..film import Film
from ..receipts import Receipt
from .desk import Task, Tasks
from .messages import (
    CancelRequest,
    ClearRequest,
    CutRequest,
    HoldRequest,
    PinRequest,
    PrepareRequest,
    PromptRequest,
    Request,
    ResumeRequest,
    Role,
    TakeRequest,
    UnpinRequest,
    WorldRequest,
)
from .sessions import Session

Command = Callable[[Film, Any], Receipt | None]


def _cut(film: Film, request: CutRequest) -> Receipt:
    return film.cut(request.text, when=request.when, frames=request.frames, seed=request.seed)


def _pin(film: Film, request: PinRequest) -> None:
    film.pin(request.shot, request.frame)


_COMMANDS: dict[type[Request], tuple[Role, Command]] = {
    CutRequest: ("director", _cut),
    PromptRequest: ("director", lambda film, request: film.prompt(request.text)),
    WorldRequest: ("director", lambda film, request: film.world(request.text)),
    ClearRequest: ("director", lambda film, request: film.clear()),
    PinRequest: ("director", _pin),
    PrepareRequest: ("director", lambda film, ask: film.prepare(ask.text, ask.frames, seed=ask.seed)),
    TakeRequest: ("director", lambda film, request: film.take(request.cmd)),
    CancelRequest: ("director", lambda film, request: film.cancel(request.cmd)),
    UnpinRequest: ("director", lambda film, request: film.unpin(request.shot, request.frame)),
    HoldRequest: ("operator", lambda film, request: film.hold()),
    ResumeRequest: ("operator", lambda film, request: film.resume()),
}


def film_tasks(film: Film) -> Tasks:
    """The requests that a film answers by itself. They raise what the film raises."""

    def bound(command: Command) -> Callable[[Session, Any], Receipt | None]:
        return lambda session, request: command(film, request)

    return {kind: Task(role, bound(command)) for kind, (role, command) in _COMMANDS.items()}
