"""transformers' Trainer with our texts in and its curve out. Nothing of the loop itself is written here."""

from __future__ import annotations

import errno
import inspect
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    EarlyStoppingCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from dsum_bench.engines.base import TrainableEngine
from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Progress
from dsum_bench.training import sharding
from dsum_bench.training.base import Trainer
from dsum_bench.training.batches import Collator, decoder_inputs, packing, rows_of, seconds_per_batch
from dsum_bench.training.job import CurvePoint, TimeEstimate, TrainingJob, TrainingPlan, TrainingResumed
from dsum_bench.training.stepping import Stepping
from dsum_bench.training.texts import TrainingText

CHECKPOINTING = {"use_reentrant": False}
COMPLETE = "complete"
"""File that a checkpoint is given once all of it is written; one without it is incomplete."""
NAMES = {"loss": "loss", "learning_rate": "lr", "grad_norm": "grad_norm", "eval_loss": "eval_loss", "epoch": "epoch",
         "num_input_tokens_seen": "tokens", "eval_rouge": "eval_rouge"}  # fmt: skip
MEASURED = {"loss", "eval_loss", "eval_rouge"}

Emit = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A network after training. weights: the trained ones, gathered, where it holds a share of them; else None."""

    network: Any
    weights: dict[str, Any] | None


def train(
    job: TrainingJob,
    trainer: Trainer,
    engine: TrainableEngine,
    texts: Sequence[TrainingText],
    dev: Sequence[TrainingText],
    emit: Emit,
    figures: TrainingPlan,
    score: Callable[[], float] | None = None,
) -> Trained | None:
    """Train from the last whole checkpoint. None in a process that is not the main one and where only a plan was
    asked for.

    Args:
        score: gives ROUGE of what the network writes; asked after every epoch.

    Raises:
        ModelError: the loss is not a number, memory does not suffice, or a checkpoint cannot be written.
    """
    seq2seq = bool(engine.network.config.is_encoder_decoder)
    keep_gradients(engine.network)
    set_seed(job.spec.seed)
    takes = inspect.signature(engine.network.forward).parameters
    slices = not seq2seq and {"logits_to_keep", "position_ids"} <= takes.keys()
    pad = engine.tokenizer.pad_token_id
    network = trainer.prepare(engine.network)
    network.config.use_cache = False
    padded = Collator(0 if pad is None else pad, not seq2seq, slices, decoder_inputs(engine.network))
    collator = packing(network, padded, texts, takes) if trainer.params.packing else padded
    if trainer.params.gradient_checkpointing:
        # The Trainer would do so too, but the batch that is timed must not take more memory than those to come.
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs=CHECKPOINTING)
    if job.probe:
        each = seconds_per_batch(network, collator, texts, trainer.params.batch)
        emit(TimeEstimate(job.id, each * trainer.params.accumulate * figures.steps))
    if job.plan_only:
        return None
    checkpoints = job.work / "checkpoints"
    arguments = _arguments(job, trainer, checkpoints, bool(dev))
    # The arguments made the processes of a distributed run wait for each other; all now see the same checkpoints.
    last = last_checkpoint(checkpoints)
    told = CurveCallback(job.id, engine, emit, score)
    callbacks: list[TrainerCallback] = [told]
    if trainer.params.patience and dev:
        callbacks.append(EarlyStoppingCallback(trainer.params.patience))
    loop = Stepping(
        model=network,
        args=arguments,
        train_dataset=rows_of(texts),
        eval_dataset=rows_of(dev) or None,
        data_collator=collator,
        callbacks=callbacks,
        optimizers=(trainer.optimizer(network), None),
    )
    if last is not None:
        emit(TrainingResumed(job.id, int(last.name.rpartition("-")[2]), points_of(job.id, last)))
    try:
        loop.train(resume_from_checkpoint=str(last) if last else None)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _explained(error, checkpoints) from error
    weights = sharding.whole(loop.model) if loop.is_fsdp_enabled else None
    return Trained(loop.model, weights) if loop.accelerator.is_main_process else None


def keep_gradients(network: Any) -> None:
    """Have 4-bit layers stay as they are when evaluated.

    On a CPU with AVX512-BF16, bitsandbytes lays their weights out anew for good once they are called in eval mode, and
    its kernel for that layout gives no gradient back: after the first evaluation only the last layers would learn.
    """
    for module in network.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint; incomplete ones are removed."""
    whole = []
    for found in folder.glob("checkpoint-*"):
        if (found / COMPLETE).is_file():
            whole.append(found)
        else:
            shutil.rmtree(found, ignore_errors=True)
    return max(whole, key=lambda f: int(f.name.rpartition("-")[2]), default=None)


