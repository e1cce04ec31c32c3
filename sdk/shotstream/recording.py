"""A film on disk: ``film.mp4``, ``contact.png``, ``frames.jsonl`` and ``report.json``, valid whenever the recording
stops.

The video is written in fragments of one second, so what was made is playable even after a power cut; the other files
are closed by ``Recorder.close``, which also runs when the work was interrupted or failed.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from .errors import CapacityError, ConfigError
from .film import Film
from .frames import Frame, Image, VideoSpec

VIDEO, CONTACT, FRAMES, REPORT = "film.mp4", "contact.png", "frames.jsonl", "report.json"
PNG_FOLDER = "frames"
CONTACT_COLUMNS = 6
_CONTACT_ROWS = 200
_CONTACT_WIDTH_PX = 208
_GAP_PX = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

FrameFiles = Literal["none", "png"]


class Recorder:
    """Writes frames as they come.

    Args:
        out_dir: made when missing. Files of an earlier recording in it are replaced; others are left alone.
        spec: size and rate of the frames.
        frames: "png" also writes every frame, lossless, to ``frames/000000.png`` and so on.

    Raises:
        ConfigError: the folder cannot be written.
        CapacityError: the disk is full; from every method.
    """

    def __init__(self, out_dir: str | os.PathLike[str], spec: VideoSpec, *, frames: FrameFiles = "none") -> None:
        if frames not in ("none", "png"):
            raise ConfigError(f"frames={frames!r} is unknown; use 'png' or 'none'")
        self.out_dir = Path(out_dir)
        self.spec = spec
        self._png = frames == "png"
        self._started = time.perf_counter()
        self._num_frames = 0
        self._closed = False
        with self._disk():
            self.out_dir.mkdir(parents=True, exist_ok=True)
            self._remove_old()
            self._jsonl = (self.out_dir / FRAMES).open("w", encoding="utf-8", buffering=1)
            try:
                self._video = _Video(self.out_dir / VIDEO, spec)
            except BaseException:
                self._jsonl.close()
                raise
            if self._png:
                (self.out_dir / PNG_FOLDER).mkdir(exist_ok=True)
        self._contact = _ContactSheet(spec)

    @property
    def num_frames(self) -> int:
        return self._num_frames

    def add(self, frame: Frame) -> None:
        """Write one frame."""
        with self._disk():
            self._video.add(frame.image)
            self._jsonl.write(json.dumps(self._line(frame), ensure_ascii=False) + "\n")
            if self._png:
                _save_png(frame.image, self.out_dir / PNG_FOLDER / f"{frame.index:06d}.png")
        self._contact.add(frame)
        self._num_frames += 1

    def close(self, report: dict[str, Any] | None = None) -> None:
        """Finish all files. Each is tried even if another fails; the first failure is raised. A second call does
        nothing."""
        if self._closed:
            return
        self._closed = True
        steps = [self._video.close, self._jsonl.close, lambda: self._contact.save(self.out_dir / CONTACT)]
        if report is not None:
            steps.append(lambda: write_json(self.out_dir / REPORT, report))
        failure: Exception | None = None
        for step in steps:
            try:
                with self._disk():
                    step()
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception:
            if error is None:  # the first error says more than what follows from it
                raise

    def _line(self, frame: Frame) -> dict[str, Any]:
        """One row of ``frames.jsonl``; ``*_ms`` count from the start of the recording."""
        flags = [name for name, on in (("cut", frame.is_cut), ("command", bool(frame.receipts))) if on]
        block = {"block_ms": round(frame.block_ms, 3)} if frame.block_ms else {}
        return {
            "index": frame.index,
            "shot": frame.shot,
            "block": frame.block,
            "frame_in_shot": frame.frame_in_shot,
            "time_s": round(frame.time_s, 6),
            "seed": frame.seed,
            "revision": frame.revision,
            "prompt": frame.prompt,
            "flags": flags,
            "commands": list(frame.receipts),
            "generated_ms": round((frame.generated_at - self._started) * 1e3, 3),
            "recorded_ms": round((time.perf_counter() - self._started) * 1e3, 3),
            **block,
        }

    def _remove_old(self) -> None:
        for name in (VIDEO, CONTACT, FRAMES, REPORT):
            (self.out_dir / name).unlink(missing_ok=True)
        for path in (self.out_dir / PNG_FOLDER).glob("*.png"):
            if re.fullmatch(r"\d{6,}\.png", path.name):
                path.unlink()

    def _disk(self) -> contextlib.AbstractContextManager[None]:
        return disk_errors(self.out_dir)


@contextlib.contextmanager
def disk_errors(path: Path, remedy: str = "choose another folder with --out") -> Iterator[None]:
    """Turn what the disk says into errors that name the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise CapacityError(
                f"{path}: the disk is full ({error.strerror}); what was written so far is kept; "
                f"free some space or {remedy}"
            ) from error
        reason = error.strerror or error
        raise ConfigError(f"{path}: cannot be written ({reason}); {remedy}") from error


