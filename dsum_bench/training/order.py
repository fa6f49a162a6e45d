"""The order of training rows, the same whether a run was broken off or not, and in every process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import Seq2SeqTrainer
from transformers import Trainer as Decoder
from transformers.trainer_pt_utils import get_length_grouped_indices


class GroupedByLength(Sampler[int]):
    """Rows of like length side by side, in another order in every epoch. epochs: gives how many are done.

    transformers' own sampler draws its order from the generator that dropout draws from too. What that was at the
    beginning of an epoch is lost when a run is broken off within it, and it is not the same in all processes: rows
    were seen twice in an epoch, and others not at all.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int, epochs: Callable[[], float | None]) -> None:
        self.lengths, self.size, self.seed, self.epochs = list(lengths), size, seed, epochs

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        # Of the epoch that a resumed run goes on within, a fraction is done.
        epoch = int(self.epochs() or 0)
        order = torch.Generator().manual_seed(self.seed + epoch)
        return iter(get_length_grouped_indices(self.lengths, self.size, generator=order))


class _InOrder:
    """transformers' Trainer with our order of rows."""

    args: Any
    state: Any
    train_dataset: Any

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(rows)  # type: ignore[misc]
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return GroupedByLength(
            [len(row["input_ids"]) for row in rows], size, self.args.data_seed, lambda: self.state.epoch
        )


class DecoderLoop(_InOrder, Decoder):  # type: ignore[misc]  # transformers has no types here
    """For decoders."""


class Seq2SeqLoop(_InOrder, Seq2SeqTrainer):  # type: ignore[misc]
    """For encoder-decoders."""
