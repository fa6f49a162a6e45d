"""Giving out work: every sample once, whatever dies, and one that kills costs few."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from dsum_bench_ray.sharing import DEATHS, SMALLEST, Sharing
from hypothesis import given, settings
from hypothesis import strategies as st

from dsum_bench.screening.job import ScreeningJob
from dsum_bench.spec import Generation, ModelSpec, Output, Placement, PluginSettings, RunSpec, Sample


def job(name: str, count: int, device: str = "cpu") -> ScreeningJob:
    run = RunSpec(
        model=ModelSpec(name, "constant", engine="control"),
        dataset="d",
        language="ko",
        split="dev",
        selection="all",
        n_samples=count,
        dataset_fingerprint="",
        references_fingerprint="",
        prompt=None,
        prompt_format="template",
        decoding=None,
        placement=Placement(device, "float32", "none", ""),
        weights="",
        seed=0,
        versions={},
    )
    samples = tuple(Sample(f"{name}-{i}", "#Person1#: 네.") for i in range(count))
    return ScreeningJob(name, run, samples, PluginSettings(), "log")


def outputs(samples: list[str]) -> list[Output]:
    return [Output(Generation(sample, "x", 1, 1, "stop", 0.1), "x") for sample in samples]


def simulate(
    jobs: list[ScreeningJob], slots: int, seed: int, death: float, poison: frozenset[str] = frozenset()
) -> tuple[Counter[str], dict[str, str], int]:
    """Slots that finish a sample at a time and die at random, or at a poisoned sample, and come back.

    Returns how often each sample was kept, how each job ended, and how many died of poison.
    """
    rng = random.Random(seed)
    sharing = Sharing(jobs)
    at: dict[str, tuple[str, list[str]]] = {}
    kept: Counter[str] = Counter()
    ends: dict[str, str] = {}
    poisoned = 0
    for _ in range(100_000):
        if sharing.over:
            return kept, ends, poisoned
        for name, reason, _skipped in sharing.ended([(f"n{i}", "cpu") for i in range(slots)]):
            assert name not in ends
            ends[name] = reason
        slot = f"n{rng.randrange(slots)}"
        if slot not in at:
            chosen = sharing.choose(slot, slot, "cpu", slots)
            if chosen is not None:
                at[slot] = (chosen[0].id, [s.id for s in chosen[1].samples])
            continue
        name, left = at[slot]
        if (left and left[0] in poison) or rng.random() < death:
            poisoned += bool(left and left[0] in poison)
            del at[slot]
            sharing.died(name, slot, slot, "it died")
        elif left:
            for output in sharing.keep(name, slot, outputs([left.pop(0)])):
                kept[output.generation.sample_id] += 1
        else:
            at[slot] = (name, [s.id for s in sharing.more(name, slot, slots)])
            if not at[slot][1]:
                del at[slot]
                sharing.through(name, slot)
    raise AssertionError("it does not end")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(0, 120), min_size=1, max_size=4), st.integers(0, 10_000))
def test_every_sample_is_done_once(slots: int, counts: list[int], seed: int) -> None:
    jobs = [job(f"m{i}", count) for i, count in enumerate(counts)]
    kept, ends, _ = simulate(jobs, slots, seed, 0.0)
    assert kept == dict.fromkeys([s.id for j in jobs for s in j.samples], 1)
    assert ends == {j.id: "" for j in jobs}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000), st.floats(0.01, 0.2))
def test_whatever_dies_nothing_is_doubled_and_what_is_lost_is_said(slots: int, seed: int, death: float) -> None:
    jobs = [job("a", 60), job("b", 40)]
    kept, ends, _ = simulate(jobs, slots, seed, death)
    assert set(kept.values()) <= {1}
    for one in jobs:
        missing = sum(sample.id not in kept for sample in one.samples)
        assert bool(missing) == bool(ends[one.id])
        if missing and "before the first summary" not in ends[one.id]:
            assert ends[one.id].startswith(f"{missing} sample{'s' * (missing > 1)} left out")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000), st.integers(0, 99))
def test_a_sample_that_kills_costs_three_workers_and_few_other_samples(slots: int, seed: int, which: int) -> None:
    one = job("m", 100)
    killer = one.samples[which].id
    kept, ends, died = simulate([one], slots, seed, 0.0, frozenset([killer]))
    assert died <= DEATHS
    assert killer not in kept
    assert sum(kept.values()) >= 100 - SMALLEST
    assert "left out" in ends["m"]


def test_models_go_one_to_a_slot_and_the_last_is_shared() -> None:
    sharing = Sharing([job("a", 400), job("b", 400)])
    first = [sharing.choose(f"n{i}", f"n{i}", "cpu", 3) for i in range(3)]
    assert [chosen[0].id for chosen in first if chosen] == ["a", "b", "a"]
    assert [len(chosen[1].samples) for chosen in first if chosen] == [67, 67, 56]


def test_a_gpu_takes_what_was_planned_for_one() -> None:
    sharing = Sharing([job("a", 4, "cuda:0")])
    assert sharing.choose("n0", "n0", "cpu", 1) is None
    assert sharing.choose("n0-gpu", "n0", "gpu", 1) is not None


def test_a_job_that_no_node_can_do_is_skipped_with_what_each_said() -> None:
    sharing = Sharing([job("a", 4)])
    usable = [("n0", "cpu"), ("n1", "cpu")]
    for node in ("n0", "n1"):
        assert sharing.choose(node, node, "cpu", 2) is not None
        assert sharing.ended(usable) == []
        sharing.cannot("a", node, node, f"folder /m is not on {node}")
    assert sharing.ended(usable) == [
        ("a", "no node of the cluster can run it: n0: folder /m is not on n0; n1: folder /m is not on n1", True)
    ]


@pytest.mark.parametrize("slots", [1, 3])
def test_a_job_that_fails_for_its_own_reason_gives_nothing_out_any_more(slots: int) -> None:
    sharing = Sharing([job("a", 100)])
    assert sharing.choose("n0", "n0", "cpu", slots) is not None
    sharing.fail("a", "ZeroDivisionError: by nothing")
    sharing.fail("a", "another")
    assert sharing.more("a", "n0", slots) == ()
    assert sharing.ended([]) == []  # a slot is still at it
    sharing.through("a", "n0")
    assert sharing.ended([]) == [("a", "ZeroDivisionError: by nothing", False)]
