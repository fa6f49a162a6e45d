"""Whether runs beat one sentence for every dialogue. A pure function: the check tells it, and boards judge by it."""

from __future__ import annotations

from collections.abc import Sequence

from dsum_bench.spec import Finding, Level

NAME = "not-above-constant"
MARK = "A"
LEVEL: Level = "warning"
MEASURE = "mean"


def against_constant(
    runs: Sequence[Sequence[float]], constant: Sequence[float], signature: str
) -> list[Finding | None]:
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
    doubtful = np.flatnonzero(~(surely_apart(gaps) & (gaps.mean(axis=1) > 0)))
    for i, p in zip(doubtful, p_values(gaps[doubtful]) if doubtful.size else (), strict=True):
        mean = float(gaps[i].mean())
        if mean <= 0 or p >= ALPHA:
            found[i] = Finding(
                NAME, LEVEL, _text(mean, p, signature), int((gaps[i] < 0).sum()), gaps.shape[1], MARK, signature
            )
    return found


def _text(mean: float, p: float, signature: str) -> str:
    from dsum_bench.statistics import ALPHA

    verdict = "is worse than" if p < ALPHA else "does not differ significantly from"
    return (
        f"it {verdict} the same sentence for every dialogue ({mean:+.2f} points, p = {p:.4f}; "
        f"{signature.partition('|')[0]}): it has not shown that it reads dialogues"
    )
