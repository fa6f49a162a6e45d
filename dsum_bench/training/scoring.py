"""The score of what a network writes in the middle of its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from dsum_bench.adapters.base import Adapter
from dsum_bench.decoding.strategies import Greedy, GreedyParams
from dsum_bench.engines.base import TrainableEngine
from dsum_bench.metrics.base import Metric
from dsum_bench.spec import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURE = "mean"
"""Of the measures of a metric that has it; else its first."""


def scorer(
    samples: Sequence[Sample],
    adapter: Adapter,
    max_tokens: int,
    engine: TrainableEngine,
    metric: Metric,
    tell: Callable[[str], None],
) -> Callable[[], float]:
    """A function that lets the engine's network summarise the samples, greedily, and gives their mean score.

    Args:
        max_tokens: of a prompt and its summary together.
    """
    measure = MEASURE if MEASURE in metric.measures else metric.measures[0]
    longest = max(len(adapter.target(r)) for s in samples for r in s.references)
    decoding = Greedy(GreedyParams(max_new_tokens=longest))
    room = max_tokens - longest if adapter.architecture == "decoder" else max_tokens
    adapter.context = replace(adapter.context, max_prompt_tokens=room)
    prompts = [adapter.prompt(s) for s in samples]
    by_id = {s.id: s for s in samples}

    def score() -> float:
        found = []
        for batch in engine.generate(prompts, adapter, decoding, tell):
            for made in batch:
                found.append(metric.score(adapter.parse(made), by_id[made.sample_id])[measure])
        return fmean(found)

    return score
