"""``shotstream bench``: figures of one bundle on this machine, with everything needed to judge them.

Three parts on one film: warm-up (not counted), throughput over shots of five seconds that follow each other, and the
latency of live cuts. Frames are taken as fast as they are made.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from typing import Any

from ..doctor import cpu_model, num_cores
from ..film import Film, open
from ..recording import peak_rss_mb, percentiles, rounded, versions
from ..story.limits import DEFAULT_SHOT_FRAMES
from ..story.shot import When

WARM_UP_BLOCKS = 4
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
"""Variables that change CPU figures. Beside other busy processes OMP_WAIT_POLICY=passive can matter several times
over."""
PROMPTS = (
    "wide shot: a red fox walks through a snowy forest",
    "medium shot: a blue robot dances in the city at night",
    "close-up: a white rabbit looks up on the beach at sunset",
    "medium shot: a green frog jumps in a meadow in the rain",
)


def bench(*, bundle: str, seed: int, device: str, num_blocks: int, num_cuts: int) -> dict[str, Any]:
    """Measure and return plain values; times in milliseconds."""
    began = time.perf_counter()
    with open(bundle, seed=seed, device=device) as film:
        opened_s = time.perf_counter() - began
        film.cut(PROMPTS[0])
        _take_blocks(film, WARM_UP_BLOCKS)
        cold_first_frame_ms = film.stats().first_frame_ms
        throughput = _throughput(film, num_blocks)
        latency = {
            "cut_to_frame_ms": _cut_latency(film, num_cuts, "block"),
            "cut_now_to_frame_ms": _cut_latency(film, num_cuts, "now"),
        }
        return {
            "bundle": film.bundle,
            "device": film.device,
            "dtype": film.dtype,
            "size": f"{film.spec.width_px}x{film.spec.height_px}",
            "film_fps": film.spec.fps,
            **throughput,
            "first_frame_ms": rounded(cold_first_frame_ms),
            **latency,
            "open_s": rounded(opened_s),
            "rss_mb": rounded(peak_rss_mb()),
            "warm_up": f"{WARM_UP_BLOCKS} blocks, not counted in fps and block_ms; first_frame_ms is the cold one",
            "seed": seed,
            "machine": machine(),
            "versions": versions(),
        }


def machine() -> dict[str, Any]:
    """What a figure needs to be judged."""
    return {
        "cpu": cpu_model(),
        "cores": num_cores(),
        "threads": _torch_threads(),
        "environment": " ".join(f"{name}={os.environ[name]}" for name in THREAD_SETTINGS if name in os.environ),
        "load_1min": rounded(os.getloadavg()[0]) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
    }


def _take_blocks(film: Film, count: int) -> None:
    """Take frames until ``count`` more blocks have been delivered whole."""
    seen: set[tuple[int, int]] = set()
    for frame in film.frames():
        seen.add((frame.shot, frame.block))
        if len(seen) > count:
            return


def _throughput(film: Film, num_blocks: int) -> dict[str, Any]:
    """Frames a second from one delivered block to another, cuts included."""
    per_shot = film.spec.blocks_for_frames(DEFAULT_SHOT_FRAMES)
    film.cut(PROMPTS[1], frames=DEFAULT_SHOT_FRAMES)
    for shot in range(-(-num_blocks // per_shot) + 1):
        film.cut(PROMPTS[shot % len(PROMPTS)], when="shot_end", frames=DEFAULT_SHOT_FRAMES)
    frames = film.frames()
    for frame in frames:
        if frame.is_cut:
            break
    before = film.stats().blocks_made
    began, count, blocks = time.perf_counter(), 0, 0
    last = (frame.shot, frame.block)
    shots = {frame.shot}
    for frame in frames:
        count += 1
        shots.add(frame.shot)
        if (frame.shot, frame.block) != last:
            last, blocks = (frame.shot, frame.block), blocks + 1
            if blocks >= num_blocks:
                break
    elapsed_s = time.perf_counter() - began
    film.clear()
    times = list(film.stats().blocks)[-(film.stats().blocks_made - before) :]
    block_ms = sorted(block.block_ms for block in times)
    busy = sum(block_ms) or 1.0
    quarter = len(block_ms) // 4
    return {
        "fps": rounded(count / elapsed_s),
        "frames": count,
        "blocks": blocks,
        "shots": len(shots),
        "elapsed_s": rounded(elapsed_s),
        "block_ms": {
            **percentiles(block_ms),
            "min": rounded(block_ms[0]),
            "max": rounded(block_ms[-1]),
            "iqr": rounded(block_ms[-1 - quarter] - block_ms[quarter]),
            "stdev": rounded(statistics.pstdev(block_ms)),
        },
        "denoise_share": rounded(sum(block.denoise_ms for block in times) / busy),
        "decode_share": rounded(sum(block.decode_ms for block in times) / busy),
        "context_share": rounded(sum(block.context_ms for block in times) / busy),
    }


def _cut_latency(film: Film, num_cuts: int, when: When) -> dict[str, float | None]:
    """Command to delivery of its first frame, for cuts that come while a block is in work."""
    latencies = []
    for number in range(num_cuts):
        receipt = film.cut(PROMPTS[number % len(PROMPTS)], when=when)
        for _ in film.frames():
            if receipt.final:
                break
        if receipt.latency_ms is not None:
            latencies.append(receipt.latency_ms)
        # Move on to different places within a block, so that the next cut does not always meet the same moment.
        for _ in film.frames(count=film.spec.frames_of_block(1) + number % film.spec.frames_of_block(1)):
            pass
    return percentiles(latencies)


def _torch_threads() -> int | None:
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())
