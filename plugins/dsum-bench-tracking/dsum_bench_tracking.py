"""Screenings and trainings in Weights & Biases, trackio, MLflow and TensorBoard, as a plugin that listens to events.

Nothing is sent or written unless ``DSUM_BENCH_TRACK`` names a tracker. Settings, curves and scores go there; summaries
only with ``DSUM_BENCH_TRACK_SAMPLES=1``, the report only with ``DSUM_BENCH_TRACK_REPORT=1``, without texts unless
summaries go too. A run that is resumed has the same id there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

from dsum_bench import hookimpl

NAMES, PROJECT = "DSUM_BENCH_TRACK", "DSUM_BENCH_TRACK_PROJECT"
SAMPLES, REPORT = "DSUM_BENCH_TRACK_SAMPLES", "DSUM_BENCH_TRACK_REPORT"
COLUMNS = ("sample_id", "summary", "finish", "new_tokens", "seconds")


class Tracker(ABC):
    """A place that runs are told to. key: of the run there, the same when it is resumed."""

    name: ClassVar[str]

    @abstractmethod
    def begin(self, key: str, title: str, kind: str, config: Mapping[str, Any], results: Path) -> None: ...
    @abstractmethod
    def log(self, key: str, step: int, values: Mapping[str, float]) -> None: ...
    @abstractmethod
    def end(self, key: str, summary: Mapping[str, Any], rows: Sequence[Sequence[Any]], report: Path | None) -> None: ...


class WandB(Tracker):
    """Weights & Biases, online or, with ``WANDB_MODE=offline``, in ``RESULTS/wandb``."""

    name = "wandb"

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}

    def begin(self, key: str, title: str, kind: str, config: Mapping[str, Any], results: Path) -> None:
        import wandb

        self.runs[key] = wandb.init(
            id=key,
            resume="allow",
            reinit="create_new",
            project=os.environ.get(PROJECT, "dsum-bench"),
            name=title,
            job_type=kind,
            config=dict(config),
            dir=str(results),
            settings=wandb.Settings(silent=True, disable_git=True, save_code=False, console="off"),
        )

    def log(self, key: str, step: int, values: Mapping[str, float]) -> None:
        self.runs[key].log(dict(values), step=step)

    def end(self, key: str, summary: Mapping[str, Any], rows: Sequence[Sequence[Any]], report: Path | None) -> None:
        import wandb

        run = self.runs.pop(key)
        if rows:
            run.log({"samples": wandb.Table(columns=list(COLUMNS), data=[list(row) for row in rows])})
        if report is not None:
            artifact = wandb.Artifact(f"report-{key}", type="report")
            artifact.add_file(str(report), name="report.html")
            run.log_artifact(artifact)
        run.summary.update(dict(summary))
        run.finish(exit_code=0 if summary.get("status") == "done" else 1)


class TensorBoard(Tracker):
    """TensorBoard's event files, in ``RESULTS/tensorboard``."""

    name = "tensorboard"

    def __init__(self) -> None:
        self.writers: dict[str, Any] = {}

    def begin(self, key: str, title: str, kind: str, config: Mapping[str, Any], results: Path) -> None:
        from tensorboardX import SummaryWriter

        folder = results / "tensorboard" / f"{kind}-{title}-{key[:8]}"
        # The name of a file has whole seconds: a run that is resumed at once would write over what it wrote before.
        self.writers[key] = writer = SummaryWriter(logdir=str(folder), filename_suffix=f".{time.time_ns()}")
        writer.add_text("settings", "\n".join(f"    {name}: {value}" for name, value in config.items()), 0)

    def log(self, key: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writers[key].add_scalar(name, value, step)

    def end(self, key: str, summary: Mapping[str, Any], rows: Sequence[Sequence[Any]], report: Path | None) -> None:
        writer = self.writers.pop(key)
        for name, value in summary.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, 0)
        lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
        lines += [
            "| " + " | ".join(str(cell).replace("\n", " ").replace("|", "\\|") for cell in row) + " |" for row in rows
        ]
        if rows:
            writer.add_text("samples", "\n".join(lines), 0)
        writer.close()


