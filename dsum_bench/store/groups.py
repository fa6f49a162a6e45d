"""Which runs of a board can be told apart. Standard library only, as the reader."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from statistics import NormalDist, fmean

from dsum_bench.store.reader import reading

LEVEL = 0.05

VALUES = """
select value from scores
where run_id = ? and signature_id = (select id from signatures where signature = ?) and measure = ? order by sample_id
"""
"""Asked run by run: a run's rows lie together, and this way twice as fast as in one question for all."""


def groups(path: Path, signature: str, measure: str, runs: Sequence[str]) -> dict[str, int]:
    """Number of the group of each run, from 0.

    runs: keys of finished runs on the same samples, the best first. The first leads group 0; each next one joins the
    group in hand while a paired t-test against its leader does not find it worse (two-sided, 5 %), else it leads
    the next group. Not corrected for the number of runs.
    """
    found: dict[str, int] = {}
    leader: list[float] = []
    with reading(path) as db:
        for run in runs:
            mine = [value for (value,) in db.execute(VALUES, [run, signature, measure])]
            if not found or differ(leader, mine):
                leader = mine
                found[run] = max(found.values(), default=-1) + 1
            else:
                found[run] = max(found.values())
    return found


def differ(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether a paired t-test tells two runs apart at 5 %, two-sided. Values stand in the same order of samples.

    Two runs without scores in common, or a single sample, are never told apart; a difference that is the same on
    every sample always is.
    """
    if len(a) != len(b) or len(a) < 2:
        return False
    differences = [x - y for x, y in zip(a, b, strict=True)]
    n, mean = len(differences), fmean(differences)
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    if variance <= 1e-18:
        return abs(mean) > 1e-9
    return abs(mean) / sqrt(variance / n) > critical_t(n - 1)


def critical_t(freedom: int) -> float:
    """The two-sided 5 % point of Student's t: the expansion in 1/freedom of Abramowitz and Stegun 26.7.5, exact in
    closed form for 1 and 2 degrees of freedom. Off by less than 0.6 % from 3 on, by 0.01 % from 10 on.
    """
    if freedom <= 2:
        return {1: 12.706204736, 2: 4.302652730}[freedom]
    z = NormalDist().inv_cdf(1 - LEVEL / 2)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(sum(term / freedom**power for power, term in enumerate(terms)))
