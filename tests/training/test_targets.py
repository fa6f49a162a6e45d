"""Learning the stored summaries of another run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inprocess import InProcess
from tuning import place

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.provenance import read
from dsum_bench.spec import Targets

ROWS = [(f"#Person1#: 사과 {i}개를 주세요.\n#Person2#: 네, 여기 있습니다.", f"#Person1#이 사과 {i}개를 산다.")
        for i in range(12)]  # fmt: skip
ASKED: dict[str, Any] = {"max_tokens": 256, "batch": 2, "accumulate": 1, "lr": 0.01, "epochs": 1}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The training split has a run of another model: ten good summaries, an empty one, and one that copies a turn."""
    monkeypatch.chdir(place(tmp_path, ROWS))
    bench = Bench(plugins=[InProcess], progress=None)
    said = [f"#Person2#이 사과 {i}개를 판다." for i in range(10)] + ["", ROWS[11][0].splitlines()[0]]
    written = pd.DataFrame({"id": [str(i) for i in range(12)], "summary": said})
    bench.score(written, "teacher", "rows", split="train", allow_missing=True)
    return bench


def targets(bench: Bench, *least: str | float) -> Targets:
    found = bench._targets("teacher", least)
    assert found is not None
    return found


def test_summaries_that_checks_find_fault_with_are_left_out(bench: Bench) -> None:
    found = targets(bench)
    assert sorted(found.summaries.values()) == sorted(f"#Person2#이 사과 {i}개를 판다." for i in range(10))
    assert found.total == 12 and found.dropped == {"empty": 1, "echo": 1}
    assert str(found) == "10 of 12 summaries of teacher (without 1 empty, 1 echo)"


def test_summaries_below_a_score_are_left_out(bench: Bench) -> None:
    scores = bench.scores("teacher")["mean"].iloc[:10]
    middle = float(scores.median())
    found = targets(bench, middle)
    assert len(found.summaries) == int((scores >= middle).sum()) and found.least == (str(middle),)
    assert targets(bench, f"rouge@mecab={middle}").summaries == found.summaries
    with pytest.raises(UserError, match="nothing is left"):
        targets(bench, 99.9)
    with pytest.raises(UserError, match=r"has no scores of bertscore; it has .*rouge@mecab"):
        targets(bench, "bertscore=1")
    with pytest.raises(UserError, match="give a number, or METRIC=NUMBER"):
        targets(bench, "high")


def test_a_training_learns_them_and_says_so(bench: Bench, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"dataset": "rows", "settings": ASKED, "dev_limit": 0, "screen": False}
    (job,) = _jobs(bench, targets="teacher", **asked)
    assert [s.references for s in job.train] == [(f"#Person2#이 사과 {i}개를 판다.",) for i in range(10)]
    assert job.spec.selection == "all, 10 with summaries of teacher"
    bench.finetune("mine", name="x", targets="teacher", executor="inprocess", **asked)
    made = read(tmp_path / "results/models/mine@x")
    assert made is not None and "10 of 12 summaries of teacher (without 1 empty, 1 echo)" in str(made.recipe["targets"])
    out = bench.export("mine@x", tmp_path / "out")
    assert "learnt instead of the references: run " in (out / "README.md").read_text("utf-8")
    config = bench.config(tmp_path / "results/models/mine@x/finetune.toml")
    assert config["targets"] == bench.run("teacher").row.run_id
    # The references themselves are another run.
    (plain,) = _jobs(bench, **asked)
    assert plain.id != job.id


def _jobs(bench: Bench, dataset: str, settings: dict[str, Any], dev_limit: int, screen: bool, **more: Any) -> list[Any]:
    """The jobs of a finetune, which is planned only."""
    seen: list[Any] = []

    class Seen(InProcess):
        name = "seen"

        def run(self, jobs: Any) -> Any:
            seen.extend(jobs)
            return iter(())

    bench = Bench(plugins=[Seen], progress=None)
    bench.finetune("mine", dataset, settings=settings, dev_limit=dev_limit, executor="seen", plan_only=True, **more)
    return seen


def test_targets_of_other_dialogues_are_refused(bench: Bench, tmp_path: Path) -> None:
    lines = [json.dumps({"id": "a", "dialogue": "#Person1#: 딴말입니다.", "summary": "딴말이다."}, ensure_ascii=False)]
    (tmp_path / "other.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match="no training dialogue is among the 10"):
        bench.finetune("mine", "rows", split="other", targets="teacher", dev_limit=0)
    with pytest.raises(UserError, match="give --targets RUN"):
        bench.finetune("mine", "rows", min_score=[30], dev_limit=0)
    with pytest.raises(UserError, match="no run or model 'nobody'"):
        bench.finetune("mine", "rows", targets="nobody", dev_limit=0)
