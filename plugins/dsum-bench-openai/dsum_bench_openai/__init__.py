"""Models behind OpenAI-compatible endpoints for dsum-bench."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import Adapter, Engine, hookimpl


@hookimpl
def dsum_register_adapters(register: Callable[[type[Adapter]], None]) -> None:
    from dsum_bench_openai.adapters import OpenAIChat, OpenAICompletion

    register(OpenAIChat)
    register(OpenAICompletion)


@hookimpl
def dsum_register_engines(register: Callable[[type[Engine]], None]) -> None:
    from dsum_bench_openai.engine import OpenAI

    register(OpenAI)
