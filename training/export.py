"""Writes a trained run as a bundle folder that the runtime opens."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from shotstream.bundle import describe_file, write_bundle_toml
from shotstream.model.config import WordTextConfig

from . import checkpoint
from .codec import CODEC_FILE
from .fit import STAGES
from .recipes import Recipe

LICENCE = "Apache-2.0"
CAPTION_STYLE = (
    "Short English sentences: framing, who (colour, species, hat or scarf), action, place, time of day, weather, "
    "camera; for example 'wide shot: a red fox walks through a snowy forest'. A global caption may introduce"
    " the characters."
)
DESCRIPTION = (
    "A small causal text-to-video model of a procedural picture-book world: eight species in six colours, eight "
    "places, day, dusk and night. It shows that the engine, its memory and its cuts work, on two CPU cores."
)


def half(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Float16 copies for storage; the runtime widens them."""
    return {name: value.detach().to(torch.float16).contiguous() for name, value in weights.items()}


def last_stage(run: Path) -> dict[str, Any]:
    """The checkpoint of the last DiT stage that a run has."""
    for stage in reversed(STAGES):
        if (run / f"{stage}.pt").is_file():
            return checkpoint.load(run / f"{stage}.pt")
    return checkpoint.load(run / f"{STAGES[0]}.pt")


def export_bundle(recipe: Recipe, run: Path, text: Path, out: Path, *, machine: str, note: str = "") -> None:
    """Write the bundle of a run.

    Args:
        run: folder with ``codec.pt`` and stage checkpoints; their averaged weights are taken.
        text: folder with ``text.safetensors`` (its configuration in the metadata) and ``tokenizer.json``.
        out: bundle folder; files of the same names are replaced.
        machine: what the run was made on, for the card; note: whatever else a reader of the card should know.
    """
    out.mkdir(parents=True, exist_ok=True)
    codec, student = checkpoint.load(run / CODEC_FILE), last_stage(run)
    save_file(half(student["average"]["values"]), out / "dit.safetensors")
    save_file(half(codec["weights"]), out / "vae.safetensors")
    for name in ("text.safetensors", "tokenizer.json"):
        shutil.copyfile(text / name, out / name)
    for name in ("dit.safetensors", "vae.safetensors"):
        (out / name).chmod(0o644)
    stages = {**student["earlier"], student["stage"]: student["counts"]}
    card = _card(recipe, stages, codec["training"], machine)
    if note:
        card["note"] = note
    tables = {
        "format": 1,
        "name": recipe.name,
        "licence": LICENCE,
        "description": DESCRIPTION,
        "caption_style": CAPTION_STYLE,
        "video": asdict(recipe.video),
        "dit": asdict(recipe.dit),
        "vae": {"kind": "tiny", **asdict(recipe.vae), "shift": codec["shift"], "scale": codec["scale"]},
        "text": {"kind": "word", **asdict(_text_config(text / "text.safetensors"))},
        "schedule": asdict(recipe.schedule),
        "precision": {"dtype": "float32"},
        "files": {
            role: describe_file(out, name)
            for role, name in (
                ("dit", "dit.safetensors"), ("vae", "vae.safetensors"),
                ("text", "text.safetensors"), ("tokenizer", "tokenizer.json"),
            )
        },
        "card": card,
    }  # fmt: skip
    write_bundle_toml(out, tables)
    (out / "README.md").write_text(_readme(recipe, card), encoding="utf-8")


def _text_config(path: Path) -> WordTextConfig:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return WordTextConfig(**json.loads(file.metadata()["config"]))


def _card(recipe: Recipe, stages: dict[str, Any], codec: dict[str, Any], machine: str) -> dict[str, str]:
    seconds = sum(counts["seconds"] for counts in stages.values()) + codec.get("seconds", 0.0)
    return {
        "recipe": f"python -m training {recipe.name}",
        "method": "direct training of the causal few-step student on true latents; no teacher, no distillation",
        "seed": str(recipe.seed),
        "machine": machine,
        "wall_time": f"{seconds / 60:.0f} minutes in optimizer steps",
        "codec": f"{codec.get('step', 0)} decoder steps over fixed principal components",
        **{
            f"stage_{stage}": f"{done['steps']} steps, {done['sequences']} sequences, {done['seconds'] / 60:.0f} min"
            for stage, done in stages.items()
        },
        "data": "rendered by training/storyworld; no photographs, no third-party pictures",
    }


def _readme(recipe: Recipe, card: dict[str, str]) -> str:
    rows = "\n".join(f"| {key.replace('_', ' ')} | {value} |" for key, value in card.items())
    spec = recipe.video
    return f"""# {recipe.name}

{DESCRIPTION}

{spec.width_px}x{spec.height_px} pixels, {spec.fps:g} frames a second, blocks of
{spec.block_lat * spec.time_factor} frames, licence {LICENCE}.

**How to prompt.** {CAPTION_STYLE}
Words that it does not know are reported and ignored.

**What it is not.** It knows one drawn world and nothing else. It was trained for a short time on a CPU: pictures are
soft, rare combinations, two-character shots and small things (hats, scarfs, props) may come out wrong, and over long
shots details drift. It was trained directly on true latents with its own few-step noise levels, not distilled from a
teacher.

| | |
| --- | --- |
{rows}
"""
