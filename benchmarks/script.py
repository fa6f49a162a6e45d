"""The script constraint: what a step of it costs, and what it costs a whole generation."""

from __future__ import annotations

import os
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.measure import Row, interleaved
from benchmarks.screening import NEW, Bench
from dsum_bench.decoding.base import Batch
from dsum_bench.decoding.strategies import Greedy, GreedyParams

ROWS = 16
TOKENIZER = "DSUM_BENCH_TOKENIZER"
"""Environment variable with the folder of a tokenizer of 128,256 tokens (Llama 3); without it that part is left out."""


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """Rows of the table, and remarks."""
    samples = Path(__file__).parents[1] / "dsum_bench" / "datasets" / "samples_ko" / "train.jsonl"
    bench = Bench(samples, 16, prompt="ko-default")
    # As many tokens with and without it: only then is a difference the constraint's.
    plain = Greedy(GreedyParams(max_new_tokens=NEW, min_new_tokens=NEW))
    kept = Greedy(GreedyParams(max_new_tokens=NEW, min_new_tokens=NEW, script="hangul"))
    first = perf_counter()
    bench.ours(kept)
    first = perf_counter() - first
    seconds = interleaved({"plain": lambda: bench.ours(plain), "kept": lambda: bench.ours(kept)}, 2 * repeats)
    rows = [Row("16 dialogues x 64 tokens, unconstrained", "with the constraint", seconds["plain"], seconds["kept"])]
    remarks = [f"The first constrained batch, which prepares the tokenizer, took {first:.2f} s."]
    if TOKENIZER in os.environ:
        from transformers import AutoTokenizer

        remarks.append(step(AutoTokenizer.from_pretrained(os.environ[TOKENIZER])))
    return rows, remarks


def step(tokenizer: Any) -> str:
    """Milliseconds of a step for 16 rows, half of which have names of their own."""
    import torch

    from dsum_bench.decoding.constraint import ScriptConstraint, automaton

    start = perf_counter()
    dialogues = ("#Person1#: Tom, NASA에 가요?\n#Person2#: 네, #PhoneNumber#로 전화해요.", "네.") * (ROWS // 2)
    ends = (tokenizer.eos_token_id,)
    batch = Batch(tuple(map(str, range(ROWS))), 2, frozenset(), dialogues, ends, tokenizer)
    machines = [automaton(batch, row, (), True) for row in range(ROWS)]
    prepared = perf_counter() - start
    constraint = ScriptConstraint(machines, ends, 2, NEW, [])
    ids, spent = torch.ones(ROWS, 2, dtype=torch.long), []
    for _ in range(NEW):
        scores = torch.randn(ROWS, len(tokenizer))
        start = perf_counter()
        constraint(ids, scores)
        spent.append(perf_counter() - start)
        ids = torch.cat([ids, scores.argmax(1, keepdim=True)], dim=1)
    return (
        f"A vocabulary of {len(tokenizer):,} tokens is prepared in {prepared:.2f} s; a step for {ROWS} rows of it "
        f"takes {median(spent) * 1e3:.2f} ms (median of {NEW} steps, mean {sum(spent) / NEW * 1e3:.2f})."
    )
