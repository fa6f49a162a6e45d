"""Dropout for training on the CPU. Imports torch: import this module inside methods only.

torch draws a number of 32 bits or more for every element, one after the other. An adapter drops out the input of every
linear layer, and drawing takes a quarter of its training. 16 bits are enough, and NumPy draws them fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

STEPS = 1 << 16
"""Probabilities that 16 bits can tell apart; 0.1 becomes 6554 / 65536 = 0.100006."""


class QuickDropout(torch.nn.Dropout):
    """As ``torch.nn.Dropout``, with masks from 16 random bits an element on the CPU. What stays is divided by the
    probability of staying, so that the mean is exactly that of the input.

    The bits come from a generator that is seeded from torch's own, so that a training with the same state of that, one
    that was resumed or a layer that is computed again, drops the same.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        dropped = round(self.p * STEPS)
        if not self.training or input.device.type != "cpu" or not 0 < dropped < STEPS:
            return super().forward(input)
        return input * mask(input.shape, dropped).to(input.dtype).mul_(STEPS / (STEPS - dropped))


def mask(shape: torch.Size, dropped: int) -> torch.Tensor:
    """1 for what stays and 0 for what is dropped, with a probability of dropped / 65536."""
    seed, count = int(torch.randint(1 << 62, ())), shape.numel()
    drawn = np.random.Generator(np.random.SFC64(seed)).integers(0, 1 << 64, -(-count // 4), np.uint64)
    kept = drawn.view(np.uint16)[:count] >= dropped
    return torch.from_numpy(kept.view(np.uint8)).view(shape)


def quicken(network: Any) -> None:
    """Have every dropout layer of a network on the CPU drop quickly."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is torch.nn.Dropout and child.p > 0:
                quick = QuickDropout(child.p)
                quick.train(child.training)
                setattr(parent, name, quick)
