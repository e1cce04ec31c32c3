"""``python -m tests.fuzz``: the long run, with its figures as JSON."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path

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
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "server": Fuzzer(options.seed).run(options.messages),
            "client, messages": dict(client.answers(options.seed, fewer)),
            "client, frames": dict(client.frames(options.seed, fewer)),
            "client, connection files": dict(client.connection_files(options.seed, fewer // 4, Path(folder))),
            "client, over sockets": client.lied_to(options.seed, max(2000, fewer // 20)),
        }
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
