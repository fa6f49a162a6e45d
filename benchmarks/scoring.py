"""Our ROUGE against the packages whose definitions it follows, on the same tokens; and the tests of a board."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import Row, interleaved
from dsum_bench.metrics.packages import recompute
from dsum_bench.metrics.rouge_core import RougeScores, rouge_score_scores, rouge_scores

Pair = tuple[list[str], list[str]]
OURS: dict[str, Callable[[list[str], list[str]], RougeScores]] = {
    "rouge": rouge_scores,
    "rouge-score": rouge_score_scores,
}


def pairs(count: int, length: int) -> list[Pair]:
    """Summaries and references that share words: drawn from 300 words, the frequent ones often."""
    rng = random.Random(7)
    words = [f"w{n}" for n in range(300)]
    weights = [1 / (n + 3) for n in range(300)]
    return [(rng.choices(words, weights, k=length), rng.choices(words, weights, k=length)) for _ in range(count)]


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """Rows of the table, and remarks."""
    rows, made = [], pairs(1000, 50)
    for name, ours in OURS.items():
        theirs = recompute(name)
        work = {"ours": partial(_all, ours, made), name: partial(_all, theirs, made)}
        seconds = interleaved(work, repeats)
        equal = sum(_same(ours(a, b), theirs(a, b)) for a, b in made)
        rows.append(Row("1,000 pairs of 50 tokens", name, seconds["ours"], seconds[name], f"{equal} values equal"))
    (long,) = pairs(1, 2000)
    once = interleaved({"ours": lambda: rouge_scores(*long)}, 7)["ours"]
    fails = "gives no value for it" if recompute("rouge")(*long) is None else "gives a value, too"
    many = interleaved({"all pairs": _all_pairs}, repeats)["all pairs"]
    return rows, [
        f"One pair of 2,000 tokens by definition `rouge`: {min(once) * 1e3:.0f} ms; the package {fails}.",
        f"All pairs of 50 runs x 499 samples, tested and grouped: {min(many):.2f} s.",
    ]


def _all(compare: Callable[[list[str], list[str]], object], made: list[Pair]) -> None:
    for ours, theirs in made:
        compare(ours, theirs)


def _same(ours: RougeScores, theirs: tuple[float, float, float] | None) -> bool:
    values = (ours.rouge1.f1, ours.rouge2.f1, ours.rougeL.f1)
    return theirs is not None and all(abs(100 * a - b) < 1e-9 for a, b in zip(values, theirs, strict=True))


def _all_pairs() -> None:
    from dsum_bench.statistics import AllPairs, groups

    rng = random.Random(3)
    groups(AllPairs([[rng.random() for _ in range(499)] for _ in range(50)]))
