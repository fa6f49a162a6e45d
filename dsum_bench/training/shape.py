"""Counting a network's weights before they are loaded."""

from __future__ import annotations

from typing import Any

from dsum_bench.training.base import Trainer
from dsum_bench.training.planning import ModelShape


def count(network: Any, trainer: Trainer) -> ModelShape:
    """Count a network on the ``meta`` device, where a tensor has a shape and no memory."""
    config = network.config
    linear, other = _linear(network)
    trained = trainer.prepare(network)
    trainable = sum(p.numel() for p in trained.parameters() if p.requires_grad)
    text = config.get_text_config()

    def get(*names: str) -> int:
        return next((int(v) for n in names if isinstance(v := getattr(text, n, None), int)), 0)

    return ModelShape(
        linear=linear,
        other=other,
        trainable=trainable,
        added=trainable if trainer.keeps == "adapter" else 0,
        layers=get("num_hidden_layers", "encoder_layers")
        + (get("decoder_layers", "num_decoder_layers") if config.is_encoder_decoder else 0),
        hidden=get("hidden_size", "d_model"),
        inner=get("intermediate_size", "encoder_ffn_dim", "d_ff"),
        vocabulary=get("vocab_size"),
    )


def _linear(network: Any) -> tuple[int, int]:
    """Weights of the linear layers that quantisation packs, and all other weights; the output layer is left whole."""
    from torch import nn

    output = network.get_output_embeddings()
    linear = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Linear) and m is not output)
    whole = sum({id(p): p.numel() for p in network.parameters()}.values())
    return linear, whole - linear
