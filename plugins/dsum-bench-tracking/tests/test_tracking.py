"""What trackers are told, read back with their own readers: W&B offline, trackio, MLflow, TensorBoard's event files."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dsum_bench_tracking as tracking
import pandas as pd
import pytest

from dsum_bench import Bench, hookimpl
from dsum_bench.plugins import Plugins
from dsum_bench.spec import Placement, PluginSettings, RecipeSpec, TrainingSpec

WORDS = ["첫째 요약입니다.", "둘째 요약입니다.", "셋째 요약입니다."]


def dialogues() -> pd.DataFrame:
    rows = [
        {"id": str(i), "dialogue": f"#Person1#: {text}\n#Person2#: 네.", "summary": text}
        for i, text in enumerate(WORDS)
    ]
    return pd.DataFrame(rows)


def screen(folder: Path) -> str:
    """A screening of a control with the plugin; its key."""
    bench = Bench(results=folder / "results", plugins=[tracking.__file__], progress=None)
    (run,) = bench.screen("lead-3", dialogues(), controls=False).runs
    assert run.status == "done"
    return run.run_id


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (tracking.NAMES, tracking.SAMPLES, tracking.REPORT, tracking.PROJECT):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "wandb-cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))


def records(results: Path) -> list[Any]:
    """Everything that W&B has written, in the words of its own protocol."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for file in sorted(results.glob("wandb/offline-run-*/run-*.wandb")):
        for data in chunks(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            found.append(record)
    return found


def chunks(content: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format: blocks of 32 KiB, each piece with a checksum, its length and its kind (1
    whole, 2 first, 3 middle, 4 last). W&B puts 7 bytes of its own before the first."""
    at, block, made = 7, 32 * 1024, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        made += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield made
            made = b""


def runs(found: list[Any]) -> list[Any]:
    return [r.run for r in found if r.WhichOneof("record_type") == "run"]


def history(found: list[Any]) -> list[dict[str, Any]]:
    rows = (r.history.item for r in found if r.WhichOneof("record_type") == "history")
    return [{i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items} for items in rows]


def summary(found: list[Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for record in found:
        if record.WhichOneof("record_type") == "summary":
            told |= {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.summary.update}
    return told


def config(run: Any) -> dict[str, Any]:
    return {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in run.config.update}


# -- nothing unasked ----------------------------------------------------------------------------------------------


def test_installed_it_does_nothing(tmp_path: Path) -> None:
    screen(tmp_path)
    assert not (tmp_path / "results/wandb").exists() and not (tmp_path / "results/tensorboard").exists()
    assert tracking.wanted() == []


def test_an_unknown_tracker_is_a_warning_and_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracking.NAMES, "wandbb")
    told: list[Any] = []
    bench = Bench(results=tmp_path / "results", plugins=[tracking.__file__], progress=told.append)
    (run,) = bench.screen("lead-3", dialogues(), controls=False).runs
    assert run.status == "done"
    assert any("the trackers are wandb, trackio, mlflow, tensorboard" in e.text for e in told if e.kind == "warning")


# -- a screening --------------------------------------------------------------------------------------------------


def test_a_screening_has_settings_and_scores_and_no_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracking.NAMES, "wandb")
    key = screen(tmp_path)
    found = records(tmp_path / "results")
    run = runs(found)[0]
    assert run.run_id == tracking.key_of(key, tmp_path / "results")
    assert run.display_name == "lead-3" and run.job_type == "screening" and run.project == "dsum-bench"
    assert config(run)["model.adapter"] == "lead" and config(run)["n_samples"] == 3
    scores = Bench(results=tmp_path / "results", progress=None).scores(key, "rouge@mecab").mean()
    told = summary(found)
    assert told["status"] == "done" and told["samples"] == 3
    assert told["rouge@mecab/mean"] == pytest.approx(scores["mean"])
    everything = b"".join(f.read_bytes() for f in (tmp_path / "results/wandb").rglob("*") if f.is_file())
    assert not any(word.encode() in everything or json.dumps(word)[1:-1].encode() in everything for word in WORDS)


def test_summaries_and_the_report_go_where_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracking.NAMES, "wandb")
    monkeypatch.setenv(tracking.SAMPLES, "1")
    monkeypatch.setenv(tracking.REPORT, "1")
    screen(tmp_path)
    found = records(tmp_path / "results")
    (table,) = (tmp_path / "results/wandb").rglob("samples_*.table.json")
    rows = json.loads(table.read_text("utf-8"))
    assert rows["columns"] == list(tracking.COLUMNS) and [row[0] for row in rows["data"]] == ["0", "1", "2"]
    assert all(word in row[1] for word, row in zip(WORDS, rows["data"], strict=True))
    artifacts = [r.request.log_artifact.artifact for r in found
                 if r.WhichOneof("record_type") == "request" and r.request.HasField("log_artifact")]  # fmt: skip
    artifacts += [r.artifact for r in found if r.WhichOneof("record_type") == "artifact"]
    assert any(a.type == "report" and [e.path for e in a.manifest.contents] == ["report.html"] for a in artifacts)


# -- a training ---------------------------------------------------------------------------------------------------


def training(results: Path, plugins: Plugins, steps: range, status: str) -> None:
    """The events of a training, as a session tells them."""
    from dsum_bench.spec import ModelSpec

    model = ModelSpec("mine", "chat", source=("./mine",), origin="")
    recipe, placement = RecipeSpec("lora", "lora", {"lr": 0.01}), Placement("cpu", "float32", "none", "")
    spec = TrainingSpec(
        model, recipe, placement, "", "rows", "ko", "train", "all", "", "", None, "template", 42, name="x"
    )
    around = {"run_id": "mine@x", "run": spec, "results": results}
    told = plugins.tell("dsum_training_started", **around)
    for step in steps:
        told += plugins.tell("dsum_training_log", step=step, values={"loss": 3.0 / step, "lr": 0.01}, **around)
        if step % 3 == 0:
            told += plugins.tell("dsum_training_log", step=step, values={"eval_rouge": 10.0 * step}, **around)
    told += plugins.tell("dsum_training_finished", status=status, reason="", **around)
    assert not told


def test_a_training_has_its_curve_and_stays_one_run_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.NAMES, "wandb,tensorboard")
    results = tmp_path / "results"
    results.mkdir()
    plugins = Plugins(PluginSettings(packages=(), files=(tracking.__file__,)))
    training(results, plugins, range(1, 4), "partial")
    training(results, plugins, range(4, 7), "done")
    found = records(results)
    assert {run.run_id for run in runs(found)} == {tracking.key_of("mine@x", results)}
    assert config(runs(found)[0])["recipe.params.lr"] == 0.01
    points = [(row["_step"], row["loss"]) for row in history(found) if "loss" in row]
    assert points == [(step, 3.0 / step) for step in range(1, 7)]
    assert [(row["_step"], row["eval_rouge"]) for row in history(found) if "eval_rouge" in row] == [
        (3, 30.0),
        (6, 60.0),
    ]
    assert summary(found)["status"] == "done"
    (folder,) = (results / "tensorboard").iterdir()
    files = sorted(folder.glob("events.out.tfevents.*"))
    assert sum(f.read_bytes().count(b"eval_rouge") for f in files) == 2
    assert not tracking._open


# -- trackio and MLflow -------------------------------------------------------------------------------------------

READ_TRACKIO = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage as Storage
names = Storage.get_runs("dsum-bench")
print(json.dumps([[n, Storage.get_run_config("dsum-bench", n), Storage.get_logs("dsum-bench", n)] for n in names]))
"""
SCREEN = """
import pandas as pd
from dsum_bench import Bench
rows = [{"id": str(i), "dialogue": f"#Person1#: {i}번입니다.", "summary": f"{i}번"} for i in range(3)]
bench = Bench(results="results", progress=None)  # the installed package is loaded
print(bench.screen("lead-3", pd.DataFrame(rows), controls=False).runs[0].run_id)
"""
TRAIN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_tracking as t
plugins = t.Plugins(t.PluginSettings(packages=(), files=(t.tracking.__file__,)))
t.training(Path("results"), plugins, range({first}, {last}), {status!r})
"""


def fresh(folder: Path, code: str, **environment: str) -> str:
    """Run code in a process and a folder of its own: trackio reads its folder while it is imported."""
    where = {"TRACKIO_DIR": str(folder / "results" / "trackio")} if "trackio.sqlite" in code else {}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=os.environ | where | environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_trackio_has_settings_and_scores_of_a_screening(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    told = fresh(tmp_path, SCREEN, DSUM_BENCH_TRACK="trackio")
    key = told.strip()
    assert len(told.splitlines()) == 1, "trackio's advice is not printed"
    ((name, config, logs),) = json.loads(fresh(tmp_path, READ_TRACKIO))
    assert name == f"lead-3-{tracking.key_of(key, tmp_path / 'results')[:8]}"
    assert config["model.adapter"] == "lead"
    (row,) = logs
    scores = Bench(results=tmp_path / "results", progress=None).scores(key, "rouge@mecab").mean()
    assert (row["status"], row["samples"]) == ("done", 3)
    assert row["rouge@mecab/mean"] == pytest.approx(scores["mean"])


def test_summaries_and_the_report_go_to_trackio_where_they_are_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    fresh(tmp_path, SCREEN, DSUM_BENCH_TRACK="trackio", DSUM_BENCH_TRACK_SAMPLES="1", DSUM_BENCH_TRACK_REPORT="1")
    ((_, _, logs),) = json.loads(fresh(tmp_path, READ_TRACKIO))
    rows = next(row["samples"]["_value"] for row in logs if "samples" in row and "status" not in row)
    assert [row["sample_id"] for row in rows] == ["0", "1", "2"] and all("번입니다" in row["summary"] for row in rows)
    files = [file for file in (tmp_path / "results/trackio").rglob("*") if file.is_file()]
    assert sum(file.read_bytes().startswith(b"<!doctype html>") for file in files) == 1


def test_a_training_stays_one_run_in_trackio(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    (tmp_path / "results").mkdir()
    for first, last, status in ((1, 4, "partial"), (4, 7, "done")):
        code = TRAIN.format(tests=str(Path(__file__).parent), first=first, last=last, status=status)
        fresh(tmp_path, code, DSUM_BENCH_TRACK="trackio")
    ((_, config, logs),) = json.loads(fresh(tmp_path, READ_TRACKIO))
    assert config["recipe.params.lr"] == 0.01
    assert [(row["step"], row["loss"]) for row in logs if "loss" in row] == [(s, 3.0 / s) for s in range(1, 7)]


def test_mlflow_has_settings_scores_samples_and_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    for name, value in ((tracking.NAMES, "mlflow"), (tracking.SAMPLES, "1"), (tracking.REPORT, "1")):
        monkeypatch.setenv(name, value)
    key = screen(tmp_path)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'results/mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("dsum-bench").experiment_id])
    assert run.info.run_name == "lead-3" and run.info.status == "FINISHED"
    assert run.data.params["model.adapter"] == "lead" and run.data.tags["dsum_bench.status"] == "done"
    scores = Bench(results=tmp_path / "results", progress=None).scores(key, "rouge@mecab").mean()
    assert run.data.metrics["rouge-mecab/mean"] == pytest.approx(scores["mean"])
    assert sorted(f.path for f in client.list_artifacts(run.info.run_id)) == ["report.html", "samples.json"]
    (table,) = (tmp_path / "results/mlflow").rglob("samples.json")
    assert [row[0] for row in json.loads(table.read_text("utf-8"))["data"]] == ["0", "1", "2"]


def test_a_training_stays_one_run_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv(tracking.NAMES, "mlflow")
    results = tmp_path / "results"
    results.mkdir()
    plugins = Plugins(PluginSettings(packages=(), files=(tracking.__file__,)))
    training(results, plugins, range(1, 4), "partial")
    training(results, plugins, range(4, 7), "done")
    client = MlflowClient(tracking_uri=f"sqlite:///{results / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("dsum-bench").experiment_id])
    assert run.info.status == "FINISHED" and run.data.params["recipe.params.lr"] == "0.01"
    points = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((p.step, p.value) for p in points) == [(step, 3.0 / step) for step in range(1, 7)]


def test_every_event_has_the_arguments_that_the_plugin_takes() -> None:
    """pluggy refuses a hook that takes what its specification does not have."""
    assert hookimpl is not None
    plugins = Plugins(PluginSettings(packages=(), files=(tracking.__file__,), strict=True))
    plugins.collect_all()
    assert not plugins.problems
