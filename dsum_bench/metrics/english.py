"""English tokens as package ``rouge-score`` 0.1.2 cuts them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from dsum_bench.errors import UserError
from dsum_bench.metrics.base import MetricTokenizer
from dsum_bench.metrics.tokenizers import version_of

WORD = re.compile("[a-z0-9]+")
STEMMED_FROM = 4
"""Characters from which the package stems a word."""


class English(MetricTokenizer):
    """Runs of ``a-z`` and digits in lower case: the package's own tokenizer without its stemmer.

    It drops every letter of other scripts, so that it is for English only.
    """

    name = "english"
    languages = ("en",)

    @property
    def signature(self) -> str:
        return f"{self.name}:rouge-score-0.1.2"

    def __call__(self, text: str) -> list[str]:
        return WORD.findall(text.lower())


class EnglishStem(English):
    """As ``english``, words of four letters and more reduced by the Porter stemmer of NLTK, as the package does with
    ``use_stemmer=True``.

    Raises:
        UserError: NLTK is not installed.
    """

    name = "english-stem"

    def __init__(self) -> None:
        try:
            from nltk.stem.porter import PorterStemmer
        except ImportError:
            raise UserError(f"metric tokenizer '{self.name}' needs NLTK: pip install 'dsum-bench[english]'") from None
        self._stem: Callable[[str], str] = lru_cache(maxsize=65536)(PorterStemmer().stem)

    @property
    def signature(self) -> str:
        return f"{super().signature}+porter-nltk-{version_of('nltk')}"

    def __call__(self, text: str) -> list[str]:
        words = super().__call__(text)
        stems = (self._stem(word) if len(word) >= STEMMED_FROM else word for word in words)
        return [stem for stem in stems if WORD.fullmatch(stem)]
