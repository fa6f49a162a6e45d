"""A trained peft adapter on the weights of its base."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.engines import checkpoint
from dsum_bench.engines.base import Plan
from dsum_bench.errors import ModelError, first_line
from dsum_bench.provenance import read
from dsum_bench.spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

WEIGHTS = "adapter_model.safetensors"


def plan(model: ModelSpec, folder: Path, base: Plan) -> Plan:
    """The base's plan with the adapter's weights in its fingerprint.

    Raises:
        ModelError: no adapter there, or one that was trained on other weights.
    """
    for name in ("adapter_config.json", WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} is not a PEFT adapter: it has no {name}")
    found = read(folder)
    if found is not None and found.base_weights != base.weights:
        raise ModelError(
            f"adapter for another base model: {folder.name} was trained on {found.base} with weights "
            f"{found.base_weights}, and {' '.join(model.source)} has {base.weights}"
        )
    return replace(base, weights=f"{base.weights}+{checkpoint.fingerprint([folder / WEIGHTS])}")


def put_on(network: Any, folder: Path) -> Any:
    """The network with the adapter on it.

    Raises:
        ModelError: its shapes are those of another network.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(network, folder, local_files_only=True).eval()
    except (RuntimeError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(f"adapter for another base model: {folder.name} does not fit ({first_line(error)})") from error


def taken_off(network: Any) -> dict[Any, Callable[[], torch.Tensor]]:
    """Put the plain layers of the base back in the place of LoRA's. For each of them, what makes the weights that LoRA
    added: (outputs, inputs), in float32. A layer under one of LoRA's variants, such as DoRA, stays."""
    if not hasattr(network, "peft_config"):
        return {}  # without peft, which is slow to import
    import torch
    from peft.tuners import lora

    def weights(layer: Any) -> torch.Tensor:
        with torch.inference_mode():
            made = [layer.get_delta_weight(name).float() for name in layer.active_adapters]
            return torch.stack(made).sum(dim=0)

    found: dict[Any, Callable[[], torch.Tensor]] = {}
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            plain = type(child) is lora.Linear and type(child.base_layer) is torch.nn.Linear
            if plain and not child.lora_variant and not any(child.lora_bias.values()) and not child.merged:
                setattr(module, name, child.base_layer)
                found[child.base_layer] = partial(weights, child)
    return found
