"""The loss of every network trained here. Imports torch: import this module inside methods only.

It is our own because transformers leaves the division by accumulation steps and processes to the network, and the
encoder-decoders (BART, mBART, T5, MT5, Pegasus) and some vision-language decoders do not do it: their loss and gradient
come out too large, or short batches weigh as much as long ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from dsum_bench.training.texts import IGNORED

TARGETS = ("labels", "shift_labels", "before")
"""Keys of a batch that are not inputs of the network. labels: the wanted token of every logit; shift_labels: what the
Trainer counts, the same tensor unless the rows are pairs; before: of pairs alone."""


def summed(logits: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy in nats, summed over the labelled tokens.

    Args:
        logits: (rows, tokens, vocabulary).
        targets: (rows, tokens), the token that each logit should tell; IGNORED where none is learnt.
        smoothing: share of the probability that is spread evenly over the vocabulary (Szegedy et al. 2016).
    """
    wanted = targets.reshape(-1).to(logits.device)
    flat = logits.reshape(-1, logits.shape[-1]).float()
    return cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing)


def count(targets: torch.Tensor) -> int:
    """How many tokens are labelled."""
    return int((targets != IGNORED).sum())


def inputs_of(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What of a batch the network is called with."""
    return {name: value for name, value in batch.items() if name not in TARGETS}


def mean(network: Any, batch: Mapping[str, Any]) -> torch.Tensor:
    """The loss of one batch on the network's device, a mean over its labelled tokens."""
    moved = {name: v.to(network.device) if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
    logits = network(**inputs_of(moved), use_cache=False).logits
    return summed(logits, moved["labels"]) / count(moved["labels"])
