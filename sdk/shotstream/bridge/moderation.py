"""Hooks that judge texts before they become prompts, and pictures before they go out. No classifier is included.

    def judge(text, where):
        return None if mentions_something(text) else text

    Server(film, moderation=Moderation(text=judge, frame=picture_is_fine, every=12))

A hook runs in a thread of its own and has a deadline, so the worst it can do is to refuse everything.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import queue
import re
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from ..errors import ConfigError, ScriptError
from ..frames import Frame
from ..story.variables import plain_text, shorten
from .desk import Task
from .messages import Event, Request
from .sessions import Session

log = logging.getLogger("shotstream.moderation")

TextHook = Callable[[str, str], "str | None"]
"""``(text, where)`` to the text to use, changed or not, or None to refuse it. ``where`` is the name of a beat, or
"cut", "prompt", "world", "prepare" or "style"."""
FrameHook = Callable[[Frame], bool]
"""Whether a frame may be shown."""

MAX_DENY_BYTES = 1024 * 1024
_WORD = re.compile(r"\w+")

A = TypeVar("A")


@dataclass(frozen=True, kw_only=True)
class Moderation:
    """What is judged, and how.

    Attributes:
        text: asked about every text before the film gets it; a text without an answer is refused.
        frame: asked about the first frame of every shot, and every ``every``-th; the frames up to the next one share
            its verdict. A refused picture is replaced by the last good one.
        every: 1 asks about each frame.
        deadline_s: for one answer. The film waits for that of ``frame``, so a slow hook makes frames late.
        without_verdict: what becomes of pictures when ``frame`` fails or is late: "refuse" or "show".
    """

    text: TextHook | None = None
    frame: FrameHook | None = None
    every: int = 12
    deadline_s: float = 1.0
    without_verdict: Literal["refuse", "show"] = "refuse"

    def __post_init__(self) -> None:
        if not 1 <= self.every <= 10_000:
            raise ConfigError(f"every={self.every} is outside 1..10000; use 12 for every twelfth frame")
        if not 0 < self.deadline_s <= 60:
            raise ConfigError(f"deadline_s={self.deadline_s} is outside 0..60; use 1.0")
        if self.without_verdict not in ("refuse", "show"):
            raise ConfigError(f"without_verdict={self.without_verdict!r} is unknown; use 'refuse' or 'show'")


class NoVerdict(Exception):
    """A hook failed, was late, or is still busy with something earlier."""


class Hook(Generic[A]):
    """Calls ``function`` in a daemon thread, which may hang for ever without harm to anybody else."""

    def __init__(self, function: Callable[..., A], *, name: str, deadline_s: float) -> None:
        self._function, self._deadline_s = function, deadline_s
        self._asked: queue.SimpleQueue[tuple[tuple[Any, ...], Future[A]] | None] = queue.SimpleQueue()
        self._running: Future[A] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self, *args: object) -> A:
        """The function's answer. For one thread at a time.

        Raises:
            NoVerdict: it raised something, or there is no answer within the deadline.
        """
        if self._running is not None and not self._running.done():
            raise NoVerdict("it is still busy with an earlier question")
        self._running = future = Future[A]()
        self._asked.put((args, future))
        try:
            return future.result(self._deadline_s)
        except FutureTimeout:
            raise NoVerdict(f"no answer within {self._deadline_s:g} s") from None

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        self._asked.put(None)

    def _run(self) -> None:
        while (question := self._asked.get()) is not None:
            args, future = question
            try:
                answer = self._function(*args)
            except Exception as error:
                log.exception("a hook failed")
                future.set_exception(NoVerdict(f"{type(error).__name__}: {error}"))
            else:
                future.set_result(answer)


class TextGate:
    """Every text that comes over the wire passes here: cleaned, then judged.

    Args:
        tell: told of refusals.
    """

    def __init__(self, moderation: Moderation, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._hook = (
            Hook(moderation.text, name="shotstream-moderate-text", deadline_s=moderation.deadline_s)
            if moderation.text is not None
            else None
        )

    @property
    def judges(self) -> bool:
        """There is a hook, which may take its time."""
        return self._hook is not None

    def judge(self, text: str, where: str) -> str:
        """The text to use.

        Raises:
            ScriptError: it is refused, or there is no verdict.
        """
        text = plain_text(text, where)
        if self._hook is None:
            return text
        try:
            answer = self._hook.ask(text, where)
        except NoVerdict as error:
            self._refuse(where, text, f"the moderator gave no verdict ({error})")
        if answer is None:
            self._refuse(where, text, "the moderator refused it")
        return plain_text(answer, f"the moderator's text for {where}")

    def _refuse(self, where: str, text: str, why: str) -> None:
        log.warning("%s: %s: %s", where, why, shorten(text))
        self._tell(Event(kind="moderation", name=where, text=why))
        raise ScriptError(f"{where}: {shorten(text)} is not shown: {why}; use other words")

    def screening(self, kind: type[Request], task: Task) -> Task:
        """The same task, for texts that passed."""

        def do(session: Session, request: Any) -> Any:
            if request.text.strip():  # what an empty one means is the film's business
                request = msgspec.structs.replace(request, text=self.judge(request.text, where))
            return task.do(session, request)

        where = str(kind.__struct_config__.tag)
        return dataclasses.replace(task, do=do)

    def close(self) -> None:
        if self._hook is not None:
            self._hook.close()


class StandIn(Frame):
    """A frame whose picture was refused; it holds an earlier one."""


class FrameGate:
    """Frames pass here on their way to the clients; for the programme's thread."""

    def __init__(self, moderation: Moderation) -> None:
        assert moderation.frame is not None
        self._hook = Hook(moderation.frame, name="shotstream-moderate-frame", deadline_s=moderation.deadline_s)
        self._every, self._shows_anyway = moderation.every, moderation.without_verdict == "show"
        self._left = 0
        self._passes = True
        self._good: Any = None

    def look(self, frame: Frame) -> Frame:
        """The frame, or a ``StandIn``."""
        import numpy as np

        if frame.is_cut or self._left == 0:
            self._left = self._every
            self._passes = self._verdict(frame)
        self._left -= 1
        if self._passes:
            self._good = frame.image
            return frame
        picture = np.full_like(frame.image, 128) if self._good is None else self._good
        fields = {field.name: getattr(frame, field.name) for field in dataclasses.fields(frame)}
        return StandIn(**{**fields, "image": picture})

    def _verdict(self, frame: Frame) -> bool:
        try:
            passes = bool(self._hook.ask(frame))
        except NoVerdict as error:
            log.warning("frame %d: no verdict (%s)", frame.index, error)
            return self._shows_anyway
        if not passes:
            log.warning("frame %d, shot %d was refused", frame.index, frame.shot)
        return passes

    def close(self) -> None:
        self._hook.close()


