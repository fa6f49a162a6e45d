"""A screening and a training that go wrong as ``faulty_jobs.py`` is told, run and stored as a command would do it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsum_bench.executors.base import Executor
from dsum_bench.plugins import Plugins
from dsum_bench.screening.preflight import Candidate
from dsum_bench.screening.sweep import Settings, Sweep
from dsum_bench.spec import (
    ModelSpec,
    Placement,
    PluginSettings,
    RecipeSpec,
    RunSpec,
    Sample,
    TrainingSpec,
)
from dsum_bench.store.training import TrainingLog
from dsum_bench.store.writer import Store
from dsum_bench.training.job import TrainingJob
from dsum_bench.training.sessions import train

PLUGIN = PluginSettings((), (str(Path(__file__).parent / "faulty_jobs.py"),))
SAMPLES = (Sample("s", "#Person1#: 네.", ("끝납니다.",)),)
MODEL = ModelSpec("m", "constant", engine="faulty", options={"text": "x"})
CPU = Placement("cpu", "float32", "none", "")


class Quiet:
    """An observer of anything that says nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def screening(folder: Path, executor: Executor, settings: PluginSettings = PLUGIN) -> tuple[str, str]:
    """Screen a model; returns the status and reason that are stored."""
    run = RunSpec(
        model=MODEL,
        dataset="d",
        language="ko",
        split="dev",
        selection="all",
        n_samples=1,
        dataset_fingerprint="",
        references_fingerprint="",
        prompt=None,
        prompt_format="template",
        decoding=None,
        placement=CPU,
        weights="",
        seed=0,
        versions={},
    )
    with Store.open(folder / "dsum.db") as store:
        quiet: Any = Quiet()
        sweep = Sweep(SAMPLES, {}, store, plugins(settings), quiet, Settings(log_folder=folder / "logs"))
        sweep.go([Candidate(run, control=True)], executor)
    return stored(folder, "runs")


def training(folder: Path, executor: Executor, settings: PluginSettings = PLUGIN) -> tuple[str, str]:
    """Train a model; returns the status and reason that are stored."""
    spec = TrainingSpec(
        model=MODEL,
        recipe=RecipeSpec("r", "faulty"),
        placement=CPU,
        weights="",
        dataset="d",
        language="ko",
        split="train",
        selection="all",
        train_fingerprint="",
        dev_fingerprint="",
        prompt=None,
        prompt_format="template",
        seed=0,
        name="r",
    )
    log = str(folder / "logs" / "m@r.log")
    job = TrainingJob("m@r", spec, SAMPLES, (), folder / "work", folder / "result", settings, log)
    with Store.open(folder / "dsum.db") as store:
        quiet: Any = Quiet()
        train(job, TrainingLog(store), plugins(settings), quiet, False, executor)
    return stored(folder, "trainings")


def plugins(settings: PluginSettings) -> Plugins:
    """The plugins of this process, which hands settings to the workers."""
    found = Plugins(PLUGIN)
    found.settings = settings
    return found


def stored(folder: Path, table: str) -> tuple[str, str]:
    with sqlite3.connect(folder / "dsum.db") as db:
        status, reason = db.execute(f"select status, reason from {table}").fetchone()
    return status, reason


RUNS = {"screening": screening, "training": training}
