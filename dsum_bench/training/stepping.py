"""transformers' Trainer with our loss and our order of rows. Imports transformers: import it inside methods only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import Trainer

from dsum_bench.training import loss
from dsum_bench.training.batches import BLANK, Rows
from dsum_bench.training.order import GroupedByLength


class Stepping(Trainer):  # type: ignore[misc]  # transformers has no types here
    """An update's loss is the mean over all its labelled tokens, however they are spread over batches and processes.

    The evaluation loss is the mean over all labelled tokens too. transformers' own is a mean of means that changes with
    the size of a batch.

    smoothing: of labels, while training. scoring: gives the mean score of what the network writes.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *,
        smoothing: float = 0.0,
        eval_dataset: Rows | None = None,
        scoring: Callable[[], float] | None = None,
        **rest: Any,
    ) -> None:
        # Where transformers is given a loss function it counts the labelled tokens of an update over all processes.
        super().__init__(compute_loss_func=loss.summed, eval_dataset=eval_dataset, **rest)
        self.smoothing = smoothing
        self.scoring = scoring
        self._told = torch.zeros(2, dtype=torch.float64)
        if eval_dataset:
            self.eval_dataset = filled_up(eval_dataset, self.args.eval_batch_size * self.args.world_size)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The share of this batch in the mean over ``num_items_in_batch`` tokens."""
        targets = inputs["labels"]
        outputs = model(**loss.inputs_of(inputs), use_cache=False)
        if not model.training:
            total = loss.summed(outputs.logits, targets)
            self._told += torch.tensor([float(total), loss.count(targets)], dtype=torch.float64)
            return (total, outputs) if return_outputs else total
        # Gradients are averaged over processes afterwards.
        share = loss.summed(outputs.logits, targets, self.smoothing) * self.accelerator.num_processes
        share = share / num_items_in_batch
        return (share, outputs) if return_outputs else share

    def evaluation_loop(self, *positional: Any, **named: Any) -> Any:
        """transformers' loop, with the mean over tokens in place of its mean over batches."""
        self._told.zero_()
        found = super().evaluation_loop(*positional, **named)
        told = self._told.to(self.args.device, torch.float64 if self.args.device.type != "mps" else torch.float32)
        total, tokens = self.accelerator.reduce(told, "sum").tolist()
        found.metrics["eval_loss"] = total / tokens
        if self.scoring is not None:
            # One process lets the network write; all have to know, since all stop together.
            scored = [self.scoring() if self.accelerator.is_main_process else 0.0]
            if self.args.world_size > 1:
                broadcast_object_list(scored)
            found.metrics["eval_rouge"] = scored[0]
        return found

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(rows)
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return GroupedByLength(
            [len(row["input_ids"]) for row in rows], size, self.args.data_seed, lambda: self.state.epoch
        )


def filled_up(rows: Sequence[dict[str, list[int]]], size: int) -> Rows:
    """The rows and as many blank ones as make them a multiple of size: accelerate would repeat rows that count."""
    shortest = min(rows, key=lambda row: len(row["input_ids"]))
    return [*rows, *({**shortest, BLANK: [1]} for _ in range(-len(rows) % size))]
