"""What a client can do with the story itself: shots made ahead, checkpoints, a game's own save-files.

The two classes have the same names, one for threads and one for asyncio.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Any, TypeVar

import msgspec

from ..errors import ScriptError
from .faults import RateLimited
from .messages import (
    MAX_CHUNK_BYTES,
    MAX_SAVE_BYTES,
    BranchRequest,
    CancelRequest,
    CheckpointInfo,
    CheckpointRequest,
    Chunk,
    DownloadRequest,
    ForgetRequest,
    Message,
    PrepareRequest,
    QueryRequest,
    Request,
    RestoreRequest,
    Result,
    Saved,
    Slug,
    TakeRequest,
    UndoRequest,
    UploadRequest,
)
from .remote import RemoteReceipt

STORY_TTL_MS = 10_000
"""A checkpoint waits for the block in work."""
GO_BACK_TTL_MS = 60_000
"""Going back makes the keys of the open shot anew, which takes seconds on a slow machine."""

M = TypeVar("M", bound=Message)


def expect(answer: Message, kind: type[M]) -> M:
    """The answer, which is of that kind."""
    assert isinstance(answer, kind), f"the server answered with {type(answer).__name__}"
    return answer


class StoryCommands(ABC):
    """The part of ``Client`` that deals with the story."""

    @abstractmethod
    def _command(self, name: str, kind: type[Request], ttl_ms: int, /, **fields: object) -> RemoteReceipt:
        """A request that a receipt follows."""

    @abstractmethod
    def _ask(self, kind: type[Request], ttl_ms: int, **fields: object) -> Message:
        """The answer to a request."""

    def prepare(
        self, text: str, frames: int | None = None, *, seed: int | None = None, ttl_ms: int = STORY_TTL_MS
    ) -> RemoteReceipt:
        """Make the first block of a shot off air; it is ready when the receipt says "generated". See ``Film.prepare``.
        Needs the role director."""
        return self._command("prepare", PrepareRequest, ttl_ms, text=text, frames=frames, seed=seed)

    def take(self, prepared: RemoteReceipt | int, *, ttl_ms: int = STORY_TTL_MS) -> RemoteReceipt:
        """Put a prepared shot on air with the next frame. See ``Film.take``. Needs the role director."""
        return self._command("take", TakeRequest, ttl_ms, cmd=_number(prepared))

    def cancel(self, prepared: RemoteReceipt | int | None = None, *, ttl_ms: int = STORY_TTL_MS) -> None:
        """Throw a prepared shot away; None for all. Needs the role director."""
        self._ask(CancelRequest, ttl_ms, cmd=None if prepared is None else _number(prepared))

    def checkpoint(self, name: str, *, ttl_ms: int = STORY_TTL_MS) -> Saved:
        """Keep film and story as they stand under a name of letters, digits, ``_`` and ``-``, in place of what had
        it before. Needs the role trigger.

        Raises:
            ScriptError: too many checkpoints, or too large ones; forget one.
        """
        return expect(self._ask(CheckpointRequest, ttl_ms, name=_checked(name)), Saved)

    def restore(self, name: str, *, ttl_ms: int = GO_BACK_TTL_MS) -> None:
        """Go back to a checkpoint and make the same frames again. Needs the role trigger."""
        self._ask(RestoreRequest, ttl_ms, name=_checked(name))

    def branch(self, name: str, *, seed: int | None = None, ttl_ms: int = GO_BACK_TTL_MS) -> None:
        """Go back to a checkpoint and on from there with other noise; None draws a seed. Needs the role director."""
        self._ask(BranchRequest, ttl_ms, name=_checked(name), seed=seed)

    def undo(self, n: int = 1, *, ttl_ms: int = GO_BACK_TTL_MS) -> None:
        """Go back to where the ``n``-th newest shot on air began, 1..16. Needs the role director."""
        self._ask(UndoRequest, ttl_ms, n=n)

    def forget(self, name: str, *, ttl_ms: int = STORY_TTL_MS) -> None:
        """Drop a checkpoint. Needs the role trigger."""
        self._ask(ForgetRequest, ttl_ms, name=_checked(name))

    def checkpoints(self, *, ttl_ms: int = STORY_TTL_MS) -> tuple[CheckpointInfo, ...]:
        """What is kept, oldest first. Needs the role trigger."""
        return expect(self._ask(QueryRequest, ttl_ms, what=("checkpoints",)), Result).checkpoints or ()

    def download(self, name: str, *, ttl_ms: int = STORY_TTL_MS) -> bytes:
        """The bytes of a checkpoint, for a game's own save-file. Needs the role trigger."""
        data = bytearray()
        while True:
            chunk = expect(self._patiently(DownloadRequest, ttl_ms, name=_checked(name), offset=len(data)), Chunk)
            data += _joined(data, chunk)
            if len(data) == chunk.total:
                return bytes(data)

    def upload(self, name: str, data: bytes, *, ttl_ms: int = STORY_TTL_MS) -> Saved:
        """Hand back what ``download`` gave, as checkpoint ``name``; ``restore`` goes on from it. Needs the role
        trigger for what this machine made, else director.

        Raises:
            ScriptError: it is no save-file of this film, or it is damaged. Denied: another machine made it.
        """
        for offset, part in upload_parts(data):
            fields: dict[str, Any] = {"name": _checked(name), "total": len(data), "offset": offset, "data": part}
            answer = self._patiently(UploadRequest, ttl_ms, **fields)
        return expect(answer, Saved)

    def _patiently(self, kind: type[Request], ttl_ms: int, /, **fields: object) -> Message:
        while True:
            try:
                return self._ask(kind, ttl_ms, **fields)
            except RateLimited as error:
                time.sleep(error.retry_ms / 1e3)


