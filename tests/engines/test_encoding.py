"""Encoder-decoders over keys and values in pieces: against transformers alone, a prompt at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from loaded_engine import LoadedEngine
from networks import END, NEW, alone, cut, encoder_decoder, likelier_end, prompts

from dsum_bench.decoding.base import Batch
from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams
from dsum_bench.spec import Prompt

FAMILIES: dict[str, Callable[[], Any]] = {
    "bart": lambda: encoder_decoder("Bart"),
    "mbart": lambda: encoder_decoder("MBart"),
    "pegasus": lambda: encoder_decoder("Pegasus"),
    "t5": lambda: encoder_decoder("T5"),
    "mt5": lambda: encoder_decoder("MT5"),
    "umt5": lambda: encoder_decoder("UMT5"),
    "m2m100": lambda: encoder_decoder("M2M100"),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "pegasus-x": lambda: encoder_decoder("PegasusX"),
    "nllb-moe": lambda: encoder_decoder("NllbMoe"),
    "led": lambda: encoder_decoder("LED", attention_window=8, max_encoder_position_embeddings=64),
}


def writer_of(model: Any, rows: list[Prompt], group: int = 80) -> Any:
    from dsum_bench.engines.generation import OutputTokens, Writer

    return Writer(model, OutputTokens((END,), 0, frozenset()), rows, left=False, group=group)


def written(model: Any, rows: list[Prompt], decoding: Any, **arguments: Any) -> dict[str, list[int]]:
    from dsum_bench.engines.heartbeat import Heartbeat

    writer = writer_of(model, rows)
    pulse = Heartbeat(lambda text: None, len(rows))
    out = writer.write(rows, decoding, {**decoding.config(), **arguments}, pulse)
    return {p.sample_id: cut(row) for p, row in zip(rows, out, strict=True)}


def oracle(model: Any, rows: list[Prompt], decoding: Any, **arguments: Any) -> dict[str, list[int]]:
    """With the strategy's own processors, whose behaviour is tested elsewhere."""
    found = {}
    for row in rows:
        processors = decoding.processors(Batch((row.sample_id,), 1, frozenset(), ("",), (END,)))
        given = {k: v for k, v in decoding.config().items() if k != "max_new_tokens"} | arguments
        found |= alone(model, [row], logits_processor=processors, **given)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_and_beams_write_what_transformers_writes(family: str) -> None:
    model, rows = FAMILIES[family](), prompts(0)
    assert writer_of(model, rows).in_pieces
    greedy = alone(model, rows, do_sample=False)
    assert written(model, rows, Greedy(GreedyParams(max_new_tokens=NEW))) == greedy
    assert len({tuple(row) for row in greedy.values()}) > 4, "all outputs are alike: this model shows nothing"
    beams = alone(model, rows, num_beams=4, early_stopping=True, do_sample=False)
    assert written(model, rows, Beam(BeamParams(max_new_tokens=NEW, beams=4))) == beams
    assert beams != greedy


