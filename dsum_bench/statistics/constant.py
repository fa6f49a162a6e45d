"""Whether runs beat one sentence for every dialogue. A pure function: the check tells it, and boards judge by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsum_bench.spec import Finding, Level

if TYPE_CHECKING:
    from dsum_bench.statistics.paired import Values

NAME = "not-above-constant"
MARK = "A"
LEVEL: Level = "warning"
MEASURE = "mean"


def against_constant(runs: Sequence[Values], constant: Values, signature: str) -> list[Finding | None]:
    """For each run a finding, unless it is above the constant by the paired permutation test at 5 %.

    Fewer samples than that test can find any difference in judge nothing.

    Args:
        runs: shape (runs, samples); constant: shape (samples,), the samples in the same order.
    """
    import numpy as np

    from dsum_bench.statistics import ALPHA, FEWEST, p_values, surely_apart

    gaps = np.asarray(runs, dtype=np.float64) - np.asarray(constant, dtype=np.float64)
    found: list[Finding | None] = [None] * len(gaps)
    if gaps.shape[1] < FEWEST:
        return found
    sure, means = surely_apart(gaps), gaps.mean(axis=1)
    p = np.zeros(len(gaps))
    if not sure.all():
        p[~sure] = p_values(gaps[~sure])
    for i in np.flatnonzero((means <= 0) | (p >= ALPHA)):
        below = int((gaps[i] < 0).sum())
        text = _text(float(means[i]), float(p[i]), signature)
        found[i] = Finding(NAME, LEVEL, text, below, gaps.shape[1], MARK, signature)
    return found


def _text(mean: float, p: float, signature: str) -> str:
    from dsum_bench.statistics import ALPHA

    shown = f"p = {p:.4f}" if p else f"p < {ALPHA}"  # 0 where it was plain without counting
    verdict = "is worse than" if p < ALPHA else "does not differ significantly from"
    return (
        f"it {verdict} the same sentence for every dialogue ({mean:+.2f} points, {shown}; "
        f"{signature.partition('|')[0]}): it has not shown that it reads dialogues"
    )
