"""Continuous batching writes what transformers writes alone, a prompt at a time, and is left where it would not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loaded_engine import LoadedEngine
from networks import END, NEW, alone, cut, network, prompts

from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams

FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": lambda: network("Llama"),
    "qwen2": lambda: network("Qwen2"),
    "qwen3": lambda: network("Qwen3"),
    "gemma3_text": lambda: network("Gemma3Text", sliding_window=16, tie_word_embeddings=False),
    "mistral": lambda: network("Mistral", sliding_window=50),
}


def words(tokenizer: Any = None) -> Any:
    from dsum_bench.engines.generation import OutputTokens

    return OutputTokens((END,), 0, frozenset(), tokenizer)


PLAIN = Greedy(GreedyParams(max_new_tokens=NEW))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, but on the CPU and with little memory."""
    from dsum_bench.engines import continuous

    monkeypatch.setattr(continuous, "DEVICES", {"cpu"})
    monkeypatch.setattr(continuous, "SETTINGS", continuous.SETTINGS | {"num_blocks": 16, "page_size": 16})


def test_every_compared_architecture_is_compared_here() -> None:
    from dsum_bench.engines.continuous import COMPARED

    assert set(FAMILIES) == COMPARED
    assert {FAMILIES[family]().config.model_type for family in FAMILIES} == COMPARED


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_those_of_generate(family: str) -> None:
    from dsum_bench.engines import continuous

    model, rows = FAMILIES[family](), prompts(18)
    model.lm_head.weight.data[END] *= 1.6
    oracle = alone(model, rows, do_sample=False)
    assert len({tuple(row) for row in oracle.values()}) > 4 and len({len(row) for row in oracle.values()}) > 1
    assert continuous.honours(model, PLAIN, PLAIN.config(), words())
    found = [pair for part in continuous.write(model, words(), rows, NEW, lambda text: None) for pair in part]
    assert {prompt.sample_id: cut(row) for prompt, row in found} == oracle


def test_an_adapter_of_peft_is_not_left_out() -> None:
    from peft import LoraConfig, get_peft_model

    from dsum_bench.engines import continuous

    model, rows = network("Llama"), prompts(18)
    bare = alone(model, rows, do_sample=False)
    tuned = get_peft_model(model, LoraConfig(target_modules=["q_proj", "up_proj"], init_lora_weights=False)).eval()
    oracle = alone(tuned, rows, do_sample=False)
    assert oracle != bare and continuous.honours(tuned, PLAIN, PLAIN.config(), words())
    found = [pair for part in continuous.write(tuned, words(), rows, NEW, lambda text: None) for pair in part]
    assert {prompt.sample_id: cut(row) for prompt, row in found} == oracle


@pytest.mark.parametrize(
    "decoding",
    [
        Greedy(GreedyParams(min_new_tokens=2)),
        Greedy(GreedyParams(no_repeat_ngram=2)),
        Greedy(GreedyParams(repetition_penalty=1.2)),
        Beam(BeamParams()),
        Sampling(SamplingParams()),
    ],
)
def test_what_it_would_leave_out_is_not_asked_of_it(decoding: Any) -> None:
    from dsum_bench.engines.continuous import honours

    assert not honours(network("Llama"), decoding, decoding.config(), words())


def test_a_script_is_not_asked_of_it_nor_other_settings_and_architectures(tokenizer: Callable[[str], Any]) -> None:
    from dsum_bench.engines.continuous import honours

    kept = Greedy(GreedyParams(script="hangul"))
    assert not honours(network("Llama"), kept, kept.config(), words(tokenizer("qwen3")))
    assert not honours(network("Llama"), PLAIN, {**PLAIN.config(), "forced_bos_token_id": 3}, words())
    assert not honours(network("Phi3", pad_token_id=0), PLAIN, PLAIN.config(), words())
    packed = network("Llama")
    assert honours(packed, PLAIN, PLAIN.config(), words())
    packed.is_quantized = True
    assert not honours(packed, PLAIN, PLAIN.config(), words())


@pytest.fixture
def small(tmp_path: Path, tokenizer: Callable[[str], Any]) -> LoadedEngine:
    from tiny import decoder

    return LoadedEngine(decoder(tmp_path / "model", "qwen3", tokenizer("qwen3")), "qwen", {})


def test_the_engine_gives_the_same_texts_with_it_and_without(
    small: LoadedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsum_bench.engines import continuous

    monkeypatch.setitem(continuous.SETTINGS, "num_blocks", 64)
    found = small.texts(PLAIN)
    monkeypatch.setattr(continuous, "DEVICES", {"cuda"})
    assert len(found) > 1 and found == small.texts(PLAIN)


def test_when_it_breaks_off_batches_write_the_rest(small: LoadedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsum_bench.engines import continuous

    def broken(network: Any, words: Any, rows: Any, new: int, tell: Any) -> Any:
        yield next(iter(real(network, words, rows[:1], new, tell)))
        raise RuntimeError("CUDA graphs: no\nmore")

    real, said = continuous.write, list[str]()
    monkeypatch.setitem(continuous.SETTINGS, "num_blocks", 64)
    monkeypatch.setattr(continuous, "write", broken)
    found = [g for part in small.engine.generate(small.prompts, small.adapter, PLAIN, said.append) for g in part]
    assert "continuous batching failed (CUDA graphs: no); continuing with plain batches" in said
    assert len(found) == len(small.prompts)
    monkeypatch.setattr(continuous, "DEVICES", {"cuda"})
    assert {g.sample_id: (g.text, g.new_tokens, g.finish) for g in found} == small.texts(PLAIN)
