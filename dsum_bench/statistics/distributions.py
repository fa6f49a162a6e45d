"""Student's t and the range of normal variables, as scipy has them, without its second of import."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import erf, erfc, exp, inf, lgamma, log, log1p, pi, sqrt

STEPS = 160
"""Points at which the range's integral is taken, over 8 standard deviations either side."""


@lru_cache(maxsize=4096)
def t_p(t: float, freedom: int) -> float:
    """Two-sided p of Student's t: P(|T| >= |t|). freedom: at least 1."""
    if t == inf or t == -inf:
        return 0.0
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


@lru_cache(maxsize=4096)
def t_critical(p: float, freedom: int) -> float:
    """The t > 0 of which the two-sided p is as given: ``t_p`` inverted."""
    return _solve(lambda t: t_p(t, freedom) - p)


@lru_cache(maxsize=4096)
def range_p(q: float, count: int) -> float:
    """P(largest - smallest >= q) of count independent standard normal variables, at least 2: the studentised range
    with infinite degrees of freedom (Tukey 1953).

    The integral is count * phi(x) * (Phi(x + q) - Phi(x)) ** (count - 1) over x, by the trapezoidal rule, which for
    such functions is exact to rounding.
    """
    if count == 2:
        return erfc(q / 2)
    inside = sum(density * (_phi(x + q) - below) ** (count - 1) for x, density, below in _points())
    return max(1 - count * inside, 0.0)


@lru_cache(maxsize=256)
def range_critical(p: float, count: int) -> float:
    """The range that count normal variables reach with probability p."""
    return _solve(lambda q: range_p(q, count) - p)


def normal_two_sided(p: float) -> float:
    """The z >= 0 beyond which, on both sides together, a share p of a normal variable lies. p: 0 gives infinity."""
    from statistics import NormalDist  # loads fractions and decimals, which a leaderboard can do without

    return -NormalDist().inv_cdf(p / 2) if p > 0 else inf


def _phi(x: float) -> float:
    return 0.5 * (1 + erf(x / sqrt(2)))


@lru_cache(maxsize=1)
def _points() -> tuple[tuple[float, float, float], ...]:
    """Of each x of the integral: x, phi(x) times the width of a step, and Phi(x)."""
    width = 16 / STEPS
    points = [width * i - 8 for i in range(STEPS + 1)]
    return tuple((x, width * exp(-x * x / 2) / sqrt(2 * pi), _phi(x)) for x in points)


def _solve(falling: Callable[[float], float]) -> float:
    """Where a function that falls over x >= 0 is zero: by the secant of a bracket, an end that stays weighing less and
    less (the Illinois method), and by the bracket's middle every third time."""
    low, high = 0.0, 1.0
    above, below = falling(low), falling(high)
    while below > 0:
        low, high, above, below = high, 2 * high, below, falling(2 * high)
    step = stayed = 0
    while high - low > 1e-15 * high and below < 0 < above:
        step += 1
        middle = (low * below - high * above) / (below - above) if step % 3 else (low + high) / 2
        value = falling(middle)
        if value > 0:
            low, above, below, stayed = middle, value, below / (2 if stayed == 1 else 1), 1
        else:
            high, above, below, stayed = middle, above / (2 if stayed == -1 else 1), value, -1
    return low if above <= 0 else high


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction, evaluated by Lentz's method."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            value *= c * d
        if abs(c * d - 1) < 1e-14:
            return value
    raise ArithmeticError(f"no convergence for a = {a}, b = {b}, x = {x}")  # pragma: no cover
