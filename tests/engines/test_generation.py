"""What is done around ``generate`` must not show in any text: against transformers alone, a prompt at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import END, NEW, alone, cut, likelier_end, network, prompts

from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams
from dsum_bench.spec import Prompt

FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": lambda: network("Llama"),
    "qwen3": lambda: network("Qwen3"),
    "gemma3": lambda: network("Gemma3Text", sliding_window=1024),
    "gemma3, a window shorter than the prompts": lambda: network("Gemma3Text", sliding_window=16),
    "mistral, a window that the output runs out of": lambda: network("Mistral", sliding_window=50),
}


def written(model: Any, rows: list[Prompt], decoding: Any, group: int = 80) -> dict[str, list[int]]:
    from dsum_bench.engines.generation import OutputTokens, Writer
    from dsum_bench.engines.heartbeat import Heartbeat

    writer = Writer(model, OutputTokens((END,), 0, frozenset()), rows, left=True, group=group)
    out = writer.write(rows, decoding, decoding.config(), Heartbeat(lambda text: None, len(rows)))
    return {p.sample_id: cut(row) for p, row in zip(rows, out, strict=True)}


@pytest.fixture(params=[True, False], ids=["pieces", "whole"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Attention over pieces, as on a CPU, and as on other devices."""
    from dsum_bench.engines import reading

    if not request.param:
        monkeypatch.setattr(reading, "works", lambda *asked: False)
    return bool(request.param)


@pytest.mark.parametrize("shared", [0, 18])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.usefixtures("pieces")
def test_greedy_and_beams_write_what_transformers_writes(family: str, shared: int) -> None:
    model, rows = FAMILIES[family](), prompts(shared)
    greedy = alone(model, rows, do_sample=False)
    assert written(model, rows, Greedy(GreedyParams(max_new_tokens=NEW))) == greedy
    assert len({tuple(row) for row in greedy.values()}) > 4, "all outputs are alike: this model shows nothing"
    beams = alone(model, rows, num_beams=3, early_stopping=True, do_sample=False)
    assert written(model, rows, Beam(BeamParams(max_new_tokens=NEW, beams=3))) == beams


def test_rows_that_have_ended_leave_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rows = FAMILIES["llama"](), prompts(18)
    model.lm_head.weight.data[END] *= 1.6
    oracle = alone(model, rows, do_sample=False)
    lengths = [len(row) for row in oracle.values()]
    assert min(lengths) < 3 and max(lengths) == NEW, "the rows must end at different steps"
    sizes: list[int] = []
    forward = model.forward

    def counted(*arguments: Any, **named: Any) -> Any:
        sizes.append(len(named["input_ids"]))
        return forward(*arguments, **named)

    counted.__signature__ = __import__("inspect").signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "forward", counted)
    assert written(model, rows, Greedy(GreedyParams(max_new_tokens=NEW))) == oracle
    assert sizes[-1] <= len(rows) // 2 < max(sizes)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize(
    ("family", "factor"),
    [("llama", 2.6), ("mistral, a window that the output runs out of", 4)],
    ids=["llama", "mistral"],
)
def test_prompts_whose_beam_search_is_over_leave_the_batch(family: str, factor: float, early: bool) -> None:
    model, rows = FAMILIES[family](), prompts(18)
    likelier_end(model, factor)
    expected = alone(model, rows, num_beams=3, early_stopping=early, do_sample=False)
    assert len({len(row) for row in expected.values()}) > 2
    sizes: list[int] = []
    model.lm_head.register_forward_hook(lambda layer, given, made: sizes.append(len(made)))
    assert written(model, rows, Beam(BeamParams(max_new_tokens=NEW, beams=3, early_stopping=early))) == expected
    assert 3 * len(rows) in sizes and sizes[-1] <= 0.75 * 3 * len(rows), sizes


@pytest.mark.parametrize(
    "params",
    [
        {"no_repeat_ngram": 2, "repetition_penalty": 1.3},
        {"min_new_tokens": 6},
    ],
)
def test_dropping_rows_changes_no_strategy(params: dict[str, Any]) -> None:
    model, rows = FAMILIES["llama"](), prompts(18)
    model.lm_head.weight.data[END] *= 1.6
    for decoding in (
        Greedy(GreedyParams(max_new_tokens=NEW, **params)),
        Sampling(SamplingParams(max_new_tokens=NEW, temperature=1.5, **params), seed=5),
    ):
        one_by_one = {k: v for p in rows for k, v in written(model, [p], decoding).items()}
        assert written(model, rows, decoding) == one_by_one
        assert len({len(row) for row in one_by_one.values()}) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_of_the_same_tokens_are_read_once_and_answered_as_if_each_were_alone(
    family: str, pieces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = FAMILIES[family](), prompts(0)
    copies = [replace(p, sample_id=f"{p.sample_id}/{i}") for p in rows for i in range(3)]
    for decoding in (
        Sampling(SamplingParams(max_new_tokens=NEW, temperature=1.5), seed=5),
        Beam(BeamParams(max_new_tokens=NEW, beams=3)),
    ):
        one_by_one = {k: v for p in copies for k, v in written(model, [p], decoding).items()}
        assert written(model, copies[::-1], decoding) == one_by_one
        assert written(model, copies[::2] + copies[1::2], decoding) == one_by_one
    from dsum_bench.engines.generation import Writer
    from dsum_bench.engines.reading import Reader

    read: list[int] = []
    where, name = (Reader, "read") if pieces else (Writer, "_read_group")
    read_group: Any = getattr(where, name)

    def counted(self: Any, group: Any, *others: Any) -> Any:
        read.append(len(group))
        return read_group(self, group, *others)

    monkeypatch.setattr(where, name, counted)
    written(model, copies, Greedy(GreedyParams(max_new_tokens=NEW)))
    assert sum(read) == len(rows) + (2 if pieces else 0)  # two are read to see whether pieces work


def test_a_strategy_that_cannot_continue_is_not_interrupted() -> None:
    class Steps(Greedy):
        continues = False
        begun = 0

        def processors(self, batch: Any) -> Any:
            Steps.begun += 1
            return super().processors(batch)

    model, rows = FAMILIES["llama"](), prompts(0)
    model.lm_head.weight.data[END] *= 1.6
    assert written(model, rows, Steps(GreedyParams(max_new_tokens=NEW))) == alone(model, rows, do_sample=False)
    assert Steps.begun == 1


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=2, max_size=6))
def test_the_shared_start_is_the_longest_and_leaves_a_token(ids: list[list[int]]) -> None:
    from dsum_bench.engines.generation import shared_start

    found = shared_start([Prompt(str(i), "", tuple(row)) for i, row in enumerate(ids)])
    expected = 0
    while all(len(row) > expected + 1 for row in ids) and len({row[expected] for row in ids}) == 1:
        expected += 1
    assert found == tuple(ids[0][:expected])
