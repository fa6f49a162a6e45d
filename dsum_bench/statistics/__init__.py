"""What samples can show: intervals of means, paired tests, and all pairs of a board at once."""

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
)

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
]
