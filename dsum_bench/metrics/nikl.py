"""The score of NIKL's everyday-dialogue summaries, as its published rules have it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

from dsum_bench.metrics.base import Metric, MetricTokenizer
from dsum_bench.spec import Sample

VERSION = 1
"""Raise when a value can change for the same text."""
WORDS = 1000
_OTHER = re.compile("[^A-Za-z0-9가-힣]")


class Nikl(Metric):
    """ROUGE-1 F1 x 100 on multisets of morphemes; ``mean`` is the mean of all parts, of which this is the only one.

    A text is lower-cased, everything but Latin letters, digits and Hangul syllables becomes a space, and of its
    morphemes the first 1,000 count. Of several references the counts are pooled. The official scorer cuts by konlpy's
    Mecab, which is tokenizer ``mecab-ko``. A subclass adds parts.

    parts: what the mean is taken over, in the order of their measures.
    """

    name = "nikl"
    measures = ("rouge1", "mean")
    parts: ClassVar[tuple[str, ...]] = ("rouge1",)

    def __init__(self, tokenizer: MetricTokenizer | None) -> None:
        super().__init__(tokenizer)
        # References come again with every model.
        self._counted = lru_cache(maxsize=4096)(self._count)

    @property
    def signature(self) -> str:
        assert self.tokenizer is not None
        cut = self.tokenizer.signature
        return f"{self.name}|parts:{'+'.join(self.parts)}|tok:{cut}|words:{WORDS}|refs:pooled|scale:100|v:{VERSION}"

    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        values = [100 * f1(self._counted(summary), [self._counted(r) for r in sample.references])]
        values += self.further(summary, sample)
        return dict(zip(self.measures, [*values, sum(values) / len(values)], strict=True))

    def further(self, summary: str, sample: Sample) -> list[float]:
        """The parts besides ROUGE-1, x 100, in order."""
        return []

    def _count(self, text: str) -> Counter[str]:
        assert self.tokenizer is not None
        return Counter(self.tokenizer(_OTHER.sub(" ", text.lower()).strip())[:WORDS])


def f1(ours: Counter[str], references: Sequence[Counter[str]]) -> float:
    """F1 of the words that a summary shares with its references, counts of all references added up; 0 without any."""
    shared = sum((ours & theirs).total() for theirs in references)
    precision = shared / max(1, len(references) * ours.total())
    recall = shared / max(1, sum(theirs.total() for theirs in references))
    return 2 * precision * recall / (precision + recall) if shared else 0.0
