"""Which linear layers take the same tensor. Imports torch: import this module inside methods only."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dsum_bench.engines.mapping import let_go


@torch.inference_mode()
def sharing(network: Any) -> dict[nn.Linear, list[nn.Linear]]:
    """For each layer that two tokens reach: the layers of the same module that take the same tensor, in their order."""
    last: list[Any] = [None, 0]
    taken: dict[nn.Linear, int] = {}

    def note(layer: nn.Linear, inputs: tuple[torch.Tensor, ...]) -> None:
        if last[0] is not inputs[0]:
            last[:] = inputs[0], last[1] + 1
        taken.setdefault(layer, last[1])

    def done(layer: nn.Linear, *passed: Any) -> None:
        let_go(layer.weight)

    layers = [m for m in network.modules() if type(m) is nn.Linear]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    hooks += [layer.register_forward_hook(done) for layer in layers]
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    ids = torch.tensor([[0, 1]])
    try:
        more = {"decoder_input_ids": ids} if base.config.is_encoder_decoder else {}
        base.base_model(input_ids=ids, use_cache=False, **more)  # scores of a vocabulary would be large
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[nn.Linear, list[nn.Linear]] = {}
    for parent in network.modules():
        beside: dict[int, list[nn.Linear]] = {}
        for layer in parent.children():
            if type(layer) is nn.Linear and layer in taken:
                beside.setdefault(taken[layer], []).append(layer)
        for layers in beside.values():
            found |= dict.fromkeys(layers, layers)
    return found
