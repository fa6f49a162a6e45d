"""ROUGE as metrics, one class a definition."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import ClassVar

from dsum_bench.metrics.base import Metric, MetricTokenizer
from dsum_bench.metrics.rouge_core import RougeScores, rouge_score_scores, rouge_scores
from dsum_bench.spec import Sample

VERSION = 1
"""Raise when a value can change for the same text."""


class Definition(Metric):
    """ROUGE-1, -2 and -L F1 x 100, their sum and their mean; what is counted is the subclass's ``compare``.

    Several references are scored one by one and averaged. A summary without any token, or of full stops alone,
    scores 0.

    profile: name and version of the package whose definition it is.
    """

    measures = ("rouge1", "rouge2", "rougeL", "sum", "mean")
    profile: ClassVar[str]

    def __init__(self, tokenizer: MetricTokenizer | None) -> None:
        super().__init__(tokenizer)
        assert tokenizer is not None
        # References come again with every model.
        self._tokens = lru_cache(maxsize=4096)(tokenizer)

    @staticmethod
    @abstractmethod
    def compare(summary: Sequence[str], reference: Sequence[str]) -> RougeScores:
        """The scores of a summary's tokens against those of one reference."""

    @property
    def signature(self) -> str:
        assert self.tokenizer is not None
        return f"{self.name}|profile:{self.profile}|tok:{self.tokenizer.signature}|refs:mean|scale:100|v:{VERSION}"

    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        ours = self._tokens(summary)
        found = [self.compare(ours, self._tokens(reference)) for reference in sample.references]
        f1 = zip(*((s.rouge1.f1, s.rouge2.f1, s.rougeL.f1) for s in found), strict=True)
        values = [100 * fmean(of_all) for of_all in f1] or [0.0, 0.0, 0.0]
        return dict(zip(self.measures, [*values, sum(values), sum(values) / 3], strict=True))


class Rouge(Definition):
    """ROUGE by package ``rouge`` 1.0.1: sets of n-grams, union of common subsequences over sentences."""

    name = "rouge"
    profile = "rouge-1.0.1"
    compare = staticmethod(rouge_scores)


class RougeScore(Definition):
    """ROUGE by package ``rouge-score``: multisets of n-grams, one plain common subsequence."""

    name = "rouge-score"
    profile = "rouge-score-0.1.2"
    compare = staticmethod(rouge_score_scores)
