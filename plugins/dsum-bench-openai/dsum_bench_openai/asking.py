"""One request to a server and what came of it. Nothing here lets the key out: not in a message, not in a cause."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, Literal

from dsum_bench import ModelError, ModelSkipped
from dsum_bench_openai.pace import Pace, Speed

LONGEST_REST = 60.0
"""Seconds of back-off at most; what a server's Retry-After says is kept even beyond it, up to LONGEST_TOLD."""
LONGEST_TOLD = 600.0
AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed. A completion changes nothing, so a second one is safe."""


class Passing(Exception):
    """A fault that may pass. wait: seconds the server asked for, None when it said nothing. rested: all must wait."""

    def __init__(self, what: str, wait: float | None = None, rested: bool = False, reached: bool = True) -> None:
        super().__init__(what)
        self.wait = wait
        self.rested = rested
        self.reached = reached


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server wrote. Token counts are its own; 0 where it gives none."""

    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    new_tokens: int


class Stopped(Exception):
    """Another request has already failed for good."""


class Server:
    """Asks one server.

    Args:
        key: sent as a bearer token; '' sends a placeholder, which servers without keys pass over.
    """

    def __init__(self, url: str, key: str, speed: Speed) -> None:
        import openai

        self.url = url
        self.key = key
        self.speed = speed
        self.pace = Pace(speed.requests_per_minute, speed.tokens_per_minute)
        self.stop = threading.Event()
        # Its own retries know nothing of the other requests in flight, so they are off.
        self.client = openai.OpenAI(api_key=key or "none", base_url=url, timeout=speed.timeout, max_retries=0)

    def ask(self, endpoint: str, body: Mapping[str, Any], estimate: int) -> Answer:
        """Ask until there is an answer.

        estimate: tokens this request may take, for the limit a minute.

        Raises:
            ModelSkipped: not reachable, or it wants no more requests. ModelError: it refuses, or answers nonsense.
            Stopped: ``stop`` was set while this request waited.
        """
        for attempt in range(1, self.speed.attempts + 1):
            ticket = self._wait_turn(estimate)
            try:
                answer = self._once(endpoint, body)
            except Passing as fault:
                if attempt == self.speed.attempts:
                    kind = ModelError if fault.reached and not fault.rested else ModelSkipped
                    raise kind(f"{self.url}: {fault}, {attempt} times") from None
                self._back_off(fault, attempt)
                continue
            self.pace.used(ticket, answer.prompt_tokens + answer.new_tokens or estimate)
            return answer
        raise AssertionError("attempts is at least 1")

    def _wait_turn(self, estimate: int) -> list[float]:
        while True:
            if self.stop.is_set():
                raise Stopped
            wait, ticket = self.pace.take(estimate)
            if ticket:
                return ticket
            self.stop.wait(min(wait, 1.0))

    def _back_off(self, fault: Passing, attempt: int) -> None:
        told = fault.wait
        if told is not None and told > LONGEST_TOLD:
            raise ModelSkipped(f"{self.url}: {fault}, and asks to wait {told:.0f} s") from None
        # Full jitter on the growing part: requests that failed together must not come back together.
        wait = told if told is not None else min(LONGEST_REST, 0.5 * 2**attempt) * random.uniform(0.5, 1.0)
        if fault.rested:
            self.pace.rest(wait)
        elif self.stop.wait(wait):
            raise Stopped

    def _once(self, endpoint: str, body: Mapping[str, Any]) -> Answer:
        import openai

        api = self.client.chat.completions if endpoint == "chat" else self.client.completions
        try:
            reply = api.with_raw_response.create(**body)
            content = reply.http_response.content
        except openai.APITimeoutError:
            raise Passing(f"no answer within {self.speed.timeout} s", reached=True) from None
        except openai.APIConnectionError as error:
            raise Passing(f"not reachable ({self._clean(error.__cause__ or error)})", reached=False) from None
        except openai.APIStatusError as error:
            raise self._refusal(error.status_code, error.response.headers, error.body, error.message) from None
        except openai.OpenAIError as error:
            raise ModelError(f"{self.url}: {self._clean(error)}") from None
        return read(content, endpoint)

    def _refusal(self, status: int, headers: Mapping[str, str], body: object, message: str) -> Exception:
        said = self._clean(message)
        code = body.get("code") if isinstance(body, dict) else None
        if code == "insufficient_quota":
            return ModelSkipped(f"{self.url}: the account has no credit left ({said})")
        if status in AGAIN:
            rested = status in (429, 503)
            return Passing(f"status {status} ({said})", retry_after(headers.get("retry-after")), rested)
        if status in (401, 403):
            return ModelError(f"{self.url} refuses the key (status {status}): {said}")
        return ModelError(f"{self.url} refuses the request (status {status}): {said}")

    def _clean(self, what: object) -> str:
        """The first line of a message, short, with the key taken out: some servers repeat it."""
        text = str(what) or type(what).__name__
        if self.key:
            text = text.replace(self.key, "[key]")
        return text.strip().partition("\n")[0][:200]


def retry_after(text: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date (RFC 9110, 10.2.3); None when unreadable."""
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, TypeError):
        return None


def read(content: bytes, endpoint: str) -> Answer:
    """An answer's body. Raises Passing for one that is no JSON, or not just one finished choice with a text."""
    try:
        document = json.loads(content)
    except ValueError:
        raise Passing("its answer is not JSON") from None
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
        raise Passing("its answer has no choices")
    if len(choices) != 1:
        raise Passing(f"its answer has {len(choices)} choices instead of one")
    (choice,) = choices
    said = choice.get("message") if endpoint == "chat" else choice
    text = said.get("content" if endpoint == "chat" else "text") if isinstance(said, dict) else None
    finish = choice.get("finish_reason")
    if text is None and finish == "content_filter":
        text = ""  # it was asked and will not answer: an empty summary, which the checks count
    if not isinstance(text, str) or not isinstance(finish, str):
        raise Passing("its answer has no finished text")
    usage = document.get("usage")
    return Answer(
        text,
        "length" if finish == "length" else "stop",
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
    )


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0
