"""Contact sheets of the world, for looking at."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import skia
from numpy.typing import NDArray

from .render import render_frame
from .world import (
    ACTIONS,
    CAMERAS,
    COLOURS,
    FRAMINGS,
    OUTFITS,
    PLACES,
    PROPS,
    SPECIES,
    TIMES,
    WEATHERS,
    Character,
    Shot,
    sample_story,
)


def _pick(values: tuple[str, ...], k: int) -> str:
    return values[k % len(values)]


def sheet_shots() -> list[list[Shot]]:
    """Rows of shots that together show everything there is in the world."""
    rows = []
    for framing, pair in (("medium", False), ("close", False), ("wide", False), ("medium", True)):
        for half in range(2):
            row = []
            for column in range(5):
                k = column + 5 * half + 7 * FRAMINGS.index(framing) + 3 * pair
                first = Character(_pick(SPECIES, k), _pick(COLOURS, k), _pick(OUTFITS, k // 2))
                second = Character(_pick(SPECIES, k + 3), _pick(COLOURS, k + 2), _pick(OUTFITS, k))
                place = _pick(PLACES, k + 2 * half)
                weather = "clear" if place == "moon" else _pick(WEATHERS, k // 3)
                shot = Shot(
                    place,
                    (first, second) if pair else (first,),
                    _pick(TIMES, k // 2),
                    weather,
                    framing,
                    "static",
                    _pick(ACTIONS, k),
                    _pick(PROPS, k),
                    81,
                    k,
                )
                row.append(shot)
            rows.append(row)
    return rows


def contact_sheet(width_px: int = 160, height_px: int = 96, frame: int = 9) -> NDArray[np.uint8]:
    """The sheet as one uint8 RGB picture."""
    pictures = [[render_frame(shot, frame, width_px, height_px) for shot in row] for row in sheet_shots()]
    return _grid(pictures)


def story_sheet(seed: int, split: str, columns: int = 5) -> NDArray[np.uint8]:
    """One row of frames per shot of a sampled story."""
    story = sample_story(seed, split)
    rows = []
    for shot in story.shots:
        times = np.linspace(0, shot.num_frames - 1, columns).astype(int)
        rows.append([render_frame(shot, int(t)) for t in times])
    return _grid(rows)


def grid_of(shots: list[Shot], columns: int, frame: int) -> NDArray[np.uint8]:
    """Any shots, row by row."""
    pictures = [render_frame(shot, frame) for shot in shots]
    return _grid([pictures[k : k + columns] for k in range(0, len(pictures), columns)])


def random_shots(seed: int, count: int) -> list[Shot]:
    """Shots of sampled training stories."""
    rng = random.Random(seed)
    return [rng.choice(sample_story(rng.randrange(10**6)).shots) for _ in range(count)]


def _grid(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    gap = 4
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    out = np.full((len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3), 24, np.uint8)
    for r, row in enumerate(rows):
        for c, picture in enumerate(row):
            top, left = gap + r * (height + gap), gap + c * (width + gap)
            out[top : top + height, left : left + width] = picture
    return out


def save_png(picture: NDArray[np.uint8], path: Path) -> None:
    """Write uint8 RGB as PNG."""
    rgba = np.concatenate([picture, np.full((*picture.shape[:2], 1), 255, np.uint8)], axis=2)
    skia.Image.fromarray(np.ascontiguousarray(rgba), colorType=skia.kRGBA_8888_ColorType).save(str(path), skia.kPNG)


__all__ = ["CAMERAS", "contact_sheet", "grid_of", "random_shots", "save_png", "sheet_shots", "story_sheet"]
