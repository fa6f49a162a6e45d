"""Decoding strategies: greedy, beam search and sampling."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.decoding.base import Decoding


@hookimpl
def dsum_register_decodings(register: Callable[[type[Decoding]], None]) -> None:
    from dsum_bench.decoding.strategies import Beam, Greedy, Sampling

    for strategy in (Greedy, Beam, Sampling):
        register(strategy)
