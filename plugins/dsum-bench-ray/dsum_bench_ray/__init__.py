"""Executor ``ray``: screenings shared between the machines of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable

import dsum_bench


@dsum_bench.hookimpl
def dsum_register_executors(register: Callable[[type[dsum_bench.Executor]], None]) -> None:
    from dsum_bench_ray.executor import RayExecutor

    register(RayExecutor)
