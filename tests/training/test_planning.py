"""Planned memory against what torch took on an H100: ``python -m benchmarks.gpu``, results/reference/bench-gpu.md."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.gpu import SHAPES
from dsum_bench.training import planning, shape
from dsum_bench.training.params import LoraParams
from dsum_bench.training.trainers import LoRA, QLoRA

GIB = 2**30
TOKENS, LOGITS = 2864, 320
"""Of the largest of those batches: its tokens, padding included, and the positions that have logits."""


def counted(name: str, trainer: type[LoRA]) -> planning.ModelShape:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.device("meta"):
        network: Any = LlamaForCausalLM(LlamaConfig(**SHAPES[name]))
    return shape.count(network, trainer(LoraParams()))


@pytest.mark.parametrize(
    ("name", "trainer", "quantization", "allocated", "reserved"),
    [
        ("llama32-3b", QLoRA, "nf4", 16.23, 17.46),
        ("llama32-3b", LoRA, "none", 20.13, 21.50),
        ("llama3-8b", QLoRA, "nf4", 29.19, 30.75),
    ],
)
def test_16_bit_training_on_a_gpu_is_planned_within_a_tenth_of_what_torch_reserved(
    name: str, trainer: type[LoRA], quantization: str, allocated: float, reserved: float
) -> None:
    params = LoraParams(gradient_checkpointing=False)
    parts = planning.memory(counted(name, trainer), params, TOKENS, LOGITS, "bfloat16", quantization, "cuda:0")
    planned = sum(parts.values()) / GIB
    assert allocated < planned
    assert planned == pytest.approx(reserved, rel=0.1)


def test_only_autocast_keeps_an_adapters_inputs_in_16_bits() -> None:
    model = planning.ModelShape(
        linear=0, other=0, trainable=1, added=1, layers=1, hidden=1000, inner=3000, vocabulary=1
    )
    params = LoraParams(gradient_checkpointing=False)

    def activations(dtype: str, device: str) -> int:
        return planning.memory(model, params, 1, 0, dtype, "none", device)["activations"]

    base, inputs = 10 * 1000 + 4 * 3000, 6 * 1000 + 3000
    assert activations("bfloat16", "cuda:0") == 2 * base + 3 * inputs
    assert activations("float32", "cuda:0") == 4 * base + 5 * inputs
    assert activations("bfloat16", "cpu") == 2 * base + 5 * inputs
