"""Long outputs: what metrics see of them, and that what a reader would call normal is not touched."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.metrics.base import MetricTokenizer
from dsum_bench.metrics.bounds import LONGEST_SUMMARY, LONGEST_WORD, broken, scored_part
from dsum_bench.metrics.facts.metric import Facts
from dsum_bench.metrics.rouge import Rouge, RougeScore
from dsum_bench.metrics.text import TextStatistics
from dsum_bench.metrics.tokenizers import Mecab, MecabKo, Whitespace
from dsum_bench.spec import Sample

SAMPLE = Sample(
    "1", "#Person1#: 오늘 뭐 해?\n#Person2#: 집에 있어. 세 시에 나가.", ("#Person1#이 오늘 일을 묻습니다.",)
)


@given(st.text(max_size=300))
def test_normal_texts_are_left_alone(text: str) -> None:
    assert broken(text) == scored_part(text) == text


@given(st.lists(st.text(alphabet="가나 \n", max_size=1500), max_size=4).map(" ".join))
def test_only_overlong_words_are_cut_and_no_character_is_lost(text: str) -> None:
    words = broken(text).split()
    assert max(map(len, words), default=0) <= LONGEST_WORD
    assert "".join(words) == "".join(text.split())
    if all(len(word) <= LONGEST_WORD for word in text.split()):
        assert broken(text) == text


@pytest.mark.parametrize("tokenizer", [Mecab, MecabKo])
def test_a_long_text_with_spaces_has_the_analysers_own_tokens(tokenizer: type[MetricTokenizer]) -> None:
    made = tokenizer()
    sentence = "그는 세 시에 회의실에서 만나기로 합니다. "
    assert made(sentence * 200) == made._cut(sentence * 200)  # type: ignore[attr-defined]


def test_nothing_is_lost_of_a_text_without_spaces() -> None:
    rng = random.Random(3)
    text = "".join(chr(rng.randrange(ord("가"), ord("힣"))) for _ in range(30_000))
    assert "".join(Mecab()(text)) == text


@pytest.mark.parametrize("character", ["가", "1", "a", ".", "\u200d", "#"])
def test_a_megabyte_without_spaces_is_scored(character: str) -> None:
    """The time of this was quadratic: some minutes for each metric. Now it is a part of a second."""
    text = scored_part(character * 1_000_000)
    assert len(text) == LONGEST_SUMMARY
    for metric in (Rouge(Mecab()), RougeScore(Mecab()), Rouge(Whitespace()), TextStatistics(), Facts()):
        assert set(metric.score(text, SAMPLE)) == set(metric.measures)
