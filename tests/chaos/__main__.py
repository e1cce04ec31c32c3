"""``python -m tests.chaos``: the long run, with its figures as JSON."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

from tests.chaos.run import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shotstream-chaos-") as folder:
        os.environ["SHOTSTREAM_RUNTIME"] = str(Path(folder) / "runtime")
        figures = json.dumps(run(Path(folder), kills=options.kills, seed=options.seed), indent=2)
    print(figures)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(figures + "\n")


if __name__ == "__main__":
    main()
