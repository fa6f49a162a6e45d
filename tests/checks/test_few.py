"""What concerns hardly any sample is a note, and an early warning is taken back when it no longer holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from making import builtins
from store_runs import make_run

from dsum_bench.checks.base import RunOutputs
from dsum_bench.checks.outputs import Empty
from dsum_bench.screening.preflight import Candidate
from dsum_bench.screening.sweep import EARLY, Running, Settings, Sweep
from dsum_bench.spec import Finding, Generation, Output, RunSpec, Sample
from dsum_bench.store.rows import ScoredOutput
from dsum_bench.store.writer import Store


def outputs(empty: int, total: int) -> RunOutputs:
    made = {
        f"s{i}": Output(Generation(f"s{i}", "요약", 1, 1, "stop", 0.1), "" if i < empty else f"요약 {i}")
        for i in range(total)
    }
    return RunOutputs(make_run(n=total), {}, made, complete=True)


@pytest.mark.parametrize(
    ("hit", "total", "level"),
    [(1, 499, "note"), (4, 499, "note"), (5, 499, "warning"), (1, 100, "warning"), (300, 499, "error")],
)
def test_less_than_one_in_a_hundred_is_a_note(hit: int, total: int, level: str) -> None:
    found = Empty().after(outputs(hit, total))
    assert found is not None and (found.level, found.hit) == (level, hit)


class Heard:
    """An observer that keeps what the checks found."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    def found(self, run: RunSpec, finding: Finding) -> None:
        self.told.append((finding.level, finding.check, finding.text))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.mark.parametrize(("total", "taken_back"), [(200, True), (20, False)])
def test_an_early_finding_is_taken_back_when_it_no_longer_holds(total: int, taken_back: bool, tmp_path: Path) -> None:
    samples = [Sample(f"s{i}", f"#Person1#: {i}번 손님을 모십니다.", ("끝납니다.",)) for i in range(total)]
    made = [Output(Generation(s.id, "x", 1, 1, "length" if i < 2 else "stop", 0.1), f"요약 {s.id}") for i, s in
            enumerate(samples)]  # fmt: skip
    heard: Any = Heard()
    with Store.open(tmp_path / "dsum.db") as store:
        work = Sweep(samples, {}, store, builtins(), heard, Settings(log_folder=tmp_path))
        run = make_run(n=total)
        key = store.open_run(run, "model")
        state = Running(Candidate(run, control=False), key, total, EARLY, EARLY, 1)
        store.add(key, [ScoredOutput(o, {}) for o in made[:EARLY]], work.positions)
        work._look_early(state)
        assert [(level, check) for level, check, _ in heard.told] == [("warning", "cut")]
        store.add(key, [ScoredOutput(o, {}) for o in made[EARLY:]], work.positions)
        state.done = total
        work._look(state, complete=True)
    said = [text for level, check, text in heard.told[1:] if (level, check) == ("note", "cut")]
    assert bool(said) == taken_back
    if taken_back:
        assert said[0].startswith(f"the early warning no longer holds over all {total} samples: 2 of {total} samples")
