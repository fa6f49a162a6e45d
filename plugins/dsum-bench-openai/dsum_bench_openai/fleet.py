"""Several servers of one model as one: who is asked next, who is left out for a while, what is asked again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from dsum_bench import ModelError, ModelSkipped
from dsum_bench_openai.asking import Server
from dsum_bench_openai.pace import Pace, Speed
from dsum_bench_openai.reading import Answer, Passing, Unreadable

LONGEST_REST = 60.0
"""Seconds of back-off at most; what a server's Retry-After says is kept even beyond it, up to LONGEST_TOLD."""
LONGEST_TOLD = 600.0
SILENT_TRIES = 2
"""Tries of a request that is not answered in time: each may be charged, and each takes the whole time."""
PATIENCE = 3
"""Faults in a row, none of them of the server itself, until a server without a stand-in rests."""


class Stopped(Exception):
    """Another request has already failed for good."""


class Unanswered(Exception):
    """This request was not answered; others may be. error: what to raise when none was."""

    def __init__(self, error: ModelError | ModelSkipped) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(slots=True)
class Member:
    """A server and how it has done.

    busy: requests at it. seconds: moving average of the time it takes to answer, 0 before the first.
    misses: faults since its last answer; those that were on their way together count once, which news tells.
    resting: nobody asks before this time; then one request alone, while down. out: why it is never asked again.
    """

    server: Server
    busy: int = 0
    seconds: float = 0.0
    misses: int = 0
    news: int = 0
    resting: float = 0.0
    down: bool = False
    out: ModelError | ModelSkipped | None = None


