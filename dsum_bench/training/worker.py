"""What happens in a training worker: texts, plan, weights, transformers' Trainer, result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench import provenance
from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.engines.base import Loaded, TrainableEngine
from dsum_bench.engines.placement import size
from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Progress
from dsum_bench.fingerprints import dialogue_digests, prompt_fingerprint
from dsum_bench.plugins import Plugins
from dsum_bench.spec import TrainingSpec
from dsum_bench.training import planning, shape, sharding
from dsum_bench.training.base import Trainer
from dsum_bench.training.job import PlanReady, TrainingJob, TrainingPlan
from dsum_bench.training.texts import IGNORED, TrainingText, build_texts

if TYPE_CHECKING:
    from dsum_bench.training.loop import Trained

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

    trainer_class = plugins.get("trainer", spec.recipe.trainer)
    trainer = trainer_class(trainer_class.Params(**dict[str, Any](spec.recipe.params)))
    engine = plugins.get("engine", spec.model.engine)(spec.model, spec.placement)
    assert isinstance(engine, TrainableEngine), "the request was checked"
    tell("opening the tokenizer")
    loaded = engine.prepare(tell)
    adapter = build_adapter(spec, plugins, loaded)
    longest = min(trainer.params.max_tokens, loaded.max_tokens or trainer.params.max_tokens)
    texts = build_texts(adapter, job.train, longest, lambda n: tell(f"building texts, {n} of {len(job.train)}"))
    dev = build_texts(adapter, job.dev, longest)
    figures = plan(job, trainer, engine, texts)
    emit(PlanReady(job.id, figures))
    if not job.plan_only:
        refuse(figures, trainer, job)
    elif not job.probe or planning.refusal(figures.peak, figures.free, trainer.params, trainer.name):
        return
    from dsum_bench.training import loop
    from dsum_bench.training.scoring import scorer

    score = None
    if trainer.params.eval_rouge and job.dev and not job.plan_only:
        score = scorer(job.dev[: trainer.params.eval_rouge], adapter, longest, engine, plugins, tell)
    engine.packed, engine.sharded = True, sharding.asked()
    give_memory_back()
    engine.load(tell)
    trained = loop.train(job, trainer, engine, texts, dev, emit, figures, score)
    if trained is not None:
        save(job, spec, trainer, trained, engine, loaded)


def give_memory_back() -> None:
    """Have large blocks returned to the system when they are freed, where the C library is glibc.

    By default it keeps blocks up to 32 MB, and what a checkpointed layer leaves behind piles up between the few that
    stay: 2.4 GB instead of 1.4 for 4 rows of 256 tokens of SmolLM2-135M. Blocks that are kept save the system's
    clearing of pages, a third of the time; who has the memory sets glibc's own variable.
    """
    import ctypes

    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    try:
        ctypes.CDLL("libc.so.6").mallopt(-3, 1 << 20)  # M_MMAP_THRESHOLD, which no longer moves once it is set
    except (OSError, AttributeError):
        return


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
    import psutil
    import torch

    params, spec = trainer.params, job.spec
    counted = shape.count(engine.skeleton(), trainer)
    rows = sorted(len(t.input_ids) for t in texts)
    targets = [sum(i != IGNORED for i in t.labels) for t in texts]
    batch = min(params.batch, len(texts))
    tokens = batch * rows[-1]
    target = batch * (max(targets) + 1)
    on_gpu = spec.placement.device.startswith("cuda")
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
        steps=planning.steps(len(texts), params, processes, spec.max_steps),
        processes=processes,
        memory=planning.memory(
            counted, params, tokens, target, spec.placement.dtype, spec.placement.quantization, spec.placement.device
        ),
        free=torch.cuda.mem_get_info()[0] if on_gpu else psutil.virtual_memory().available,
        disk=planning.disk(counted, trainer.keeps),
        disk_free=shutil.disk_usage(job.work).free,
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


def save(
    job: TrainingJob, spec: TrainingSpec, trainer: Trainer, trained: Trained, engine: TrainableEngine, loaded: Loaded
) -> None:
    """Write the result beside its place and rename it, so that a result is never half there."""
    new = job.result.with_name(f".{job.result.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        if trainer.keeps == "adapter":
            for config in trained.network.peft_config.values():
                config.base_model_name_or_path = " ".join(spec.model.source) if _public(spec) else spec.model.name
        trained.network.save_pretrained(new, state_dict=trained.weights)
        if trainer.keeps == "checkpoint":
            loaded.tokenizer.save_pretrained(new)
            _copy(engine.folder / "generation_config.json", new)
        (new / "README.md").unlink(missing_ok=True)  # peft's empty form; `export` writes a model card
        provenance.write(new, _provenance(job, spec))
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise ModelError(f"the result cannot be written to {job.result}: {error.strerror or error}") from error
    shutil.rmtree(job.result, ignore_errors=True)
    new.rename(job.result)


def _public(spec: TrainingSpec) -> bool:
    return not Path(spec.model.source[0]).is_absolute()


def _copy(file: Path, folder: Path) -> None:
    if file.is_file():
        shutil.copy(file, folder / file.name)


def _provenance(job: TrainingJob, spec: TrainingSpec) -> provenance.Provenance:
    return provenance.Provenance(
        run_id=job.id,
        base=spec.model.name,
        base_weights=spec.weights,
        adapter=spec.model.adapter,
        prompt=prompt_fingerprint(spec.prompt, spec.prompt_format),
        dataset=spec.dataset,
        split=spec.split,
        dialogues=dialogue_digests(s.dialogue for s in job.train),
        recipe={
            "name": spec.recipe.name,
            "trainer": spec.recipe.trainer,
            "dtype": spec.placement.dtype,
            "quantization": spec.placement.quantization,
            "selection": spec.selection,
            "max_steps": spec.max_steps,
            "seed": spec.seed,
            "params": dict(spec.recipe.params),
        },
    )
