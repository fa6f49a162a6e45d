"""Attention of an encoder-decoder in int8, whose outputs have the same bits in any batch. Imports torch: import this
module inside methods only.

A product may add up in another order when it has more columns or rows, and another last bit of an activation is another
int8 value now and then. With blocks of one size, counted from the left edge of the row, its output has the same bits
beside whatever neighbours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from dsum_bench.engines.pieces import HIDDEN, over, together

STEADY = "dsum-bench-steady"
QUERIES, PLACES = 32, 128
"""What queries are filled up to, and the places that are taken at once."""


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Rows are filled up on the right."""
    queries, width = query.shape[2], key.shape[2]
    added = query.new_zeros(1, 1, queries, width)
    if mask is not None:
        added = torch.zeros(mask.shape).masked_fill_(~mask, HIDDEN) if mask.dtype == torch.bool else mask
    elif queries > 1 and (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        added = added.masked_fill_(torch.ones(queries, width, dtype=torch.bool).triu(width - queries + 1), HIDDEN)
    if position_bias is not None:
        added = added + position_bias
    missing = -queries % QUERIES if queries > 1 else 0
    added = pad(added, (0, -width % PLACES), value=HIDDEN)
    added = pad(added, (0, 0, 0, missing))
    asked = pad(query, (0, 0, 0, missing))
    keys, values = (pad(states, (0, 0, 0, -width % PLACES)) for states in (key, value))
    blocks = (slice(at, at + PLACES) for at in range(0, width, PLACES))
    found = [over(asked, keys[:, :, at], values[:, :, at], added[..., at], scaling) for at in blocks]
    return together(found)[:, :, :queries].transpose(1, 2).contiguous(), None


AttentionInterface.register(STEADY, _attention)
AttentionMaskInterface.register(STEADY, sdpa_mask)
