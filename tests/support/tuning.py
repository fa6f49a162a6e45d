"""Trainings of small models in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny
from making import small

from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import load
from dsum_bench.registry.trained import with_trained
from dsum_bench.spec import ModelSpec, PluginSettings
from dsum_bench.training import worker
from dsum_bench.training.finetune import TrainingOptions, make_job
from dsum_bench.training.job import CurvePoint, TrainingJob
from dsum_bench.training.prepare import TrainingRequest, prepare

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
REGISTRY = """
[models.mine]
source = "./mine"
adapter = "chat"
prompt = "short"
recipe = "lora"
[models.bart]
source = "./bart"
adapter = "encoder_decoder"
recipe = "full"
options = { wrap = true }
[prompts.short]
user = "{dialogue}"
[decodings.greedy]
strategy = "greedy"
max_new_tokens = 40
[datasets.rows]
format = "jsonl"
path = "{split}.jsonl"
"""
QUICK_SETTINGS = ("max_tokens=96", "batch=2", "accumulate=1", "lr=0.01", "warmup=0.0")


def write_rows(folder: Path, split: str, rows: Sequence[tuple[str, str]]) -> None:
    """A split of the dataset ``rows``, of pairs of dialogue and summary."""
    lines = [
        json.dumps({"id": str(i), "dialogue": d, "summary": s}, ensure_ascii=False) for i, (d, s) in enumerate(rows)
    ]
    (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def place(folder: Path, rows: Sequence[tuple[str, str]], registry: str = REGISTRY) -> Path:
    """A working folder with the small chat model ``mine``; its dev split is the first four rows."""
    tiny.decoder(folder / "mine", "llama", small(CHATML, bos=None))
    (folder / "registry.toml").write_text(registry, encoding="utf-8")
    write_rows(folder, "train", rows)
    write_rows(folder, "dev", rows[:4])
    return folder


def environment() -> dict[str, str]:
    return os.environ | {"COLUMNS": "120", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def job_of(folder: Path, *settings: str, model: str = "mine", name: str = "x", **more: Any) -> TrainingJob:
    """A training as ``finetune`` makes it. more: fields of the request and of the job."""
    plugins = Plugins(PluginSettings(packages=()))
    registry = with_trained(load([folder / "registry.toml"], plugins, folder), folder / "results")
    of_job = {k: more.pop(k) for k in ("plan_only", "probe", "ignore_memory") if k in more}
    wanted = {"recipe": None, "dataset": "rows", "split": "train", "dev_split": None, "limit": None, "sample": None,
              "dev_limit": 0, "prompt": None, "prompt_format": "template", "max_steps": None, "seed": 42, "dtype": None,
              "settings": (*QUICK_SETTINGS, *settings)} | more  # fmt: skip
    prepared = prepare(TrainingRequest(model=model, **wanted), registry, plugins, detect())
    made = make_job(prepared, TrainingOptions(name), plugins, folder / "results")
    return replace(made, log="", **{"probe": False, **of_job})


def train(folder: Path, *settings: str, **more: Any) -> list[Any]:
    """What a training in this process tells; its result is in ``results/models/mine@x``."""
    told: list[Any] = []
    worker.run(job_of(folder, *settings, **more), told.append)
    return told


def points(told: Sequence[Any], measure: str = "loss") -> list[tuple[int, float]]:
    """Steps and values of a training's curve."""
    return [(e.step, e.values[measure]) for e in told if isinstance(e, CurvePoint) and measure in e.values]


def trained_entry(folder: Path, name: str) -> ModelSpec:
    """The registry entry of a trained model."""
    plugins = Plugins(PluginSettings(packages=()))
    return with_trained(load([folder / "registry.toml"], plugins, folder), folder / "results").models[name]
