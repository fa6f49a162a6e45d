"""The order of training rows, the same whether a run was interrupted or not, and in every process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class GroupedByLength(Sampler[int]):
    """Rows of like length side by side, in another order in every epoch. epochs: gives how many are done.

    transformers' own sampler draws its order from the generator that dropout draws from too. What that was at the
    beginning of an epoch is lost when a run is interrupted within it, and it is not the same in all processes: rows
    were seen twice in an epoch, and others not at all.
    """

    def __init__(self, lengths: Sequence[int], size: int, seed: int, epochs: Callable[[], float | None]) -> None:
        self.lengths, self.size, self.seed, self.epochs = list(lengths), size, seed, epochs

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        # Of the epoch in which a resumed run continues, a fraction is done.
        epoch = int(self.epochs() or 0)
        order = torch.Generator().manual_seed(self.seed + epoch)
        return iter(get_length_grouped_indices(self.lengths, self.size, generator=order))