def points_of(job: str, checkpoint: Path) -> tuple[CurvePoint, ...]:
    """The curve up to a checkpoint, as it is written there."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    found = ((row["step"], _values(row)) for row in state["log_history"])
    return tuple(CurvePoint(job, step, values, 0.0, 0) for step, values in found if values.keys() & MEASURED)


def _values(logs: Mapping[str, float]) -> dict[str, float]:
    return {NAMES[name]: float(value) for name, value in logs.items() if name in NAMES}


class CurveCallback(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Tells the parent every point of the curve, and marks checkpoints that are whole."""

    def __init__(self, job: str, engine: TrainableEngine, emit: Emit, score: Callable[[], float] | None = None) -> None:
        self.score = score
        self.job = job
        self.engine = engine
        self.emit = emit
        self.began = monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = monotonic()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.emit(Progress(self.job, f"step {state.global_step} of {state.max_steps}"))

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.emit(Progress(self.job, f"step {state.global_step} of {state.max_steps}, evaluating"))

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.score is None or not state.is_world_process_zero:
            return
        self.engine.network.eval()
        values = {"eval_rouge": self.score(), "epoch": float(state.epoch or 0.0)}
        state.log_history.append({**values, "step": state.global_step})
        seconds = monotonic() - self.began
        self.emit(CurvePoint(self.job, state.global_step, values, seconds, self.engine.peak_memory()))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        values = _values(logs)
        if not values.keys() & MEASURED or not state.is_world_process_zero:
            return
        if any(value != value for value in values.values()):
            raise ModelError(f"the loss is NaN at step {state.global_step}; lower lr or use bfloat16")
        seconds = monotonic() - self.began
        self.emit(CurvePoint(self.job, state.global_step, values, seconds, self.engine.peak_memory()))

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def _arguments(job: TrainingJob, trainer: Trainer, folder: Path, evaluates: bool) -> TrainingArguments:
    params, placement = trainer.params, job.spec.placement
    on_gpu = placement.device.startswith("cuda")
    patient = bool(params.patience and evaluates)
    return TrainingArguments(
        output_dir=str(folder),
        run_name=job.spec.result,
        num_train_epochs=params.epochs,
        max_steps=job.spec.max_steps or -1,
        per_device_train_batch_size=params.batch,
        per_device_eval_batch_size=params.batch,
        gradient_accumulation_steps=params.accumulate,
        learning_rate=params.lr,
        lr_scheduler_type=params.schedule
        if params.schedule != "constant" or not params.warmup
        else "constant_with_warmup",
        warmup_steps=params.warmup,
        weight_decay=params.weight_decay,
        max_grad_norm=params.max_grad_norm,
        optim=params.optimizer,
        gradient_checkpointing=params.gradient_checkpointing,
        gradient_checkpointing_kwargs=CHECKPOINTING,
        train_sampling_strategy="group_by_length" if params.group_by_length else "random",
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        eval_strategy="epoch" if evaluates else "no",
        prediction_loss_only=True,
        save_strategy="epoch" if patient else "steps",
        save_steps=params.save_steps,
        save_total_limit=2,
        load_best_model_at_end=patient,
        metric_for_best_model="eval_loss" if patient else None,
        restore_callback_states_from_checkpoint=True,
        bf16=on_gpu and placement.dtype == "bfloat16",
        fp16=on_gpu and placement.dtype == "float16",
        use_cpu=not on_gpu,
        seed=job.spec.seed,
        data_seed=job.spec.seed,
        report_to=list(params.report),
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
    )


def _explained(error: Exception, checkpoints: Path) -> Exception:
    """What a person can do about it."""
    last = last_checkpoint(checkpoints)
    kept = f"{last.name} is kept, and the same command resumes from it" if last else "no checkpoint was complete yet"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return ModelError(f"the disk is full: a checkpoint could not be written to {checkpoints}; {kept}")
    if isinstance(error, OSError | SafetensorError) or "PytorchStreamWriter" in str(error):
        return ModelError(f"a checkpoint could not be written to {checkpoints}, is the disk full? ({error}); {kept}")
    if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
        return ModelError(f"out of memory; use a smaller batch, max_tokens or recipe qlora ({kept})")
    return error
