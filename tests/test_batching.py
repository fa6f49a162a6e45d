"""Every prompt once, budgets kept, longest first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.engines.batching import plan_batches, token_budget
from dsum_bench.spec import Prompt


@given(
    st.lists(st.integers(1, 300), max_size=60),
    st.integers(1, 4000),
    st.integers(1, 6),
    st.integers(1, 64),
)
def test_batches_hold_every_prompt_once_within_the_budget(
    lengths: list[int], budget: int, beams: int, new: int
) -> None:
    prompts = [Prompt(f"s{i}", "", tuple(range(n))) for i, n in enumerate(lengths)]
    batches = plan_batches(prompts, budget, beams, new)
    assert sorted(p.sample_id for b in batches for p in b) == sorted(p.sample_id for p in prompts)
    widths = [max(len(p.token_ids) for p in b) for b in batches]
    assert widths == sorted(widths, reverse=True)
    for batch, width in zip(batches, widths, strict=True):
        assert len(batch) == 1 or len(batch) * (width + new) * beams <= budget


def test_a_batch_worked_by_hand() -> None:
    prompts = [Prompt(n, "", (0,) * size) for n, size in (("a", 10), ("b", 50), ("c", 48), ("d", 9))]
    batches = plan_batches(prompts, budget=240, beams=2, new_tokens=10)
    # (50 + 10) tokens in 2 beams: two rows fit in 240; (10 + 10) in 2 beams: six would.
    assert [[p.sample_id for p in b] for b in batches] == [["b", "c"], ["a", "d"]]


def test_the_budget_follows_the_memory_and_has_bounds() -> None:
    # Llama-3.2-3B: 28 layers, 8 KV heads of 128, bfloat16 = 114,688 bytes a token; 128,256 scores of 4 bytes.
    small, large = (token_budget(114_688, 513_024, gb * 10**9) for gb in (4, 40))
    assert 20_000 < small < 30_000
    assert 9 * small < large <= 262_144
    assert token_budget(114_688, 513_024, 1) == 2048
