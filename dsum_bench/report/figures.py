"""The numbers behind the charts: quantiles, Pareto front, means by topic and by length. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isnan
from statistics import fmean

TOPICS = 15
"""Topics that are shown by name; the rarer ones are left out."""

BINS = 4


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of one run's values, and their mean."""

    low: float
    quarter: float
    median: float
    three_quarters: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True)
class Group:
    """Samples that belong together. name: the topic, or ``120-240`` characters; members: their places."""

    name: str
    members: tuple[int, ...]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of ordered values with linear interpolation (method 7 of Hyndman and Fan 1996, as numpy's)."""
    place = (len(ordered) - 1) * share
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def spread(values: Sequence[float]) -> Spread | None:
    """The 5, 25, 50, 75 and 95 % quantiles of values; None where there is none. NaN is left out."""
    ordered = sorted(v for v in values if not isnan(v))
    if not ordered:
        return None
    low, quarter, median, three_quarters, high = (quantile(ordered, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95))
    return Spread(low, quarter, median, three_quarters, high, fmean(ordered))


def front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Places of the points on the Pareto front: no other costs at most as much and is better, or costs less and is
    at least as good.

    points: (cost, quality).
    """
    found: set[int] = set()
    best = float("-inf")
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        cost, quality = points[place]
        same = any(points[i] == (cost, quality) for i in found)
        if quality > best or same:
            found.add(place)
            best = quality
    return found


def by_topic(topics: Sequence[str | None], most: int = TOPICS) -> list[Group]:
    """Samples by topic, the commonest first; topics of a single sample say nothing and are left out."""
    places: dict[str, list[int]] = {}
    for place, topic in enumerate(topics):
        if topic:
            places.setdefault(topic, []).append(place)
    shared = [(topic, found) for topic, found in places.items() if len(found) > 1]
    shared.sort(key=lambda item: (-len(item[1]), item[0]))
    return [Group(topic, tuple(found)) for topic, found in shared[:most]]


def by_length(lengths: Sequence[int], bins: int = BINS) -> list[Group]:
    """Samples in bins of about equal size by the length of their dialogue, the shortest first."""
    if not lengths:
        return []
    ordered = sorted(lengths)
    edges = sorted({ordered[min(len(ordered) - 1, len(ordered) * i // bins)] for i in range(1, bins)})
    groups: list[list[int]] = [[] for _ in range(len(edges) + 1)]
    for place, length in enumerate(lengths):
        groups[sum(length >= edge for edge in edges)].append(place)
    return [
        Group(f"{min(lengths[i] for i in found)}-{max(lengths[i] for i in found)}", tuple(found))
        for found in groups
        if found
    ]


def mean_of(values: Sequence[float], members: Sequence[int]) -> float | None:
    """The mean of the values at some places; None where none of them has one."""
    there = [values[i] for i in members if not isnan(values[i])]
    return fmean(there) if there else None
