"""Trainings that run at the same time: folds, points of a grid, and trials of a search."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from inprocess import InProcess
from tuning import place

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.executors.base import Event, Executor, Job
from dsum_bench.executors.local import Local
from dsum_bench.executors.supervisor import Supervisor
from dsum_bench.machine import Gpu, Machine
from dsum_bench.spec import Placement

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]
FIXED: dict[str, Any] = {"max_tokens": 96, "batch": 2, "accumulate": 1, "choose_by": "loss", "eval_rouge": 0,
                         "dropout": 0.0, "optimizer": "adamw_torch", "epochs": 2}  # fmt: skip


class Two(Executor):
    """Two worker processes at a time."""

    name = "two"
    most: ClassVar[int] = 0

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        waiting, supervisor = list(jobs), Supervisor(self.hang_timeout)
        try:
            while waiting or supervisor.busy:
                while waiting and len(supervisor.running) < 2:
                    supervisor.start(waiting.pop(0), {"CUDA_VISIBLE_DEVICES": ""})
                type(self).most = max(self.most, len(supervisor.running))
                yield from supervisor.listen()
        finally:
            supervisor.close()

    def stop(self, job: str, reason: str) -> None:
        raise AssertionError("nothing is stopped here")


class Roomy(InProcess):
    """Takes three jobs of a search at once, though it does one after the other."""

    name = "roomy"

    def room(self, job: Job) -> int:
        return 3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place(tmp_path, ROWS))
    monkeypatch.setattr(Roomy, "ran", [])
    monkeypatch.setattr(Roomy, "kill_after", None)
    return tmp_path


def bench(results: str) -> Bench:
    return Bench(results=results, plugins=[InProcess, Roomy, Two], progress=None)


def tune(results: str, executor: str, **more: Any) -> Any:
    asked: dict[str, Any] = {"settings": FIXED, "screen": False, "dev_limit": 4, "probe": False, "executor": executor}
    return bench(results).finetune("mine", "rows", **asked | more)


def curves(results: str, models: Sequence[str]) -> list[list[float]]:
    return [list(bench(results).curve(model)["value"]) for model in models]


def test_points_that_are_trained_at_the_same_time_learn_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Two, "most", 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    beside = tune("beside", "two", sweep="lr=1e-3,1e-2 r=2")
    assert Two.most == 2 and beside.models == tuple(t.model for t in beside.trainings) and len(beside.models) == 2
    after = tune("after", "inprocess", sweep="lr=1e-3,1e-2 r=2")
    assert beside.models == after.models
    for one, other in zip(curves("beside", beside.models), curves("after", after.models), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    stored = [bench("beside").training(model) for model in beside.models]
    assert [run.status for run in stored] == ["done", "done"] and all(run.seconds > 0 for run in stored)


def test_a_run_with_other_settings_is_refused_before_any_of_them_is_trained(folder: Path) -> None:
    tune("results", "inprocess", folds=2, name="k", max_steps=2)
    for kind in ("training", "models"):
        shutil.rmtree(folder / "results" / kind / "mine@k-fold1")
    with pytest.raises(UserError, match=r"'k-fold2' was started with other settings: .*lr"):
        tune("results", "inprocess", folds=2, name="k", max_steps=2, settings=FIXED | {"lr": 0.5})
    assert not (folder / "results/models/mine@k-fold1").exists()


def test_a_search_has_rounds_as_large_as_there_is_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"search": 7, "space": "lr=1e-4..1e-2:log r=2,4,8", "executor": "roomy"}
    whole = tune("whole", **asked).search
    assert [t.number for t in whole.trials] == list(range(7)) and whole.best is not None
    # Within a round nothing that its other trials have brought is known: three, three and one.
    for after in (1, 4):
        monkeypatch.setattr(Roomy, "ran", [])
        monkeypatch.setattr(Roomy, "kill_after", after)
        with pytest.raises(KeyboardInterrupt):
            tune("broken", **asked)
    monkeypatch.setattr(Roomy, "kill_after", None)
    broken = tune("broken", **asked).search
    assert [(t.number, t.params, t.status) for t in broken.trials] == [
        (t.number, t.params, t.status) for t in whole.trials
    ]
    assert [t.value for t in broken.trials] == pytest.approx([t.value for t in whole.trials])


def test_an_executor_has_room_for_a_job_on_each_gpu_it_fits() -> None:
    gpus = tuple(Gpu(str(i), "a", 8.0, 24 << 30, free << 30) for i, free in enumerate((20, 10, 20)))
    local = Local(machine=Machine(4, 32 << 30, 16 << 30, gpus))

    def job(device: str, needs: int) -> Any:
        return type("Wanted", (), {"placement": Placement(device, "bfloat16", "none", "", needs << 30)})()

    assert local.room(job("cuda:0", 15)) == 2 and local.room(job("cuda:0", 5)) == 3 and local.room(job("cpu", 5)) == 1
