"""What a pass may take, against what torch allocates in one; and how many tokens of prompts are read at once."""

from __future__ import annotations

from typing import Any

import pytest
from networks import END, network, prompts

from dsum_bench.engines import huggingface
from dsum_bench.engines.batching import tokens_read_at_once
from dsum_bench.engines.footprint import activation_bytes, kv_bytes
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.spec import ModelSpec, Placement

GB = 10**9


def llama(**changes: Any) -> Any:
    """The shape of Llama-3.2-3B."""
    from transformers import LlamaConfig

    return LlamaConfig(
        **{"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
           "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256} | changes
    )  # fmt: skip


def test_keys_and_values_of_a_published_shape() -> None:
    assert kv_bytes(llama(), 2) == 2 * 28 * 8 * 128 * 2
    assert kv_bytes(llama(num_key_value_heads=None, head_dim=None), 4) == 2 * 28 * 24 * 128 * 4


def test_more_is_read_at_once_the_more_memory_is_free() -> None:
    each = activation_bytes(llama(), 2, 600, 1.5, whole=False, eager=False)
    # By hand: 2 x (5 x 8,192 + 8 x 3,072 + 16 x 3,072) + 12 x 3,072 + 600 x 5 = 269,240 bytes.
    assert each == 269_240
    assert [tokens_read_at_once(each, free * GB) for free in (1, 5, 10, 16, 22, 70)] == [
        2048, 2048, 3714, 5942, 8171, 8192,
    ]  # fmt: skip


def test_scores_of_all_tokens_and_written_weights_of_attention_count() -> None:
    least = activation_bytes(llama(), 2, 600, 1.5, whole=False, eager=False)
    assert activation_bytes(llama(), 2, 600, 1.5, whole=True, eager=False) - least == 6 * 128256
    assert activation_bytes(llama(), 2, 600, 1.5, whole=False, eager=True) - least == 24 * 600 * 8
    assert activation_bytes(llama(), 2, 600, 12.0, whole=False, eager=False) > 1.5 * least
    experts = llama()
    experts.num_experts_per_tok = 8
    assert activation_bytes(experts, 2, 600, 1.5, whole=False, eager=False) - least == 2 * 5 * 7 * 8192


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("shared", [0, 18])
@pytest.mark.parametrize("family", ["Llama", "Gemma3Text", "Qwen3"])
def test_a_group_takes_no_more_than_that(
    family: str, shared: int, attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from dsum_bench.engines import reading
    from dsum_bench.engines.generation import OutputTokens, Writer

    monkeypatch.setattr(reading, "works", lambda *asked: False)  # as on a GPU
    model, rows = network(family), prompts(shared)
    model.set_attn_implementation(attention)
    writer = Writer(model, OutputTokens((END,), 0, frozenset()), rows, left=True, group=1000)
    start = writer.shared
    assert len(start) == shared
    with torch.inference_mode():
        writer._read_group(rows, start)  # the shared start is read
        with torch.profiler.profile(profile_memory=True) as found:
            kept = writer._read_group(rows, start)
    del kept
    at = peak = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            at += event.nbytes()
            peak = max(peak, at)
    longest, count = len(rows[0].token_ids), len(rows)
    each = activation_bytes(
        model.config, 4, longest, longest / (longest - shared), whole=False, eager=attention == "eager"
    )
    passed, held = count * (longest - shared), count * longest * (kv_bytes(model.config, 4) + 16)  # ids and mask
    assert 0.15 * passed * each + held < peak <= passed * each + held


def test_on_a_cpu_2048_tokens_are_read_at_once_and_on_a_gpu_what_its_memory_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dsum_bench.engines.generation import OutputTokens, Writer

    model, rows = network("Llama"), prompts(18)
    writer = Writer(model, OutputTokens((END,), 0, frozenset()), rows, left=True)
    assert writer.group == 2048
    engine = HuggingFace(ModelSpec("m", "completion", ("/m",)), Placement("cuda:0", "bfloat16", "nf4", ""))
    engine.network = model
    found = []
    for free in (GB // 1000, GB // 5, GB):
        monkeypatch.setattr(huggingface, "_free_on_gpu", lambda device, free=free: free)
        found.append(engine._group(writer, rows))
    assert found[0] == 2048 < found[1] < found[2] == 8192