# --- what a command line can name --------------------------------------------------------------------------------


class DenyList:
    """The shipped text hook: refuses texts with a word or phrase of a list. It knows spellings, not meanings.

    Whole words are compared, without regard to case, accents and punctuation. Entries in scripts without capital
    letters, many of which write no spaces, are found anywhere in a text.
    """

    def __init__(self, entries: list[str]) -> None:
        folded = {_folded(entry) for entry in entries} - {""}
        self._pieces = sorted(entry for entry in folded if any(unicodedata.category(char) == "Lo" for char in entry))
        self._phrases = {tuple(_WORD.findall(entry)) for entry in folded.difference(self._pieces)} - {()}
        self._lengths = sorted({len(phrase) for phrase in self._phrases})
        if not self._pieces and not self._phrases:
            raise ConfigError("the list of denied words is empty; write one word or phrase on each line")

    def __call__(self, text: str, where: str) -> str | None:
        folded = _folded(text)
        words = _WORD.findall(folded)
        denied = any(
            tuple(words[at : at + length]) in self._phrases
            for length in self._lengths
            for at in range(len(words) - length + 1)
        )
        return None if denied or any(piece in folded for piece in self._pieces) else text

    @classmethod
    def read(cls, path: Path) -> DenyList:
        """A file with one word or phrase on each line; lines that begin with ``#`` are comments.

        Raises:
            ConfigError: it cannot be read, is over 1 MiB, or has no entry.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_DENY_BYTES + 1)
            text = data.decode("utf-8-sig")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read ({error}); name a text file in UTF-8") from None
        if len(data) > MAX_DENY_BYTES:
            raise ConfigError(f"{path}: over {MAX_DENY_BYTES} bytes; shorten the list")
        return cls([line for line in text.splitlines() if not line.lstrip().startswith("#")])


def _folded(text: str) -> str:
    """For comparisons: lower case, no accents, no invisible characters, single spaces."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = (char for char in plain if unicodedata.category(char) not in ("Mn", "Cf", "Cc"))
    return " ".join("".join(kept).split())


def load_moderation(name: str) -> Moderation:
    """The hook that ``package.module:NAME`` stands for: a ``Moderation``, or a text hook alone.

    Raises:
        ConfigError: there is no such thing, or it is something else.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigError(f"moderate={name!r}; expected package.module:NAME")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the one who starts the server, as with 'python -m'
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the module is the user's, and may fail in any way
        raise ConfigError(f"moderate={name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if isinstance(found, Moderation):
        return found
    if callable(found):
        return Moderation(text=found)
    raise ConfigError(f"moderate={name!r} is {type(found).__name__}; expected a Moderation or a function")


def with_deny_list(moderation: Moderation | None, deny: DenyList) -> Moderation:
    """The deny list first, then the hook there is."""
    before = moderation or Moderation()
    hook = before.text

    def judge(text: str, where: str) -> str | None:
        passed = deny(text, where)
        return hook(passed, where) if hook is not None and passed is not None else passed

    return dataclasses.replace(before, text=judge)
