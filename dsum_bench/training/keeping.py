"""What a run keeps of itself: its checkpoints, and the weights that were best on the evaluation rows."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from dsum_bench.training import checkpoints, sharding

BEST = "best.safetensors"
STATE = "best.json"


@dataclass(slots=True)
class Best:
    """The best evaluation so far. step: 0 before the first; waited: evaluations since; stopped: that was too many."""

    step: int = 0
    value: float = 0.0
    waited: int = 0
    stopped: bool = False


class Keeper(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
    """Seals checkpoints, keeps the best weights beside them, and stops a run that gets no better.

    Every checkpoint holds the best weights as of its step, so that a run that goes on from it keeps the same ones.

    measure: key of the evaluation's values to choose by; None keeps the last weights.
    patience: evaluations without a better one after which training stops; 0 never stops.
    """

    def __init__(self, folder: Path, measure: str | None, patience: int) -> None:
        self.folder = folder
        self.measure = measure
        self.sign = -1.0 if measure == "eval_loss" else 1.0
        self.patience = patience
        self.best = Best()
        self.loop: Any = None

    def restore(self, checkpoint: Path | None) -> None:
        """Take up what a checkpoint has kept; of None, nothing."""
        (self.folder / BEST).unlink(missing_ok=True)
        if checkpoint is None or not (checkpoint / STATE).is_file():
            return
        self.best = Best(**json.loads((checkpoint / STATE).read_text(encoding="utf-8")))
        if (checkpoint / BEST).is_file():
            _link(checkpoint / BEST, self.folder / BEST)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        ends = float(state.epoch or 0.0).is_integer() or state.global_step >= state.max_steps
        if ends and args.eval_strategy == "epoch":
            control.should_save = False  # the evaluation, which comes now, saves

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, float], **_: Any) -> None:
        control.should_save = True  # a run that went on from before it would not evaluate again
        if self.measure is None:
            return
        value = metrics[self.measure]
        if self.best.step == 0 or self.sign * value > self.sign * self.best.value:
            self.best = Best(state.global_step, value)
            weights = self._weights()  # every process takes part
            if state.is_world_process_zero:
                new = self.folder / f".{BEST}"
                save_file(weights, new)
                checkpoints.sync(new)
                new.rename(self.folder / BEST)
            return
        self.best.waited += 1
        if self.patience and self.best.waited >= self.patience:
            self.best.stopped = True
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Each process has written its own part, its random state among them.
        self.loop.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            written = self.folder / f"checkpoint-{state.global_step}"
            if self.measure is not None:
                (written / STATE).write_text(json.dumps(asdict(self.best)), encoding="utf-8")
                if self.best.step:
                    _link(self.folder / BEST, written / BEST)
            checkpoints.seal(written)
            checkpoints.prune(self.folder)
        self.loop.accelerator.wait_for_everyone()

    def take_best(self, network: Any) -> dict[str, Any] | None:
        """Put the best weights into the network, where it holds all of them; else give them back."""
        if not self.best.step:
            return sharding.whole(network) if self.loop.is_fsdp_enabled else None
        weights: dict[str, Any] = load_file(self.folder / BEST)
        if self.loop.is_fsdp_enabled:
            return weights
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name in weights:
                    parameter.copy_(weights[name])
        return None

    def _weights(self) -> dict[str, Any]:
        found = sharding.whole(self.loop.model)
        return {name: weight.contiguous() for name, weight in found.items()}


def _link(file: Path, name: Path) -> None:
    """The same file under another name; a copy where the file system has no second names."""
    name.unlink(missing_ok=True)
    try:
        os.link(file, name)
    except OSError:
        shutil.copy(file, name)