RULES: dict[str, Mapping[str, Any]] = {
    "no repeated bigram": {"no_repeat_ngram": 2},
    "penalty and bounds": {"repetition_penalty": 1.3, "min_new_tokens": 6},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("family", ["bart", "t5"])
def test_rules_write_what_transformers_writes(family: str, rule: str) -> None:
    model, rows = FAMILIES[family](), prompts(0)
    params: Mapping[str, Any] = {"max_new_tokens": NEW, **RULES[rule]}
    for decoding in (
        Greedy(GreedyParams(**params)),
        Beam(BeamParams(**params, beams=3, length_penalty=0.4)),
        Beam(BeamParams(**params, beams=2, early_stopping=False)),
        Sampling(SamplingParams(**params, temperature=1.5, top_p=0.9), seed=5),
    ):
        assert written(model, rows, decoding) == oracle(model, rows, decoding)


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_a_script_is_kept_to_as_by_transformers_alone(family: str, tmp_path: Path, bart_tokenizer: Any) -> None:
    opened = LoadedEngine(getattr(tiny, family)(tmp_path, bart_tokenizer), "encoder_decoder", {"wrap": True})
    engine, ends = opened.engine, opened.engine._ends(opened.adapter)
    params: Mapping[str, Any] = {"max_new_tokens": 12, "script": "hangul", "no_repeat_ngram": 2}
    for decoding in (Greedy(GreedyParams(**params)), Beam(BeamParams(**params, beams=4))):
        expected = {}
        for prompt in opened.prompts:
            alone = Batch((prompt.sample_id,), 1, engine._tag_ids(), (prompt.dialogue,), ends, engine.tokenizer)
            out = engine.network.generate(
                input_ids=torch_ids(prompt), logits_processor=decoding.processors(alone), eos_token_id=list(ends),
                pad_token_id=0, **decoding.config(),
            )  # fmt: skip
            expected[prompt.sample_id] = opened.adapter.decode([t for t in out[0, 1:].tolist() if t not in ends])
        assert {name: text for name, (text, *_) in opened.texts(decoding).items()} == expected
        assert len(set(expected.values())) > 1


def torch_ids(prompt: Prompt) -> Any:
    import torch

    return torch.tensor([prompt.token_ids])


def test_a_forced_first_token_is_written() -> None:
    model, rows = FAMILIES["mbart"](), prompts(0)
    for decoding in (Greedy(GreedyParams(max_new_tokens=NEW)), Beam(BeamParams(max_new_tokens=NEW, beams=3))):
        found = written(model, rows, decoding, forced_bos_token_id=9)
        assert found == oracle(model, rows, decoding, forced_bos_token_id=9)
        assert {row[0] for row in found.values()} == {9}


def test_rows_that_have_ended_leave_the_batch() -> None:
    model, rows = FAMILIES["bart"](), prompts(0)
    likelier_end(model, 1.6)
    expected = alone(model, rows, do_sample=False)
    lengths = [len(row) for row in expected.values()]
    assert min(lengths) < 4 and max(lengths) == NEW, f"the rows must end at different steps: {lengths}"
    sizes: list[int] = []
    model.lm_head.register_forward_hook(lambda layer, given, made: sizes.append(len(made)))
    assert written(model, rows, Greedy(GreedyParams(max_new_tokens=NEW))) == expected
    assert sizes[-1] <= len(rows) // 2 < max(sizes)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(("family", "factor"), [("bart", 1.6), ("t5", 8)])
def test_prompts_whose_beam_search_is_over_leave_the_batch(family: str, factor: float, early: bool) -> None:
    model, rows = FAMILIES[family](), prompts(0)
    likelier_end(model, factor)
    decoding = Beam(BeamParams(max_new_tokens=NEW, beams=3, early_stopping=early))
    expected = oracle(model, rows, decoding)
    assert len({len(row) for row in expected.values()}) > 2
    sizes: list[int] = []
    model.lm_head.register_forward_hook(lambda layer, given, made: sizes.append(len(made)))
    assert written(model, rows, decoding) == expected
    sizes = sizes[-NEW:]
    assert max(sizes) == 3 * len(rows) and sizes[-1] <= 0.75 * max(sizes), sizes
    assert written(model, rows, decoding) == expected  # nothing is left on the model


@pytest.mark.parametrize("beams", [1, 4])
def test_a_prompt_is_read_once_however_many_outputs_and_beams_it_has(beams: int) -> None:
    model, rows = FAMILIES["bart"](), prompts(0)
    copies = [replace(p, sample_id=f"{p.sample_id}/{i}") for p in rows for i in range(3)]
    decoding = (
        Beam(BeamParams(max_new_tokens=NEW, beams=beams))
        if beams > 1
        else Sampling(SamplingParams(max_new_tokens=NEW, temperature=1.5), seed=5)
    )
    expected = oracle(model, copies, decoding)
    assert len({tuple(row) for row in expected.values()}) > 4
    made: dict[str, int] = {"encoder": 0, "keys": 0}

    def count(name: str) -> Callable[..., None]:
        def counted(layer: Any, given: Any, result: Any) -> None:
            made[name] += len(result)

        return counted

    layers = model.model.encoder.layers, model.model.decoder.layers
    layers[0][0].fc1.register_forward_hook(count("encoder"))
    layers[1][0].encoder_attn.k_proj.register_forward_hook(count("keys"))
    assert written(model, copies[::2] + copies[1::2], decoding) == expected
    tried = 2 + 4  # to see whether pieces work
    assert made == {"encoder": len(rows) + tried, "keys": len(rows) + tried}


@pytest.mark.parametrize("family", OTHERS)
def test_a_decoder_with_attention_of_its_own_uses_generate_unchanged(family: str) -> None:
    model, rows = OTHERS[family](), prompts(0)
    assert not writer_of(model, rows).in_pieces
    decoding = Beam(BeamParams(max_new_tokens=NEW, beams=3))
    assert written(model, rows, decoding) == oracle(model, rows, decoding)


def test_a_decoder_that_scores_otherwise_over_pieces_uses_generate_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    from dsum_bench.engines import pieces

    model, rows = FAMILIES["t5"](), prompts(0)
    decoding = Beam(BeamParams(max_new_tokens=NEW, beams=3))
    expected = oracle(model, rows, decoding)
    # As if the beams of a prompt saw what all of them have written.
    monkeypatch.setattr(pieces.Lineage, "mask", lambda self, prompts, steps, groups, bias: None)
    assert not writer_of(model, rows).in_pieces
    assert written(model, rows, decoding) == expected


def test_a_lora_adapter_is_written_with() -> None:
    import torch
    from peft import LoraConfig, get_peft_model

    plain, rows = FAMILIES["bart"](), prompts(0)
    own = plain.generation_config
    model = get_peft_model(plain, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="SEQ_2_SEQ_LM")).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    model.generation_config = own
    decoding = Beam(BeamParams(max_new_tokens=NEW, beams=3))
    assert writer_of(model, rows).in_pieces
    assert written(model, rows, decoding) == oracle(model, rows, decoding)
