"""A server's frames in a window. Needs pygame, which ``pip install 'shotstream[stage]'`` brings.

The window never waits for the server: a picture stays up until the next one comes, also through an outage.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bridge.client import Client
from .bridge.messages import Message, Mode, QueryRequest, Result
from .bridge.remote import RemoteFrame
from .errors import ConfigError, DeviceError, ShotstreamError
from .play import require_pygame

_FIRST_WIDTH_PX = 640
_LOOK_EVERY_S = 0.02
_ASK_EVERY_S = 1.0
_NOTE_FOR_S = 3.0
_INK, _SHADE, _WARNING = (235, 235, 235), (0, 0, 0, 150), (255, 190, 90)
_MARGIN_PX = 8


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What was seen: ``frames`` shown, ``dropped`` ones that the server left out for this window."""

    frames: int
    dropped: int


def watch(
    client: Client, *, mode: Mode = "latest", num_frames: int | None = None, screenshot: Path | None = None
) -> Watched:
    """Show the frames of ``client``'s server until the window is closed, or ``num_frames`` were shown.

    Esc quits, H shows or hides the figures, space holds and resumes the film (with the role operator).

    Args:
        mode: of delivery; see ``Client.frames``.
        screenshot: PNG of the window as it was in the end.

    Raises:
        DeviceError: no pygame, or no display. ConfigError: the picture cannot be written.
    """
    window = _Window(client, require_pygame())
    stream = client.open_stream(mode=mode)
    changed = threading.Event()
    stop_listening = client.listen(changed.set)
    try:
        while (num_frames is None or window.num_frames < num_frames) and window.handle_events():
            if stream.ready:
                window.show(stream.take())
                stream.release()
            window.draw()
            if not stream.ready:
                changed.wait(_LOOK_EVERY_S)
                changed.clear()
        if screenshot is not None:
            window.save(screenshot)
        return Watched(frames=window.num_frames, dropped=window.num_dropped)
    finally:
        stop_listening()
        stream.close()
        window.close()


