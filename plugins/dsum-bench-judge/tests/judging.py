"""A judge on the loopback address whose leanings are planted, and runs for it to judge."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from dsum_bench.cli import main

KEY = "sk-judge-51c07e2b"
QUALITY = re.compile(r"품질 (\d+)")
SUMMARY = re.compile(r"\[요약(?: [12])?\]\n(.*?)\n\n", re.DOTALL)

Fault = Callable[[int], tuple[int, Any] | None]
Verdict = Callable[[list[int], list[str]], Any]
"""(qualities of the summaries shown, the summaries) -> what the judge answers, as JSON unless it is a string."""


def honest(qualities: list[int], summaries: list[str]) -> Any:
    """Marks and choices that follow quality alone."""
    if len(qualities) == 1:
        return dict.fromkeys(("faithful", "complete", "concise", "fluent"), min(5, 1 + qualities[0] // 2))
    first, second = qualities
    return {"better": "1" if first > second else "2" if second > first else "tie"}


def leaning(margin: int) -> Verdict:
    """Prefers what stands first unless the second is better by more than margin."""

    def verdict(qualities: list[int], summaries: list[str]) -> Any:
        if len(qualities) == 1:
            return honest(qualities, summaries)
        return {"better": "2" if qualities[1] - qualities[0] > margin else "1"}

    return verdict


def wordy(qualities: list[int], summaries: list[str]) -> Any:
    """Prefers the longer summary, whatever it says."""
    if len(qualities) == 1:
        return honest(qualities, summaries)
    return {"better": "1" if len(summaries[0]) > len(summaries[1]) else "2"}


class Judge(ThreadingHTTPServer):
    """asked: the questions that came in. fault: (number of the request) -> (status, document) instead of an answer."""

    daemon_threads = True

    def __init__(self, verdict: Verdict, fault: Fault) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.verdict, self.fault = verdict, fault
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Judge
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        with self.server.lock:
            number = len(self.server.asked)
            self.server.asked.append(question)
            self.server.keys.add(self.headers["authorization"])
        status, document = self.server.fault(number) or (200, self.answer(question))
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer(self, question: str) -> Any:
        summaries = SUMMARY.findall(question)
        said = self.server.verdict([int(QUALITY.findall(s)[0]) for s in summaries], summaries)
        text = said if isinstance(said, str) else f"<think>음</think>```json\n{json.dumps(said)}\n```"
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return {"model": "j", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}


@contextmanager
def judging(
    verdict: Verdict = honest, fault: Callable[[int], tuple[int, Any] | None] = lambda n: None
) -> Iterator[Judge]:
    server = Judge(verdict, fault)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={"COLUMNS": "80"})


def prepare(folder: Path, url: str, runs: dict[str, list[str]], key: str = "") -> None:
    """A registry with the judge, dialogues, and runs with these summaries, in the working directory folder."""
    n = len(next(iter(runs.values())))
    dialogues = [
        {"id": f"d{i}", "dialogue": f"#Person1#: 오늘은 {i}번 이야기입니다.\n#Person2#: 네.", "summary": f"{i}번"}
        for i in range(n)
    ]
    write(folder / "d_dev.jsonl", dialogues)
    named = f', key = "{key}"' if key else ""
    (folder / "registry.toml").write_text(
        '[datasets.d]\nformat = "jsonl"\npath = "d_{split}.jsonl"\n'
        f'[models.big]\nsource = "j"\nengine = "openai"\nadapter = "openai"\noptions = {{ url = "{url}"{named} }}\n',
        encoding="utf-8",
    )
    for name, summaries in runs.items():
        write(folder / f"{name}.jsonl", [{"id": f"d{i}", "summary": text} for i, text in enumerate(summaries)])
        done = call("score", str(folder / f"{name}.jsonl"), "--dataset", "d", "--metric", "rouge@whitespace")
        assert done.exit_code == 0, done.output


def write(file: Path, rows: list[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def summaries(n: int, base: int, spread: int = 3) -> list[str]:
    """Summaries whose quality moves about base from dialogue to dialogue, as does their length."""
    return [f"요약 {i} 품질 {base + (i * 7 + base) % spread}{' 더' * ((i * 5 + base) % 4)}" for i in range(n)]
