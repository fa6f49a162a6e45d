"""Logits processors of the built-in strategies. Imports torch: import this module inside methods only."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import torch
from transformers import LogitsProcessor, TopPLogitsWarper

FEW = 1024
"""Tokens that are sorted out of a vocabulary before they are worked on, rather than the whole of it."""


class NoRepeatNgram(LogitsProcessor):  # type: ignore[misc]
    """Forbid a token that would complete an n-gram the output already has.

    An n-gram that touches a speaker tag is exempt: a tag is several tokens in most vocabularies
    (``#``, ``Person``, ``1``, ``#``), so without the exemption a summary could name only one speaker.

    Args:
        size: n.
        width: length of the sequence before the first new token.
        exempt: token ids that occur in tags.
    """

    def __init__(self, size: int, width: int, exempt: frozenset[int]) -> None:
        self.size = size
        self.width = width
        self.exempt = exempt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows, banned = [], []
        for row, sequence in enumerate(input_ids[:, self.width :].tolist()):
            for token in self._completions(sequence):
                rows.append(row)
                banned.append(token)
        if not rows:
            return scores
        scores = scores.clone()
        scores[rows, banned] = -float("inf")
        return scores

    def _completions(self, sequence: list[int]) -> list[int]:
        before = self.size - 1
        tail = sequence[len(sequence) - before :] if before else []
        if len(sequence) < self.size or self.exempt.intersection(tail):
            return []
        return [
            sequence[start + before]
            for start in range(len(sequence) - before)
            if sequence[start : start + before] == tail and sequence[start + before] not in self.exempt
        ]


class OutputRepetitionPenalty(LogitsProcessor):  # type: ignore[misc]
    """Make tokens that the output already has less likely; the prompt does not count."""

    def __init__(self, penalty: float, width: int) -> None:
        self.penalty = penalty
        self.width = width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        written = input_ids[:, self.width :]
        if written.shape[1] == 0:
            return scores
        old = scores.gather(1, written)
        new = torch.where(old < 0, old * self.penalty, old / self.penalty)
        return scores.scatter(1, written, new)


class Nucleus(LogitsProcessor):  # type: ignore[misc]
    """transformers' top-p, on the tokens alone that are still possible: after top-k it sorts k tokens, not all.

    On the CPU the sort of a large vocabulary takes longer than a small model's step.
    """

    def __init__(self, top_p: float) -> None:
        self.cut = TopPLogitsWarper(top_p)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        index = _possible(scores)
        if index is None:
            cut: torch.Tensor = self.cut(input_ids, scores)
            return cut
        kept = self.cut(input_ids, scores.gather(1, index))
        return torch.full_like(scores, -float("inf")).scatter(1, index, kept)


class PickByUniform(LogitsProcessor):  # type: ignore[misc]
    """Draw each row's token by inverting its cumulative distribution at a uniform number of that sample's own.

    Leaves one token possible a row, so that greedy search takes it. Rows do not share a random stream, unlike
    ``torch.multinomial`` over a batch, hence the batch does not matter.
    """

    def __init__(self, seed: int, sample_ids: Sequence[str], width: int, length: int) -> None:
        self.width = width
        self.uniform = torch.tensor(np.stack([_uniform(seed, name, length) for name in sample_ids]))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self.width
        point = self.uniform[:, step : step + 1].to(scores.device)
        index = _possible(scores)
        known = scores if index is None else scores.gather(1, index)
        cumulative = known.double().softmax(dim=-1).cumsum(dim=-1)
        # The sum may end a hair below 1, hence the scaling: a point never falls beyond the last token.
        chosen = torch.searchsorted(cumulative, point * cumulative[:, -1:], right=True)
        chosen = chosen.clamp_(max=known.shape[1] - 1)
        if index is not None:
            chosen = index.gather(1, chosen)
        return torch.full_like(scores, -float("inf")).scatter(1, chosen, 0.0)


def _possible(scores: torch.Tensor) -> torch.Tensor | None:
    """Ids of the tokens that are possible in each row, in the order of the vocabulary, shape (rows, most of a row);
    shorter rows are filled with impossible ones. None where they are many."""
    if int((scores[0] > -float("inf")).sum()) > min(FEW, scores.shape[1] - 1):
        return None  # the first row tells without a list of all
    rows, index = (scores > -float("inf")).nonzero(as_tuple=True)
    counts = rows.bincount(minlength=len(scores))
    most = int(counts.max())
    if not 0 < most <= min(FEW, scores.shape[1] - 1):
        return None
    if int(counts.min()) == most:
        return index.view(len(scores), most)
    return scores.topk(most, dim=1).indices.sort(dim=1).values


def _uniform(seed: int, sample_id: str, length: int) -> np.ndarray:
    """Uniform numbers in [0, 1), shape (length,), float64; the same for the same seed and id everywhere."""
    key = int.from_bytes(blake2b(f"{seed}\0{sample_id}".encode("utf-8", "surrogatepass"), digest_size=16).digest())
    return np.random.Generator(np.random.Philox(key=key)).random(length)
