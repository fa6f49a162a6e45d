"""Keys and values of attention, kept so that little is copied. Imports torch: import this module inside methods only.

transformers' own layer makes a new tensor for every token, and beam search another one for every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

Cache: TypeAlias = DynamicCache


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types here
    """A layer with room for the tokens to come.

    Args:
        keys, values: buffers of shape (rows, heads, room, size), of which the first ``length`` places are filled.
        fixed: places at the start that are the same in all beams of a prompt, so that a change of beams leaves them.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, length: int, fixed: int = 0) -> None:
        super().__init__()
        self.buffers = [keys, values]
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True
        self.fixed = fixed
        self._show(length)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        before = self.length
        after = before + key_states.shape[-2]
        missing = after - self.buffers[0].shape[-2]
        if missing > 0:  # cannot happen within max_new_tokens
            self.buffers = [torch.nn.functional.pad(b, (0, 0, 0, missing)) for b in self.buffers]
        self.buffers[0][:, :, before:after] = key_states
        self.buffers[1][:, :, before:after] = value_states
        self._show(after)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Give rows the written part of other rows; beams of one prompt share what they have read."""
        for buffer in self.buffers:
            written = buffer[:, :, self.fixed : self.length]
            written.copy_(written.index_select(0, beam_idx.to(buffer.device)))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self._show(self.length)

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.buffers = [buffer.repeat_interleave(repeats, dim=0) for buffer in self.buffers]
        self._show(self.length)

    def _show(self, length: int) -> None:
        self.length = length
        self.keys, self.values = (buffer[:, :, :length] for buffer in self.buffers)


def window(network: Any) -> int | None:
    """Tokens that some layer looks back at most, 0 when all layers see everything; None for a cache of another kind
    (state spaces, a model's own code), which is left to ``generate``."""
    supports = getattr(network, "_supports_default_dynamic_cache", None)
    if supports is None or not supports():
        return None
    try:
        layers = Cache(config=network.config).layers
    except (KeyError, AttributeError, ValueError):  # a configuration of the model's own code may lack what is asked
        return None
    if not layers or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
        return None
    return min((layer.sliding_window for layer in layers if type(layer) is DynamicSlidingWindowLayer), default=0)


def spread(read: Cache | None, rows: int, config: Any) -> Cache:
    """A cache of ``rows`` rows that all hold what the one row of ``read`` holds; empty without it."""
    made = Cache(config=config)
    for layer, one in zip(made.layers, read.layers if read else (), strict=False):
        if one.keys is not None:
            layer.update(one.keys.expand(rows, -1, -1, -1), one.values.expand(rows, -1, -1, -1))
    return made


def joined(parts: Sequence[Cache], width: int, room: int, beams: int, config: Any) -> Cache:
    """One cache of the rows of several, each row repeated for its beams, with room for ``room`` more tokens.

    Parts that hold fewer than ``width`` tokens are filled up on the left, where the mask hides it.
    """
    made = Cache(config=config)
    for place, layer in enumerate(made.layers):
        found = [part.layers[place] for part in parts]
        if any(f.keys is None for f in found):  # a layer that uses the keys of another
            continue
        if type(layer) is DynamicLayer:
            keys, values = (_stack([getattr(f, n) for f in found], width, room, beams) for n in ("keys", "values"))
            made.layers[place] = PreallocatedLayer(keys, values, width, fixed=width)
            continue
        seen = min(width, layer.sliding_window - 1)
        keys, values = (_stack([getattr(f, n) for f in found], seen, 0, beams) for n in ("keys", "values"))
        layer.update(keys, values)
        layer.cumulative_length = width
    return made


def _stack(parts: Sequence[torch.Tensor], width: int, room: int, beams: int) -> torch.Tensor:
    """Shape (rows of all parts times beams, heads, width + room, size); the parts end at ``width``."""
    rows = sum(len(part) for part in parts)
    _, heads, _, size = parts[0].shape
    made = parts[0].new_zeros(rows, beams, heads, width + room, size)
    at = 0
    for part in parts:
        made[at : at + len(part), :, :, width - part.shape[2] : width] = part.unsqueeze(1)
        at += len(part)
    return made.flatten(0, 1)
