"""Files of votes, biases in them, and the command that counts them beside the scores of the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binomtest
from store_runs import make_run, open_store, positions, scored

from dsum_bench.cli import main
from dsum_bench.combining.bias import length_bias, position_bias, sign_test
from dsum_bench.combining.strength import strengths
from dsum_bench.combining.votes import COLUMNS, Choice, Vote, read, write
from dsum_bench.errors import UserError

HEAD = ",".join(COLUMNS)


# -- files --------------------------------------------------------------------------------------------------------


def test_votes_come_back_as_they_were_written(tmp_path: Path) -> None:
    votes = [Vote("나, 너", "s1", "a", "b", "first"), Vote("judge:m", 's"2', "b", "a", "tie")]
    write(tmp_path / "v.csv", votes)
    assert read([tmp_path / "v.csv"]) == votes
    assert [v.is_judge for v in votes] == [False, True]


def test_a_later_vote_on_the_same_two_replaces_the_earlier(tmp_path: Path) -> None:
    text = f"{HEAD},when\np,s1,a,b,first,1\np,s1,b,a,first,2\np,s1,a,b,tie,3\n"
    (tmp_path / "v.csv").write_text(text, encoding="utf-8-sig")
    assert read([tmp_path / "v.csv"]) == [Vote("p", "s1", "a", "b", "tie"), Vote("p", "s1", "b", "a", "first")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("voter,sample_id,first,second\n", "no column 'choice'"),
        (f"{HEAD}\np,s1,a,b,left\n", "line 2: choice must be first, second, tie, not 'left'"),
        (f"{HEAD}\np,s1,a,b,first\np,,a,b,first\n", "line 3: column 'sample_id' is empty"),
        (f"{HEAD}\np,s1,a,a,first\n", "line 2: first and second are the same run"),
        (f"{HEAD}\np,s1,a\n", "line 2: column 'second' is empty"),
        (HEAD, "there are no votes"),
        ("", "no column 'voter'"),
    ],
)
def test_a_file_that_cannot_be_counted_says_where(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "v.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words):
        read([tmp_path / "v.csv"])


# -- biases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("more", "fewer"), [(0, 0), (5, 5), (9, 1), (40, 60), (600, 500), (1300, 1100)])
def test_the_sign_test_is_scipys(more: int, fewer: int) -> None:
    expected = binomtest(more, more + fewer).pvalue if more + fewer else 1.0
    assert sign_test(more, fewer) == pytest.approx(expected, rel=0.02)


def both_orders(flipped: int, same: int) -> list[Vote]:
    """Pairs of which so many go to the first place in both orders, the others to run a."""
    votes = []
    for i in range(flipped + same):
        second: Choice = "first" if i < flipped else "second"
        votes += [Vote("j", f"s{i}", "a", "b", "first"), Vote("j", f"s{i}", "b", "a", second)]
    return votes


def test_votes_that_follow_the_place_are_a_bias() -> None:
    found = position_bias(both_orders(flipped=12, same=28))
    assert found is not None
    assert (found.votes, found.both, found.same, found.flipped) == (80, 40, 28, 12)
    assert found.share.mean == pytest.approx(100 * (24 + 28) / 80)
    assert found.p == pytest.approx(binomtest(12, 12).pvalue)
    assert found.found
    # Whoever judges by the text alone is not biased, however one-sided the verdicts.
    fair = position_bias(both_orders(flipped=0, same=40))
    assert fair is not None
    assert (fair.share.mean, fair.p, fair.found) == (50, 1, False)


def test_votes_in_one_order_are_judged_by_how_many_go_to_the_first() -> None:
    votes = [Vote("p", f"s{i}", *("ab" if i % 2 else "ba"), "first" if i < 30 else "second") for i in range(40)]
    found = position_bias(votes)
    assert found is not None
    assert (found.share.mean, found.both) == (75, 0)
    assert found.p == pytest.approx(binomtest(30, 40).pvalue)
    assert position_bias([Vote("p", "s", "a", "b", "tie")]) is None


@pytest.mark.parametrize(("pull", "biased"), [(0.0, False), (2.0, True)])
def test_votes_for_the_longer_of_two_are_told_from_votes_for_the_better_run(pull: float, biased: bool) -> None:
    """Run a is better; which of the two wrote more changes from dialogue to dialogue."""
    draw = np.random.default_rng(5)
    lengths, votes = {}, []
    for i in range(300):
        longer = draw.random() < 0.5
        lengths["a", f"s{i}"], lengths["b", f"s{i}"] = (90, 60) if longer else (60, 90)
        wins = draw.random() < 1 / (1 + np.exp(-(1.0 + (pull if longer else -pull))))
        votes.append(Vote("p", f"s{i}", "a", "b", "first" if wins else "second"))
    found = length_bias(votes, strengths(votes), lengths)
    assert found is not None
    assert found.votes == 300
    assert found.found is biased
    assert (found.excess.mean > 10) is biased


# -- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs of 12 samples: good scores 60, fair 40, poor 20, with the same small noise."""
    with open_store(tmp_path / "dsum.db") as store:
        for name, base in (("good", 60.0), ("fair", 40.0), ("poor", 20.0)):
            key = store.open_run(make_run(name, n=12), "model")
            rows = [scored(i, base + i % 3, summary="가" * (20 + i)) for i in range(12)]
            store.add(key, rows, positions(12))
            store.close_run(key, "done")
    return tmp_path


