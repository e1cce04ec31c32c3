"""A tiny model hub on the loopback interface: listing, HEAD and GET with ranges, counters, and faults on request."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40


@dataclass
class Hub:
    """What the server serves and what it saw.

    Attributes:
        repos: folder of each ``owner/name``.
        cut: drop the connection once, after this many bytes of the named file.
        corrupt: serve this file with its last byte changed, under the right hash.
        served: bytes of body sent per file.
    """

    repos: dict[str, Path]
    cut: dict[str, int] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    served: dict[str, int] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    url: str = ""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            for repo, folder in hub.repos.items():
                if path.startswith(f"/api/models/{repo}"):
                    return self._listing(repo, folder)
                if path.startswith(f"/{repo}/resolve/"):
                    return self._file(folder, path.removeprefix(f"/{repo}/resolve/").split("/", 1)[1])
            self._answer(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})

        do_HEAD = do_GET

        def _listing(self, repo: str, folder: Path) -> None:
            siblings = []
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                data = file.read_bytes()
                lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
                siblings.append(
                    {"rfilename": file.relative_to(folder).as_posix(), "size": len(data), "blobId": "0" * 40}
                    | ({"lfs": lfs} if file.suffix in (".pt", ".pth") else {})
                )
            listing = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            self._answer(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

        def _file(self, folder: Path, name: str) -> None:
            if not (folder / name).is_file():
                return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            data = (folder / name).read_bytes()
            headers = {
                "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Repo-Commit": COMMIT,
                "Accept-Ranges": "bytes",
            }
            if name in hub.corrupt:
                data = data[:-1] + bytes([data[-1] ^ 1])
            start = 0
            if wanted := self.headers.get("Range"):
                hub.ranges.append(f"{name} {wanted}")
                start = int(wanted.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self._answer(206 if start else 200, data[start:], headers, name)

        def _answer(self, status: int, body: bytes, headers: dict[str, str], name: str = "") -> None:
            self.send_response(status)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if (limit := hub.cut.pop(name, None)) is not None:
                body = body[:limit]
                self.close_connection = True
            hub.served[name] = hub.served.get(name, 0) + len(body)
            self.wfile.write(body)

    return Handler


@contextmanager
def serve(repos: dict[str, Path]) -> Iterator[Hub]:
    """Run a hub for the time of a ``with`` block."""
    hub = Hub(repos)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
