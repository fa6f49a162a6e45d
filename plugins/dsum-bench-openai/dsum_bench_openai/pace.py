"""How fast a server is asked: limits a minute, and a rest for everybody after it said 'too many'."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from time import monotonic

from dsum_bench import ModelError

PREFIX = "DSUM_BENCH_OPENAI_"
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Speed:
    """What an account or a server bears; of no effect on what is written, so it is no part of a run's key.

    in_flight: requests at once, at each server. requests_per_minute, tokens_per_minute: 0 is no limit.
    timeout: seconds a request may take. attempts: tries of one request before it is given up.
    """

    in_flight: int = 8
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    timeout: int = 120
    attempts: int = 6


def speed() -> Speed:
    """From the environment: ``DSUM_BENCH_OPENAI_IN_FLIGHT`` and so on. Raises ModelError naming a bad one."""
    given = {}
    for field in fields(Speed):
        name = PREFIX + field.name.upper()
        text = os.environ.get(name)
        if text is None:
            continue
        least = 0 if field.name.endswith("per_minute") else 1
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise ModelError(f"environment variable {name} must be an integer, {least} or more")
        given[field.name] = int(text)
    return Speed(**given)


class Pace:
    """Says how long to wait before the next request. Safe to use from several threads.

    A minute is any 60 seconds in a row, so no server's way of counting minutes is exceeded. Tokens are reserved by
    an estimate when a request leaves, and corrected by ``used`` when the server has counted them.
    """

    def __init__(self, requests: int, tokens: int, clock: Callable[[], float] = monotonic) -> None:
        self.requests = requests
        self.tokens = tokens
        self.clock = clock
        self._lock = threading.Lock()
        self._sent: deque[list[float]] = deque()  # [time, tokens], oldest first
        self._rest_until = 0.0

    def take(self, tokens: int) -> tuple[float, list[float]]:
        """(0, a ticket) when a request of so many tokens may leave now, else (seconds to wait, [])."""
        with self._lock:
            now = self.clock()
            while self._sent and self._sent[0][0] <= now - MINUTE:
                self._sent.popleft()
            wait = max(0.0, self._rest_until - now, self._wait(now, tokens))
            if wait > 0:
                return wait, []
            ticket = [now, float(tokens)]
            self._sent.append(ticket)
            return 0.0, ticket

    def _wait(self, now: float, tokens: int) -> float:
        if not self._sent:
            return 0.0  # a request larger than the limit goes alone
        if self.requests and len(self._sent) >= self.requests:
            return self._sent[0][0] + MINUTE - now
        if self.tokens and sum(t for _, t in self._sent) + tokens > self.tokens:
            return self._sent[0][0] + MINUTE - now
        return 0.0

    def used(self, ticket: list[float], tokens: int) -> None:
        """The server counted so many tokens for the request of this ticket."""
        with self._lock:
            ticket[1] = float(tokens)

    def rest(self, seconds: float) -> None:
        """Nobody sends for so long."""
        with self._lock:
            self._rest_until = max(self._rest_until, self.clock() + seconds)
