"""What a metric and a metric's tokenizer are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from dsum_bench.spec import Sample


class MetricTokenizer(ABC):
    """Cuts a text into the tokens that a metric counts.

    name: what stands after ``@`` in ``rouge@mecab``.
    languages: of the texts it is made for; empty means any.
    An instance may be expensive (a dictionary): it is made once per process.
    """

    name: ClassVar[str]
    languages: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def signature(self) -> str:
        """Name, engine and dictionary with their versions; two that differ may cut differently."""

    @abstractmethod
    def __call__(self, text: str) -> list[str]:
        """Tokens of text, in order. An empty list for a text without any."""


class Metric(ABC):
    """Scores one summary at a time.

    name: what stands before ``@`` in ``rouge@mecab``.
    measures: names of the values that ``score`` returns, in the order they are shown.
    needs_tokenizer: False for a metric that is written without ``@``; its tokenizer is then None.
    needs_references: False for a metric that looks at summary and dialogue alone.
    languages: of the texts it is made for, besides what its tokenizer is made for; empty means any.
    variants: what may stand after a colon, as in ``rouge@mecab:max``; ``self.variant`` is '' where nothing does.
    """

    name: ClassVar[str]
    measures: ClassVar[tuple[str, ...]]
    needs_tokenizer: ClassVar[bool] = True
    needs_references: ClassVar[bool] = True
    languages: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[tuple[str, ...]] = ()
    variant: str = ""

    def __init__(self, tokenizer: MetricTokenizer | None) -> None:
        self.tokenizer = tokenizer

    @property
    @abstractmethod
    def signature(self) -> str:
        """Everything that can change a value, ``key:value`` parts joined by ``|``.

        Values with different signatures are never ranked or compared together.
        """

    @abstractmethod
    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        """One value per measure. Never raises for any text, and never returns NaN."""

    def pairwise(self, texts: Sequence[str], sample: Sample) -> Mapping[str, Sequence[Sequence[float]]]:
        """Every text scored with every other, and with itself, as its only reference, as consensus needs it.

        Measure -> rows of values, shape (texts, references). A metric that can do better than one by one overrides it.
        """
        rows = [[self.score(text, replace(sample, references=(other,))) for other in texts] for text in texts]
        return {measure: [[values[measure] for values in row] for row in rows] for measure in self.measures}
