"""The curve of a training, told point by point."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

from transformers import TrainerCallback

from dsum_bench.engines.base import TrainableEngine
from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Progress
from dsum_bench.training.job import CurvePoint

NAMES = {"loss": "loss", "learning_rate": "lr", "grad_norm": "grad_norm", "eval_loss": "eval_loss", "epoch": "epoch",
         "num_input_tokens_seen": "tokens", "eval_rouge": "eval_rouge"}  # fmt: skip
MEASURED = {"loss", "eval_loss", "eval_rouge"}
SKIPPED = "skipped"
"""Measure of the curve: updates left out so far because their gradient overflowed."""
MOST_SKIPPED = 50
"""Updates in a row that may be left out. torch's scaler halves its scale of 65,536 each time: after 16 it is 1, and
what overflows then is the gradient itself."""


def points_of(job: str, checkpoint: Path) -> tuple[CurvePoint, ...]:
    """The curve up to a checkpoint, as it is written there."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    found = ((row["step"], _values(row)) for row in state["log_history"])
    return tuple(CurvePoint(job, step, values, 0.0, 0) for step, values in found if values.keys() & MEASURED)


def _values(logs: Mapping[str, float]) -> dict[str, float]:
    return {NAMES[name]: float(value) for name, value in logs.items() if name in NAMES}


class CurveCallback(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Tells the parent every point of the curve.

    skips: whether an update may be left out because its gradient overflowed, as float16's scaling does by design. Such
    updates are counted (``skipped``), since the attempt began.
    """

    def __init__(self, job: str, engine: TrainableEngine, emit: Callable[[Any], None], skips: bool) -> None:
        self.job = job
        self.engine = engine
        self.emit = emit
        self.skips = skips
        self.skipped = 0
        self.in_a_row = 0
        self.began = monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = monotonic()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.emit(Progress(self.job, f"step {state.global_step} of {state.max_steps}"))

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.emit(Progress(self.job, f"step {state.global_step} of {state.max_steps}, evaluating"))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        values = _values(logs)
        if not values.keys() & MEASURED or not state.is_world_process_zero:
            return
        wrong = [name for name, value in values.items() if not isfinite(value)]
        if self.skips and "loss" in values:
            self._count_skipped(values, wrong, state.global_step)
        if wrong:
            which = {"grad_norm": "gradient", "eval_loss": "evaluation loss"}.get(wrong[0], wrong[0])
            raise ModelError(
                f"the {which} is {values[wrong[0]]} at step {state.global_step}; lower lr, or use bfloat16 or float32"
            )
        seconds = monotonic() - self.began
        self.emit(CurvePoint(self.job, state.global_step, values, seconds, self.engine.peak_memory()))

    def _count_skipped(self, values: dict[str, float], wrong: list[str], step: int) -> None:
        """Take an overflowed gradient out of what is wrong, and count it.

        Raises:
            ModelError: hardly an update is made.
        """
        if "grad_norm" not in wrong:
            self.in_a_row = 0
        else:
            wrong.remove("grad_norm")
            del values["grad_norm"]
            self.skipped += 1
            self.in_a_row += 1
        if self.skipped:
            values[SKIPPED] = float(self.skipped)
        if self.in_a_row > MOST_SKIPPED:
            raise ModelError(
                f"the gradient overflowed float16 in each of the last {self.in_a_row} updates, up to step {step}; "
                "lower lr, or use bfloat16 or float32"
            )
