"""A single-file plugin of engines that go wrong, for the tests of isolation. Loaded with --plugin."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence

import dsum_bench
from dsum_bench.adapters.base import Adapter
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Tell
from dsum_bench.engines.control import ControlEngine
from dsum_bench.spec import Generation, Prompt

BEFORE = 2
"""Samples that are finished before the fault."""


class Faulty(ControlEngine):
    """Writes two samples well, then does what its kind does."""

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        for number, prompt in enumerate(prompts):
            if number == BEFORE:
                self.fail()
            yield [Generation(prompt.sample_id, prompt.text, 1, 1, "stop", 0.01)]

    def fail(self) -> None:
        raise AssertionError("each kind has its own")


class Exits(Faulty):
    name = "exits"

    def fail(self) -> None:
        os._exit(3)


class Raises(Faulty):
    name = "raises"

    def fail(self) -> None:
        raise ZeroDivisionError("a fault with [red]brackets[/red] in it")


class Killed(Faulty):
    name = "killed"

    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Crashes(Faulty):
    name = "crashes"

    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(Faulty):
    name = "hangs"

    def fail(self) -> None:
        time.sleep(600)


class Slow(Faulty):
    """No fault: a tenth of a second a sample, so that a test can break it off in the middle."""

    name = "slow"

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        for prompt in prompts:
            time.sleep(0.1)
            yield [Generation(prompt.sample_id, prompt.text, 1, 1, "stop", 0.1)]


class RefusesSome(Faulty):
    """Will not answer the second sample, however often it is asked."""

    name = "refuses-some"

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        for number, prompt in enumerate(prompts):
            if self.refuses(number):
                yield [Generation(prompt.sample_id, "", 1, 0, "refused", 0.01, "too long for [this] server")]
            else:
                yield [Generation(prompt.sample_id, prompt.text, 1, 1, "stop", 0.01)]

    def refuses(self, number: int) -> bool:
        return number == 1


class RefusesAll(RefusesSome):
    """Will not answer at all as long as the variable REFUSE is set."""

    name = "refuses-all"

    def refuses(self, number: int) -> bool:
        return "REFUSE" in os.environ


@dsum_bench.hookimpl
def dsum_register_engines(register) -> None:  # type: ignore[no-untyped-def]
    for engine in (Exits, Raises, Killed, Crashes, Hangs, Slow, RefusesSome, RefusesAll):
        register(engine)
