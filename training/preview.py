"""Contact sheets of held-out prompts: truth above, samples of the current weights below."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skia
import torch
from numpy.typing import NDArray
from torch import Tensor

from shotstream.frames import VideoSpec
from shotstream.model.codec import Codec
from shotstream.model.dit import DiT
from shotstream.model.schedule import Schedule

from .conditions import RowMaker
from .data import Phrasing, as_opening, video_tensor
from .storyworld.render import render_frame
from .storyworld.world import sample_story
from .student import sample_pictures


@dataclass(frozen=True)
class OpeningPictures:
    """First frames of held-out compositions: ``truth`` uint8 ``(n, H, W, 3)`` and their text rows ``(n, T, D)``."""

    truth: NDArray[np.uint8]
    text: Tensor

    @classmethod
    def draw(cls, num: int, rows: RowMaker, spec: VideoSpec, *, seed: int) -> OpeningPictures:
        stories = [as_opening(sample_story(seed + k, "test"), 0) for k in range(num)]
        told = [Phrasing.draw(story, 0, seed) for story in stories]
        truth = [render_frame(story.shots[0], 0, spec.width_px, spec.height_px) for story in stories]
        return cls(np.stack(truth), rows([(phrasing.prompts[0], phrasing.said[0]) for phrasing in told]))

    def sample(self, model: DiT, codec: Codec, spec: VideoSpec, schedule: Schedule) -> NDArray[np.uint8]:
        """Samples in the order of the truth, uint8 ``(n, H, W, 3)``; always from the same noise."""
        latents = sample_pictures(model, spec, schedule, self.text, torch.Generator().manual_seed(0))
        with torch.no_grad():
            pictures = codec.decode(latents[:, None])[:, 0]
        return ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()

    def psnr(self, samples: NDArray[np.uint8]) -> float:
        """Mean over pictures, dB. Captions do not fix every pixel, so this stays low; it is for comparing."""
        error = (video_tensor(samples) - video_tensor(self.truth)).square().mean((1, 2, 3))
        return float((10 * torch.log10(4 / error)).mean())


def write_sheet(rows: list[NDArray[np.uint8]], path: Path) -> None:
    """Rows of pictures ``(n, H, W, 3)`` of equal n as one PNG."""
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    opaque = np.concatenate([sheet, np.full((*sheet.shape[:2], 1), 255, np.uint8)], axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    skia.Image.fromarray(np.ascontiguousarray(opaque), colorType=skia.kRGBA_8888_ColorType).save(str(path))
