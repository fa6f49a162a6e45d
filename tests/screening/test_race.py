"""A race: its rounds keep to the budget, who stops is behind or has no room, and a real one finds the winner of the
full sweep."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import counting
import numpy as np
import pandas as pd
import pytest
from counting import counted
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dsum_bench import Bench, ModelSpec, UserError
from dsum_bench.screening.race import ALPHA, SMALLEST, Floats, Outcome, budget_of, places, race, rounds

METRIC = "rouge@char"


def raced(board: Floats) -> Outcome:
    return race(len(board), board.shape[1], lambda alive, n: {c: board[c, :n] for c in alive})


def noisy(means: list[float], n: int, seed: int = 0, spread: float = 8.0) -> Floats:
    generator = np.random.default_rng(seed)
    shared = generator.normal(0, spread, n)
    return np.array([mean + shared + generator.normal(0, spread, n) for mean in means])


# -- rounds and room ------------------------------------------------------------------------------------------------


def test_rounds_double_up_to_all_samples() -> None:
    assert rounds(499) == (32, 64, 128, 256, 499)
    assert rounds(96) == (16, 32, 64, 96)
    assert rounds(40) == (16, 32, 40)


@given(st.integers(2, 40), st.integers(SMALLEST, 2000))
def test_the_room_of_the_rounds_is_the_budget_at_most_and_never_grows(candidates: int, samples: int) -> None:
    sizes = rounds(samples)
    budget = budget_of(candidates)
    room = places(candidates, sizes, budget)
    assert room[0] == candidates and all(a >= b >= 1 for a, b in pairwise(room))
    used = sum(k * (n - before) for k, n, before in zip(room, sizes, (0, *sizes), strict=False) if k > 1)
    assert used <= budget * candidates * samples


@given(st.integers(2, 12), st.integers(SMALLEST, 300), st.integers(0, 10_000))
def test_every_candidate_ends_once_and_the_budget_is_kept(candidates: int, samples: int, seed: int) -> None:
    board = np.random.default_rng(seed).normal(30, 8, (candidates, samples))
    found = raced(board)
    assert sorted(e.candidate for e in found.ended) == list(range(candidates))
    assert [e.why for e in found.ended].count("won") == 1 and found.ended[0].why == "won"
    assert found.generated <= budget_of(candidates) * board.size
    assert found.generated == sum(e.n for e in found.ended)


def test_many_candidates_generate_two_fifths_and_few_a_larger_part() -> None:
    assert [budget_of(k) for k in (40, 8, 7, 5, 4, 3, 2)] == [0.4, 0.4, 0.5, 0.5, 0.6, 0.75, 0.75]


def test_two_that_are_not_told_apart_go_on_for_what_is_left_of_the_budget() -> None:
    board = noisy([30.0, 30.0, 12.0, 10.0], 499)
    found = race(4, 499, lambda alive, n: {c: board[c, :n] for c in alive}, budget=0.4)
    assert [e.why for e in found.ended] == ["won", "budget", "behind", "behind"]
    # Four read 32 samples; what is left of 798 lets the two read 335 more.
    assert found.sizes == (32, 64, 128, 256, 367) and found.generated == 798
    assert found.ended[0].n == found.ended[1].n == 367


# -- who stops ------------------------------------------------------------------------------------------------------


def test_who_is_far_behind_stops_in_the_first_round_and_the_better_one_wins() -> None:
    found = raced(noisy([30.0, 10.0, 12.0, 11.0], 480))
    assert found.winner is not None and found.winner.candidate == 0
    assert [e.why for e in found.ended] == ["won", "behind", "behind", "behind"]
    assert found.sizes == (30,) and found.generated == 120


def test_p_is_that_of_a_paired_one_sided_test_corrected_for_rivals_and_rounds() -> None:
    board = noisy([30.0, 29.0, 27.0, 24.0, 15.0], 320)
    found = raced(board)
    looks = len(rounds(320)) - 1
    first = [e for e in found.ended if e.n == rounds(320)[0]]
    assert first
    leader = int(board[:, :20].mean(axis=1).argmax())
    for e in first:
        alone = stats.ttest_rel(board[leader, :20], board[e.candidate, :20], alternative="greater").pvalue
        assert e.p == pytest.approx(min(alone * looks * 4, 1.0), rel=1e-6)
        assert (e.why == "behind") == (e.p < ALPHA)
        assert e.behind == pytest.approx(board[leader, :20].mean() - board[e.candidate, :20].mean())


def test_equals_are_hardly_ever_stopped_as_behind() -> None:
    races = [raced(noisy([30.0] * 6, 320, seed)) for seed in range(200)]
    stopped = sum(any(e.candidate == 0 and e.why == "behind" for e in found.ended) for found in races)
    assert stopped <= 16  # 5 % of 200 and two standard errors


def test_the_winner_is_that_of_the_full_board() -> None:
    same = 0
    for seed in range(60):
        means = list(np.random.default_rng(seed).normal(25, 4, 10))
        board = noisy(means, 499, seed)
        winner = raced(board).winner
        same += winner is not None and winner.candidate == int(board.mean(axis=1).argmax())
    assert same >= 57


def test_a_candidate_that_fails_is_out_and_the_others_go_on() -> None:
    board = noisy([30.0, 29.5, 29.0], 320)
    found = race(3, 320, lambda alive, n: {c: board[c, :n] for c in alive if c != 0 or n < 40})
    assert {e.candidate: e.why for e in found.ended}[0] == "failed" and found.winner is not None
    nobody = race(2, 320, lambda alive, n: {})
    assert nobody.winner is None and [e.why for e in nobody.ended] == ["failed", "failed"]


# -- a real one -----------------------------------------------------------------------------------------------------

N = 96
MODELS = [ModelSpec(f"lead{k}", "lead", engine="counting", params=0, options={"turns": k}) for k in (1, 2, 3, 4, 5)]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(counting.FILE, str(tmp_path / "counted"))
    return tmp_path / "counted"


def rows() -> pd.DataFrame:
    """Dialogues whose summaries are their first two turns, but for some noise."""
    sounds = "가나다라마바사"
    turns = [
        [f"#Person{t % 2 + 1}#: 말{i}번{t}째 {sounds[(i + t) % 7] * (3 + (i * t) % 9)}" for t in range(6)]
        for i in range(N)
    ]
    said = [" ".join(t[: 2 + (i % 9 == 0)]) for i, t in enumerate(turns)]
    ids = [f"s{i}" for i in range(N)]
    return pd.DataFrame({"id": ids, "dialogue": ["\n".join(t) for t in turns], "summary": said})


def make(folder: Path) -> Bench:
    return Bench(results=folder, plugins=[counting.Counting], progress=None)


def test_a_real_race_finds_the_winner_of_the_full_sweep_and_is_taken_over(file: Path, tmp_path: Path) -> None:
    bench = make(tmp_path / "race")
    options: dict[str, Any] = {"metrics": [METRIC]}
    result = bench.screen(MODELS, rows(), race=True, **options)
    table = result.race
    assert table is not None and (table.samples, table.full) == (N, 5 * N)
    written = counted(file)
    assert len(written) == table.generated <= budget_of(5) * table.full
    full = make(tmp_path / "full")
    full.screen(MODELS, rows(), controls=False, **options)
    assert len(counted(file)) == 5 * N
    best = full.leaderboard(METRIC).iloc[0]
    winner = table.rows[0]
    assert (winner.why, winner.model) == ("won", best["model"]) == ("won", "lead2")
    # One run a candidate is left, and a full screening of the winner generates the rest alone.
    assert Counter(bench.runs()["model"]) == {m.name: 1 for m in MODELS}
    assert {row.run_id for row in table.rows} == set(bench.runs()["run_id"])
    (spec,) = [m for m in MODELS if m.name == winner.model]
    (run,) = bench.screen(spec, rows(), controls=False, **options).runs
    assert run.status == "done" and len(counted(file)) == N - winner.n
    assert bench.scores(run.run_id, METRIC).equals(full.scores(best["run_id"], METRIC))
    # The same race again generates nothing: its rounds are stored, or part of what is.
    again = bench.screen(MODELS, rows(), race=True, **options).race
    assert counted(file) == [] and again is not None and again.rows[0].model == winner.model


def test_what_cannot_race_is_refused(file: Path, tmp_path: Path) -> None:
    bench = make(tmp_path)
    for options, told in (
        ({"limit": 39}, "needs 40 samples or more, not 39"),
        ({"sweep": "decoding=greedy", "confirm_on": 0.5}, "--race and --confirm-on"),
        ({"fresh": True}, "--fresh cannot be combined"),
    ):
        with pytest.raises(UserError, match=told):
            bench.screen(MODELS, rows(), race=True, **options)  # type: ignore[arg-type]
    assert counted(file) == []


def test_a_race_of_controls_from_the_command_line(tmp_path: Path) -> None:
    from commands import Dsum

    lines = [json.dumps(row) for row in rows().to_dict("records")]
    (tmp_path / "dev.jsonl").write_text("\n".join(lines), encoding="utf-8")
    entry = '[datasets.d]\nformat = "jsonl"\npath = "{split}.jsonl"\n'
    (tmp_path / "registry.toml").write_text(entry, encoding="utf-8")
    dsum = Dsum(tmp_path)
    call = ("screen", "lead-3", "longest-3", "constant-ko", "--dataset", "d", "--race", "--metric", METRIC)
    done = dsum(*call)
    text = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stderr
    assert "Race over 96 samples" in text and "won" in text and "of 288 samples" in text
    found = json.loads(dsum(*call, "--json").stdout)["race"]
    assert found["rows"][0]["model"] == "lead-3" and found["generated"] <= 0.4 * 288


def test_a_candidate_that_cannot_run_does_not_stop_the_race(file: Path, tmp_path: Path) -> None:
    lost = replace(MODELS[0], name="lost", adapter="chat", engine="huggingface", source=("./nowhere",), options={})
    result = make(tmp_path).screen([*MODELS[:2], lost], rows(), race=True, metrics=[METRIC])
    assert result.race is not None
    assert {row.model: row.why for row in result.race.rows} == {"lead2": "won", "lead1": "behind", "lost": "failed"}
    assert {run.model: run.status for run in result.runs}["lost"] == "failed"
