"""TextStatistics statistics against examples worked by hand."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.metrics.text import TextStatistics, coverage, foreign, novel, repeated, tag_scores
from dsum_bench.spec import Sample

texts = st.text(max_size=60) | st.lists(
    st.sampled_from(["가나", "#Person1#", "hello", "漢字", ".", "요약:", "か", "ж"]), max_size=9
).map(" ".join)


def test_novel_bigrams_by_hand() -> None:
    # a b, b c, c d; of these b c and c d are not in the source.
    assert novel(["a", "b", "c", "d"], ["x", "a", "b", "y", "c"]) == pytest.approx(2 / 3)
    assert novel(["a"], ["b"]) == 0


def test_coverage_by_hand() -> None:
    # Fragments: 'a b' and 'd'; c is new.
    assert coverage(["a", "b", "c", "d"], ["d", "x", "a", "b"]) == pytest.approx(3 / 4)
    assert coverage(["a", "b", "c"], ["a", "b", "c"]) == 1
    assert coverage([], ["a"]) == 0
    # Greedy takes 'a b c', the longer of two fragments that begin alike.
    assert coverage(["a", "b", "c"], ["a", "b", "x", "a", "b", "c"]) == 1


def test_repetition_by_hand() -> None:
    # Trigrams: aba bab aba bab; two of four were there before.
    assert repeated(["a", "b", "a", "b", "a", "b"]) == pytest.approx(1 / 2)
    assert repeated(["a", "b"]) == 0


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("#Person1#은 갑니다.", 0.0),
        ("가나 ab", 1 / 2),
        ("漢字와 かな", 4 / 5),
        ("жук", 1.0),
        ("Ａｂ가 ｶﾅ 人々", 6 / 7),
        ("123 !?", 0.0),
        ("#PhoneNumber# Tom이", 3 / 4),
    ],
)
def test_foreign_letters_by_hand(text: str, share: float) -> None:
    assert foreign(text) == pytest.approx(share)


def test_tags_by_hand() -> None:
    assert tag_scores("#Person1#은 #Person3#에게", "#Person1#은 #Person2#에게 #Person1#") == (1 / 2, 1 / 2)
    assert tag_scores("없음", "#Person1#") == (1.0, 0.0)
    assert tag_scores("#Person1#", "없음") == (0.0, 1.0)


def test_a_sample_by_hand() -> None:
    sample = Sample("1", "#Person1#: 안녕 하세요", ("#Person1#이 인사합니다.", "두 사람이 인사합니다."))
    found = TextStatistics().score("요약: 안녕 하세요", sample)
    assert found["chars"] == 10
    assert found["compression"] == pytest.approx(100 * 10 / 17)
    assert found["novel"] == pytest.approx(50)
    assert found["copied"] == pytest.approx(100 * 2 / 3)
    assert (found["meta"], found["empty"]) == (100, 0)
    assert (found["tag_precision"], found["tag_recall"]) == (100, 50)


@pytest.mark.parametrize(
    "text",
    [
        "Here is a summary: x",
        "**요약**: 그는",
        "요약문\n그는",
        "다음은 요약입니다.",
        "Sure! It",
        "물론입니다! 요약은",
        "대화 내용을 요약하면 그는",
        "요약해 드리겠습니다.",
    ],
)
def test_talk_about_the_summary(text: str) -> None:
    assert TextStatistics().score(text, Sample("1", "a", ("b",)))["meta"] == 100


@pytest.mark.parametrize(
    "text", ["요약본을 보냅니다.", "Summaries differ", "그는 요약을 씁니다.", "대화가 끝납니다.", "물론의 뜻", ""]
)
def test_a_summary_is_not_taken_for_talk_about_it(text: str) -> None:
    assert TextStatistics().score(text, Sample("1", "a", ("b",)))["meta"] == 0


@given(texts, texts, st.lists(texts, max_size=3))
def test_values_of_any_text(summary: str, dialogue: str, references: list[str]) -> None:
    found = TextStatistics().score(summary, Sample("1", dialogue, tuple(references)))
    assert tuple(found) == TextStatistics.measures and all(isfinite(v) for v in found.values())
    assert all(0 <= v <= 100 for m, v in found.items() if m not in ("chars", "compression"))
    assert (found["empty"] == 100) == (not any(c.isalnum() for c in summary))
