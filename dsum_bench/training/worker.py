"""What happens in a training worker: texts, plan, weights, transformers' Trainer, result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.engines.allocation import give_memory_back, keep_freed_memory
from dsum_bench.engines.base import Loaded, TrainableEngine
from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Progress
from dsum_bench.figures import size
from dsum_bench.machine import detect
from dsum_bench.metrics.choose import build as build_metric
from dsum_bench.plugins import Plugins
from dsum_bench.spec import TrainingSpec
from dsum_bench.training import planning, shape, sharding, trackers
from dsum_bench.training.base import Trainer
from dsum_bench.training.bins import of_texts
from dsum_bench.training.job import PlanReady, TrainingJob, TrainingPlan
from dsum_bench.training.pairs import build_pairs
from dsum_bench.training.saving import save
from dsum_bench.training.texts import IGNORED, TrainingText, build_texts

Emit = Callable[[Any], None]


def run(job: TrainingJob, emit: Emit) -> None:
    """Plan, then train and put the result in its place.

    Raises:
        ModelError: the training cannot be done as asked.
    """
    spec = local(job.spec)
    plugins = Plugins(job.plugins)

    def tell(text: str) -> None:
        emit(Progress(job.id, text))

    tell("starting")  # its first event is what has the run stored
    trainer_class = plugins.get("trainer", spec.recipe.trainer)
    start = Path(spec.start.folder) if spec.start else None
    trainer = trainer_class(trainer_class.Params(**dict[str, Any](spec.recipe.params)))
    trainer.start = start
    engine = plugins.get("engine", spec.model.engine)(spec.model, spec.placement)
    assert isinstance(engine, TrainableEngine), "the request was checked"
    tell("opening the tokenizer")
    loaded = engine.prepare(tell)
    adapter = build_adapter(spec, plugins, loaded)
    longest = min(trainer.params.max_tokens, loaded.max_tokens or trainer.params.max_tokens)
    learnt = build_pairs if trainer.learns == "pairs" else build_texts
    texts = learnt(adapter, job.train, longest, lambda n: tell(f"building texts, {n} of {len(job.train)}"))
    dev = build_texts(adapter, job.dev, longest)
    figures = plan(job, trainer, engine, texts)
    emit(PlanReady(job.id, figures))
    refuse(figures, trainer, job)
    if job.plan_only and not job.probe:
        return
    from dsum_bench.training import loop
    from dsum_bench.training.scoring import scorer

    trainer = trainer_class(replace(trainer.params, gradient_checkpointing=figures.checkpointing))
    trainer.start = start
    score = None
    if trainer.params.eval_rouge and job.dev and not job.plan_only and not sharding.asked():
        metric = build_metric(plugins, trainer.params.metric(spec.language))
        score = scorer(job.dev[: trainer.params.eval_rouge], adapter, longest, engine, metric, tell)
    engine.packed, engine.sharded = True, sharding.asked()
    trackers.prepare(job)
    keep_freed_memory() if figures.keeps_freed else give_memory_back()
    engine.load(tell)
    trained = loop.train(job, trainer, engine, texts, dev, emit, figures, score)
    if trained is not None:
        save(job, spec, trainer, trained, loaded, adapter, texts)


def local(spec: TrainingSpec) -> TrainingSpec:
    """The spec on this process's own GPU, where ``accelerate launch`` started several."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or not spec.placement.device.startswith("cuda"):
        return spec
    return replace(spec, placement=replace(spec.placement, device=f"cuda:{rank}"))


def build_adapter(spec: TrainingSpec, plugins: Plugins, loaded: Loaded) -> Adapter:
    """The adapter that also screens this model, with the same prompt."""
    adapter_class = plugins.get("adapter", spec.model.adapter)
    reason = adapter_class.refuses(loaded.config)
    if reason:
        raise ModelError(f"adapter '{spec.model.adapter}' does not fit its checkpoint: {reason}")
    limits = [n for n in (spec.model.max_prompt_tokens, loaded.max_tokens) if n is not None]
    return build(
        plugins,
        AdapterContext(
            spec.model, spec.prompt, spec.prompt_format, spec.language, loaded.tokenizer, min(limits, default=None)
        ),
    )


def plan(job: TrainingJob, trainer: Trainer, engine: TrainableEngine, texts: list[TrainingText]) -> TrainingPlan:
    """What the run will take, before any weight is loaded."""
    import torch

    params, spec = trainer.params, job.spec
    counted = shape.count(engine.skeleton(), trainer)
    every = [*texts, *(t.rejected for t in texts if t.rejected)]
    rows = sorted(len(t.input_ids) for t in every)
    targets = [sum(i != IGNORED for i in t.labels) for t in every]
    batch = min(params.batch, len(texts)) * len(every) // len(texts)
    told = rows[-1] if trainer.reads_prompts else max(targets) + 1
    tokens, logits, count = batch * rows[-1], batch * told, len(texts)
    if params.pack_tokens:
        bins = of_texts(texts, params.pack_tokens)
        tokens = max(sum(len(t.input_ids) for t in some) for some in bins)
        logits = max(sum(label != IGNORED for t in some for label in t.labels) for some in bins)
        count, params = len(bins), replace(params, batch=1)
    on_gpu = spec.placement.device.startswith("cuda")
    # Processes on the CPU share what is free.
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    free = torch.cuda.mem_get_info(spec.placement.device)[0] if on_gpu else detect().free_bytes // beside
    memory, checkpointing, keeps_freed = planning.choose(counted, params, tokens, logits, spec.placement, free)
    job.work.mkdir(parents=True, exist_ok=True)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return TrainingPlan(
        trainable=counted.trainable,
        weights=counted.linear + counted.other + counted.added,
        rows=len(texts),
        tokens=sum(rows),
        target_tokens=sum(targets),
        longest=rows[-1],
        trimmed=sum(bool(t.trimmed) for t in texts),
        steps=planning.steps(count, params, processes, spec.max_steps),
        processes=processes,
        memory=memory,
        free=free,
        disk=planning.disk(counted, trainer.keeps),
        disk_free=shutil.disk_usage(job.work).free,
        checkpointing=checkpointing,
        keeps_freed=keeps_freed,
    )


def refuse(figures: TrainingPlan, trainer: Trainer, job: TrainingJob) -> None:
    """Raise ModelError where the plan does not fit in memory or on the disk."""
    reason = planning.refusal(figures.peak, figures.free, trainer.params, trainer.name)
    if reason and not job.ignore_memory:
        raise ModelError(reason)
    if figures.disk > figures.disk_free:
        raise ModelError(
            f"its checkpoints and result take {size(figures.disk)}, and {size(figures.disk_free)} "
            f"are free in {job.work}"
        )
