"""How far voters, judges and metrics agree. Needs numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import Literal

import numpy as np
import numpy.typing as npt

from dsum_bench.combining.votes import Vote

Floats = npt.NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval"]
Unit = tuple[str, tuple[str, str]]
"""A dialogue and two runs in the order of their names."""
Opinion = Mapping[Unit, float]
"""Above 0 where the first run of the unit is better, below 0 where the second is, 0 where neither."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One rater against a reference, on the pairs that both have judged.

    pairs: how many. same: of those that neither calls a tie, how many, in per cent, they call alike.
    alpha: Krippendorff's, of better, tie and worse as ordered values. tau: (alike - unlike) / (alike + unlike), the
    Kendall tau of pairs within dialogues. ranking: Kendall's tau-b between both rankings of the runs.
    NaN where there is too little to tell.
    """

    rater: str
    pairs: int
    same: float
    alpha: float
    tau: float
    ranking: float


def opinions(votes: Sequence[Vote]) -> dict[str, dict[Unit, float]]:
    """What each voter thinks of each pair: the sum of its votes' signs, so that a winner in one order and another in
    the other are a tie."""
    found: dict[str, dict[Unit, float]] = {}
    for vote in votes:
        unit, mine = (vote.sample_id, vote.pair), found.setdefault(vote.voter, {})
        sign = 0 if vote.winner is None else 1 if vote.winner == vote.pair[0] else -1
        mine[unit] = mine.get(unit, 0) + sign
    return {voter: {unit: float(np.sign(v)) for unit, v in mine.items()} for voter, mine in found.items()}


def majority(voters: Sequence[Opinion]) -> dict[Unit, float]:
    """What most voters think of each pair; 0 where they are even."""
    total: dict[Unit, float] = {}
    for voter in voters:
        for unit, value in voter.items():
            total[unit] = total.get(unit, 0.0) + float(np.sign(value))
    return {unit: float(np.sign(value)) for unit, value in total.items()}


def by_scores(scores: Mapping[str, Mapping[str, float]], units: Sequence[Unit]) -> dict[Unit, float]:
    """What a metric thinks of pairs. scores: run -> sample id -> score, more being better."""
    found = {}
    for sample_id, (a, b) in units:
        first, second = scores.get(a, {}).get(sample_id), scores.get(b, {}).get(sample_id)
        if first is not None and second is not None:
            found[sample_id, (a, b)] = float(np.sign(first - second))
    return found


def agreement(
    rater: str, one: Opinion, other: Opinion, ranks: tuple[Mapping[str, float], Mapping[str, float]]
) -> Agreement:
    """One rater against a reference. ranks: how strong both hold each run to be; runs that one lacks are left out."""
    shared = [unit for unit in one if unit in other]
    signs = [(one[u], other[u]) for u in shared]
    decided = [a == b for a, b in signs if a and b]
    alike, unlike = sum(decided), len(decided) - sum(decided)
    runs = [run for run in ranks[0] if run in ranks[1]]
    return Agreement(
        rater,
        len(shared),
        100 * alike / len(decided) if decided else nan,
        krippendorff_alpha([[a for a, _ in signs], [b for _, b in signs]], "ordinal"),
        (alike - unlike) / len(decided) if decided else nan,
        kendall_tau([ranks[0][r] for r in runs], [ranks[1][r] for r in runs]),
    )


def alpha_between(voters: Sequence[Opinion]) -> float:
    """Krippendorff's alpha between voters, of better, tie and worse as ordered values."""
    units = list(dict.fromkeys(unit for voter in voters for unit in voter))
    return krippendorff_alpha([[voter.get(unit, nan) for unit in units] for voter in voters], "ordinal")


def krippendorff_alpha(ratings: Sequence[Sequence[float]], level: Level) -> float:
    """Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"): 1 - observed / expected
    disagreement. NaN where no unit has two values, or where all values are one and the same.

    Args:
        ratings: shape (raters, units); NaN where a rater has not judged a unit.
    """
    data = np.asarray(ratings, dtype=np.float64)
    values = np.unique(data[~np.isnan(data)])
    if data.ndim != 2 or values.size < 2:
        return nan
    counts = np.stack([(data == value).sum(axis=0) for value in values], axis=1).astype(np.float64)  # (units, values)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        return nan
    weights = 1 / (counts.sum(axis=1) - 1)
    coincidences = np.einsum("u,uc,uk->ck", weights, counts, counts) - np.diag((weights[:, None] * counts).sum(axis=0))
    margins = coincidences.sum(axis=1)
    distance = _distance(values, margins, level)
    expected = (np.outer(margins, margins) - np.diag(margins)) * distance
    if expected.sum() == 0:
        return nan
    return float(1 - (margins.sum() - 1) * (coincidences * distance).sum() / expected.sum())


def _distance(values: Floats, margins: Floats, level: Level) -> Floats:
    """Squared differences between values, shape (values, values)."""
    if level == "nominal":
        nominal: Floats = 1 - np.eye(len(values))
        return nominal
    if level == "interval":
        interval: Floats = (values[:, None] - values) ** 2
        return interval
    # Ranks: the values between two, and half of each of them.
    middle = np.cumsum(margins) - margins / 2
    ordinal: Floats = (middle[:, None] - middle) ** 2
    return ordinal


def kendall_tau(x: Sequence[float], y: Sequence[float]) -> float:
    """Kendall's tau-b (Kendall 1945), which allows for ties. NaN for fewer than two values, or all the same."""
    pairs = [(np.sign(a - c), np.sign(b - d)) for (a, b), (c, d) in combinations(zip(x, y, strict=True), 2)]
    both = sum(float(p * q) for p, q in pairs)
    spread = float(sum(abs(p) for p, _ in pairs)) * float(sum(abs(q) for _, q in pairs))
    return both / spread**0.5 if spread else nan