def poll(voter: str, wrong: int = 0) -> list[Vote]:
    """The better run wins on every dialogue but the first few; the order of showing changes."""
    votes = []
    for i in range(12):
        for better, worse in (("good", "fair"), ("good", "poor"), ("fair", "poor")):
            shown = (better, worse) if i % 2 else (worse, better)
            winner = worse if i < wrong else better
            votes.append(Vote(voter, f"s{i}", *shown, "first" if winner == shown[0] else "second"))
    return votes


def call(folder: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["votes", *arguments, "--results", str(folder)], env={"COLUMNS": "80"})
    return done.exit_code, done.output


def test_people_judge_and_metrics_are_counted_side_by_side(folder: Path) -> None:
    write(folder / "people.csv", [*poll("kim"), *poll("lee", wrong=3)])
    write(folder / "judge.csv", poll("judge:big", wrong=3))
    code, text = call(folder, str(folder / "people.csv"), str(folder / "judge.csv"), "--json")
    assert code == 0, text
    found = json.loads(text)
    people, judge = found["polls"]
    assert (people["name"], people["voters"], people["votes"], people["dialogues"]) == ("people", 2, 72, 12)
    assert [s["run"] for s in people["ranking"]] == ["good", "fair", "poor"]
    assert (judge["name"], judge["voters"], judge["alpha"]) == ("judge:big", 1, None)
    # 36 pairs, 9 of them judged the other way by lee: people have 9 ties.
    ours, metric = found["agreements"]["people"]
    assert (ours["rater"], ours["pairs"], ours["same"], ours["ranking"]) == ("judge:big", 36, 100, 1)
    assert (metric["rater"], metric["pairs"], metric["same"], metric["tau"]) == ("rouge@mecab mean", 36, 100, 1)
    (metric,) = found["agreements"]["judge:big"]
    assert metric["same"] == pytest.approx(75)
    assert metric["tau"] == pytest.approx(0.5)


def test_the_tables_fit_a_terminal_and_an_unknown_run_is_reported(folder: Path) -> None:
    write(folder / "v.csv", [*poll("kim"), *poll("lee", wrong=3), Vote("kim", "s1", "good", "elsewhere", "tie")])
    code, text = call(folder, str(folder / "v.csv"))
    assert code == 0, text
    assert all(len(line) <= 80 for line in text.splitlines())
    flat = " ".join(text.split())
    assert "people (2): 73 votes on 12 dialogues" in flat
    assert "no position bias seen" in flat
    assert "agreement between voters: Krippendorff's alpha" in flat
    assert "rouge@mecab mean 36 100.0" in flat
    assert "no scores of 'elsewhere'" in flat


def test_votes_are_ranked_without_a_database_too(tmp_path: Path) -> None:
    write(tmp_path / "v.csv", poll("kim"))
    code, text = call(tmp_path, str(tmp_path / "v.csv"), "--json")
    assert code == 0, text
    assert json.loads(text)["polls"][0]["ranking"][0]["run"] == "good"


def test_a_file_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    code, text = call(tmp_path, str(tmp_path / "none.csv"))
    assert code == 2
    assert "none.csv cannot be read" in text
