"""What a run will take, from the shape of the network alone. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from dsum_bench.figures import size
from dsum_bench.spec import Placement
from dsum_bench.training.params import TrainingParams

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4 = 0.516
"""Bytes a weight: half a byte, and with double quantisation 0.127 bits of constants (Dettmers et al. 2023, 3)."""
RUNTIME = {"cpu": int(0.5e9), "cuda": int(0.3e9)}
"""What there is before a weight: on the CPU torch, transformers and peft; on a GPU the allocator's slack."""
PACKING = int(0.3e9)
"""What packing weights to 4 bits leaves behind on the CPU."""
KEPT_FREED = 1.5
RESERVE = 1.25
"""How far the estimate may be off where there is a slower way that takes less."""
SHARE = 0.95
"""Of the free memory that a plan may take."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A network, counted. linear: weights of the linear layers that are quantised; other: all the rest of the base.

    trainable: weights with a gradient; added: those of them that the base does not have (adapters).
    inner: width of the widest layer inside a block (the MLP's).
    """

    linear: int
    other: int
    trainable: int
    added: int
    layers: int
    hidden: int
    inner: int
    vocabulary: int


def memory(
    shape: ModelShape, params: TrainingParams, tokens: int, target: int, dtype: str, quantization: str, device: str
) -> dict[str, int]:
    """Peak of training in bytes, by what takes it.

    tokens: of the longest batch, rows times longest row; target: of these, tokens that have logits.
    The optimiser is AdamW with two moments; gradients and moments are float32.
    """
    wide = BYTES[dtype]
    each = NF4 if quantization == "nf4" else wide
    weights = shape.linear * each + shape.other * wide
    learning = shape.trainable * (4 if params.optimizer == "adafactor" else 8) + shape.added * 4
    gradients = shape.trainable * 4
    # Kept of a layer for the backward pass: input and output of both norms (4), queries, keys and values before and
    # after their rotation (about 4), what attention gives (1), the residual (1); of the MLP the gate, its activation,
    # the other half and their product. An adapter keeps the dropped-out input of each linear layer, and which of it
    # was dropped (a byte). Its weights are float32, but on a GPU autocast has a 16-bit network's products in 16 bits.
    # Held against measured runs in results/reference/training-memory.md and bench-gpu.md.
    on_gpu = device.startswith("cuda")
    inside = tokens * (10 * shape.hidden + 4 * shape.inner) * wide
    if shape.added:
        inside += tokens * ((wide if on_gpu else 4) + 1) * (6 * shape.hidden + shape.inner)
    kept = shape.layers * tokens * shape.hidden * wide
    # The logits, once as computed, and in float32 with their gradient for the loss.
    logits = target * shape.vocabulary * (wide + 8)
    # A checkpointed layer is computed again only when the logits are gone.
    activations = kept + max(0, inside - logits) if params.gradient_checkpointing else shape.layers * inside
    # Without accumulation gradients grow while activations go; with it they are there from the second batch on.
    learning += gradients if params.accumulate > 1 else max(0, gradients - activations)
    packs = quantization == "nf4" and not on_gpu
    parts = {
        "weights": weights,
        "adapters and optimiser" if shape.added else "gradients and optimiser": learning,
        "activations": activations,
        "logits": logits,
        "runtime": RUNTIME["cuda" if on_gpu else "cpu"] + (PACKING if packs else 0),
    }
    return {name: int(count) for name, count in parts.items()}


def choose(
    shape: ModelShape, params: TrainingParams, tokens: int, target: int, placement: Placement, free: int
) -> tuple[dict[str, int], bool, bool]:
    """The fastest way to train that fits, unless the recipe says: memory by part, whether activations are computed
    again, and whether freed memory is kept.

    tokens, target: as for ``memory``. free: bytes.
    """
    place = (placement.dtype, placement.quantization, placement.device)
    on_cpu = not placement.device.startswith("cuda")
    asked = params.gradient_checkpointing
    for checkpointing in (False, True) if asked is None else (asked,):
        needs = memory(shape, replace(params, gradient_checkpointing=checkpointing), tokens, target, *place)
        # Freed blocks that are kept take up to half more; on a GPU torch's allocator keeps them anyway.
        if sum(needs.values()) * (KEPT_FREED if on_cpu else RESERVE) <= free * SHARE:
            return needs, checkpointing, on_cpu
    return needs, checkpointing, False


def steps(rows: int, params: TrainingParams, processes: int, max_steps: int | None) -> int:
    """Updates of the weights, as transformers' Trainer counts them."""
    batches = ceil(ceil(rows / processes) / params.batch)
    whole = ceil(params.epochs * max(1, ceil(batches / params.accumulate)))
    return min(whole, max_steps) if max_steps else whole


def disk(shape: ModelShape, keeps: str) -> int:
    """Bytes for three checkpoints (one being written) with their optimiser, two best weights, and the result."""
    saved = shape.added if keeps == "adapter" else shape.linear + shape.other
    return 3 * (saved * 4 + shape.trainable * 8) + 3 * saved * 4


def refusal(peak: int, free: int, params: TrainingParams, trainer: str) -> str | None:
    """Why a plan cannot be carried out, with what to change; None when it fits."""
    if peak <= free * SHARE:
        return None
    advice = []
    if params.batch > 1:
        advice.append(f"--set batch={max(1, params.batch // 2)} --set accumulate={params.accumulate * 2}")
    if params.max_tokens > 512:
        advice.append("--set max_tokens=512")
    if params.gradient_checkpointing is False:
        advice.append("--set gradient_checkpointing=true")
    if trainer != "qlora":
        advice.append("--recipe qlora")
    told = f"try {', '.join(advice)}" if advice else "use a smaller model"
    return f"it would take about {size(peak)} of memory, but only {size(free)} are free; {told}"
