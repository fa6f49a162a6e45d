"""``facts``: what a summary says that its dialogue does not bear out. No model and no reference."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from statistics import fmean
from typing import ClassVar

from dsum_bench.metrics.base import Metric, MetricTokenizer
from dsum_bench.metrics.facts.find import KINDS, Fact, degree, facts
from dsum_bench.metrics.facts.reading import Reading
from dsum_bench.metrics.morphemes import Analyser, KiwiAnalyser, MecabAnalyser
from dsum_bench.spec import Sample

VERSION = 1
"""Raise when a value can change for the same summary and dialogue."""


class Facts(Metric):
    """How far a dialogue bears out the numbers, times, names, tags, negations and speakers of a summary, on a scale of
    100; see :mod:`dsum_bench.metrics.facts.find`. ``mean`` is the mean of the kinds that a summary has, 0 for an empty
    one; ``checked`` how many facts there were.

    Morphemes are Mecab's; variant ``kiwi`` takes kiwipiepy's, an extra.
    """

    name = "facts"
    measures = (*KINDS, "checked", "mean")
    needs_tokenizer = False
    needs_references = False
    languages = ("ko",)
    variants: ClassVar[tuple[str, ...]] = ("kiwi",)

    def __init__(self, tokenizer: MetricTokenizer | None = None) -> None:
        super().__init__(tokenizer)
        # A dialogue comes again with every model, and with every reference.
        self._reading = lru_cache(maxsize=1024)(lambda dialogue: Reading(dialogue, self._analyser))

    @cached_property
    def _analyser(self) -> Analyser:
        return KiwiAnalyser() if self.variant == "kiwi" else MecabAnalyser()

    @property
    def signature(self) -> str:
        return f"{self.name}|morphemes:{self._analyser.signature}|scale:100|v:{VERSION}"

    def find(self, summary: str, dialogue: str) -> list[Fact]:
        """What was looked up, in the order of kinds."""
        return facts(summary, self._reading(dialogue))

    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        found = self.find(summary, sample.dialogue)
        by_kind = {kind: [f for f in found if f.kind == kind] for kind in KINDS}
        values = {kind: 100 * degree(kind, of) for kind, of in by_kind.items()}
        had = [values[kind] for kind, of in by_kind.items() if of]
        empty = not any(c.isalnum() for c in summary)
        mean = 0.0 if empty else fmean(had) if had else 100.0
        return {**{str(k): v for k, v in values.items()}, "checked": float(len(found)), "mean": mean}
