"""Tokenizers for English and by Kiwi, and metrics that follow the language of the data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Dsum
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from dsum_bench.errors import UserError
from dsum_bench.languages import default_metrics, main_metric
from dsum_bench.metrics.choose import build, unsuited
from dsum_bench.metrics.english import English, EnglishStem
from dsum_bench.metrics.rouge import RougeScore
from dsum_bench.metrics.tokenizers import KiwiTokenizer
from dsum_bench.plugins import Plugins
from dsum_bench.spec import Sample

PLUGINS = Plugins()
TALK = "#Person1#: Are the meetings on Friday?\n#Person2#: No, they were moved to Monday, at 10:30."
REFERENCE = "#Person1# asks about meetings; #Person2# says they've been moved to Monday at 10:30."
english = st.text(st.sampled_from("aeisgnd AB1.,'é가#-"), max_size=40) | st.sampled_from(
    [
        "The meetings were relational, conditional and hopeful.",
        "Ponies ran happily; agreed, it's sensational!",
        REFERENCE,
    ]
)


@given(english)
def test_english_tokens_are_those_of_the_package(text: str) -> None:
    assert English()(text) == DefaultTokenizer(use_stemmer=False).tokenize(text)


@given(english)
def test_english_stems_are_those_of_the_package(text: str) -> None:
    assert STEM(text) == DefaultTokenizer(use_stemmer=True).tokenize(text)


STEM = EnglishStem()


@pytest.mark.parametrize(("tokenizer", "stem"), [(English(), False), (STEM, True)])
def test_english_scores_are_those_of_the_package(tokenizer: English, stem: bool) -> None:
    summary = "#Person2# tells #Person1# that the meeting moves to Monday."
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem)
    expected = {m: 100 * s.fmeasure for m, s in scorer.score(REFERENCE, summary).items()}
    found = RougeScore(tokenizer).score(summary, Sample("1", TALK, (REFERENCE,)))
    assert {m: found[m] for m in expected} == pytest.approx(expected, abs=1e-9)


def test_kiwi_cuts_korean_and_keeps_tags() -> None:
    kiwi = KiwiTokenizer()
    assert kiwi("#Person1#은 오세진을 만났다.") == ["#Person1#", "은", "오세진", "을", "만나", "었", "다", "."]
    assert kiwi("#Person1#는 오세진을 만났다.")[:2] == ["#Person1#", "는"]
    assert kiwi("") == [] and kiwi("\ud800") != []
    assert kiwi.signature.startswith("kiwi:kiwipiepy-")


@pytest.mark.parametrize("name", ["nltk", "kiwipiepy"])
def test_a_tokenizer_whose_package_is_missing_says_how_to_get_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    made = {"nltk": EnglishStem, "kiwipiepy": KiwiTokenizer}[name]
    with pytest.raises(UserError, match=r"pip install 'dsum-bench\[(english|kiwi)\]'"):
        made()


def test_a_metric_for_another_language_is_named() -> None:
    metrics = {name: build(PLUGINS, name) for name in ("rouge@mecab", "rouge@char", "rouge-score@english", "facts")}
    assert [s.split("'")[1] for s in unsuited(metrics, "en")] == ["rouge@mecab", "facts"]
    assert unsuited(metrics, "ko") == ["metric 'rouge-score@english' is made for texts in en, and these are in ko"]


def test_the_metric_that_ranks() -> None:
    assert (main_metric("ko"), main_metric("en"), main_metric("de")) == (
        "rouge@mecab", "rouge-score@english", "rouge@whitespace"
    )  # fmt: skip
    assert main_metric("en", {"rouge@char", "rouge@whitespace"}) == "rouge@whitespace"
    assert main_metric("en", {"rouge@mecab"}) == "rouge@mecab"  # scored before metrics followed the language
    assert main_metric("en", ()) == "rouge-score@english"
    for language in ("ko", "en", "de"):
        assert all(build(PLUGINS, name) for name in default_metrics(language))


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    row = json.dumps({"id": "t1", "dialogue": TALK, "summary": REFERENCE})
    (tmp_path / "dev.jsonl").write_text(row + "\n", encoding="utf-8")
    (tmp_path / "registry.toml").write_text(
        '[datasets.talks]\nformat = "jsonl"\npath = "{split}.jsonl"\nlanguage = "en"\n', encoding="utf-8"
    )
    return tmp_path


def test_english_dialogues_are_scored_and_ranked_by_english_words(dsum: Dsum, talks: Path) -> None:
    done = dsum("screen", "--no-controls", "lead-3", "--dataset", "talks")
    assert done.returncode == 0, done.stderr
    assert "made for texts" not in done.stderr
    (board,) = json.loads(dsum("leaderboard", "--json").stdout)
    assert board["metric"] == "rouge-score@english"
    shown = json.loads(dsum("show", "lead-3", "--json").stdout)
    assert {s["metric"] for s in shown["scores"]} == set(default_metrics("en"))
    expected = RougeScorer(["rouge1"]).score(REFERENCE, shown["samples"][0]["summary"])["rouge1"].fmeasure
    assert shown["samples"][0]["scores"]["rouge1"] == pytest.approx(100 * expected, abs=1e-9)


def test_english_dialogues_on_korean_morphemes_are_warned_of(dsum: Dsum, talks: Path) -> None:
    done = dsum("screen", "--no-controls", "lead-3", "--dataset", "talks", "--metric", "rouge@mecab")
    assert done.returncode == 0
    assert "metric 'rouge@mecab' is made for texts in ko, and these are in en" in " ".join(done.stderr.split())
