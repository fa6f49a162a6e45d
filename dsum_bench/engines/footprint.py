"""Memory that a pass of a network takes, from its configuration. Pure arithmetic: an upper bound, not a measurement.

A configuration is transformers' own, for text: what it does not name counts as in a plain Llama.
"""

from __future__ import annotations

from typing import Any

INNER, OUTER, HEADED = 5, 8, 10
"""Tensors of the width of the middle layer, of the hidden state and of all heads that are there at once, at most. In
int8 (bitsandbytes) products are in 32 bits for a moment, which two of the five make room for."""


def kv_bytes(config: Any, width: float) -> int:
    """Keys and values of one token in all layers. width: bytes of a number."""
    heads = getattr(config, "num_attention_heads", 1) or 1
    kept = getattr(config, "num_key_value_heads", None) or heads
    return int(2 * (getattr(config, "num_hidden_layers", 0) or 0) * kept * _head(config) * width)


def activation_bytes(config: Any, width: int, seen: int, ratio: float, whole: bool, eager: bool) -> int:
    """What one token of a pass needs beyond its keys and values, while one layer is computed.

    Args:
        config: the text part of a transformers configuration.
        width: bytes of a number.
        seen: tokens that a token sees at most.
        ratio: keys in a row over the tokens of it that are in this pass; attention writes keys once for each head.
        whole: whether scores over the vocabulary are made for all tokens, not for the last of a row alone.
        eager: whether attention writes down its weights.
    """
    hidden = getattr(config, "hidden_size", 0) or 0
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    inner = max(inner) if isinstance(inner, list | tuple) else inner
    inner *= getattr(config, "num_experts_per_tok", None) or 1
    heads = getattr(config, "num_attention_heads", 1) or 1
    found = width * (INNER * inner + OUTER * hidden + (HEADED + 4 * ratio) * heads * _head(config))
    found += 3 * 4 * hidden  # norms are in float32
    found += seen * (1 + 2 * width)  # the mask
    if eager:
        found += heads * seen * (2 * width + 4)  # softmax is in float32
    if whole:
        found += (width + 4) * config.vocab_size
    return int(found)


def _head(config: Any) -> int:
    heads = getattr(config, "num_attention_heads", 1) or 1
    return int(getattr(config, "head_dim", None) or (getattr(config, "hidden_size", 0) or 0) // heads)
