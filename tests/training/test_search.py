"""Searching for the best point of a recipe: against the grid, interrupted, and asked for wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inprocess import InProcess
from tuning import place

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.training.params import FullParams, LoraParams
from dsum_bench.training.space import Axis, axes

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]
FIXED: dict[str, Any] = {"max_tokens": 96, "batch": 2, "accumulate": 1, "choose_by": "loss", "eval_rouge": 0,
                         "dropout": 0.0, "optimizer": "adamw_torch"}  # fmt: skip


# -- the space ----------------------------------------------------------------------------------------------------


def test_a_space_has_lists_and_ranges() -> None:
    assert axes("lr=1e-5..1e-3:log r=8,16 epochs=1..5 batch=2..8 schedule=linear,cosine", LoraParams) == (
        Axis("lr", (), 1e-5, 1e-3, False, True),
        Axis("r", ("8", "16")),
        Axis("epochs", (), 1.0, 5.0),
        Axis("batch", (), 2.0, 8.0, integer=True),
        Axis("schedule", ("linear", "cosine")),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no parameter"),
        ("lr", "must be KEY=LOW..HIGH"),
        ("lrr=1..2", "unknown key 'lrr'; did you mean 'lr'"),
        ("r=8,16", "unknown key 'r'"),
        ("lr=1..2 lr=3..4", "'lr' is given twice"),
        ("lr=1e-3..1e-5", "the lower first"),
        ("lr=0..1:log", "above 0"),
        ("batch=1.5..4", "two integers"),
        ("lr=a..b", "of two numbers"),
        ("lr=1,,2", "has an empty value"),
        ("lr=1,1", "or one twice"),
    ],
)
def test_a_space_that_is_none_is_told(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        axes(text, FullParams)


# -- the search ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place(tmp_path, ROWS))
    monkeypatch.setattr(InProcess, "ran", [])
    monkeypatch.setattr(InProcess, "kill_after", None)
    return tmp_path


def bench(results: str) -> Bench:
    return Bench(results=results, plugins=[InProcess], progress=None)


def tune(results: str, **more: Any) -> Any:
    asked: dict[str, Any] = {"settings": FIXED | {"epochs": 3}, "screen": False, "dev_limit": 4, "probe": False,
                             "executor": "inprocess"}  # fmt: skip
    return bench(results).finetune("mine", "rows", **asked | more)


def updates(results: str, runs: list[str]) -> int:
    """Updates of the weights that runs took."""
    found = (bench(results).curve(run) for run in runs)
    return sum(int(curve[curve["measure"] == "loss"]["step"].max()) for curve in found)


@pytest.mark.slow
def test_a_search_finds_the_best_point_of_a_grid_in_fewer_updates(folder: Path) -> None:
    rates = "1e-5,1e-4,1e-3,3e-3,1e-2,3e-2"
    grid = [t.model for t in tune("grid", sweep=f"lr={rates} r=2,8").trainings]
    by_run = {run: min(v for _, v in bench("grid").training(run).curve["eval_loss"]) for run in grid}
    best = min(by_run, key=lambda run: by_run[run])
    found = tune("search", search=12, space=f"lr={rates} r=2,8").search
    assert found.best is not None and found.best.run == best and found.best.value == pytest.approx(by_run[best])
    tried = list(dict.fromkeys(t.run for t in found.trials))
    assert any(t.status == "pruned" for t in found.trials)
    assert updates("search", tried) < updates("grid", grid)
    # The best is there, the others' weights are not; all curves are.
    assert [f.name for f in (folder / "search/models").iterdir()] == [best]


@pytest.mark.slow
def test_a_search_that_is_interrupted_goes_on_with_the_same_trials(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"search": 7, "space": "lr=1e-5..1e-1:log r=2,4,8"}
    whole = tune("whole", **asked).search
    for after in (2, 1):
        monkeypatch.setattr(InProcess, "ran", [])
        monkeypatch.setattr(InProcess, "kill_after", after)
        with pytest.raises(KeyboardInterrupt):
            tune("broken", **asked)
    monkeypatch.setattr(InProcess, "kill_after", None)
    broken = tune("broken", **asked).search
    assert [(t.number, t.params, t.status) for t in broken.trials] == [
        (t.number, t.params, t.status) for t in whole.trials
    ]
    assert [t.value for t in broken.trials] == pytest.approx([t.value for t in whole.trials])
    # Given again, it has nothing left to do; with a larger number it goes on.
    monkeypatch.setattr(InProcess, "ran", [])
    assert tune("broken", **asked).search == broken and not InProcess.ran
    more = tune("broken", **{**asked, "search": 8}).search
    assert len(more.trials) == 8 and len(InProcess.ran) == 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"search": 3, "sweep": "r=2,4"}, "--search and --sweep"),
        ({"space": "r=2,4"}, "give --search N"),
        ({"search": 3, "plan_only": True}, "leave --search out"),
        ({"search": 3, "dev_limit": 0, "settings": {}}, "chooses by the evaluation"),
        ({"search": 3, "space": "rank=2,4"}, "unknown key 'rank'"),
        ({"search": 3, "name": "x"}, "--name cannot be given"),
        ({"search": 2, "space": "r=0,-1"}, "r must be at least 1"),
    ],
)
def test_a_search_that_cannot_be_is_told(more: dict[str, Any], told: str, folder: Path) -> None:
    with pytest.raises(UserError, match=told):
        tune("results", **more)
    assert not (folder / "results/models").exists()


def test_a_point_that_fails_costs_the_search_nothing_else(folder: Path) -> None:
    found = tune("results", search=3, space="lr=1e30,1e-3", settings=FIXED | {"epochs": 1, "max_grad_norm": 1e9}).search
    assert {t.status for t in found.trials} == {"done", "failed"}
    assert all("is nan" in t.reason or "is inf" in t.reason or "diverged" in t.reason
               for t in found.trials if t.status == "failed")  # fmt: skip
    assert found.best is not None and found.best.params == {"lr": "1e-3"}
