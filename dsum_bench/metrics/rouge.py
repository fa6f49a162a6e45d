"""ROUGE as metrics, one class a definition."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import ClassVar

from dsum_bench.metrics.base import Metric, MetricTokenizer
from dsum_bench.metrics.rouge_core import RougeScores, rouge_score_scores, rouge_scores
from dsum_bench.spec import Sample

VERSION = 1
"""Raise when a value can change for the same text."""


F1 = tuple[float, float, float]


def _f1(scores: RougeScores) -> F1:
    return scores.rouge1.f1, scores.rouge2.f1, scores.rougeL.f1


AGGREGATE: Mapping[str, Callable[[Sequence[F1]], Sequence[float]]] = {
    "": lambda found: [fmean(column) for column in zip(*found, strict=True)],
    "best": lambda found: max(found, key=sum),
    "max": lambda found: [max(column) for column in zip(*found, strict=True)],
}
"""From the values of each reference to those of the sample."""


class Definition(Metric):
    """ROUGE-1, -2 and -L F1 x 100, their sum and their mean; what is counted is the subclass's ``compare``.

    Several references are scored one by one. Their values are averaged; variant ``best`` takes those of the one
    reference with the highest mean, variant ``max`` each measure's highest, so that its sum may come from several.
    A summary without any token, or of full stops alone, scores 0.

    profile: name and version of the package whose definition it is.
    """

    measures = ("rouge1", "rouge2", "rougeL", "sum", "mean")
    variants = ("best", "max")
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
        references = self.variant or "mean"
        cut = self.tokenizer.signature
        return f"{self.name}|profile:{self.profile}|tok:{cut}|refs:{references}|scale:100|v:{VERSION}"

    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        ours = self._tokens(summary)
        found = [self.compare(ours, self._tokens(reference)) for reference in sample.references]
        values = [100 * value for value in AGGREGATE[self.variant]([_f1(s) for s in found])] if found else [0.0] * 3
        return dict(zip(self.measures, [*values, sum(values), sum(values) / 3], strict=True))

    def pairwise(self, texts: Sequence[str], sample: Sample) -> Mapping[str, Sequence[Sequence[float]]]:
        from dsum_bench.metrics.rouge_pairs import f1_pairs

        values = 100 * f1_pairs([self._tokens(text) for text in texts], self.name)
        total = values.sum(axis=0)
        return dict(zip(self.measures, [*values.tolist(), total.tolist(), (total / 3).tolist()], strict=True))


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