class _Window:
    """The picture, the figures over it, and the keys."""

    def __init__(self, client: Client, pygame: Any) -> None:
        self._client, self._pygame = client, pygame
        info = client.stream
        factor = max(1, _FIRST_WIDTH_PX // info.w)
        try:
            pygame.display.init()
            pygame.font.init()
            pygame.display.set_mode((info.w * factor, info.h * factor), pygame.RESIZABLE)
        except pygame.error as error:
            raise DeviceError(f"no window can be opened ({error}); record with 'shotstream demo' instead") from error
        pygame.display.set_caption(f"shotstream: {info.bundle}")
        self._font = pygame.font.Font(None, 22)
        self._picture: Any = None
        self._frame: RemoteFrame | None = None
        self._ages_ms: deque[float] = deque(maxlen=64)
        self._times: deque[float] = deque(maxlen=64)
        self._figures_shown = True
        self._dirty = True
        self._drawn: tuple[str, ...] = ()
        self._held = _Held(client)
        self._note, self._note_until = "", 0.0
        self.num_frames = self.num_dropped = 0

    def handle_events(self) -> bool:
        """Act on keys; False when the window is to close."""
        pygame = self._pygame
        for event in pygame.event.get():
            key = event.key if event.type == pygame.KEYDOWN else None
            if event.type == pygame.QUIT or key == pygame.K_ESCAPE:
                return False
            if key == pygame.K_h:
                self._figures_shown = not self._figures_shown
            elif key == pygame.K_SPACE:
                self._toggle_hold()
            self._dirty = self._dirty or event.type in (pygame.VIDEORESIZE, pygame.VIDEOEXPOSE) or key is not None
        return True

    def show(self, frame: RemoteFrame) -> None:
        """Take a frame over; it is copied."""
        self._frame = frame
        height, width = frame.image.shape[:2]
        self._picture = self._pygame.image.frombytes(frame.image.tobytes(), (width, height), "RGB")
        self.num_frames += 1
        self.num_dropped += frame.dropped
        self._ages_ms.append(frame.age_ms)
        self._times.append(time.perf_counter())
        self._dirty = True

    def draw(self) -> None:
        """Bring the window up to date, if anything changed."""
        self._held.update()
        lines = self._lines()
        if not self._dirty and lines == self._drawn:
            return
        pygame, window = self._pygame, self._pygame.display.get_surface()
        window.fill((0, 0, 0))
        if self._picture is not None:
            area = fitted(self._picture.get_size(), window.get_size())
            window.blit(pygame.transform.scale(self._picture, area[2:]), area[:2])
        self._draw_lines(window, lines)
        pygame.display.flip()
        self._dirty, self._drawn = False, lines

    def save(self, path: Path) -> None:
        """Write the window as it stands."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._pygame.image.save(self._pygame.display.get_surface(), str(path))
        except (OSError, self._pygame.error) as error:
            raise ConfigError(f"{path} cannot be written ({error}); choose another file") from error

    def close(self) -> None:
        self._pygame.display.quit()

    def _toggle_hold(self) -> None:
        if self._client.role != "operator":
            self._say(f"holding needs the role operator; this window has {self._client.role}")
            return
        self._held.toggle(self._say)

    def _say(self, text: str) -> None:
        self._note, self._note_until = text, time.perf_counter() + _NOTE_FOR_S

    def _lines(self) -> tuple[str, ...]:
        """What stands over the picture; a line with "!" is a warning."""
        lines = []
        if self._figures_shown and self._frame is not None:
            frame = self._frame
            span = self._times[-1] - self._times[0]
            fps = (len(self._times) - 1) / span if span > 0 else 0.0
            lines.append(f"{fps:.1f} frames/s   age {statistics.median(self._ages_ms):.1f} ms")
            lines.append(f"shot {frame.shot}, frame {frame.frame_in_shot}   dropped {self.num_dropped}")
        if not self._client.connected:
            lines.append(f"!no connection: {self._client.error}; trying again")
        elif self._frame is None:
            lines.append("waiting for the first frame")
        if self._held.held:
            lines.append("!on hold")
        if time.perf_counter() < self._note_until:
            lines.append(f"!{self._note}")
        return tuple(lines)

    def _draw_lines(self, window: Any, lines: tuple[str, ...]) -> None:
        if not lines:
            return
        texts = [self._font.render(line.lstrip("!"), True, _WARNING if line[0] == "!" else _INK) for line in lines]
        height = self._font.get_linesize()
        width = max(text.get_width() for text in texts)
        size = (width + 2 * _MARGIN_PX, height * len(texts) + _MARGIN_PX)
        shade = self._pygame.Surface(size, self._pygame.SRCALPHA)
        shade.fill(_SHADE)
        window.blit(shade, (_MARGIN_PX, _MARGIN_PX))
        for number, text in enumerate(texts):
            window.blit(text, (2 * _MARGIN_PX, round(1.5 * _MARGIN_PX) + number * height))


class _Held:
    """Whether the film is on hold, asked once a second; and the way to change it. Never waits for the server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked_at = 0.0
        self._answer: Future[Message] | None = None
        self.held = False

    def update(self) -> None:
        if self._answer is not None and self._answer.done():
            if self._answer.exception() is None:
                result = self._answer.result()
                if isinstance(result, Result) and result.status is not None:
                    self.held = result.status.held
            self._answer = None
        now = time.perf_counter()
        if self._answer is None and self._client.connected and now - self._asked_at > _ASK_EVERY_S:
            self._asked_at = now
            self._answer = self._client.start(QueryRequest, 2000)

    def toggle(self, complain: Callable[[str], None]) -> None:
        """Hold the film, or let it go on; ``complain`` is told what the server has against it."""

        def change() -> None:
            try:
                if self.held:
                    self._client.resume()
                else:
                    self._client.hold()
                self._asked_at = 0.0
            except ShotstreamError as error:
                complain(str(error))

        threading.Thread(target=change, name="shotstream-hold", daemon=True).start()


def fitted(picture: tuple[int, int], window: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where a picture goes in a window so that its shape stays: (left, top, width, height) in pixels."""
    scale = min(window[0] / picture[0], window[1] / picture[1])
    width, height = max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))
    return (window[0] - width) // 2, (window[1] - height) // 2, width, height