class _Video:
    """H.264 in a fragmented MP4, one fragment and one key frame a second."""

    def __init__(self, path: Path, spec: VideoSpec) -> None:
        import av

        self._av = av
        self._broken = False
        rate = Fraction(spec.fps).limit_denominator(1001)
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        self._container = av.open(str(path), "w", format="mp4", options=options)
        self._stream = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = spec.width_px, spec.height_px, "yuv420p"
        # One thread and a fast preset leave the cores to the model; crf 18 looks lossless.
        self._stream.options = {"crf": "18", "preset": "veryfast", "g": str(max(1, round(spec.fps)))}
        self._stream.codec_context.thread_count = 1

    def add(self, image: Image) -> None:
        self._encode(self._av.VideoFrame.from_ndarray(image, format="rgb24"))

    def close(self) -> None:
        try:
            # Once a write has failed nothing more is written: a muxer whose header failed crashes on the next packet.
            if not self._broken:
                self._encode(None)
        finally:
            self._container.close()

    def _encode(self, picture: Any) -> None:
        """Encode one picture, or with None what the encoder still holds, and write what comes out."""
        try:
            for packet in self._stream.encode(picture):
                self._container.mux(packet)
        except BaseException:
            self._broken = True
            raise


class _ContactSheet:
    """A row of evenly spaced small frames per shot. Keeps few frames of a shot however long it gets."""

    def __init__(self, spec: VideoSpec) -> None:
        scale = max(1, -(-spec.width_px // _CONTACT_WIDTH_PX))
        self._scale = scale
        self._size = (spec.width_px // scale, spec.height_px // scale)
        self._rows: list[list[Any]] = []
        self._shot = -1
        self._kept: list[Any] = []
        self._stride = 1
        self._seen = 0

    def add(self, frame: Frame) -> None:
        if frame.shot != self._shot or frame.is_cut:
            self._end_row()
            self._shot, self._kept, self._stride, self._seen = frame.shot, [], 1, 0
        if self._seen % self._stride == 0 and len(self._rows) < _CONTACT_ROWS:
            self._kept.append(frame.image[:: self._scale, :: self._scale].copy())
            if len(self._kept) >= 8 * CONTACT_COLUMNS:
                self._kept, self._stride = self._kept[::2], self._stride * 2
        self._seen += 1

    def _end_row(self) -> None:
        if self._kept:
            last = len(self._kept) - 1
            picks = [round(column * last / (CONTACT_COLUMNS - 1)) for column in range(CONTACT_COLUMNS)]
            self._rows.append([self._kept[pick] for pick in picks])
            self._kept = []

    def save(self, path: Path) -> None:
        import numpy as np

        self._end_row()
        width, height = self._size
        sheet = np.zeros(
            (max(1, len(self._rows)) * (height + _GAP_PX) + _GAP_PX, CONTACT_COLUMNS * (width + _GAP_PX) + _GAP_PX, 3),
            np.uint8,
        )
        for row, images in enumerate(self._rows):
            for column, image in enumerate(images):
                top, left = _GAP_PX + row * (height + _GAP_PX), _GAP_PX + column * (width + _GAP_PX)
                sheet[top : top + height, left : left + width] = image[:height, :width]
        _save_png(sheet, path)


def _save_png(image: Image, path: Path) -> None:
    from PIL import Image as Pillow

    Pillow.fromarray(image).save(path, compress_level=1)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write whole or not at all."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


# --- the report --------------------------------------------------------------------------------------------------


def film_report(film: Film, *, recorder: Recorder | None = None, stopped_by: str = "") -> dict[str, Any]:
    """What ``report.json`` says about a film so far.

    Args:
        recorder: counts the frames that were written; without it, those delivered.
        stopped_by: empty when the film ran to its end, else what cut it short.
    """
    stats = film.stats()
    seconds = (stats.last_frame_at or 0.0) - (stats.first_command_at or 0.0)
    busy = sum(block.block_ms for block in stats.blocks) or 1.0
    return {
        "bundle": film.bundle,
        "device": film.device,
        "dtype": film.dtype,
        "size": f"{film.spec.width_px}x{film.spec.height_px}",
        "shots": film.shot + 1,
        "frames": recorder.num_frames if recorder else stats.frames_delivered,
        "fps": round(stats.frames_delivered / seconds, 2) if seconds > 0 else None,
        "film_fps": film.spec.fps,
        "first_frame_ms": rounded(stats.first_frame_ms),
        "cut_to_frame_ms": percentiles(stats.cut_to_frame_ms),
        "block_ms": percentiles(block.block_ms for block in stats.blocks),
        "denoise_share": round(sum(block.denoise_ms for block in stats.blocks) / busy, 3),
        "decode_share": round(sum(block.decode_ms for block in stats.blocks) / busy, 3),
        "context_share": round(sum(block.context_ms for block in stats.blocks) / busy, 3),
        "blocks": stats.blocks_made,
        "blocks_aborted": stats.blocks_aborted,
        "rss_mb": rounded(peak_rss_mb()),
        "seed": film.seed,
        "notes": stats.notes,
        "complete": not stopped_by,
        "stopped_by": stopped_by or None,
        "versions": versions(),
    }


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    """Median and 95th percentile, in the unit of ``values``; None for both without values."""
    ordered = sorted(values)
    if not ordered:
        return {"p50": None, "p95": None}
    p95 = ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)]
    return {"p50": rounded(statistics.median(ordered)), "p95": rounded(p95)}


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def peak_rss_mb() -> float:
    """Largest memory of this process so far, in megabytes."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def versions() -> dict[str, str]:
    """Versions of what made the frames; torch only where it was used."""
    from . import __version__

    found = {"shotstream": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "av"):
        if name in sys.modules:
            found[name] = importlib.metadata.version(name)
    return found
