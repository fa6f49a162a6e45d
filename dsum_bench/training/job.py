"""What one training run is made of, and what its worker tells. Data only: it crosses between processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from dsum_bench.fingerprints import canonical, prompt_fingerprint
from dsum_bench.spec import Placement, PluginSettings, Sample, TrainingSpec

KEY_LENGTH = 8
ELSEWHERE = ("report", "gradient_checkpointing")
"""Parameters that change no weight."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One training run for a worker.

    work: folder of its checkpoints. result: folder that the trained weights go to.
    plan_only: plan and stop. ignore_memory: train even where the plan does not fit.
    config: a file of options that makes this run again, written beside the result.
    """

    entry: ClassVar[str] = "dsum_bench.training.worker:run"

    id: str
    spec: TrainingSpec
    train: tuple[Sample, ...]
    dev: tuple[Sample, ...]
    work: Path
    result: Path
    plugins: PluginSettings
    log: str
    plan_only: bool = False
    probe: bool = True
    ignore_memory: bool = False
    config: str = ""

    @property
    def placement(self) -> Placement:
        return self.spec.placement


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The plan of a run. Sizes in bytes.

    trainable, weights: numbers of weights trained, and of all. rows, tokens: of the training texts; trimmed: rows
    that lost turns; longest: tokens of the longest. steps: updates of the weights. processes: taking part.
    memory: part -> bytes; peak: their sum; free: what there is; disk: for checkpoints and result.
    checkpointing: whether activations are computed again instead of kept. keeps_freed: whether freed memory is kept
    for the next batch instead of given back to the system, which is faster and takes up to half more.
    """

    trainable: int
    weights: int
    rows: int
    tokens: int
    target_tokens: int
    longest: int
    trimmed: int
    steps: int
    processes: int
    memory: Mapping[str, int]
    free: int
    disk: int
    disk_free: int
    checkpointing: bool = False
    keeps_freed: bool = False

    @property
    def peak(self) -> int:
        return sum(self.memory.values())


@dataclass(frozen=True, slots=True)
class PlanReady:
    """The plan, before any weight is loaded."""

    job: str
    figures: TrainingPlan


@dataclass(frozen=True, slots=True)
class TrainingNotice:
    """Something that a person should know, and that training goes on with."""

    job: str
    text: str


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """How long the run will take, from the time of a batch; evaluation and checkpoints come on top."""

    job: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of the curve. values: ``loss``, ``lr``, ``grad_norm``, ``epoch``, ``tokens``, ``skipped`` (updates left
    out so far because float16 overflowed), or ``eval_loss``, or ``eval_rouge``.

    seconds: since this attempt's first step.
    """

    job: str
    step: int
    values: Mapping[str, float]
    seconds: float
    peak_memory: int


@dataclass(frozen=True, slots=True)
class TrainingResumed:
    """Training resumes from a checkpoint; what was logged after its step is logged again.

    points: the curve as the checkpoint has it. The process that keeps the curve may have died before it had all of it.
    """

    job: str
    step: int
    points: tuple[CurvePoint, ...] = ()


def settings(spec: TrainingSpec) -> dict[str, str]:
    """What shapes the result, each as a text that can be compared and shown."""
    model = spec.model
    found: dict[str, object] = {
        "model": model.name,
        "base weights": spec.weights,
        "adapter": model.adapter,
        "options": model.options,
        "max_prompt_tokens": model.max_prompt_tokens,
        "trainer": spec.recipe.trainer,
        "dtype": spec.placement.dtype,
        "quantization": spec.placement.quantization,
        "dataset": spec.dataset,
        "split": spec.split,
        "training rows": spec.train_fingerprint,
        "evaluation rows": spec.dev_fingerprint,
        "prompt": prompt_fingerprint(spec.prompt, spec.prompt_format),
        "seed": spec.seed,
        "max-steps": spec.max_steps,
    }
    if spec.start is not None:
        found["continues"] = f"{spec.start.name} {spec.start.weights}"
    params = {k: v for k, v in spec.recipe.params.items() if k not in ELSEWHERE}
    return {k: canonical(v) for k, v in found.items()} | {k: canonical(v) for k, v in params.items()}


def named(spec: TrainingSpec, name: str | None) -> TrainingSpec:
    """The spec with its name: the one given, or 8 hexadecimal digits of its settings."""
    digest = hashlib.sha256(canonical(settings(spec)).encode("ascii")).hexdigest()[:KEY_LENGTH]
    return replace(spec, name=name or digest)
