"""Packed linear layers against the products themselves, in double precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
from loaded_engine import NEW, LoadedEngine
from networks import network

from dsum_bench.decoding.strategies import Greedy, GreedyParams
from dsum_bench.engines import allocation


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 32, 200])
def test_a_packed_layer_computes_the_product(rows: int, bias: bool) -> None:
    import torch

    from dsum_bench.engines.packing import PackedLinear

    torch.manual_seed(rows)
    layer = torch.nn.Linear(70, 130, bias=bias)
    x = torch.randn(2, rows, 70)
    expected = torch.nn.functional.linear(x.double(), layer.weight.double(), layer.bias.double() if bias else None)
    with torch.inference_mode():
        found = PackedLinear(layer)(x)
    assert found.shape == (2, rows, 130)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def kinds(model: Any) -> set[str]:
    return {type(m).__name__ for m in model.modules() if "Linear" in type(m).__name__}


def test_a_network_is_packed_whole_and_one_that_is_not_float32_stays() -> None:
    import torch

    from dsum_bench.engines.packing import pack

    model = network("Llama")
    assert kinds(model) == {"Linear"}
    pack(model.bfloat16())
    assert kinds(model) == {"Linear"}
    pack(model.float())
    assert kinds(model) == {"PackedLinear"}
    assert torch.equal(
        model.get_input_embeddings().weight, network("Llama").bfloat16().float().model.embed_tokens.weight
    )


def test_a_head_that_shares_the_embedding_is_copied_only_where_memory_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from dsum_bench.engines import packing

    model = network("Gemma3Text", tie_word_embeddings=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    machine = packing.detect()
    monkeypatch.setattr(packing, "detect", lambda: replace(machine, free_bytes=9 * model.lm_head.weight.nbytes))
    packing.pack(model)
    assert type(model.lm_head).__name__ == "Linear" and kinds(model) == {"Linear", "PackedLinear"}
    monkeypatch.setattr(packing, "detect", lambda: replace(machine, free_bytes=11 * model.lm_head.weight.nbytes))
    packing.pack(model)
    assert kinds(model) == {"PackedLinear"}


@pytest.mark.parametrize("training", [True, False])
def test_a_network_in_training_keeps_its_weights_and_its_planned_memory(
    training: bool, tmp_path: Path, bart_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(allocation, "keep_between_steps", lambda: kept.append(True))
    opened = LoadedEngine(tiny.bart(tmp_path, bart_tokenizer), "encoder_decoder", {"wrap": True})
    opened.engine.packed = training
    opened.texts(Greedy(GreedyParams(max_new_tokens=NEW)))
    assert kinds(opened.engine.network) == ({"Linear"} if training else {"PackedLinear"})
    assert kept == ([] if training else [True])


@pytest.mark.parametrize("dora", [True, False])
def test_an_adapter_on_packed_layers_computes_what_it_did(dora: bool) -> None:
    """DoRA reads the weights of the layer below, so those stay as they are."""
    import torch
    from peft import LoraConfig, get_peft_model

    from dsum_bench.engines.packing import pack

    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], use_dora=dora, init_lora_weights=False)
    model = get_peft_model(network("Llama"), config).eval()
    ids = torch.arange(1, 12)[None]
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        pack(model)
        torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=1e-4, atol=1e-4)
    below = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj.base_layer")
    assert type(below).__name__ == ("Linear" if dora else "PackedLinear")
