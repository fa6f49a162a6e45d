"""Signs of life from inside a long batch. Imports torch: import this module inside methods only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import torch
from transformers import StoppingCriteria

from dsum_bench.engines.base import Tell

EVERY = 1.0


class Heartbeat(StoppingCriteria):  # type: ignore[misc]
    """Stops nothing; tells the step at most once a second.

    Also told from within a step, layer by layer: on a CPU reading the prompts of one batch can take a large
    model longer than the silence after which a worker counts as hung.
    """

    def __init__(self, tell: Tell, prompts: int) -> None:
        self.tell = tell
        self.prompts = prompts
        self.last = monotonic()
        self.step = 0

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        self.step += 1
        self.beat()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)

    def beat(self) -> None:
        if monotonic() - self.last > EVERY:
            self.last = monotonic()
            doing = f"token {self.step}" if self.step else "reading"
            self.tell(f"batch of {self.prompts}, {doing}")

    @contextmanager
    def inside(self, network: torch.nn.Module) -> Iterator[Heartbeat]:
        """Beat whenever a layer of the network has run."""
        stacks = [m for m in network.modules() if isinstance(m, torch.nn.ModuleList)]
        hooks = [layer.register_forward_hook(lambda *_: self.beat()) for stack in stacks for layer in stack]
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()
