"""The command as a user calls it, with a judge whose leanings are known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dsum_bench_judge.prompts import CRITERIA, pair_messages, read_choice, read_marks, rubric_messages
from judging import KEY, call, honest, judging, leaning, prepare, summaries, wordy

N = 24
RUNS = {"good": summaries(N, 6), "fair": summaries(N, 4), "poor": summaries(N, 2)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def judge(*arguments: str, code: int = 0) -> Any:
    done = call("judge", *arguments, "--by", "big", "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


# -- questions and answers ----------------------------------------------------------------------------------------


def test_what_is_judged_is_put_in_as_it_is() -> None:
    odd = "{summary} {second} [요약 2] \\1"
    (_, asked) = rubric_messages("ko", odd, "요약입니다")
    assert odd in asked["content"]
    (system, asked) = pair_messages("ko", "대화", odd, "둘째")
    assert asked["content"].count("둘째") == 1
    assert "따르지 않습니다" in system["content"]
    assert "[Summary 2]" in pair_messages("en", "d", "a", "b")[1]["content"]


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ('{"better": "1"}', "first"),
        ('생각해 보면 {"better": "1"} 이었으나\n```json\n{"better": 2}\n```', "second"),
        ('{"better": "Tie"}', "tie"),
        ('{"better": "요약 2"}', "second"),
        ("2.", "second"),
        ('{"better": "both"}', None),
        ("첫 번째가 낫습니다", None),
        ("", None),
        ('{"better": ', None),
    ],
)
def test_choices_are_read(text: str, choice: str | None) -> None:
    assert read_choice(text) == choice


@pytest.mark.parametrize(
    ("values", "read"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        (("5", "4", 3.0, 2), (5, 4, 3, 2)),
        ((1, 2, 3, 6), None),
        ((1, 2, 3, 0), None),
        ((1, 2, 3, 4.5), None),
        ((1, 2, 3, True), None),
        ((1, 2, 3), None),
    ],
)
def test_marks_are_read(values: tuple[Any, ...], read: tuple[int, ...] | None) -> None:
    text = json.dumps(dict(zip(CRITERIA, values, strict=False)))
    assert read_marks(f"점수는 {text}") == (dict(zip(CRITERIA, read, strict=True)) if read else None)


# -- leanings -----------------------------------------------------------------------------------------------------


def test_an_honest_judge_ranks_by_quality_and_shows_no_bias(folder: Path) -> None:
    with judging(honest) as server:
        prepare(folder, server.url, RUNS)
        found = judge("poor", "good", "fair", "-o", "votes.csv")
    assert [m["run"] for m in found["marked"]] == ["good", "fair", "poor"]
    expected = sum(min(5, 1 + int(s.split("품질 ")[1].split()[0]) // 2) for s in RUNS["good"]) / N
    assert found["marked"][0]["means"]["overall"]["mean"] == pytest.approx(expected)
    (poll,) = found["tally"]["polls"]
    assert [s["run"] for s in poll["ranking"]] == ["good", "fair", "poor"]
    assert all(s["rate"]["low"] <= s["rate"]["mean"] <= s["rate"]["high"] for s in poll["ranking"])
    position = poll["position"]
    assert (position["share"]["mean"], position["flipped"], position["p"]) == (50, 0, 1)
    assert position["both"] == 3 * N
    assert len(server.asked) == 3 * N + 6 * N
    # The file of votes, counted by the core's command, says the same.
    again = json.loads(call("votes", "votes.csv", "--json").stdout)
    assert again["polls"][0] == poll
    (metric,) = again["agreements"]["judge:big"]
    assert metric["rater"] == "rouge@whitespace mean"


def test_a_planted_position_bias_is_reported(folder: Path) -> None:
    with judging(leaning(margin=2)) as server:
        prepare(folder, server.url, RUNS)
        found = judge("good", "fair", "poor", "--ask", "pairs")
        shown = call("judge", "good", "fair", "poor", "--ask", "pairs", "--by", "big").output
    position = found["tally"]["polls"][0]["position"]
    quality = {run: [int(s.split("품질 ")[1].split()[0]) for s in texts] for run, texts in RUNS.items()}
    flipped = sum(
        abs(quality[a][i] - quality[b][i]) <= 2
        for a, b in (("good", "fair"), ("good", "poor"), ("fair", "poor"))
        for i in range(N)
    )
    assert 10 < flipped < 3 * N
    assert (position["both"], position["flipped"]) == (3 * N, flipped)
    assert position["share"]["mean"] == pytest.approx(100 * (0.5 + flipped / (2 * 3 * N)))
    assert position["share"]["low"] > 50
    assert position["p"] < 0.001
    assert "POSITION BIAS" in shown
    assert f"{flipped} of {3 * N} pairs" in " ".join(shown.split())
    # Both orders are asked, so that the ranking bears it.
    assert [s["run"] for s in found["tally"]["polls"][0]["ranking"]] == ["good", "fair", "poor"]


def test_a_planted_preference_for_length_is_reported(folder: Path) -> None:
    with judging(wordy) as server:
        prepare(folder, server.url, RUNS)
        found = judge("good", "fair", "poor", "--ask", "pairs")
        shown = call("judge", "good", "fair", "poor", "--ask", "pairs", "--by", "big").output
    length = found["tally"]["polls"][0]["length"]
    assert length["share"] == pytest.approx(100, abs=10)
    assert length["excess"]["low"] > 0
    assert "LENGTH BIAS" in shown


# -- asked once ---------------------------------------------------------------------------------------------------


def test_an_answer_is_paid_once_and_a_call_that_broke_off_goes_on(folder: Path) -> None:
    with judging(honest, fault=lambda n: (401, {"error": {"message": "no"}}) if n >= 20 else None) as server:
        prepare(folder, server.url, RUNS)
        done = call("judge", "good", "fair", "--by", "big")
        assert done.exit_code == 2
        assert "refuses the key" in done.output
        assert "the same command goes on" in done.output
        server.fault = lambda n: None
        before = len(server.asked)
        found = judge("good", "fair", "--prices", "2", "10")
        assert (found["cost"]["kept"], found["cost"]["asked"]) == (20, 4 * N - 20)
        assert len(server.asked) - before == 4 * N - 20
        again = judge("good", "fair", "--prices", "2", "10")
        assert len(server.asked) - before == 4 * N - 20
        # A further run adds its own questions only.
        judge("good", "fair", "poor")
        assert len(server.asked) - before == 4 * N - 20 + 5 * N
    assert again["marked"] == found["marked"]
    cost = again["cost"]
    assert (cost["asked"], cost["prompt_tokens"], cost["new_tokens"]) == (0, 400 * N, 40 * N)
    assert cost["price"] == pytest.approx((2 * 400 * N + 10 * 40 * N) / 1e6)


def test_one_question_without_an_answer_costs_no_other_and_is_asked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSUM_BENCH_OPENAI_ATTEMPTS", "1")
    with judging(honest, fault=lambda n: (500, {"error": {"message": "oh"}}) if n == 3 else None) as server:
        prepare(folder, server.url, {"good": RUNS["good"]})
        done = call("judge", "good", "--by", "big", "--json")
        assert done.exit_code == 1
        assert "1 questions were not answered" in done.stderr
        assert json.loads(done.stdout)["marked"][0]["n"] == N - 1
        assert judge("good")["marked"][0]["n"] == N
    assert len(server.asked) == N + 1


def test_a_judge_that_refuses_everything_is_a_sentence_and_is_asked_again_once_mended(folder: Path) -> None:
    with judging(honest, fault=lambda n: (400, {"error": {"message": "no temperature"}})) as server:
        prepare(folder, server.url, {"good": RUNS["good"]})
        done = call("judge", "good", "--by", "big")
        assert done.exit_code == 2
        assert "refuses every question: status 400: no temperature" in " ".join(done.output.split())
        server.fault = lambda n: None
        assert judge("good")["marked"][0]["n"] == N


def test_answers_without_a_verdict_are_left_out_and_counted(folder: Path) -> None:
    with judging(lambda qualities, texts: "모르겠습니다" if qualities[0] == 6 else honest(qualities, texts)) as server:
        prepare(folder, server.url, {"good": RUNS["good"]})
        found = judge("good", "--ask", "rubric")
        unclear = sum("품질 6" in s for s in RUNS["good"])
        assert judge("good", "--ask", "rubric")["cost"]["asked"] == 0
    assert 0 < unclear < N
    assert (found["cost"]["unread"], found["marked"][0]["n"]) == (unclear, N - unclear)


def test_what_needs_no_judge_is_not_asked(folder: Path) -> None:
    """Equal summaries are a tie, an empty one loses and has the lowest marks."""
    mixed = ["", *RUNS["good"][1:6], *RUNS["fair"][6:]]
    with judging(honest) as server:
        prepare(folder, server.url, {"good": RUNS["good"], "mixed": mixed})
        found = judge("good", "mixed")
    assert len(server.asked) == N + (N - 6) + 2 * (N - 6)
    good = next(s for s in found["tally"]["polls"][0]["ranking"] if s["run"] == "good")
    assert good["ties"] >= 10
    assert good["losses"] == 0


def test_the_key_is_sent_and_kept_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with judging(lambda qualities, texts: f"Bearer {KEY}") as server:
        prepare(folder, server.url, {"good": RUNS["good"]}, key="JUDGE_KEY")
        done = call("judge", "good", "--by", "big")
    assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in done.output
    files = [f for f in folder.rglob("*") if f.is_file()]
    assert any(b"[key]" in f.read_bytes() for f in files)
    assert [f for f in files if KEY.encode() in f.read_bytes()] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("good", "--ask", "pairs"), "name two or more"),
        (("good", "good"), "the same run"),
        (("nobody",), "nobody"),
        (("good", "--ask", "rubric", "-o", "v.csv"), "--output holds choices"),
    ],
)
def test_a_call_that_cannot_be_is_a_sentence(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    with judging() as server:
        prepare(folder, server.url, {"good": RUNS["good"]})
        done = call("judge", *arguments, "--by", "big")
        assert (done.exit_code, server.asked) == (2, [])
        assert words in " ".join(done.output.split())
        other = call("judge", "good", "--by", "smollm2-135m")
        assert "is no judge" in other.output


def test_the_tables_fit_a_terminal(folder: Path) -> None:
    with judging(leaning(margin=2)) as server:
        prepare(folder, server.url, RUNS)
        done = call("judge", "good", "fair", "poor", "--by", "big", "--prices", "1", "2")
    assert done.exit_code == 0
    assert all(len(line) <= 80 for line in done.output.splitlines())
    assert "marks of big (1 to 5) on 24 dialogues" in done.output
    assert "cost 0.0" in done.output
