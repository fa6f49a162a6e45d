"""Metrics and the tokenizers they count on."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.metrics.base import Metric, MetricTokenizer


@hookimpl
def dsum_register_metrics(register: Callable[[type[Metric]], None]) -> None:
    from dsum_bench.metrics.facts.metric import Facts
    from dsum_bench.metrics.nikl import Nikl
    from dsum_bench.metrics.rouge import Rouge, RougeScore
    from dsum_bench.metrics.text import TextStatistics

    register(Rouge)
    register(RougeScore)
    register(TextStatistics)
    register(Facts)
    register(Nikl)


@hookimpl
def dsum_register_tokenizers(register: Callable[[type[MetricTokenizer]], None]) -> None:
    from dsum_bench.metrics import english, tokenizers

    for tokenizer in (
        tokenizers.Mecab,
        tokenizers.MecabTags,
        tokenizers.MecabKo,
        tokenizers.MecabKoTags,
        tokenizers.Whitespace,
        tokenizers.CharacterTokenizer,
        tokenizers.KiwiTokenizer,
        english.English,
        english.EnglishStem,
    ):
        register(tokenizer)
