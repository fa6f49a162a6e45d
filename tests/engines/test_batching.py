"""Every prompt once, budgets kept, longest first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.engines.batching import best_rows, plan_batches, token_budget
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


def test_rows_are_added_as_long_as_they_make_the_single_one_cheaper() -> None:
    asked: list[int] = []

    def step(rows: int) -> float:
        asked.append(rows)
        return 0.010 + 0.001 * max(rows, 30)  # free up to 30 rows, then each costs

    # 8 rows: 40 ms, 5.0 a row; 16: 2.5; 32: 1.31; 64: 1.16, 12 % cheaper; 128: 1.08, only 7 %.
    assert best_rows(step, 1000, new=1000) == 64
    assert asked == [8, 16, 32, 64, 128]
    assert best_rows(step, 40, new=1000) == 32
    assert best_rows(step, 5, new=1000) == 8


def test_where_a_small_batch_is_soon_done_64_rows_are_not_tried() -> None:
    asked: list[int] = []

    def step(rows: int) -> float:
        asked.append(rows)
        return 0.010 + 0.0001 * max(rows, 500)

    assert [best_rows(step, most, new=50) for most in (5, 12, 64, 127)] == [8, 12, 64, 127 // 2 + 1]
    assert asked == [8, 8, 8]
    del asked[:]
    assert best_rows(step, 1000, new=50) == 512  # by hand: 64 rows 0.94 ms a row, 128 0.47, 512 0.12
    assert asked == [8, 64, 128, 256, 512]


def test_a_slow_machine_is_not_asked_for_long() -> None:
    asked: list[int] = []

    def step(rows: int) -> float:
        asked.append(rows)
        return 2.0

    assert best_rows(step, 1000, new=100) == 8 and asked == [8]
