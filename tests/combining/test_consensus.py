"""Which summary is taken: against brute force, by hand, and for any values."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import builtins
from rouge import Rouge as Package
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer

from dsum_bench.combining import consensus
from dsum_bench.metrics.base import Metric
from dsum_bench.metrics.choose import build
from dsum_bench.spec import Sample

WORDS = ("길", "을", "묻는다", "은", "#", "Person", "1", "2", "간다", ".", "집", "에")
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join), min_size=1, max_size=5)
SAMPLE = Sample("a", "#Person1#: 네.")


@pytest.mark.parametrize("name", ["rouge@whitespace", "rouge-score@whitespace"])
@settings(max_examples=60)
@given(texts=TEXTS)
def test_mutual_scores_are_those_of_one_pair_at_a_time(name: str, texts: list[str]) -> None:
    metric = build(builtins(), name)
    one_by_one = Metric.pairwise(metric, texts, SAMPLE)
    found = metric.pairwise(texts, SAMPLE)
    assert list(found) == list(metric.measures)
    for measure, rows in one_by_one.items():
        for row, ours in zip(rows, found[measure], strict=True):
            assert list(ours) == pytest.approx(row, abs=1e-9)


class Spaces(Tokenizer):  # type: ignore[misc]
    def tokenize(self, text: str) -> list[str]:
        return text.split()


def test_mutual_scores_are_those_of_the_packages() -> None:
    texts = ["길 을 묻는다 .", "집 에 간다 . 길 을 묻는다", "은 은 은"]
    ours = build(builtins(), "rouge@whitespace").pairwise(texts, SAMPLE)
    theirs = Package()
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Spaces())
    plain = build(builtins(), "rouge-score@whitespace").pairwise(texts, SAMPLE)
    for i, j in product(range(3), repeat=2):
        (told,) = theirs.get_scores(texts[i], texts[j])
        other = scorer.score(texts[j], texts[i])
        for measure, key in (("rouge1", "rouge-1"), ("rouge2", "rouge-2"), ("rougeL", "rouge-l")):
            assert ours[measure][i][j] == pytest.approx(100 * told[key]["f"], abs=1e-9)
            assert plain[measure][i][j] == pytest.approx(100 * other[measure].fmeasure, abs=1e-9)


MATRICES = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.integers(0, 100), min_size=n, max_size=n), min_size=n, max_size=n),
        st.lists(st.integers(1, 9), min_size=n, max_size=n),
    )
)


@given(MATRICES)
def test_the_summary_of_least_risk_is_the_one_that_brute_force_finds(given: tuple[list[list[int]], list[int]]) -> None:
    values, weights = given
    # A reference is drawn as often as its weight says: write each out that many times and add up.
    drawn = [j for j, weight in enumerate(weights) for _ in range(weight)]
    gained = [sum(values[i][j] for j in drawn) for i in range(len(weights))]
    assert consensus.mbr(values, [float(w) for w in weights]) == gained.index(max(gained))


@settings(max_examples=40)
@given(texts=TEXTS)
def test_least_risk_by_rouge_is_what_the_package_finds(texts: list[str]) -> None:
    def score(ours: str, theirs: str) -> float:
        if not ours.replace(".", "").strip() or not theirs.replace(".", "").strip():
            return 0.0  # the package raises
        (told,) = Package().get_scores(ours, theirs)
        return sum(told[key]["f"] for key in ("rouge-1", "rouge-2", "rouge-l")) / 3

    values = build(builtins(), "rouge@whitespace").pairwise(texts, SAMPLE)["mean"]
    sums = [round(sum(score(ours, theirs) for theirs in texts), 9) for ours in texts]
    assert consensus.mbr(values, [1.0] * len(texts)) == sums.index(max(sums))


def test_votes_by_hand() -> None:
    # 0 and 2 are nearest to 1, 1 to 2: two votes for 1, one for 2.
    values = [[100, 10, 20], [60, 100, 70], [30, 80, 100]]
    assert consensus.vote(values, [1, 1, 1]) == 1
    assert consensus.vote(values, [1, 3, 1]) == 2
    assert consensus.vote([[100]], [1]) == 0
    # A tie of votes goes to the lesser risk, then to the first.
    assert consensus.vote([[100, 50], [50, 100]], [1, 1]) == 0
    assert consensus.vote([[100, 40], [50, 100]], [1, 1]) == 1


def test_the_shorter_one_is_never_an_empty_one() -> None:
    assert consensus.shorter(["가나다", " ", "가나", "다라"]) == 2
    assert consensus.shorter(["", " "]) == 0


@given(MATRICES)
def test_scaling_the_weights_changes_nothing(given: tuple[list[list[int]], list[int]]) -> None:
    values, weights = given
    for way in (consensus.mbr, consensus.vote):
        assert way(values, [float(w) for w in weights]) == way(values, [w / 3 for w in weights])
