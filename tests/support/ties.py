"""Whether two outputs of one network differ by ties alone.

Two ways to compute the same sums add in another order, and in 16 bits two tokens of nearly the same score may then
change places; from there on the outputs differ and neither is wrong. Any other difference is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dsum_bench.spec import Prompt

CLOSE = {torch.float32: 1e-4, torch.bfloat16: 2**-5, torch.float16: 2**-8}
"""Largest difference of two scores, relative to the largest score, that rounding may make: about eight units in the
last place of 16 bits, which the layers add up."""


def wrong(
    network: Any,
    prompts: Sequence[Prompt],
    found: Mapping[str, Sequence[int]],
    expected: Mapping[str, Sequence[int]],
    ends: Sequence[int],
) -> list[str]:
    """Ids of samples whose tokens differ by more than a tie, or are missing.

    Args:
        found, expected: new tokens by id; what follows an end token does not count.
    """
    return [
        p.sample_id
        for p in prompts
        if p.sample_id not in found
        or not same(network, p, cut(found[p.sample_id], ends), cut(expected[p.sample_id], ends))
    ]


def same(network: Any, prompt: Prompt, found: Sequence[int], expected: Sequence[int]) -> bool:
    """Whether two outputs, each to its end token, are equal up to the first token and tied there."""
    if found == expected:
        return True
    pairs = zip(found, expected, strict=False)
    at = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
    if at is None:
        return False  # one of them breaks off
    scores = last_scores(network, [*prompt.token_ids, *expected[:at]])
    worse = min(scores[found[at]], scores[expected[at]])
    return bool(scores.max() - worse <= CLOSE.get(network.dtype, 2**-5) * scores.abs().max())


@torch.inference_mode()
def last_scores(network: Any, ids: Sequence[int]) -> torch.Tensor:
    """Scores of the token after these, shape (vocabulary,), in float32."""
    tensor = torch.tensor([list(ids)], device=network.device)
    made = network(input_ids=tensor, attention_mask=torch.ones_like(tensor), use_cache=False)
    scores: torch.Tensor = made.logits[0, -1].float()
    return scores


def cut(row: Sequence[int], ends: Sequence[int]) -> list[int]:
    """The tokens up to the end token, which stays: an output that ends differs from one that goes on."""
    stop = next((n for n, token in enumerate(row) if token in ends), len(row))
    return list(row[: stop + 1])
