"""TextStatistics statistics: what a summary is like, whatever it says. No model and no tokenizer needed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean

from dsum_bench.dialogue import TAG
from dsum_bench.metrics.base import Metric, MetricTokenizer
from dsum_bench.spec import Sample

FOREIGN = re.compile(r"(?:FULLWIDTH |HALFWIDTH )?(?:LATIN|HIRAGANA|KATAKANA|CJK|CYRILLIC)\b|IDEOGRAPHIC ITERATION")
"""How the Unicode names of letters begin that Korean summaries hold only in names and terms."""

META = re.compile(
    r"\W*(?:(?:요약문?|summary|here(?:'s| is| are)|sure|the summary|다음은|아래는)\b"
    r"|요약[하해]|대화 ?(?:내용을? )?요약|물론(?:\W|입니다|이[죠에]))",
    re.IGNORECASE,
)
"""How a text begins that talks about the summary instead of giving it."""


class TextStatistics(Metric):
    """Length, copying, repetition, script, tags. All on a scale of 100, but ``chars``, which is a count.

    Words are what stands between white space. Measures that compare with references are averaged over them.
    """

    name = "text"
    measures = (
        "chars", "compression", "novel", "copied", "repeated", "foreign", "empty", "meta", "tag_precision", "tag_recall"
    )  # fmt: skip
    needs_tokenizer = False
    signature = "text|words:whitespace|refs:mean|scale:100|v:1"

    def __init__(self, tokenizer: MetricTokenizer | None = None) -> None:
        super().__init__(tokenizer)

    def score(self, summary: str, sample: Sample) -> Mapping[str, float]:
        text = summary.strip()
        words, source = text.split(), sample.dialogue.split()
        tags = [tag_scores(text, reference) for reference in sample.references]
        values = (
            len(text),
            100 * len(text) / max(1, len(sample.dialogue.strip())),
            100 * novel(words, source),
            100 * coverage(words, source),
            100 * repeated(words),
            100 * foreign(text),
            100 * (not any(c.isalnum() for c in text)),
            100 * bool(META.match(text)),
            100 * fmean(p for p, _ in tags) if tags else 0.0,
            100 * fmean(r for _, r in tags) if tags else 0.0,
        )
        return dict(zip(self.measures, map(float, values), strict=True))


def novel(words: Sequence[str], source: Sequence[str]) -> float:
    """Share of a summary's distinct bigrams that are not in its source (Narayan et al. 2018); 0 without a bigram."""
    mine = set(pairwise(words))
    return len(mine - set(pairwise(source))) / len(mine) if mine else 0.0


def coverage(words: Sequence[str], source: Sequence[str]) -> float:
    """Extractive fragment coverage (Grusky et al. 2018, section 4.1): share of a summary's words in fragments that it
    shares with its source, found greedily from the left, the longest each time; 0 without words."""
    places: dict[str, list[int]] = {}
    for i, word in enumerate(source):
        places.setdefault(word, []).append(i)
    at = covered = 0
    while at < len(words):
        length = max((_shared(words, source, at, place) for place in places.get(words[at], ())), default=0)
        covered += length
        at += max(1, length)
    return covered / len(words) if words else 0.0


def _shared(words: Sequence[str], source: Sequence[str], at: int, place: int) -> int:
    length = 0
    while at + length < len(words) and place + length < len(source) and words[at + length] == source[place + length]:
        length += 1
    return length


def repeated(words: Sequence[str]) -> float:
    """Share of a text's trigrams that occurred before in it; 0 without a trigram."""
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def foreign(text: str) -> float:
    """Share of the letters outside tags and masks that are Latin, kana, ideographs or Cyrillic; 0 without letters."""
    letters = [c for c in TAG.sub(" ", text) if c.isalpha()]
    return sum(bool(FOREIGN.match(unicodedata.name(c, ""))) for c in letters) / len(letters) if letters else 0.0


def tag_scores(summary: str, reference: str) -> tuple[float, float]:
    """Precision and recall of the distinct tags and masks of a summary against a reference's. Precision is 1 where the
    summary names none, recall where the reference does: nothing is wrong, nothing is missed."""
    mine, theirs = set(TAG.findall(summary)), set(TAG.findall(reference))
    both = len(mine & theirs)
    return both / len(mine) if mine else 1.0, both / len(theirs) if theirs else 1.0
