"""A model hub on the loopback address that speaks as much of the hub's protocol as a download takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONVERTED = "refs/convert/parquet"


@contextmanager
def serving(
    models: dict[str, Path],
    gated: set[str] = frozenset(),  # type: ignore[assignment]
    datasets: dict[str, Path] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """The hub's address and a growing list of the requests it got.

    datasets: id -> folder; ``ID@refs/convert/parquet`` is what the hub has made of one that is code.
    """
    known = datasets or {}
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = unquote(self.path.partition("?")[0])
            asked.append(f"{self.command} {path}")
            parts = path.strip("/").split("/")
            api = parts[:2] == ["api", "models"]
            name = "/".join(parts[2:4] if api else parts[:2])
            if path == "/":
                self.reply(200, b"hub", body)
            elif "datasets" in parts[:2]:
                self.dataset(parts[parts.index("datasets") + 1 :], parts[0] == "api", body)
            elif name in gated and not api:
                self.reply(403, b"{}", body, {"X-Error-Code": "GatedRepo"})
            elif name not in models:
                self.reply(404, b"{}", body, {"X-Error-Code": "RepoNotFound"})
            elif api:
                self.api(models[name], name, parts[4:], body)
            else:
                self.file(models[name] / "/".join(parts[4:]), body)

        def api(self, folder: Path, name: str, rest: list[str], body: bool) -> None:
            if rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
                self.reply(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
                return
            files = [{"rfilename": f.name, "size": f.stat().st_size} for f in sorted(folder.iterdir())]
            if rest[:1] == ["tree"]:
                listed = [{"type": "file", "path": f["rfilename"], "size": f["size"], "oid": "0"} for f in files]
                self.reply(200, json.dumps(listed).encode(), body)
                return
            self.reply(200, json.dumps({"id": name, "sha": COMMIT, "siblings": files}).encode(), body)

        def dataset(self, parts: list[str], api: bool, body: bool) -> None:
            name, revision = "/".join(parts[:2]), "/".join(parts[3:])
            if not api:
                rest = "/".join(parts[3:])
                converted = rest.startswith(f"{CONVERTED}/")
                folder = known[f"{name}@{CONVERTED}" if converted else name]
                self.file(folder / (rest.removeprefix(f"{CONVERTED}/") if converted else "/".join(parts[4:])), body)
            elif name in gated or name not in known:
                code = "GatedRepo" if name in gated else "RepoNotFound"
                self.reply(403 if name in gated else 404, b"{}", body, {"X-Error-Code": code})
            elif revision == CONVERTED and f"{name}@{CONVERTED}" in known:
                self.listed(known[f"{name}@{CONVERTED}"], name, COMMIT, body)
            elif revision not in ("", "main", COMMIT):
                self.reply(404, b"{}", body, {"X-Error-Code": "RevisionNotFound"})
            else:
                self.listed(known[name], name, COMMIT, body)

        def listed(self, folder: Path, name: str, commit: str, body: bool) -> None:
            files = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
            told = {"id": name, "sha": commit, "siblings": [{"rfilename": f} for f in files]}
            self.reply(200, json.dumps(told).encode(), body)

        def file(self, file: Path, body: bool) -> None:
            if not file.is_file():
                self.reply(404, b"", body, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            content = file.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            self.reply(200, content, body, {"ETag": etag, "X-Repo-Commit": COMMIT})

        def reply(self, status: int, content: bytes, body: bool, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
