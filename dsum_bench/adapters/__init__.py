"""Adapters: how each model family is prompted, and how its output is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dsum_bench import hookimpl

if TYPE_CHECKING:
    from dsum_bench.adapters.base import Adapter


@hookimpl
def dsum_register_adapters(register: Callable[[type[Adapter]], None]) -> None:
    from dsum_bench.adapters.chat import ChatAdapter
    from dsum_bench.adapters.completion import CompletionAdapter
    from dsum_bench.adapters.controls import ConstantAdapter, ConstantFitAdapter, LeadAdapter, LongestAdapter
    from dsum_bench.adapters.encoder_decoder import EncoderDecoderAdapter
    from dsum_bench.adapters.gemma import GemmaAdapter
    from dsum_bench.adapters.llama3 import Llama3Adapter
    from dsum_bench.adapters.qwen import QwenAdapter
    from dsum_bench.adapters.solar import SolarAdapter

    register(EncoderDecoderAdapter)
    register(ChatAdapter)
    register(Llama3Adapter)
    register(QwenAdapter)
    register(GemmaAdapter)
    register(SolarAdapter)
    register(CompletionAdapter)
    register(ConstantAdapter)
    register(ConstantFitAdapter)
    register(LeadAdapter)
    register(LongestAdapter)
