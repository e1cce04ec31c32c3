"""The Python client for asyncio: the same names as ``Client``, awaited.

async with aio.connect() as client:
    await client.cut("wide shot: a red fox walks through a snowy forest")
    async for frame in client.frames(count=48):
        show(frame.image)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from ..errors import ConfigError
from . import connect as connect_blocking
from .client import Client, told
from .faults import Timeout
from .incoming import COMMAND_TTL_MS, LocationWish
from .messages import (
    BeatInfo,
    BeatRequest,
    ClearRequest,
    CommandState,
    CutRequest,
    Event,
    HoldRequest,
    Message,
    Mode,
    OriginName,
    PinRequest,
    PixelFormatName,
    PromptRequest,
    QueryRequest,
    Request,
    Result,
    ResumeRequest,
    Scalar,
    Status,
    UnpinRequest,
    VarRequest,
    When,
    WorldRequest,
)
from .remote import RemoteFrame, RemoteReceipt
from .story_client import AsyncStoryCommands


@contextlib.asynccontextmanager
async def connect(endpoint: str | None = None, **options: Any) -> AsyncIterator[AsyncClient]:
    """Connect as ``shotstream.connect`` does, without blocking the loop."""
    client = await asyncio.to_thread(connect_blocking, endpoint, **options)
    try:
        yield AsyncClient(client)
    finally:
        await asyncio.to_thread(client.close)


class AsyncClient(AsyncStoryCommands):
    """A ``Client`` for one event loop; made by ``connect`` of this module."""

    def __init__(self, client: Client) -> None:
        self.sync = client
        """The client behind it, for what needs no waiting: ``stream``, ``rtt_ms``, ``connected``, ``error``."""

    async def cut(
        self,
        text: str,
        when: When = "block",
        frames: int | None = None,
        *,
        seed: int | None = None,
        ttl_ms: int = COMMAND_TTL_MS,
    ) -> RemoteReceipt:
        """Open a new shot; see ``Client.cut``."""
        return await self._command("cut", CutRequest, ttl_ms, text=text, when=when, frames=frames, seed=seed)

    async def prompt(self, text: str, *, ttl_ms: int = COMMAND_TTL_MS) -> RemoteReceipt:
        """Change the words of the shot on screen without a cut."""
        return await self._command("prompt", PromptRequest, ttl_ms, text=text)

    async def hold(self, *, ttl_ms: int = COMMAND_TTL_MS) -> RemoteReceipt:
        """Stop making frames at the next block boundary."""
        return await self._command("hold", HoldRequest, ttl_ms)

    async def resume(self, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Lift a hold."""
        await self._ask(ResumeRequest, ttl_ms)

    async def clear(self, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Drop every cut that has not begun."""
        await self._ask(ClearRequest, ttl_ms)

    async def world(self, text: str, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Set the global caption of the shots opened from now on."""
        await self._ask(WorldRequest, ttl_ms, text=text)

    async def pin(self, shot: int | None = None, frame: int | None = None, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Keep a shot, or one frame of it, in the memory of later shots."""
        await self._ask(PinRequest, ttl_ms, shot=shot, frame=frame)

    async def unpin(self, shot: int | None = None, frame: int | None = None, *, ttl_ms: int = COMMAND_TTL_MS) -> None:
        """Forget a pin; without arguments, all of them."""
        await self._ask(UnpinRequest, ttl_ms, shot=shot, frame=frame)

    async def trigger(
        self,
        beat: str,
        params: Mapping[str, Scalar] | None = None,
        /,
        *,
        ttl_ms: int = COMMAND_TTL_MS,
        **more: Scalar,
    ) -> RemoteReceipt:
        """Make a beat of the story happen; see ``Client.trigger``."""
        return await self._command("beat", BeatRequest, ttl_ms, name=beat, params={**(params or {}), **more})

    async def set(
        self, values: Mapping[str, Scalar] | None = None, /, *, ttl_ms: int = COMMAND_TTL_MS, **more: Scalar
    ) -> None:
        """Set variables of the story, all or none."""
        await self._ask(VarRequest, ttl_ms, set={**(values or {}), **more})

    async def beats(self, *, ttl_ms: int = COMMAND_TTL_MS) -> tuple[BeatInfo, ...]:
        """The beats that this client may trigger; see ``Client.beats``."""
        return told(await self._ask(QueryRequest, ttl_ms, what=("beats",)), "beats")

    async def variables(self, *, ttl_ms: int = COMMAND_TTL_MS) -> dict[str, Scalar]:
        """The variables of the story and their values."""
        return told(await self._ask(QueryRequest, ttl_ms, what=("variables",)), "variables")

    async def status(self, *, ttl_ms: int = COMMAND_TTL_MS) -> Status:
        """The server's figures."""
        answer = await self._ask(QueryRequest, ttl_ms)
        assert isinstance(answer, Result)
        assert answer.status is not None
        return answer.status

    def events(self) -> list[Event]:
        """What happened since the last call."""
        return self.sync.events()

    async def frames(
        self,
        *,
        count: int | None = None,
        mode: Mode = "latest",
        queue: int = 8,
        format: PixelFormatName = "rgb8",
        origin: OriginName = "top_left",
        location: LocationWish = "auto",
        copy: bool = True,
        timeout: float | None = None,
    ) -> AsyncIterator[RemoteFrame]:
        """Frames as they come; see ``Client.frames``."""
        if count is not None and count < 1:
            raise ConfigError(f"count={count} is below 1; leave it out for all frames")
        stream = self.sync.open_stream(
            mode=mode, queue=queue, format=format, origin=origin, location=location, copy=copy
        )
        try:
            taken = 0
            while count is None or taken < count:
                stream.release()
                if not await self._until(lambda: stream.ready, timeout):
                    raise Timeout(f"no frame within {timeout} s ({self.sync.error or 'the film has none to show'})")
                yield stream.take()
                taken += 1
        finally:
            stream.close()

    async def wait(
        self, receipt: RemoteReceipt, state: CommandState = "presented", timeout: float | None = None
    ) -> bool:
        """``RemoteReceipt.wait`` without blocking the loop."""
        await self._until(lambda: receipt.reached(state) or receipt.final or receipt.error is not None, timeout)
        return receipt.reached(state) or receipt.wait(state, 0)

    async def _until(self, condition: Callable[[], bool], timeout: float | None) -> bool:
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop may be gone by now
                loop.call_soon_threadsafe(changed.set)

        stop_listening = self.sync.listen(wake)
        end = None if timeout is None else loop.time() + timeout
        try:
            while not condition():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(changed.wait(), None if end is None else end - loop.time())
                if end is not None and loop.time() >= end:
                    return condition()
                changed.clear()
            return True
        finally:
            stop_listening()

    async def _command(self, name: str, kind: type[Request], ttl_ms: int, /, **fields: Any) -> RemoteReceipt:
        answer, finish = self.sync.start_command(name, kind, ttl_ms, **fields)
        return finish(await asyncio.wrap_future(answer))

    async def _ask(self, kind: type[Request], ttl_ms: int, **fields: Any) -> Message:
        return await asyncio.wrap_future(self.sync.start(kind, ttl_ms, **fields))
