"""Weights of linear layers laid out for a CPU. Imports torch: import this module inside methods only.

The values stay as they are. A product then reads them in blocks instead of rows; torch.compile does the same to frozen
weights. On one core with AVX-512, 32 rows take 0.5 to 0.8 of the time and 2,048 rows 0.85.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dsum_bench.machine import detect

ROOM = 10
"""A head that shares the embedding's weights needs a copy; it gets one where free memory holds so many of them."""


class PackedLinear(nn.Module):
    """A linear layer in float32. weight: packed; its dtype and shape are those of the layer's."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
        self.bias = None if layer.bias is None else layer.bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return made


def pack(network: Any) -> None:
    """Pack all linear layers of a network in float32, one after the other, so that none lies in memory twice.

    What was a parameter is one no longer: the network can generate, and be neither trained nor saved.
    """
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if network.device.type != "cpu" or network.dtype != torch.float32 or not there:
        return
    shared = network.get_input_embeddings().weight
    free = detect().free_bytes

    def packed(layer: nn.Linear, parent: nn.Module) -> nn.Module:
        copies = layer.weight is shared and ROOM * layer.weight.nbytes > free
        return layer if copies or layer.weight.dtype != torch.float32 else PackedLinear(layer)

    replace_linear(network, packed)
    unmapped(network)


def unmapped(network: nn.Module) -> None:
    """Copy what is left into memory, in float32: a single tensor in the checkpoint's file keeps all of it mapped."""
    for parameter in network.parameters():
        parameter.data = parameter.data.to(torch.float32, copy=True)


def replace_linear(network: nn.Module, made: Callable[[nn.Linear, nn.Module], nn.Module]) -> None:
    """Put what ``made`` returns, for a layer and what it is part of, in place of every plain linear layer; one that is
    used twice is replaced once. The small layers of a LoRA adapter, which lie in dictionaries, stay, and so does a
    layer under one of its variants: DoRA reads its weights."""
    found: dict[nn.Module, nn.Module] = {}
    for module in list(network.modules()):
        if getattr(module, "lora_variant", None):
            continue
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and not isinstance(module, nn.ModuleDict):
                if child not in found:
                    found[child] = made(child, module)
                setattr(module, name, found[child])
