"""The engine ``openai``: a model that another machine serves."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
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
from dsum_bench_openai.fleet import Fleet
from dsum_bench_openai.pace import speed
from dsum_bench_openai.reading import Answer
from dsum_bench_openai.window import Asking

SENT = ("max_new_tokens", "temperature", "top_p")
"""Parameters of a decoding that the protocol has fields for."""


class OpenAI(Engine):
    """Asks one or several servers, many requests at once. ``source`` is the model's name there."""

    name = "openai"
    options: ServerOptions

    @classmethod
    def plan(cls, model: ModelSpec, machine: Machine, beams: int) -> Plan:
        if model.adapter not in (OpenAIChat.name, OpenAICompletion.name):
            raise ModelError(f"engine 'openai' works with adapter openai or openai-completion, not '{model.adapter}'")
        if beams > 1:
            raise ModelError(f'a server cannot be asked for {beams} beams; use decoding = "greedy"')
        speed()
        options = ServerOptions(**model.options)  # type: ignore[arg-type]  # checked when the registry was read
        key_of(options)
        where = options.addresses()
        more = f" and {len(where) - 1} more" if len(where) > 1 else ""
        # What stands behind a name on a server cannot be fingerprinted; the name is all there is.
        return Plan(Placement("none", "none", "none", f"served at {where[0]}{more}"), f"served:{model.source[0]}", {})

    def prepare(self, tell: Tell) -> Loaded:
        self.options = ServerOptions(**self.model.options)  # type: ignore[arg-type]
        return Loaded(tokenizer=None, config={}, max_tokens=None)

    def load(self, tell: Tell) -> None:
        return

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        if decoding is None:
            raise ModelError("this model needs a decoding strategy")
        shared = request(self.model.source[0], decoding, self.options.limit_key)
        endpoint = adapter.endpoint if isinstance(adapter, OpenAIChat | OpenAICompletion) else "chat"
        limit = int(str(decoding.config()["max_new_tokens"]))

        def log(text: str) -> None:
            print(text, flush=True)
            tell(text)

        fleet = Fleet(self.options.addresses(), key_of(self.options), speed(), log)

        def ask(prompt: Prompt) -> Answer:
            body = {**shared, **asked(prompt, endpoint), **seeded(prompt, decoding)}
            # Korean takes about a token a character on an English vocabulary, less on others.
            return fleet.ask(endpoint, body, len(prompt.text) + limit, limit)

        asking = Asking(fleet, ask)
        noted: set[str] = set()
        for made in asking.all(sorted(prompts, key=lambda p: -len(p.text)), tell):
            yield [generation(p.sample_id, a, seconds, self.model.source[0], noted) for p, a, seconds in made]
        asking.close(lambda p: p.sample_id)


def generation(sample_id: str, answer: Answer, seconds: float, model: str, noted: set[str]) -> Generation:
    """An answer as it is stored. noted: names of models that were named already; each is said once."""
    note = answer.note
    if answer.model and answer.model not in noted and not same_model(model, answer.model):
        noted.add(answer.model)
        note = "; ".join(filter(None, (note, f"answered by model '{answer.model}', not '{model}'")))
    return Generation(sample_id, answer.text, answer.prompt_tokens, answer.new_tokens, answer.finish, seconds, note)


RELEASE = re.compile(r"[-@:](\d{4}-\d{2}-\d{2}|\d{6,8}|\d{4}|main|latest)")
"""What a server may add to a name: the date of the release that the name stands for today."""


def same_model(asked: str, answered: str) -> bool:
    """Whether a server's name for the model that answered is the one asked for, perhaps with its release."""
    return answered == asked or bool(answered.startswith(asked) and RELEASE.fullmatch(answered.removeprefix(asked)))


def key_of(options: ServerOptions) -> str:
    """The key. Raises ModelSkipped when its variable is not set."""
    if not options.key:
        return ""
    key = os.environ.get(options.key, "").strip()
    if not key:
        raise ModelSkipped(f"needs a key in environment variable {options.key}, which is not set")
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