class AsyncStoryCommands(ABC):
    """The part of ``AsyncClient`` that deals with the story; see ``StoryCommands``."""

    @abstractmethod
    async def _command(self, name: str, kind: type[Request], ttl_ms: int, /, **fields: Any) -> RemoteReceipt:
        """A request that a receipt follows."""

    @abstractmethod
    async def _ask(self, kind: type[Request], ttl_ms: int, **fields: Any) -> Message:
        """The answer to a request."""

    async def prepare(
        self, text: str, frames: int | None = None, *, seed: int | None = None, ttl_ms: int = STORY_TTL_MS
    ) -> RemoteReceipt:
        """Make the first block of a shot off air."""
        return await self._command("prepare", PrepareRequest, ttl_ms, text=text, frames=frames, seed=seed)

    async def take(self, prepared: RemoteReceipt | int, *, ttl_ms: int = STORY_TTL_MS) -> RemoteReceipt:
        """Put a prepared shot on air with the next frame."""
        return await self._command("take", TakeRequest, ttl_ms, cmd=_number(prepared))

    async def cancel(self, prepared: RemoteReceipt | int | None = None, *, ttl_ms: int = STORY_TTL_MS) -> None:
        """Throw a prepared shot away; None for all."""
        await self._ask(CancelRequest, ttl_ms, cmd=None if prepared is None else _number(prepared))

    async def checkpoint(self, name: str, *, ttl_ms: int = STORY_TTL_MS) -> Saved:
        """Keep film and story as they stand under a name."""
        return expect(await self._ask(CheckpointRequest, ttl_ms, name=_checked(name)), Saved)

    async def restore(self, name: str, *, ttl_ms: int = GO_BACK_TTL_MS) -> None:
        """Go back to a checkpoint."""
        await self._ask(RestoreRequest, ttl_ms, name=_checked(name))

    async def branch(self, name: str, *, seed: int | None = None, ttl_ms: int = GO_BACK_TTL_MS) -> None:
        """Go back to a checkpoint and on from there with other noise."""
        await self._ask(BranchRequest, ttl_ms, name=_checked(name), seed=seed)

    async def undo(self, n: int = 1, *, ttl_ms: int = GO_BACK_TTL_MS) -> None:
        """Go back to where the ``n``-th newest shot on air began."""
        await self._ask(UndoRequest, ttl_ms, n=n)

    async def forget(self, name: str, *, ttl_ms: int = STORY_TTL_MS) -> None:
        """Drop a checkpoint."""
        await self._ask(ForgetRequest, ttl_ms, name=_checked(name))

    async def checkpoints(self, *, ttl_ms: int = STORY_TTL_MS) -> tuple[CheckpointInfo, ...]:
        """What is kept, oldest first."""
        return expect(await self._ask(QueryRequest, ttl_ms, what=("checkpoints",)), Result).checkpoints or ()

    async def download(self, name: str, *, ttl_ms: int = STORY_TTL_MS) -> bytes:
        """The bytes of a checkpoint."""
        data = bytearray()
        while True:
            chunk = expect(await self._patiently(DownloadRequest, ttl_ms, name=_checked(name), offset=len(data)), Chunk)
            data += _joined(data, chunk)
            if len(data) == chunk.total:
                return bytes(data)

    async def upload(self, name: str, data: bytes, *, ttl_ms: int = STORY_TTL_MS) -> Saved:
        """Hand back what ``download`` gave."""
        for offset, part in upload_parts(data):
            fields: dict[str, Any] = {"name": _checked(name), "total": len(data), "offset": offset, "data": part}
            answer = await self._patiently(UploadRequest, ttl_ms, **fields)
        return expect(answer, Saved)

    async def _patiently(self, kind: type[Request], ttl_ms: int, /, **fields: object) -> Message:
        while True:
            try:
                return await self._ask(kind, ttl_ms, **fields)
            except RateLimited as error:
                await asyncio.sleep(error.retry_ms / 1e3)


def upload_parts(data: bytes) -> list[tuple[int, bytes]]:
    """(offset, bytes) of the requests that carry a save-file. Raises ScriptError when none can."""
    if not 1 <= len(data) <= MAX_SAVE_BYTES:
        raise ScriptError(f"a save-file of {len(data)} bytes; expected 1..{MAX_SAVE_BYTES}")
    return [(at, bytes(data[at : at + MAX_CHUNK_BYTES])) for at in range(0, len(data), MAX_CHUNK_BYTES)]


def _joined(data: bytearray, chunk: Chunk) -> bytes:
    if chunk.offset != len(data) or not chunk.data or len(data) + len(chunk.data) > chunk.total:
        raise ScriptError("the checkpoint was replaced while it was fetched; fetch it again")
    return chunk.data


def _checked(name: str) -> str:
    try:
        return msgspec.convert(name, Slug)
    except msgspec.ValidationError:
        raise ScriptError(f"name={name!r} is no name of a checkpoint; use 1..64 letters, digits, _ and -") from None


def _number(prepared: RemoteReceipt | int) -> int:
    return prepared if isinstance(prepared, int) else prepared.command
