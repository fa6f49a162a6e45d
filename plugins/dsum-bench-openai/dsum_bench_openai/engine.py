"""The engine ``openai``: a model that another machine serves."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from hashlib import sha256
from time import monotonic
from typing import Any

from dsum_bench import (
    Adapter,
    Decoding,
    Engine,
    Generation,
    Loaded,
    Machine,
    ModelError,
    ModelSkipped,
    ModelSpec,
    Placement,
    Plan,
    Prompt,
    Tell,
)
from dsum_bench_openai.adapters import OpenAIChat, OpenAICompletion, ServerOptions
from dsum_bench_openai.asking import Answer, Server, Stopped
from dsum_bench_openai.pace import speed

Work = Future[Answer]
SENT = ("max_new_tokens", "temperature", "top_p")
"""Parameters of a decoding that the protocol has fields for."""


class OpenAI(Engine):
    """Asks a server, several requests at once. ``source`` is the model's name there."""

    name = "openai"
    server: Server
    options: ServerOptions

    @classmethod
    def plan(cls, model: ModelSpec, machine: Machine, beams: int) -> Plan:
        if model.adapter not in (OpenAIChat.name, OpenAICompletion.name):
            raise ModelError(f"engine 'openai' works with adapter openai or openai-completion, not '{model.adapter}'")
        if beams > 1:
            raise ModelError(f'a server cannot be asked for {beams} beams; use decoding = "greedy"')
        speed()
        options = ServerOptions(**model.options)  # type: ignore[arg-type]  # checked when the registry was read
        _key(options)
        # What stands behind a name on a server cannot be fingerprinted; the name is all there is.
        return Plan(Placement("none", "none", "none", f"served at {options.url}"), f"served:{model.source[0]}", {})

    def prepare(self, tell: Tell) -> Loaded:
        self.options = ServerOptions(**self.model.options)  # type: ignore[arg-type]
        self.server = Server(self.options.url, _key(self.options), speed())
        return Loaded(tokenizer=None, config={}, max_tokens=None)

    def load(self, tell: Tell) -> None:
        return

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        if decoding is None:
            raise ModelError("this model needs a decoding")
        shared = request(self.model.source[0], decoding, self.options.limit_key)
        endpoint = adapter.endpoint if isinstance(adapter, OpenAIChat | OpenAICompletion) else "chat"
        limit = int(str(decoding.config()["max_new_tokens"]))
        left = deque(sorted(prompts, key=lambda p: -len(p.text)))
        flying: dict[Work, Prompt] = {}
        fault: Exception | None = None
        done, tokens, since = 0, 0, monotonic()
        with ThreadPoolExecutor(self.server.speed.in_flight) as pool:
            try:
                while flying or (left and fault is None):
                    while left and fault is None and len(flying) < self.server.speed.in_flight:
                        prompt = left.popleft()
                        body = {**shared, **asked(prompt, endpoint), **seeded(prompt, decoding)}
                        # Korean takes about a token a character on an English vocabulary, less on others.
                        flying[pool.submit(self.server.ask, endpoint, body, len(prompt.text) + limit)] = prompt
                    ended, _ = wait(flying, timeout=1.0, return_when=FIRST_COMPLETED)
                    tell(f"{done}/{len(prompts)} samples, {len(flying)} in flight, {tokens:,} tokens")
                    made, failed = _sorted_out({work: flying.pop(work) for work in ended})
                    if failed is not None:
                        fault = fault or failed
                        self.server.stop.set()
                    if made:
                        now = monotonic()
                        share, since = (now - since) / len(made), now
                        done += len(made)
                        tokens += sum(a.prompt_tokens + a.new_tokens for _, a in made)
                        yield [_generation(p, a, share) for p, a in made]
            finally:
                self.server.stop.set()
        if fault is not None:
            raise fault


def _sorted_out(ended: Mapping[Work, Prompt]) -> tuple[list[tuple[Prompt, Answer]], Exception | None]:
    """The answers among ended requests, and the first fault that is not only a stop."""
    made: list[tuple[Prompt, Answer]] = []
    fault: Exception | None = None
    for work, prompt in ended.items():
        try:
            made.append((prompt, work.result()))
        except Stopped:
            pass
        except (ModelError, ModelSkipped) as error:
            fault = fault or error
    return made, fault


def _generation(prompt: Prompt, answer: Answer, seconds: float) -> Generation:
    return Generation(prompt.sample_id, answer.text, answer.prompt_tokens, answer.new_tokens, answer.finish, seconds)


def _key(options: ServerOptions) -> str:
    """The key. Raises ModelSkipped when its variable is not set."""
    if not options.key:
        return ""
    key = os.environ.get(options.key, "").strip()
    if not key:
        raise ModelSkipped(f"needs a key for {options.url} in environment variable {options.key}, which is not set")
    if not key.isascii() or not key.isprintable():
        raise ModelError(f"the key in environment variable {options.key} has characters that no key has")
    return key


def request(model: str, decoding: Decoding, limit_key: str) -> dict[str, Any]:
    """The fields of a request that all prompts share. Pure.

    Raises:
        ModelError: the decoding asks for what the protocol has no field for; it would be dropped in silence.
    """
    params = decoding.params
    if decoding.name not in ("greedy", "sampling"):
        raise ModelError(
            f"decoding strategy '{decoding.name}' needs the model itself; a server does greedy or sampling"
        )
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        # Whatever is at its default is off; this holds for parameters that later versions add, too.
        if field.name not in SENT and value != field.default:
            raise ModelError(
                f"{field.name} = {value} cannot be asked of a server: the protocol has no such field; "
                f"use --set {field.name}={field.default}"
            )
    shared: dict[str, Any] = {"model": model, limit_key: params.max_new_tokens, "n": 1, "stream": False}
    if decoding.name == "greedy":
        return {**shared, "temperature": 0.0}
    return {**shared, "temperature": params.temperature, "top_p": params.top_p}


def asked(prompt: Prompt, endpoint: str) -> dict[str, Any]:
    """The prompt as the endpoint takes it."""
    return {"messages": json.loads(prompt.text)} if endpoint == "chat" else {"prompt": prompt.text}


def seeded(prompt: Prompt, decoding: Decoding) -> dict[str, Any]:
    """A seed of the sample's own for a random decoding; a server keeps it as well as it can."""
    if decoding.name == "greedy":
        return {}
    digest = sha256(f"{decoding.seed}\0{prompt.sample_id}".encode()).digest()
    return {"seed": int.from_bytes(digest[:4], "big") >> 1}
