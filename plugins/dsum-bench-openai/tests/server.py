"""A server that misbehaves on request: real HTTP on the loopback address, faults as a script says."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = str | dict[str, Any] | tuple[int, dict[str, Any]]
Script = Callable[[str, int], Fault]
"""(what was asked, how often it was asked before) -> what to do: '' answers, a document is sent as it is, with its
status where there is one, and other words name a fault."""


class Faulty(ThreadingHTTPServer):
    """asked: what came in, in order, with its time. most: the largest number of requests at once. dead: it answers
    nothing more, as a killed process. elsewhere: where it sends requests with ``redirect``."""

    daemon_threads = True

    def __init__(self, script: Script, delay: float = 0.0, key: str = "", port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.dead = False
        self.script = script
        self.delay = delay
        self.key = key
        self.lock = threading.Lock()
        self.asked: list[tuple[float, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.answered: Counter[str] = Counter()
        self.now = 0
        self.most = 0
        self.elsewhere = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no fault of the server."""


class Handler(BaseHTTPRequestHandler):
    server: Faulty
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        chat = self.path.endswith("/chat/completions")
        asked = body["messages"][-1]["content"] if chat else body["prompt"]
        server = self.server
        with server.lock:
            before = sum(a == asked for _, a in server.asked)
            server.asked.append((time.monotonic(), asked))
            server.bodies.append(body)
            server.now += 1
            server.most = max(server.most, server.now)
        time.sleep(server.delay)
        try:
            fault = server.script(asked, before)
            if server.dead:
                self.close_connection = True
            elif server.key and self.headers["authorization"] != f"Bearer {server.key}":
                self.refuse(401, f"Incorrect API key provided: {self.headers['authorization']}")
            else:
                self.act(fault, asked, chat)
        finally:
            with server.lock:
                server.now -= 1

    def act(self, fault: Fault, asked: str, chat: bool) -> None:
        if not isinstance(fault, str):
            status, document = fault if isinstance(fault, tuple) else (200, fault)
            self.reply(status, json.dumps(document).encode())
        elif fault.startswith("status"):
            _, status, *after = fault.split()
            self.refuse(int(status), "no", after[0] if after else None)
        elif fault == "slow":
            time.sleep(8)
            self.close_connection = True
        elif fault == "cut":
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.close_connection = True
        elif fault == "redirect":
            self.send_response(307)
            self.send_header("location", f"{self.server.elsewhere}/chat/completions")
            self.send_header("content-length", "0")
            self.end_headers()
        elif fault in ("endless", "drip"):
            self.flow(b"x" * 65536 if fault == "endless" else b" ", 0.0 if fault == "endless" else 0.1)
        elif fault == "huge":
            self.reply(200, json.dumps(chat_answer("x" * 4_000_000)).encode())
        elif fault == "malformed":
            self.reply(200, b'{"choices": [{"message"')
        else:
            count = int(fault.removeprefix("choices ")) if fault else 1
            text = f"summary of {fingerprint(asked)}"
            said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
            choices = [{"index": i, "finish_reason": "stop", **said} for i in range(count)]
            usage = {"prompt_tokens": len(asked), "completion_tokens": 7, "total_tokens": len(asked) + 7}
            self.reply(200, json.dumps({"id": "x", "choices": choices, "usage": usage}).encode())
            if not fault:
                with self.server.lock:
                    self.server.answered[asked] += 1

    def flow(self, piece: bytes, pause: float) -> None:
        """A body that does not end, until the client hangs up."""
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while True:
            try:
                self.wfile.write(piece)
                self.wfile.flush()
            except OSError:
                return
            time.sleep(pause)

    def refuse(self, status: int, message: str, after: str | None = None) -> None:
        self.reply(status, json.dumps({"error": {"message": message, "code": None}}).encode(), after)

    def reply(self, status: int, content: bytes, after: str | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        if after is not None:
            self.send_header("retry-after", after)
        self.end_headers()
        self.wfile.write(content)


def chat_answer(content: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A chat completion; ``more`` are further fields of its message."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}
    return {"id": "x", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}


def fingerprint(asked: str) -> str:
    """The number in the dialogue, so that an answer can be told from another's."""
    return asked.rpartition("number ")[2].split()[0]


@contextmanager
def serving(script: Script, delay: float = 0.0, key: str = "", port: int = 0) -> Iterator[Faulty]:
    server = Faulty(script, delay, key, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.dead = True
        server.shutdown()
        server.server_close()
