"""A model hub on the loopback address that speaks as much of the hub's protocol as an upload takes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".gguf")


@dataclass
class Uploads:
    """What the hub has got. files: repository -> path -> content. private: of each repository. tokens: seen."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def receiving(token: str) -> Iterator[Uploads]:
    """A hub that knows one token, of the user ``somebody``."""
    got = Uploads()

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self.known():
                self.reply(401, {"error": "Invalid username or password."})
            elif self.path.startswith("/api/whoami"):
                self.reply(200, {"type": "user", "name": "somebody", "orgs": []})
            else:
                self.reply(404, {"error": "not found"}, {"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            got.objects[self.path.rpartition("/")[2]] = content
            self.reply(200, {})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            path = self.path.partition("?")[0]
            if not self.known():
                self.reply(401, {"error": "Invalid username or password."})
            elif path == "/api/repos/create":
                self.create(json.loads(content))
            elif "/preupload/" in path:
                files = [{"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular",
                          "shouldIgnore": False} for f in json.loads(content)["files"]]  # fmt: skip
                self.reply(200, {"files": files})
            elif path.endswith("/info/lfs/objects/batch"):
                self.batch(json.loads(content))
            elif "/commit/" in path:
                self.commit("/".join(path.split("/")[3:5]), content)
            else:
                self.reply(200, {})

        def create(self, asked: dict[str, Any]) -> None:
            name = f"{asked.get('organization') or 'somebody'}/{asked['name']}"
            if not name.startswith("somebody/"):
                self.reply(403, {"error": f"You don't have the rights to create a model under {name.split('/')[0]}"})
                return
            got.files.setdefault(name, {})
            got.private[name] = bool(asked.get("private") or asked.get("visibility") == "private")
            self.reply(200, {"url": f"{got.address}/{name}", "name": name})

        def batch(self, asked: dict[str, Any]) -> None:
            objects = [
                o | {"actions": {"upload": {"href": f"{got.address}/store/{o['oid']}"}}} for o in asked["objects"]
            ]
            self.reply(200, {"transfer": "basic", "objects": objects})

        def commit(self, name: str, content: bytes) -> None:
            for line in map(json.loads, content.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    got.files[name][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    stored = got.objects[value["oid"]]
                    assert hashlib.sha256(stored).hexdigest() == value["oid"]
                    got.files[name][value["path"]] = stored
            address = f"{got.address}/{name}/commit/{COMMIT}"
            self.reply(200, {"commitUrl": address, "commitOid": COMMIT, "hookOutput": ""})

        def known(self) -> bool:
            given = self.headers.get("authorization", "").removeprefix("Bearer ")
            got.tokens.add(given)
            return given == token

        def reply(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            for key, value in {"Content-Length": str(len(content)), "Content-Type": "application/json"}.items():
                self.send_header(key, value)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    got.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield got
    finally:
        server.shutdown()
        server.server_close()
