"""transformers' Trainer with our texts in and its curve out. Nothing of the loop itself is written here."""

from __future__ import annotations

import errno
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from transformers import TrainingArguments, set_seed
from transformers.integrations.neftune import neftune_post_forward_hook

from dsum_bench.engines.base import TrainableEngine
from dsum_bench.engines.huggingface import OUT_OF_MEMORY
from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Progress
from dsum_bench.training import checkpoints
from dsum_bench.training.base import Trainer
from dsum_bench.training.batches import Collator, Packed, bins_of, decoder_inputs, packing, rows_of, seconds_per_batch
from dsum_bench.training.bins import of_texts
from dsum_bench.training.curve import CurveCallback, points_of
from dsum_bench.training.dropping import quicken
from dsum_bench.training.job import TimeEstimate, TrainingJob, TrainingNotice, TrainingPlan, TrainingResumed
from dsum_bench.training.keeping import Keeper
from dsum_bench.training.preferring import Paired, Preferring, disable_dropout, remember
from dsum_bench.training.stepping import Stepping
from dsum_bench.training.texts import TrainingText

CHECKPOINTING = {"use_reentrant": False}

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
        score: gives the mean score of what the network writes; asked in the main process at every evaluation.

    Raises:
        ModelError: the loss is not a number, memory does not suffice, or a checkpoint cannot be written.
    """
    folder = job.work / "checkpoints"
    try:
        keep_gradients(engine.network)
        if trainer.params.attention != "auto":
            engine.network.set_attn_implementation(trainer.params.attention)
        if trainer.params.liger:
            use_liger(engine.network)
        if trainer.params.neftune:
            add_noise(engine.network, trainer.params.neftune)
        set_seed(job.spec.seed)
        network = trainer.prepare(engine.network)
        if trainer.learns == "pairs":
            disable_dropout(network)
        quicken(network)
        collator = _collator(trainer, engine, network, texts)
        if trainer.params.gradient_checkpointing:
            # The Trainer would do so too, but the batch that is timed must not take more memory than those to come.
            network.gradient_checkpointing_enable(gradient_checkpointing_kwargs=CHECKPOINTING)
        if job.probe:
            each = seconds_per_batch(network, collator, texts, _rows_a_batch(trainer, texts))
            emit(TimeEstimate(job.id, each * trainer.params.accumulate * figures.steps))
        if job.plan_only:
            return None
        arguments = _arguments(job, trainer, engine, folder, bool(dev), figures)
        # The arguments made the processes of a distributed run wait for each other.
        last = _last(folder, arguments, lambda text: emit(TrainingNotice(job.id, text)))
        measure = trainer.params.measure(bool(dev), score is None)
        keeper = Keeper(folder, measure, trainer.params.patience)
        bins = trainer.params.pack_tokens
        rows = bins_of(of_texts(texts, bins)) if bins else rows_of(texts)
        if isinstance(collator, Paired) and trainer.compares_before:
            mixed = torch.bfloat16 if arguments.bf16 else torch.float16 if arguments.fp16 else None
            remember(network, collator, rows, trainer.params.batch, mixed, lambda n: emit(_remembered(job, n)))
        loop = _loop(
            trainer,
            model=network,
            args=arguments,
            train_dataset=rows,
            eval_dataset=rows_of(dev) or None,
            data_collator=collator,
            callbacks=[CurveCallback(job.id, engine, emit, arguments.fp16), keeper],
            optimizers=(trainer.optimizer(network), None),
            scoring=score,
        )
        keeper.loop = loop
        keeper.restore(last)
        points = points_of(job.id, last) if last else ()
        emit(TrainingResumed(job.id, checkpoints.step_of(last) if last else 0, points))
        if not keeper.best.stopped:
            loop.train(resume_from_checkpoint=str(last) if last else None)
        weights = keeper.take_best(loop.model)
        _refuse_diverged(loop, network, engine.network.config.get_text_config().vocab_size)
    except (OSError, RuntimeError, MemoryError, SafetensorError) as error:
        raise _explained(error, folder) from error
    return Trained(loop.model, weights) if loop.accelerator.is_main_process else None


def _rows_a_batch(trainer: Trainer, texts: Sequence[TrainingText]) -> int:
    """Rows of an average batch."""
    size = trainer.params.pack_tokens
    return round(len(texts) / len(of_texts(texts, size))) if size else trainer.params.batch


def _remembered(job: TrainingJob, done: int) -> Progress:
    return Progress(job.id, f"probabilities before training, {done} of {len(job.train)} pairs")


def _loop(trainer: Trainer, **rest: Any) -> Stepping:
    if trainer.learns == "pairs":
        return Preferring(pair_loss=trainer.pair_loss, whole=trainer.reads_prompts, **rest)
    return Stepping(smoothing=trainer.params.label_smoothing, **rest)


def _collator(
    trainer: Trainer, engine: TrainableEngine, network: Any, texts: Sequence[TrainingText]
) -> Collator | Packed | Paired:
    takes = inspect.signature(engine.network.forward).parameters
    seq2seq = bool(engine.network.config.is_encoder_decoder)
    slices = not seq2seq and {"logits_to_keep", "position_ids"} <= takes.keys()
    pad = engine.tokenizer.pad_token_id
    padded = Collator(0 if pad is None else pad, not seq2seq, slices, decoder_inputs(engine.network))
    if trainer.learns == "pairs":
        return Paired(padded, trainer.reads_prompts)
    return packing(network, padded, texts, takes) if trainer.params.packing else padded


def _last(folder: Path, arguments: TrainingArguments, tell: Callable[[str], None]) -> Path | None:
    """The checkpoint to go on from, the same in every process."""
    found = [checkpoints.newest_whole(folder, tell) if arguments.process_index == 0 else None]
    if arguments.world_size > 1:
        broadcast_object_list(found)
    return found[0]


def keep_gradients(network: Any) -> None:
    """Have 4-bit layers stay as they are when evaluated.

    On a CPU with AVX512-BF16, bitsandbytes lays their weights out anew for good once they are called in eval mode, and
    its kernel for that layout gives no gradient back: after the first evaluation only the last layers would learn.
    """
    for module in network.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def use_liger(network: Any) -> None:
    """Have norms, rotary positions and the MLP computed by Liger's Triton kernels (Hsu et al. 2024).

    Not its loss: ours computes logits at labelled positions only.

    Raises:
        ModelError: the package has no kernels for this architecture.
    """
    from liger_kernel.transformers import _apply_liger_kernel_to_instance
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    kind = network.config.model_type
    if kind not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise ModelError(f"liger = true: liger-kernel has no kernels for the architecture '{kind}'; set liger = false")
    _apply_liger_kernel_to_instance(model=network, cross_entropy=False, fused_linear_cross_entropy=False)


def add_noise(network: Any, alpha: float) -> None:
    """Have noise on the embeddings of what is read, while training (NEFTune, Jain et al. 2023).

    Not by the Trainer's own argument: it takes the embeddings that an encoder-decoder shares, which BART, mBART and T5
    never call.
    """
    reads = network.get_encoder() if network.config.is_encoder_decoder else network
    embeddings = reads.get_input_embeddings()
    embeddings.neftune_noise_alpha = alpha
    embeddings.register_forward_hook(neftune_post_forward_hook)


def _refuse_diverged(loop: Stepping, network: Any, vocabulary: int) -> None:
    """Raise ModelError where training made weights of no use, which the loss of the last step need not show."""
    losses = [row["loss"] for row in loop.state.log_history if "loss" in row]
    if losses and losses[-1] > 2 * max(losses[0], log(vocabulary)):
        raise ModelError(f"training diverged: the loss went from {losses[0]:.3g} to {losses[-1]:.3g}; lower lr")
    if loop.is_fsdp_enabled:
        return
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
            raise ModelError(f"training diverged: {name} holds values that are not finite; lower lr")


def _arguments(
    job: TrainingJob, trainer: Trainer, engine: TrainableEngine, folder: Path, evaluates: bool, figures: TrainingPlan
) -> TrainingArguments:
    params, placement = trainer.params, job.spec.placement
    on_gpu = placement.device.startswith("cuda")
    vision = hasattr(engine.network.config, "vision_config")
    every = "steps" if params.eval_steps else "epoch"
    arguments = TrainingArguments(
        output_dir=str(folder),
        run_name=job.spec.result,
        num_train_epochs=params.epochs,
        # Where it is given, the Trainer would go beyond the epochs for it.
        max_steps=figures.steps if job.spec.max_steps else -1,
        per_device_train_batch_size=1 if params.pack_tokens else params.batch,
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
        gradient_checkpointing=bool(params.gradient_checkpointing),
        gradient_checkpointing_kwargs=CHECKPOINTING,
        train_sampling_strategy="group_by_length" if params.group_by_length else "random",
        logging_steps=1,
        logging_nan_inf_filter=False,
        include_num_input_tokens_seen="non_padding",
        eval_strategy=every if evaluates else "no",
        eval_steps=params.eval_steps or None,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=params.save_steps,
        use_cache=getattr(engine.network.config, "use_cache", True),  # the Trainer writes it into the configuration
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
        # No gradient comes to the vision tower of a model that is used with text alone, nor to fixed positions.
        ddp_find_unused_parameters=vision or trainer.keeps == "checkpoint",
    )
    if not arguments.distributed_state.use_distributed:
        arguments._n_gpu = min(1, arguments.n_gpu)  # one process takes one GPU, as it was planned
    return arguments


def _explained(error: Exception, folder: Path) -> Exception:
    """What a person can do about it."""
    sealed = [f for f in checkpoints.all_of(folder) if (f / checkpoints.MANIFEST).is_file()]
    kept = (
        f"{sealed[0].name} is kept, and the same command resumes from it"
        if sealed
        else "no checkpoint was complete yet"
    )
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return ModelError(f"the disk is full: a checkpoint could not be written to {folder}; {kept}")
    if isinstance(error, OSError | SafetensorError) or "PytorchStreamWriter" in str(error):
        return ModelError(f"a checkpoint could not be written to {folder}, is the disk full? ({error}); {kept}")
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY):
        return ModelError(f"out of memory; use a smaller batch, max_tokens or recipe qlora ({kept})")
    return error
