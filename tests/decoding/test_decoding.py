"""Strategies against transformers' own search and hand-worked sequences."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsum_bench.decoding.base import Batch
from dsum_bench.decoding.processors import NoRepeatNgram, Nucleus, OutputRepetitionPenalty, PickByUniform
from dsum_bench.decoding.strategies import BeamParams, GreedyParams, Sampling, SamplingParams

VOCABULARY = 12


def banned(processor: NoRepeatNgram, row: list[int]) -> set[int]:
    scores = processor(torch.tensor([row]), torch.zeros(1, VOCABULARY))
    return set(torch.isinf(scores[0]).nonzero().flatten().tolist())


@given(st.integers(1, 3), st.integers(0, 4), st.lists(st.integers(0, VOCABULARY - 1), min_size=5, max_size=30))
def test_no_repeat_is_transformers_own_rule_on_the_output_alone(size: int, width: int, row: list[int]) -> None:
    from transformers import NoRepeatNGramLogitsProcessor

    ours = banned(NoRepeatNgram(size, width, frozenset()), row)
    output = torch.tensor([row[width:]])
    oracle = NoRepeatNGramLogitsProcessor(size)(output, torch.zeros(1, VOCABULARY))
    assert ours == set(torch.isinf(oracle[0]).nonzero().flatten().tolist())


def test_no_repeat_leaves_speaker_tags_alone() -> None:
    tag = [1, 2, 3, 1]  # '#', 'Person', '1', '#'
    row = [*tag, 7, 8, 1, 2]
    assert banned(NoRepeatNgram(2, 0, frozenset()), row) == {3}
    assert banned(NoRepeatNgram(2, 0, frozenset({1, 2, 3})), row) == set()
    assert banned(NoRepeatNgram(2, 0, frozenset({1, 2, 3})), [7, 8, 1, 7]) == {8}


def test_repetition_penalty_is_transformers_own_on_the_output_alone() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    torch.manual_seed(1)
    scores, row = torch.randn(1, VOCABULARY), torch.tensor([[9, 9, 3, 4, 4]])
    ours = OutputRepetitionPenalty(1.7, 2)(row, scores)
    assert torch.equal(ours, RepetitionPenaltyLogitsProcessor(1.7)(row[:, 2:], scores))
    assert not torch.equal(ours, RepetitionPenaltyLogitsProcessor(1.7)(row, scores))


def picks(seed: int, ids: list[str], scores: torch.Tensor, steps: int) -> list[list[int]]:
    processor = PickByUniform(seed, ids, 3, steps)
    return [
        processor(torch.zeros(len(ids), 3 + step, dtype=torch.long), scores).argmax(-1).tolist()
        for step in range(steps)
    ]


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.permutations([f"dev_{i}" for i in range(6)]), st.integers(1, 5))
def test_a_sample_is_drawn_the_same_in_any_batch(seed: int, ids: list[str], cut: int) -> None:
    generator = torch.Generator().manual_seed(3)
    scores = {name: torch.randn(VOCABULARY, generator=generator) for name in sorted(ids)}

    def draw(batch: list[str]) -> dict[str, list[int]]:
        steps = picks(seed, batch, torch.stack([scores[n] for n in batch]), 8)
        return {name: [step[i] for step in steps] for i, name in enumerate(batch)}

    assert draw(ids) == {**draw(ids[:cut]), **draw(ids[cut:])}


def test_draws_follow_the_distribution() -> None:
    scipy = pytest.importorskip("scipy.stats")
    weights = torch.tensor([0.5, 0.25, 0.125, 0.125])
    ids = [f"s{i}" for i in range(4000)]
    (drawn,) = picks(0, ids, weights.log().expand(len(ids), 4), 1)
    counts = Counter(drawn)
    test = scipy.chisquare([counts[i] for i in range(4)], [len(ids) * float(w) for w in weights])
    assert test.pvalue > 0.001


def test_draws_never_take_what_is_forbidden() -> None:
    scores = torch.tensor([[-float("inf"), 0.0, -float("inf")]]).expand(500, 3)
    assert set(picks(5, [str(i) for i in range(500)], scores, 1)[0]) == {1}


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(0, 60), st.floats(0.05, 0.99), st.integers(2, 3000))
def test_nucleus_is_transformers_own_after_top_k(seed: int, top_k: int, top_p: float, words: int) -> None:
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    scores = torch.randn(4, words, generator=torch.Generator().manual_seed(seed)) * 3
    if top_k:
        scores = TopKLogitsWarper(top_k)(torch.zeros(4, 1), scores)
    assert torch.equal(Nucleus(top_p)(torch.zeros(4, 1), scores), TopPLogitsWarper(top_p)(torch.zeros(4, 1), scores))


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_few_possible_tokens_are_drawn_as_from_the_whole_vocabulary(seed: int, possible: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.full((8, 3000), -float("inf"))
    for row in range(8):
        kept = torch.randperm(3000, generator=generator)[: possible - row if possible > row else 1]
        scores[row, kept] = torch.randn(len(kept), generator=generator)
    ids = [f"s{i}" for i in range(8)]
    points = PickByUniform(seed, ids, 3, 1).uniform[:, 0].numpy()
    weights = np.exp(scores.double().numpy())
    cumulative = (weights / weights.sum(1, keepdims=True)).cumsum(1)
    oracle = [int((row <= point).sum()) for row, point in zip(cumulative, points, strict=True)]
    assert picks(seed, ids, scores, 1) == [oracle]


def test_sampling_truncates_before_it_draws() -> None:
    strategy = Sampling(SamplingParams(temperature=1.0, top_k=2, top_p=1.0, max_new_tokens=4), seed=1)
    scores = torch.arange(10.0).expand(300, 10)
    for processor in strategy.processors(Batch(tuple(str(i) for i in range(300)), 1, frozenset())):
        scores = processor(torch.zeros(300, 1, dtype=torch.long), scores)
    assert set(scores.argmax(-1).tolist()) == {8, 9}


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        (lambda: GreedyParams(max_new_tokens=0), "max_new_tokens must be at least 1, not 0"),
        (lambda: GreedyParams(min_new_tokens=200), "min_new_tokens must be between 0 and max_new_tokens"),
        (lambda: GreedyParams(repetition_penalty=0.0), "repetition_penalty must be more than 0"),
        (lambda: BeamParams(beams=1), "beams must be at least 2, not 1; for one beam use strategy greedy"),
        (lambda: SamplingParams(temperature=0.0), "for 0 use strategy greedy"),
        (lambda: SamplingParams(top_p=1.5), "top_p must be between 0 and 1"),
    ],
)
def test_impossible_parameters_are_refused(params: object, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        params()  # type: ignore[operator]
