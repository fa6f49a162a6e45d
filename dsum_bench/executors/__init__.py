"""Executors: where workers run."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.executors.base import Executor


@hookimpl
def dsum_register_executors(register: Callable[[type[Executor]], None]) -> None:
    from dsum_bench.executors.local import Local

    register(Local)
