"""Which of several summaries of one dialogue to take. Pure functions on their mutual scores.

Mutual scores are those of ``Metric.pairwise``: ``values[i][j]`` is what summary i scores with summary j as reference.
"""

from __future__ import annotations

from collections.abc import Sequence

Values = Sequence[Sequence[float]]
DECIMALS = 9
"""Scores that agree in so many are equal: sums in another order must not decide."""


def expected(values: Values, weights: Sequence[float]) -> list[float]:
    """What each summary is expected to score if the others are as likely to be right as their weights say."""
    total = sum(weights)
    return [sum(w * v for w, v in zip(weights, row, strict=True)) / total for row in values]


def mbr(values: Values, weights: Sequence[float]) -> int:
    """The summary of least Bayes risk: the one with the highest expected score, of equal ones the first (Kumar and
    Byrne 2004, "Minimum Bayes-Risk Decoding"; for sampled candidates Eikema and Aziz 2022). Every summary counts as its
    own reference too."""
    return _best(expected(values, weights))


def vote(values: Values, weights: Sequence[float]) -> int:
    """The summary with most votes. Each gives its weight to the one of the others that is nearest to it, to the first
    of several; of summaries with as many votes the one of least Bayes risk is taken."""
    count = len(weights)
    if count == 1:
        return 0
    votes = [0.0] * count
    for j, weight in enumerate(weights):
        votes[max((i for i in range(count) if i != j), key=lambda i: (round(values[i][j], DECIMALS), -i))] += weight
    risk = expected(values, weights)
    return max(range(count), key=lambda i: (round(votes[i], DECIMALS), round(risk[i], DECIMALS), -i))


def shorter(texts: Sequence[str]) -> int:
    """The shortest summary that is not empty, by characters; of equal ones the first."""
    return min(range(len(texts)), key=lambda i: (not texts[i].strip(), len(texts[i].strip()), i))


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda i: (round(values[i], DECIMALS), -i))
