"""ROUGE against the packages whose definitions it follows, and by hand."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge import Rouge as PackageRouge
from rouge_score.rouge_scorer import RougeScorer

from dsum_bench.errors import UserError
from dsum_bench.metrics.choose import build
from dsum_bench.metrics.rouge_core import EMPTY, RougeScores, common_words, rouge_score_scores, rouge_scores
from dsum_bench.plugins import Plugins
from dsum_bench.spec import PluginSettings, Sample

PLUGINS = Plugins(PluginSettings(packages=()))
VOCABULARIES = {
    "few": ["a", "b", "."],
    "letters": [*"abcdefgh", "."],
    "korean": ["#", "Person", "1", "2", "은", "는", "에게", "합니다", ".", "이야기"],
    "awkward": ["..", "a.b", ".", "가.", "나", "😀", "\u200b", "漢字", "é", "e\u0301", "İ", "#Person1#", "\u3000"],
}
tokens = st.lists(st.sampled_from(sorted({t for v in VOCABULARIES.values() for t in v})), max_size=30)


class Spaces:
    """A tokenizer for package rouge-score that gives back the tokens that were joined."""

    def tokenize(self, text: str) -> list[str]:
        return text.split("\0") if text else []


PACKAGE = PackageRouge()
SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Spaces())


def parts(scores: RougeScores) -> list[float]:
    return [v for s in (scores.rouge1, scores.rouge2, scores.rougeL) for v in (s.precision, s.recall, s.f1)]


def package_rouge(ours: Sequence[str], theirs: Sequence[str]) -> list[float] | None:
    """What package ``rouge`` says; None where it raises."""
    try:
        (found,) = PACKAGE.get_scores(" ".join(ours), " ".join(theirs))
    except ValueError:
        return None
    return [found[m][p] for m in ("rouge-1", "rouge-2", "rouge-l") for p in "prf"]


def package_rouge_score(ours: Sequence[str], theirs: Sequence[str]) -> list[float]:
    found = SCORER.score("\0".join(theirs), "\0".join(ours))
    return [v for m in ("rouge1", "rouge2", "rougeL") for v in found[m]]


@given(tokens, tokens)
def test_profile_rouge_is_package_rouge(ours: list[str], theirs: list[str]) -> None:
    oracle = package_rouge(ours, theirs)
    if oracle is None:
        assert rouge_scores(ours, theirs) == EMPTY
    else:
        assert parts(rouge_scores(ours, theirs)) == pytest.approx(oracle, abs=1e-12)


@given(tokens, tokens)
def test_profile_rouge_score_is_package_rouge_score(ours: list[str], theirs: list[str]) -> None:
    assert parts(rouge_score_scores(ours, theirs)) == pytest.approx(package_rouge_score(ours, theirs), abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_twenty_thousand_pairs(vocabulary: str) -> None:
    draw, raised = random.Random(vocabulary), 0
    words = VOCABULARIES[vocabulary]
    for _ in range(5000):
        ours, theirs = (draw.choices(words, k=draw.randint(0, 25)) for _ in range(2))
        oracle = package_rouge(ours, theirs)
        raised += oracle is None
        assert parts(rouge_scores(ours, theirs)) == pytest.approx(oracle or [0.0] * 9, abs=1e-12)
        assert parts(rouge_score_scores(ours, theirs)) == pytest.approx(package_rouge_score(ours, theirs), abs=1e-12)
    assert 0 < raised < 2500


def test_where_the_package_raises_the_score_is_nothing() -> None:
    for text in ([], ["."], [".", "."], ["..", "."]):
        with pytest.raises(ValueError):
            PACKAGE.get_scores(" ".join(text).replace(" ", ""), "가 나")
    for text in ([], ["."], ["..", "..."]):
        assert rouge_scores(text, ["가", "나"]).rouge1.f1 == 0
        assert rouge_scores(["가", "나"], text).rouge1.f1 == 0


def test_a_text_too_long_for_the_package_is_scored() -> None:
    words = [str(i % 700) for i in range(2000)]
    with pytest.raises(RecursionError):
        PACKAGE.get_scores(" ".join(words), " ".join(words))
    assert rouge_scores(words, words).rougeL.recall == 1.0


@given(tokens, tokens)
def test_bounds_and_symmetry(ours: list[str], theirs: list[str]) -> None:
    for definition in (rouge_scores, rouge_score_scores):
        here, there = definition(ours, theirs), definition(theirs, ours)
        assert all(0 <= v <= 1 for v in parts(here))
        for a, b in ((here.rouge1, there.rouge1), (here.rouge2, there.rouge2)):
            assert (a.precision, a.recall) == (b.recall, b.precision)


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=20))
def test_a_text_matches_itself(text: list[str]) -> None:
    assert parts(rouge_score_scores(text, text))[::3] == pytest.approx([1, 1 if len(text) > 1 else 0, 1])
    assert rouge_scores(text, text).rouge1.f1 == pytest.approx(1, abs=1e-8)
    assert common_words(text, text) == text


def test_a_pair_worked_by_hand() -> None:
    # Distinct words a b c d and a c d e; pairs ab bc cd and ac cd de; longest common subsequence a c d.
    found = rouge_scores(["a", "b", "c", "d"], ["a", "c", "d", "e"])
    assert parts(found) == pytest.approx([3 / 4, 3 / 4, 3 / 4, 1 / 3, 1 / 3, 1 / 3, 3 / 4, 3 / 4, 3 / 4], abs=1e-8)


@given(tokens, st.lists(tokens.filter(bool), min_size=1, max_size=4))
def test_references_are_averaged(summary: list[str], references: list[list[str]]) -> None:
    metric = build(PLUGINS, "rouge@whitespace")
    found = metric.score(" ".join(summary), Sample("s", "", tuple(" ".join(r) for r in references)))
    singly = [rouge_scores(" ".join(summary).split(), " ".join(r).split()) for r in references]
    assert found["rouge1"] == pytest.approx(100 * fmean(s.rouge1.f1 for s in singly))
    assert found["sum"] == pytest.approx(found["rouge1"] + found["rouge2"] + found["rougeL"])
    assert found["mean"] == pytest.approx(found["sum"] / 3)


@pytest.mark.parametrize("choice", ["rouge@mecab", "rouge-score@mecab-tags", "rouge@char", "rouge@mecab-ko-tags"])
@given(text=st.text(st.characters(codec=None), max_size=40))
def test_no_text_can_make_a_metric_raise(choice: str, text: str) -> None:
    values = METRICS[choice].score(text, Sample("s", "", ("#Person1#은 웃습니다.",)))
    assert all(0 <= v <= 300 for v in values.values())


METRICS = {c: build(PLUGINS, c) for c in ("rouge@mecab", "rouge-score@mecab-tags", "rouge@char", "rouge@mecab-ko-tags")}

CONSTANT = "#Person1#은 #Person2#에게 이야기를 합니다."


def dev(shared_data: Path) -> list[Sample]:
    with (shared_data / "dialogsum-ko" / "dev.csv").open(encoding="utf-8-sig", newline="") as file:
        return [Sample(r["fname"], r["dialogue"], (r["summary"],)) for r in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("tokenizer", "figures"),
    [
        # 32.56/24.52/29.82 was published for konlpy's Mecab, the mecab-ko fork.
        ("mecab-ko", (32.56, 24.52, 29.82)),
        # mecab-python3 cuts 10 of the 499 references otherwise.
        ("mecab", (32.56, 24.51, 29.81)),
    ],
)
def test_the_constant_sentence_scores_what_was_published(
    shared_data: Path, tokenizer: str, figures: tuple[float, ...]
) -> None:
    metric = build(PLUGINS, f"rouge@{tokenizer}")
    assert metric.tokenizer is not None
    samples = dev(shared_data)
    assert len(samples) == 499
    scores = [metric.score(CONSTANT, s) for s in samples]
    ours = " ".join(metric.tokenizer(CONSTANT))
    package = PACKAGE.get_scores([ours] * 499, [" ".join(metric.tokenizer(s.references[0])) for s in samples], avg=True)
    for name, key, figure in zip(
        ("rouge1", "rouge2", "rougeL"), ("rouge-1", "rouge-2", "rouge-l"), figures, strict=True
    ):
        mean = fmean(s[name] for s in scores)
        assert mean == pytest.approx(100 * package[key]["f"], abs=1e-9)
        assert round(mean, 2) == figure
    assert round(fmean(s["sum"] for s in scores), 1) == 86.9


def test_signatures_tell_what_can_change_a_value() -> None:
    choices = ["rouge@mecab", "rouge@mecab-ko", "rouge@mecab-tags", "rouge@char", "rouge-score@mecab"]
    signatures = {c: build(PLUGINS, c).signature for c in choices}
    assert len(set(signatures.values())) == len(choices)
    from importlib.metadata import version

    for name in ("mecab-python3", "python-mecab-ko-dic"):
        assert version(name) in signatures["rouge@mecab"]


@pytest.mark.parametrize(
    ("choice", "fault"),
    [
        ("rogue@mecab", "unknown metric 'rogue'; did you mean 'rouge'"),
        ("rouge@mecap", "unknown tokenizer 'mecap'; did you mean 'mecab'"),
        ("rouge", "metric 'rouge' needs a tokenizer: rouge@mecab"),
    ],
)
def test_a_wrong_choice_names_the_nearest(choice: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        build(PLUGINS, choice)


@given(tokens, st.lists(tokens.filter(bool), min_size=1, max_size=4))
def test_best_is_one_reference_and_max_each_measures_own(summary: list[str], references: list[list[str]]) -> None:
    def values(choice: str, texts: list[list[str]]) -> list[float]:
        sample = Sample("1", "", tuple(" ".join(text) for text in texts))
        return list(build(PLUGINS, choice).score(" ".join(summary), sample).values())[:3]

    alone = [values("rouge@whitespace", [text]) for text in references]
    assert values("rouge@whitespace:best", references) in [pytest.approx(a) for a in alone]
    assert sum(values("rouge@whitespace:best", references)) == pytest.approx(max(map(sum, alone)))
    assert values("rouge@whitespace:max", references) == pytest.approx([max(c) for c in zip(*alone, strict=True)])


def test_a_variant_is_part_of_the_signature_and_an_unknown_one_is_refused() -> None:
    assert "|refs:max|" in build(PLUGINS, "rouge-score@char:max").signature
    assert "|refs:mean|" in build(PLUGINS, "rouge-score@char").signature
    with pytest.raises(UserError, match="no variant 'median'; there are best, max"):
        build(PLUGINS, "rouge@char:median")
    with pytest.raises(UserError, match="text has no variant 'max'; it has none"):
        build(PLUGINS, "text:max")
