"""Prompts whose beam search is over leave the batch. Imports torch: import this module inside methods only.

transformers' beam search goes on with all prompts until the last one is done. What the others write until then is
thrown away, and so need not be computed: the network is asked for the rest alone. Search and scores are transformers'
own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

from dsum_bench.engines.pieces import Lineage

PART = 0.25
"""Of the prompts that are left, so many must be done before they leave: what is kept is copied then."""
SEARCH = "_update_finished_beams"
"""transformers' method that knows which prompts are done. Without it none leaves."""


@contextmanager
def leaving(network: Any, cache: Any, lineage: Lineage) -> Iterator[None]:
    """Let prompts leave while ``network.generate`` writes with this cache.

    cache: what is read and written, with layers in pieces. lineage: its beams.
    """
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    update, forward = getattr(base, SEARCH, None), base.forward
    if lineage.beams == 1 or update is None:
        yield
        return
    done = torch.zeros(0, dtype=torch.bool)

    @wraps(update)
    def updated(**asked: Any) -> Any:
        nonlocal done
        found = update(**asked)
        # A prompt that has all its outputs takes no more, nor does one whose outputs cannot be bettered.
        full = found[-1].all(dim=1) & (asked["early_stopping"] is True)
        done = full | ~asked["is_early_stop_heuristic_unsatisfied"][:, 0]
        return found

    @wraps(forward)
    def forwarded(**asked: Any) -> Any:
        rows = len(asked["input_ids"] if asked.get("decoder_input_ids") is None else asked["decoder_input_ids"])
        if len(done) * lineage.beams == rows and _alike(asked, rows):
            _leave(done, cache, lineage)
        if lineage.live is None:
            return forward(**asked)
        index = (lineage.live[:, None] * lineage.beams + torch.arange(lineage.beams)).flatten()
        found = forward(**{key: _taken(value, index) for key, value in asked.items()})
        logits = found.logits.new_zeros(rows, *found.logits.shape[1:])
        logits[index] = found.logits
        found.logits = logits
        return found

    own = {name: base.__dict__[name] for name in (SEARCH, "forward") if name in base.__dict__}
    setattr(base, SEARCH, updated)
    base.forward = forwarded
    try:
        yield
    finally:
        for name in (SEARCH, "forward"):
            delattr(base, name)
            if name in own:
                setattr(base, name, own[name])


def _leave(done: torch.Tensor, cache: Any, lineage: Lineage) -> None:
    left = torch.arange(len(done)) if lineage.live is None else lineage.live
    going = ~done[left]
    if going.any() and int((~going).sum()) >= PART * len(left):
        kept = going.nonzero().flatten()
        cache.batch_select_indices(kept)
        lineage.keep(kept)


def _alike(asked: dict[str, Any], rows: int) -> bool:
    """Whether all tensors have a row for each row of the batch, so that some can be taken."""
    return all(len(value) == rows for value in asked.values() if isinstance(value, torch.Tensor))


def _taken(value: Any, index: torch.Tensor) -> Any:
    if isinstance(value, torch.Tensor):
        return value[index]
    if hasattr(value, "last_hidden_state"):  # an encoder's output
        return type(value)(last_hidden_state=value.last_hidden_state[index])
    return value