class Fleet:
    """Asks whichever server is free, the fastest first, so that each gets as many requests as it can answer.

    A server that fails rests, for longer each time, while the others get its requests; then one request finds out
    whether it is back. All share one key, and so one limit a minute.

    Args:
        tell: told when a server is left out and when it is back.
        stop: set from outside to end all waiting.
    """

    def __init__(self, urls: Sequence[str], key: str, speed: Speed, tell: Callable[[str], None] = print) -> None:
        self.speed = speed
        self.members = [Member(Server(url, key, speed.timeout, speed.in_flight)) for url in urls]
        self.pace = Pace(speed.requests_per_minute, speed.tokens_per_minute)
        self.stop = threading.Event()
        self.one_key = bool(key)
        self.tell = tell
        self._changed = threading.Condition()

    @property
    def in_flight(self) -> int:
        """Requests at once, of all servers together."""
        return self.speed.in_flight * len(self.members)

    def ask(self, endpoint: str, body: Mapping[str, Any], estimate: int, limit: int = 0) -> Answer:
        """Ask until there is an answer.

        estimate: tokens this request may take, for the limit a minute. limit: tokens that the answer may have.

        Raises:
            Unanswered: this request failed too often. ModelSkipped, ModelError: no server answers any.
            Stopped: ``stop`` was set while this request waited.
        """
        tries = silent = 0
        avoid: Member | None = None
        while True:
            member, news = self._enter(avoid)
            pause = 0.0
            try:
                ticket = self._wait_turn(estimate)
                began = monotonic()
                answer = member.server.once(endpoint, body, limit)
            except Passing as fault:
                tries += fault.reached or fault.rest != "server"  # where nobody listens nothing was tried
                silent, avoid = silent + fault.silent, member
                rested = self._missed(member, news, fault)
                if tries >= self.speed.attempts or silent >= min(SILENT_TRIES, self.speed.attempts):
                    kind = ModelError if fault.reached and fault.rest != "key" else ModelSkipped
                    raise Unanswered(kind(f"{member.server.url}: {fault}, {_times(tries)}")) from None
                if not rested and not self._another(member):
                    pause = _back_off(max(1, tries)) if fault.wait is None else fault.wait
            except Unreadable as fault:
                raise Unanswered(ModelError(f"{member.server.url}: {fault}")) from None
            except (ModelError, ModelSkipped) as error:
                self._leave_out(member, error)
            else:
                self.pace.used(ticket, answer.prompt_tokens + answer.new_tokens or estimate)
                self._answered(member, monotonic() - began)
                return answer
            finally:
                with self._changed:
                    member.busy -= 1
                    self._changed.notify_all()
            if pause and self.stop.wait(pause):
                raise Stopped

    def state(self) -> str:
        """``2 of 3 servers``; '' when there is only one."""
        if len(self.members) == 1:
            return ""
        return f"{sum(not p.down and p.out is None for p in self.members)} of {len(self.members)} servers"

    # -- who is asked -------------------------------------------------------------------------------------------

    def _enter(self, avoid: Member | None) -> tuple[Member, int]:
        """Wait for a free member and take it."""
        with self._changed:
            while True:
                if self.stop.is_set():
                    raise Stopped
                now = monotonic()
                free = [p for p in self.members if _free(p, now, self.speed.in_flight)]
                if free:
                    # One that has not answered yet comes first: it must be tried to be known.
                    member = min(free, key=lambda p: (p is avoid, p.down, p.seconds, p.busy))
                    member.busy += 1
                    return member, member.news
                rests = [p.resting - now for p in self.members if p.out is None and p.resting > now]
                self._changed.wait(min([1.0, *rests]))

    def _wait_turn(self, estimate: int) -> list[float]:
        while True:
            if self.stop.is_set():
                raise Stopped
            wait, ticket = self.pace.take(estimate)
            if ticket:
                return ticket
            self.stop.wait(min(wait, 1.0))

    def _another(self, member: Member) -> bool:
        """Whether another server can be asked at once."""
        now = monotonic()
        return any(p is not member and p.out is None and not p.down and p.resting <= now for p in self.members)

    # -- how it has done ----------------------------------------------------------------------------------------

    def _answered(self, member: Member, seconds: float) -> None:
        with self._changed:
            back, member.down = member.down, False
            member.misses = 0
            member.seconds = seconds if not member.seconds else 0.8 * member.seconds + 0.2 * seconds
        if back and len(self.members) > 1:
            self.tell(f"{member.server.url} is back")

    def _missed(self, member: Member, news: int, fault: Passing) -> bool:
        """Whether a server that failed rests, or everybody does; raises when none has answered for as long as a
        request is tried."""
        if fault.wait is not None and fault.wait > LONGEST_TOLD:
            error = ModelSkipped(f"{member.server.url}: {fault}, and asks to wait {fault.wait:.0f} s")
            self._leave_out(member, error)
            return True
        with self._changed:
            first = news == member.news
            if first:  # what was on its way at the same time says nothing new
                member.news += 1
                member.misses += 1
            wait = fault.wait if fault.wait is not None else _back_off(member.misses)
            everyone = fault.rest == "key" and (self.one_key or len(self.members) == 1)
            patience = 1 if len(self.members) > 1 else PATIENCE
            rests = fault.rest != "none" or member.misses >= patience
            dropped = first and rests and not everyone
            if dropped:
                member.down = True
                member.resting = max(member.resting, monotonic() + wait)
            gone = all(p.out is not None or (p.down and p.misses >= self.speed.attempts) for p in self.members)
        if everyone:
            self.pace.rest(wait)
        if gone:
            self.stop.set()
            kind = ModelError if fault.reached and fault.rest == "none" else ModelSkipped
            raise kind(f"{member.server.url}: {fault}, {_times(member.misses)}") from None
        if dropped and len(self.members) > 1:
            self.tell(f"{member.server.url} rests for {wait:.0f} s: {fault}")
        return member.down or everyone

    def _leave_out(self, member: Member, error: ModelError | ModelSkipped) -> None:
        """Never ask a server again that refuses all; raise when it was the last."""
        with self._changed:
            known, member.out = member.out is not None, error
            last = all(p.out is not None for p in self.members)
        if last:
            self.stop.set()
            raise error from None
        if not known:
            self.tell(f"left out: {error}")


def _free(member: Member, now: float, in_flight: int) -> bool:
    return member.out is None and member.resting <= now and member.busy < (1 if member.down else in_flight)


def _back_off(times: int) -> float:
    """Seconds, growing; jittered, since requests that failed together must not come back together."""
    return min(LONGEST_REST, 0.5 * 2.0**times) * random.uniform(0.5, 1.0)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