class Trackio(Tracker):
    """trackio, in ``RESULTS/trackio`` or the folder that ``TRACKIO_DIR`` names. What it prints is dropped."""

    name = "trackio"

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}

    def begin(self, key: str, title: str, kind: str, config: Mapping[str, Any], results: Path) -> None:
        # trackio reads the folder while it is imported.
        os.environ.setdefault("TRACKIO_DIR", str((results / "trackio").resolve()))
        with redirect_stdout(StringIO()):
            import trackio

            self.runs[key] = trackio.init(
                project=os.environ.get(PROJECT, "dsum-bench"),
                name=f"{title}-{key[:8]}",
                group=kind,
                config=dict(config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, key: str, step: int, values: Mapping[str, float]) -> None:
        self.runs[key].log(dict(values), step=step)

    def end(self, key: str, summary: Mapping[str, Any], rows: Sequence[Sequence[Any]], report: Path | None) -> None:
        import pandas as pd
        import trackio
        from trackio.context_vars import current_run

        run = self.runs.pop(key)
        with redirect_stdout(StringIO()):
            run.log(dict(summary))
            if rows:
                run.log({"samples": trackio.Table(dataframe=pd.DataFrame(rows, columns=list(COLUMNS)))})
            if report is not None:
                artifact = trackio.Artifact(f"report-{key}", type="report")
                artifact.add_file(str(report), name="report.html")
                run.log_artifact(artifact)
            # Whichever began last is finished once more when Python ends, with words on standard output.
            (trackio.finish if current_run.get() is run else run.finish)()


class MLflow(Tracker):
    """MLflow, in ``RESULTS/mlflow.db`` unless ``MLFLOW_TRACKING_URI`` names a server or another place."""

    name = "mlflow"
    key_tag = "dsum_bench.key"

    def __init__(self) -> None:
        self.client: Any = None
        self.ids: dict[str, str] = {}

    def begin(self, key: str, title: str, kind: str, config: Mapping[str, Any], results: Path) -> None:
        from mlflow.tracking import MlflowClient

        place = os.environ.get("MLFLOW_TRACKING_URI")
        self.client = MlflowClient(tracking_uri=place or f"sqlite:///{(results / 'mlflow.db').resolve()}")
        name = os.environ.get(PROJECT, "dsum-bench")
        experiment = self.client.get_experiment_by_name(name)
        files = None if place else (results / "mlflow").resolve().as_uri()
        number = experiment.experiment_id if experiment else self.client.create_experiment(name, files)
        known = self.client.search_runs([number], filter_string=f"tags.`{self.key_tag}` = '{key}'")
        if known:
            self.ids[key] = known[0].info.run_id
            self.client.update_run(self.ids[key], status="RUNNING")
            return
        tags = {self.key_tag: key, "dsum_bench.kind": kind}
        self.ids[key] = self.client.create_run(number, tags=tags, run_name=title).info.run_id
        for setting, value in config.items():
            self.client.log_param(self.ids[key], _plain(setting), str(value)[:MLFLOW_MOST])

    def log(self, key: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.ids[key], _plain(name), value, step=step)

    def end(self, key: str, summary: Mapping[str, Any], rows: Sequence[Sequence[Any]], report: Path | None) -> None:
        run = self.ids.pop(key)
        for name, value in summary.items():
            if isinstance(value, int | float):
                self.client.log_metric(run, _plain(name), value)
            else:
                self.client.set_tag(run, f"dsum_bench.{name}", value)
        if rows:
            table = {"columns": list(COLUMNS), "data": [list(row) for row in rows]}
            self.client.log_text(run, json.dumps(table, ensure_ascii=False), "samples.json")
        if report is not None:
            self.client.log_artifact(run, str(report))
        self.client.set_terminated(run, "FINISHED" if summary.get("status") == "done" else "FAILED")


MLFLOW_MOST = 500
"""Characters of a setting that every version of MLflow takes."""


def _plain(name: str) -> str:
    """A name in the characters that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "-", name)


KNOWN: dict[str, type[Tracker]] = {tracker.name: tracker for tracker in (WandB, Trackio, MLflow, TensorBoard)}
_open: dict[str, list[Tracker]] = {}


def wanted() -> list[str]:
    """The trackers that are asked for.

    Raises:
        ValueError: one is not known.
    """
    names = [name.strip() for name in os.environ.get(NAMES, "").split(",") if name.strip()]
    for name in names:
        if name not in KNOWN:
            raise ValueError(f"{NAMES}={name}: the trackers are {', '.join(KNOWN)}")
    return names


def key_of(run_id: str, results: Path) -> str:
    """The key of a run: the same whenever it is resumed, another one in another results folder."""
    return hashlib.sha256(f"{results.resolve()}\0{run_id}".encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _begin(run_id: str, title: str, kind: str, config: Mapping[str, Any], results: Path) -> None:
    trackers = [KNOWN[name]() for name in wanted()]
    for tracker in trackers:
        tracker.begin(key_of(run_id, results), title, kind, config, results)
    if trackers:
        _open[run_id] = trackers


def _end(run_id: str, summary: Mapping[str, Any], rows: Sequence[Sequence[Any]], results: Path) -> None:
    trackers = _open.pop(run_id, [])
    with tempfile.TemporaryDirectory() as folder:
        report = _report(results, Path(folder) / "report.html") if trackers and os.environ.get(REPORT) else None
        for tracker in trackers:
            tracker.end(key_of(run_id, results), summary, rows, report)


def _report(results: Path, file: Path) -> Path | None:
    from dsum_bench import Bench, UserError

    try:
        return Bench(results=results, progress=None).report(file, dialogues=bool(os.environ.get(SAMPLES)))
    except UserError:  # nothing is finished yet
        return None


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; what is empty is left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif value not in (None, "", (), []):
            found[f"{prefix}{name}"] = value if isinstance(value, int | float | str) else str(value)
    return found


@hookimpl
def dsum_run_started(run_id: str, run: Any, results: Path) -> None:
    if wanted():
        _begin(run_id, run.model.name, "screening", flat(asdict(run)), results)


@hookimpl
def dsum_run_finished(run_id: str, run: Any, status: str, reason: str, results: Path) -> None:
    if run_id not in _open:
        return
    from dsum_bench import Bench

    bench = Bench(results=results, progress=None)
    record = bench.run(run_id)
    summary: dict[str, Any] = {"status": status, "samples": record.row.n} | ({"reason": reason} if reason else {})
    for scores in record.scores:
        summary |= {f"{scores.metric}/{measure}": value for measure, value in scores.means.items()}
    rows: list[Sequence[Any]] = []
    if os.environ.get(SAMPLES) and status == "done":
        rows = [tuple(row) for row in bench.samples(run_id)[list(COLUMNS)].itertuples(index=False)]
    _end(run_id, summary, rows, results)


@hookimpl
def dsum_training_started(run_id: str, run: Any, results: Path) -> None:
    if wanted():
        _begin(run_id, run_id, "training", flat(asdict(run)), results)


@hookimpl
def dsum_training_log(run_id: str, run: Any, step: int, values: Mapping[str, float], results: Path) -> None:
    for tracker in _open.get(run_id, ()):
        tracker.log(key_of(run_id, results), step, values)


@hookimpl
def dsum_training_finished(run_id: str, run: Any, status: str, reason: str, results: Path) -> None:
    _end(run_id, {"status": status} | ({"reason": reason} if reason else {}), (), results)
