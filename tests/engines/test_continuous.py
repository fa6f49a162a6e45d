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


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try continuous batching on two of few prompts."""
    from dsum_bench.engines import trial

    monkeypatch.setattr(trial, "ROWS", 2)
    monkeypatch.setattr(trial, "LEAST", 4)


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


@pytest.mark.usefixtures("few")
def test_the_engine_gives_the_same_texts_with_it_and_without(
    small: LoadedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsum_bench.engines import continuous

    monkeypatch.setitem(continuous.SETTINGS, "num_blocks", 64)
    asked = watched(monkeypatch)
    found = small.texts(PLAIN)
    assert [len(rows) for rows in asked] == [2, len(small.prompts) - 2]
    monkeypatch.setattr(continuous, "DEVICES", {"cuda"})
    assert len(found) > 1 and found == small.texts(PLAIN)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """What continuous batching is asked for from now on."""
    from dsum_bench.engines import continuous

    asked, real = [], continuous.write

    def write(network: Any, words: Any, rows: Any, new: int, tell: Any) -> Any:
        asked.append(list(rows))
        return real(network, words, rows, new, tell)

    monkeypatch.setattr(continuous, "write", write)
    return asked


@pytest.mark.usefixtures("few")
def test_when_it_breaks_off_batches_write_the_rest(small: LoadedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsum_bench.engines import continuous

    def broken(network: Any, words: Any, rows: Any, new: int, tell: Any) -> Any:
        if len(rows) == 2:
            yield from real(network, words, rows, new, tell)
            return
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


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("fault", ["other tokens", "a row missing", "broken off"])
def test_it_is_left_off_with_a_note_where_the_first_texts_differ(
    small: LoadedEngine, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    from dsum_bench.engines import continuous, trial

    def wrong(network: Any, words: Any, rows: Any, new: int, tell: Any) -> Any:
        assert len(rows) == 2, "asked again after it was wrong"
        made = [pair for part in real(network, words, rows, new, tell) for pair in part]
        prompt, tokens = made[0]
        other = [t + 1 for t in tokens] if fault == "other tokens" else tokens[:-1]
        yield [*made[1:], *([] if fault == "a row missing" else [(prompt, other)])]

    real, said = continuous.write, list[str]()
    monkeypatch.setitem(continuous.SETTINGS, "num_blocks", 64)
    monkeypatch.setattr(continuous, "write", wrong)
    found = [g for part in small.engine.generate(small.prompts, small.adapter, PLAIN, said.append) for g in part]
    assert "continuous batching wrote other texts for 1 of 2; continuing with plain batches" in said
    assert sorted(g.note for g in found) == [""] * (len(found) - 2) + [trial.LEFT_OFF] * 2
    monkeypatch.setattr(continuous, "DEVICES", {"cuda"})
    assert {g.sample_id: (g.text, g.new_tokens, g.finish) for g in found} == small.texts(PLAIN)


def test_few_prompts_and_a_network_in_training_are_left_to_plain_batches(
    small: LoadedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsum_bench.engines import trial

    asked = watched(monkeypatch)
    assert len(small.prompts) < trial.LEAST and small.texts(PLAIN) and not asked
    monkeypatch.setattr(trial, "LEAST", 4)
    small.engine.packed = True
    assert small.texts(PLAIN) and not asked


def test_a_tie_is_a_token_that_scores_as_the_best_but_for_rounding() -> None:
    """Scores are computed by hand: the output layer alone decides between tokens whose rows are nearly equal."""
    import torch

    from dsum_bench.engines import trial

    model, (prompt, *_) = network("Llama"), prompts(18)
    scores = model(torch.tensor([prompt.token_ids])).logits[0, -1]
    best, other = int(scores.argmax()), int(scores.argsort()[0])
    assert trial.same(model, prompt, [best, 3], [best, 3])
    assert not trial.same(model, prompt, [other, 3], [best, 3])
    with torch.no_grad():
        model.lm_head.weight[other] = model.lm_head.weight[best] * (1 - 2e-5)
    assert trial.same(model, prompt, [other, 3], [best, 3])
    assert not trial.same(model, prompt, [best], [best, 3]), "one of them is cut off"
    with torch.no_grad():
        model.lm_head.weight[other] = model.lm_head.weight[best] * (1 - 1e-3)
    assert not trial.same(model, prompt, [other, 3], [best, 3])


def test_the_tried_prompts_are_of_all_lengths_and_none_is_lost() -> None:
    from dsum_bench.engines import trial
    from dsum_bench.spec import Prompt

    rows = [Prompt(f"s{n}", "", (1,) * (1 + 7 * n % 40)) for n in range(40)]
    tried, rest = trial.parted(rows)
    assert sorted(p.sample_id for p in [*tried, *rest]) == sorted(p.sample_id for p in rows)
    lengths = [len(p.token_ids) for p in tried]
    assert len(tried) == trial.ROWS and lengths[0] <= 5 and lengths[-1] >= 36


def test_its_cache_holds_twice_the_rows_where_a_quarter_of_the_memory_suffices() -> None:
    """Worked by hand: 4 layers, 2 heads of 8, keys and values in 2 bytes are 256 bytes a token, 65,536 a block."""
    from dsum_bench.engines.continuous import blocks
    from dsum_bench.spec import Prompt

    config = network("Llama").config
    rows = [Prompt("a", "", (1,) * 250), Prompt("b", "", (1,) * 600)]  # 2 and 3 blocks with ten new tokens
    assert blocks(config, 2, rows, 10, 1 << 30) == 10
    assert blocks(config, 2, rows, 10, 4 * 8 * 65536) == 8
    assert blocks(config, 2, rows, 10, 0) == 6, "the longest row must have room"
