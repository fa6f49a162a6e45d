"""Engines: what runs a model."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.engines.base import Engine


@hookimpl
def dsum_register_engines(register: Callable[[type[Engine]], None]) -> None:
    from dsum_bench.engines.control import ControlEngine
    from dsum_bench.engines.ensemble import Ensemble
    from dsum_bench.engines.huggingface import HuggingFace

    register(ControlEngine)
    register(Ensemble)
    register(HuggingFace)
