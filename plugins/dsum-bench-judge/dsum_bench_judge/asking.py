"""Questions put to a judge: what the cache does not hold is asked, many at once, and kept as it arrives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsum_bench_openai.adapters import ServerOptions
from dsum_bench_openai.engine import key_of
from dsum_bench_openai.fleet import Fleet
from dsum_bench_openai.pace import speed
from dsum_bench_openai.reading import Answer
from dsum_bench_openai.window import Asking

from dsum_bench import ModelError, ModelSkipped, ModelSpec, UserError
from dsum_bench_judge.cache import Cache, request_key
from dsum_bench_judge.questions import Question

ALL = 8
"""Refused questions, with no answer between them, after which the rest is not asked."""


@dataclass(frozen=True, slots=True)
class Asked:
    """answers: in the order of the questions; None where there is none. asked, kept: different requests, put now and
    answered before. Tokens: of all answers. problem: why some are missing, '' when none is."""

    answers: tuple[Answer | None, ...]
    asked: int
    kept: int
    prompt_tokens: int
    new_tokens: int
    problem: str


def asked(
    model: ModelSpec, questions: Sequence[Question], max_tokens: int, file: Path, step: Callable[[int], None]
) -> Asked:
    """Ask a judge everything that it has not answered yet.

    Equal questions, such as two runs with the same summary, are asked once. step: told how many more are answered.

    Raises:
        UserError: the server ends it all (no key, no such model, no credit, not reachable); what was answered is kept.
    """
    options = ServerOptions(**model.options)  # type: ignore[arg-type]  # checked when the registry was read
    bodies: dict[str, dict[str, Any]] = {}
    keys = []
    for question in questions:
        body = request_body(model.source[0], options.limit_key, question, max_tokens)
        keys.append(request_key(body))
        bodies[keys[-1]] = body
    with Cache(file) as cache:
        found = cache.get(bodies)
        kept = len(found)
        step(sum(key in found for key in keys))
        missing = [key for key in bodies if key not in found]
        problem = ""
        if missing:
            problem = _ask(model, options, {key: bodies[key] for key in missing}, cache, found, step)
    return Asked(
        tuple(found.get(key) for key in keys),
        len(found) - kept,
        kept,
        sum(a.prompt_tokens for a in found.values()),
        sum(a.new_tokens for a in found.values()),
        problem,
    )


def request_body(source: str, limit_key: str, question: Question, max_tokens: int) -> dict[str, Any]:
    """What is sent. Temperature 0: the same question should get the same answer."""
    messages = [dict(message) for message in question.messages]
    return {"model": source, "messages": messages, "temperature": 0.0, limit_key: max_tokens, "n": 1, "stream": False}


def _ask(
    model: ModelSpec,
    options: ServerOptions,
    bodies: dict[str, dict[str, Any]],
    cache: Cache,
    found: dict[str, Answer],
    step: Callable[[int], None],
) -> str:
    """Ask, and put answers into cache and found. Returns what is missing, in words."""
    try:
        fleet = Fleet(options.addresses(), key_of(options), speed(), lambda text: None)

        def ask(key: str) -> Answer:
            body = bodies[key]
            limit = int(body[options.limit_key])
            return fleet.ask("chat", body, sum(len(m["content"]) for m in body["messages"]) + limit, limit)

        asking = Asking(fleet, ask)
        refused: dict[str, Answer] = {}
        # The longest first, so that none is left alone at the end.
        order = sorted(bodies, key=lambda k: -len(bodies[k]["messages"][-1]["content"]))
        for made in asking.all(order, lambda text: None):
            answers = {key: answer for key, answer, _ in made if answer.finish != "refused"}
            refused |= {key: answer for key, answer, _ in made if answer.finish == "refused"}
            cache.add(model.name, answers)
            found.update(answers)
            step(len(made))
            if not found and len(refused) >= ALL:
                break
        if asking.fault is not None:
            raise asking.fault
    except (ModelError, ModelSkipped) as error:
        raise UserError(f"{model.name}: {error}; answers so far are kept, the same command goes on") from None
    if refused and not found:
        # A fault of the request: once it is mended, the same questions must be asked again.
        raise UserError(f"{model.name} refuses every question: {next(iter(refused.values())).note}")
    cache.add(model.name, refused)
    found.update(refused)
    if not asking.unanswered:
        return ""
    return (
        f"{len(asking.unanswered)} questions were not answered ({asking.unanswered[0][1]}); the same command asks again"
    )
