"""The metric `nikl` against package rouge-score, given the published rules as a tokenizer."""

from __future__ import annotations

import random
import re
from functools import lru_cache

import pytest
from making import builtins
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from dsum_bench.metrics.choose import build
from dsum_bench.metrics.nikl import Nikl
from dsum_bench.spec import Sample
from dsum_bench.testing import MetricRules

PAIRS = 20_000


class Rules(Tokenizer):  # type: ignore[misc]
    """What the published scorer does to a text, written anew."""

    def __init__(self) -> None:
        from mecab import MeCab

        self.mecab = MeCab()
        self.cut = lru_cache(None)(self._cut)

    def tokenize(self, text: str) -> list[str]:
        return self.cut(text)

    def _cut(self, text: str) -> list[str]:
        kept = (
            c if re.match("[a-z0-9]", c, re.ASCII) or "\uac00" <= c <= "\ud7a3" else " " for c in map(str.lower, text)
        )
        return [str(m) for m in self.mecab.morphs("".join(kept).strip())][:1000]


@pytest.fixture(scope="module")
def metric() -> Nikl:
    made = build(builtins(), "nikl@mecab-ko")
    assert isinstance(made, Nikl)
    return made


def sentence(generator: random.Random) -> str:
    words = (
        "이 대화에서", "화자들은", "SD2000001은", "SD2000002는", "여행에", "대해", "이야기했습니다.", "좋다고",
        "말했고,", "COVID-19", "3.5kg", "ㅋㅋ", "#Person1#", "café", "漢字", "또한", "커피를", "마셨다", "!",
        "…", "Ab", "aB",
    )  # fmt: skip
    return " ".join(generator.choices(words, k=generator.randint(0, 12)))


def test_it_is_what_rouge_score_finds_by_the_same_rules(metric: Nikl) -> None:
    generator = random.Random(1)
    texts = [sentence(generator) for _ in range(600)]
    oracle = RougeScorer(["rouge1"], tokenizer=Rules())
    seen = set()
    for _ in range(PAIRS):
        ours, theirs = generator.choice(texts), generator.choice(texts)
        values = metric.score(ours, Sample("a", "", (theirs,)))
        expected = 100 * oracle.score(theirs, ours)["rouge1"].fmeasure
        assert values["rouge1"] == pytest.approx(expected, abs=1e-9)
        assert values["mean"] == values["rouge1"]
        seen.add(round(expected, 3))
    assert len(seen) > 200


def test_counts_of_several_references_are_pooled(metric: Nikl) -> None:
    # By hand: the summary has 3 morphemes, the references 1 and 3, of which it shares 1 and 2.
    sample = Sample("a", "", ("커피", "커피 차 물"))
    precision, recall = 3 / 6, 3 / 4
    expected = 100 * 2 * precision * recall / (precision + recall)
    assert metric.score("커피 차 빵", sample)["rouge1"] == pytest.approx(expected)


def test_only_the_first_thousand_words_count(metric: Nikl) -> None:
    long = " ".join(["물"] * 1000)
    assert metric.score(f"{long} 커피", Sample("a", "", (f"{long} 차",)))["rouge1"] == pytest.approx(100)


def test_what_is_no_letter_digit_or_syllable_does_not_count(metric: Nikl) -> None:
    assert metric.score("COVID 19!!", Sample("a", "", ("covid-19",)))["rouge1"] == pytest.approx(100)
    assert metric.score("ㅋㅋ 漢字", Sample("a", "", ("ㅋㅋ 漢字",)))["rouge1"] == 0


def test_the_signature_says_what_the_score_is_made_of(metric: Nikl) -> None:
    assert "parts:rouge1|" in metric.signature and "tok:mecab-ko:" in metric.signature
    assert "refs:pooled" in metric.signature and "words:1000" in metric.signature


class TestNikl(MetricRules):
    metric = Nikl
    tokenizer = builtins().tokenizers["char"]()
