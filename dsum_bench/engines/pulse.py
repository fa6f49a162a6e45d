"""A sign of life from inside a long batch. Imports torch: import this module inside methods only."""

from __future__ import annotations

from time import monotonic
from typing import Any

import torch
from transformers import StoppingCriteria

from dsum_bench.engines.base import Tell


class Pulse(StoppingCriteria):  # type: ignore[misc]
    """Stops nothing; tells the step at most once a second."""

    def __init__(self, tell: Tell, prompts: int, width: int) -> None:
        self.tell = tell
        self.prompts = prompts
        self.width = width
        self.last = monotonic()

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        if monotonic() - self.last > 1:
            self.last = monotonic()
            self.tell(f"batch of {self.prompts}, token {input_ids.shape[1] - self.width}")
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)
