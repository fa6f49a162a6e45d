"""Weights split over the processes of a run (FSDP), as an accelerate configuration asks for it. No torch."""

from __future__ import annotations

import os
from typing import Any

from dsum_bench.training.params import MOVING, TrainingParams

WHOLE = ("dora", "dpo", "qdpo", "orpo", "qorpo")
"""Trainers of adapters that need all weights in every process."""


def asked() -> bool:
    """Whether ``accelerate launch`` was given a configuration with FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def refusal(trainer: str, keeps: str, params: TrainingParams) -> str | None:
    """What a sharded run cannot do, with what to change; None where it can."""
    if os.environ.get("FSDP_VERSION", "1") != "2":
        return "set fsdp_version: 2 in accelerate's configuration; only that shards 4-bit weights beside an adapter"
    if keeps != "adapter" or trainer in WHOLE:
        return f"trainer '{trainer}' does not shard; use qlora, lora or rslora, or a configuration without FSDP"
    if params.optimizer != "adamw_torch":
        return f"optimizer {params.optimizer} does not support sharded weights; use --set optimizer=adamw_torch"
    if getattr(params, "init", "default") in MOVING:
        return "pissa and olora take the base's weights apart, and no process has all of them; use --set init=default"
    if params.choose_by not in ("auto", "loss", "last"):
        return f"choose_by {params.choose_by} needs summaries, and no process has all weights; use --set choose_by=loss"
    return None


def whole(network: Any) -> dict[str, Any]:
    """The trained weights, gathered from all processes on the CPU. Every process must call it."""
    from torch.distributed.tensor import DTensor

    return {
        name: (weight.full_tensor() if isinstance(weight, DTensor) else weight).detach().cpu()
        for name, weight in network.named_parameters()
        if weight.requires_grad
    }
