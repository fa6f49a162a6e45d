"""ROUGE as metrics, one class a definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

from dsum_bench.metrics.base import Metric, MetricTokenizer
from dsum_bench.metrics.rouge_core import RougeScores, rouge_score_scores, rouge_scores
from dsum_bench.spec import Sample

VERSION = 1
"""Raise when a value can change for the same text."""


class Rouge(Metric):
    """ROUGE-1, -2 and -L F1 x 100 by the definition of package ``rouge`` 1.0.1, their sum and their mean.

    Several references are scored one by one and averaged. A summary without any token, or of full stops alone,
    scores 0.
    """

    name = "rouge"
    measures = ("rouge1", "rouge2", "rougeL", "sum", "mean")
    profile: ClassVar[str] = "rouge-1.0.1"
    definition: ClassVar[Callable[[Sequence[str], Sequence[str]], RougeScores]] = staticmethod(rouge_scores)

    def __init__(self, tokenizer: MetricTokenizer | None) -> None:
        super().__init__(tokenizer)
        assert tokenizer is not None
        # References come again with every model, and the same one with every batch.
        self._tokens = lru_cache(maxsize=4096)(tokenizer)

    @property
    def signature(self) -> str:
        assert self.tokenizer is not None
        return f"{self.name}|profile:{self.profile}|tok:{self.tokenizer.signature}|refs:mean|scale:100|v:{VERSION}"

    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        ours = self._tokens(summary)
        found = [type(self).definition(ours, self._tokens(reference)) for reference in sample.references]
        values = [
            100 * sum(f1) / len(found) if found else 0.0
            for f1 in (
                [s.rouge1.f1 for s in found],
                [s.rouge2.f1 for s in found],
                [s.rougeL.f1 for s in found],
            )
        ]
        return dict(zip(self.measures, [*values, sum(values), sum(values) / 3], strict=True))


class RougeScore(Rouge):
    """The same by the definition of package ``rouge-score``: multisets of n-grams, one plain common subsequence."""

    name = "rouge-score"
    profile = "rouge-score-0.1.2"
    definition = staticmethod(rouge_score_scores)
