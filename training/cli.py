"""``python -m training RECIPE --stage STAGE --out RUN``: run, resume or export one stage of a recipe."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from shotstream.errors import ShotstreamError
from shotstream.model.schedule import Schedule

from . import checkpoint, data, parallel
from .codec import CODEC_FILE, load_codec, train_codec
from .conditions import CodeBook, RowMaker, cached_rows, encoded_rows
from .export import export_bundle
from .fit import STAGES, Report, Sampler, StudentTrainer, fit, stage_recipe
from .preview import OpeningPictures, write_sheet
from .recipes import RECIPES, Recipe, recipe_by_name
from .refine import refine_codec

DATA_OF = {"frames": ("pictures",), "clips": ("pictures", "clips"), "finish": ("pictures", "clips")}
NUM_PREVIEWS = 16


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description="Train a bundle, stage by stage.")
    parser.add_argument("recipe", help=f"one of {', '.join(RECIPES)}")
    parser.add_argument("--stage", required=True, choices=("codec", "data", *STAGES, "refine", "export"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; for export, see --bundle")
    parser.add_argument("--text", type=Path, help="folder of the trained text encoder; without it: ideal text rows")
    parser.add_argument("--bundle", type=Path, help="bundle folder that export writes")
    parser.add_argument("--note", default="", help="for the card of an exported bundle")
    parser.add_argument("--resume", action="store_true", help="go on from this stage's own checkpoint")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop, cooled down, after this long")
    parser.add_argument("--threads", type=int, default=1, help="threads of each worker")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the batches of a DiT stage")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(options.threads)
    try:
        run(recipe_by_name(options.recipe), options)
    except ShotstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(recipe: Recipe, options: argparse.Namespace) -> None:
    """Run one stage as the options say."""
    out: Path = options.out
    report = json_log(out / "log.jsonl")
    if options.stage == "codec":
        train_codec(recipe, out, minutes=options.minutes, resume=options.resume, report=report)
    elif options.stage == "data":
        for kind in ("pictures", "clips"):
            make_data(recipe, out, kind)
    elif options.stage == "refine":
        rows = row_maker(recipe, out, options.text)
        refine_codec(recipe, out, rows, minutes=options.minutes, resume=options.resume, report=report)
    elif options.stage == "export":
        if options.bundle is None or options.text is None:
            raise ShotstreamError("export needs --bundle FOLDER to write and --text FOLDER with the text encoder")
        export_bundle(recipe, out, options.text, options.bundle, machine=machine(), note=options.note)
    else:
        for kind in DATA_OF[options.stage]:
            if not data_files(out, kind):
                make_data(recipe, out, kind)
        parallel.launch(options.workers, train_stage, recipe, options)


def machine() -> str:
    """What the card calls the machine: cores and architecture."""
    return f"{os.cpu_count()} {platform.machine()} CPU cores, no GPU"


def json_log(path: Path) -> Report:
    """A report function that appends one JSON line per entry and logs it."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def report(entry: dict[str, Any]) -> None:
        line = json.dumps({**entry, "clock": time.strftime("%H:%M:%S")})
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        logging.getLogger("training").info(line)

    return report


def data_files(out: Path, kind: str) -> list[Path]:
    """Sample files of a run."""
    return sorted((out / "data").glob(f"{kind}-*.npz"))


def make_data(recipe: Recipe, out: Path, kind: str) -> None:
    """Render and encode the samples of one kind, in files of at most 1000, unless they are there already."""
    codec = load_codec(recipe, checkpoint.load(out / CODEC_FILE))
    num = stage_recipe(recipe, "frames" if kind == "pictures" else "clips").num_samples
    render = data.render_pictures if kind == "pictures" else data.render_clips
    for number, start in enumerate(range(0, num, 1000)):
        path = out / "data" / f"{kind}-{number:04d}.npz"
        if not path.is_file():
            size = min(1000, num - start)
            data.save(render(codec, recipe.video, num=size, seed=number, phrasings=recipe.phrasings), path)


def row_maker(recipe: Recipe, run: Path, text: Path | None) -> RowMaker:
    """Text rows from the trained encoder in ``text``, kept in the run's folder; or ideal ones."""
    if text is None:
        return CodeBook(recipe.dit.text_len, recipe.dit.text_dim).rows
    from .text import load

    digest = hashlib.sha256((text / "text.safetensors").read_bytes()).hexdigest()[:12]
    return cached_rows(encoded_rows(load(text)), run / "data" / f"text-{digest}.pt")


def train_stage(recipe: Recipe, options: argparse.Namespace) -> None:
    """Train ``frames``, ``clips`` or ``finish``, starting from the stage before it or from its own checkpoint."""
    out, stage = options.out, options.stage
    report = json_log(out / "log.jsonl")
    codec = load_codec(recipe, checkpoint.load(out / CODEC_FILE)).eval().requires_grad_(False)
    trainer = StudentTrainer(recipe, stage, codec.scale)
    own = out / f"{stage}.pt"
    if options.resume and own.is_file():
        trainer.load_state_dict(checkpoint.load(own))
    elif stage != STAGES[0]:
        trainer.start_from(checkpoint.load(out / f"{STAGES[STAGES.index(stage) - 1]}.pt"))
    rows = row_maker(recipe, out, options.text)
    pictures = data.load_pictures(data_files(out, "pictures"))
    clips = data.load_clips(data_files(out, "clips")) if "clips" in DATA_OF[stage] else None
    previews = OpeningPictures.draw(NUM_PREVIEWS, rows, recipe.video, seed=5000)
    preview_model = type(trainer.model)(recipe.dit)

    def preview(trainer: StudentTrainer) -> None:
        preview_model.load_state_dict(trainer.average.values)
        latest = load_codec(recipe, checkpoint.load(out / CODEC_FILE)).eval().requires_grad_(False)
        pictures = previews.sample(preview_model, latest, recipe.video, Schedule(recipe.schedule))
        half = NUM_PREVIEWS // 2
        write_sheet([previews.truth[:half], pictures[:half], previews.truth[half:], pictures[half:]],
                    out / "sheets" / f"{stage}-{trainer.progress.step:06d}.png")  # fmt: skip
        report({"stage": stage, "step": trainer.progress.step, "sheet_psnr": round(previews.psnr(pictures), 2)})

    sampler = Sampler(trainer, pictures, clips, rows)
    fit(trainer, sampler, out, minutes=options.minutes, report=report, on_save=preview)
