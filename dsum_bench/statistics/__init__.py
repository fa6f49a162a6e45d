"""What samples can show: intervals of means, paired tests, and all pairs of a board at once.

Names are loaded on first use: the tests need numpy, and what only reads a constant does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsum_bench.statistics.all_pairs import AllPairs, Smallest, groups
    from dsum_bench.statistics.paired import (
        ALPHA,
        FEWEST,
        Interval,
        Paired,
        Values,
        compare,
        mean_interval,
        mean_intervals,
        p_values,
        surely_apart,
        surely_apart_by_t,
    )

_ALL_PAIRS = ("AllPairs", "Smallest", "groups")

__all__ = [
    "ALPHA",
    "FEWEST",
    "AllPairs",
    "Interval",
    "Paired",
    "Smallest",
    "Values",
    "compare",
    "groups",
    "mean_interval",
    "mean_intervals",
    "p_values",
    "surely_apart",
    "surely_apart_by_t",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        module = "all_pairs" if name in _ALL_PAIRS else "paired"
        return getattr(import_module(f"dsum_bench.statistics.{module}"), name)
    raise AttributeError(f"module 'dsum_bench.statistics' has no attribute {name!r}")
