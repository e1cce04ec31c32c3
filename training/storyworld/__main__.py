"""``python -m training.storyworld preview --out FILE.png``: look at the world."""

from __future__ import annotations

import argparse
from pathlib import Path

from .preview import contact_sheet, grid_of, random_shots, save_png, story_sheet


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.storyworld", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    preview = commands.add_parser("preview", help="write a contact sheet as PNG")
    preview.add_argument("--out", type=Path, required=True)
    preview.add_argument("--kind", choices=("sheet", "random", "story"), default="sheet")
    preview.add_argument("--seed", type=int, default=0)
    preview.add_argument("--split", choices=("train", "test"), default="train")
    preview.add_argument("--frame", type=int, default=9)
    options = parser.parse_args()
    if options.kind == "sheet":
        picture = contact_sheet(frame=options.frame)
    elif options.kind == "random":
        picture = grid_of(random_shots(options.seed, 40), 5, options.frame)
    else:
        picture = story_sheet(options.seed, options.split)
    save_png(picture, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
