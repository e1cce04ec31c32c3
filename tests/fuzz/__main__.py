"""``python -m tests.fuzz``: the long run, with its figures as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from tests.fuzz import client
from tests.fuzz.server import Fuzzer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="to the server")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    logging.getLogger("shotstream").setLevel(logging.ERROR)
    fewer = options.messages // 10
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, fuzz in (
            ("client, over sockets", lambda: client.lied_to(options.seed, max(2000, fewer // 20))),
            ("client, connection files", lambda: client.connection_files(options.seed, fewer // 4, Path(folder))),
            ("client, frames", lambda: client.frames(options.seed, fewer)),
            ("client, messages", lambda: client.answers(options.seed, fewer)),
            ("server", lambda: Fuzzer(options.seed).run(options.messages)),
        ):
            figures[name] = dict(fuzz())
            print(f"{name}: {json.dumps(figures[name], indent=2)}", flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
