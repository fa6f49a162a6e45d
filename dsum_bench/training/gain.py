"""What a training brought: the trained model against others on the same samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsum_bench.figures import difference
from dsum_bench.languages import main_metric


@dataclass(frozen=True, slots=True)
class Gain:
    """A trained model against another on the same samples, by the mean of one metric on the scale of 100.

    difference: trained minus other, with its 95 % interval low to high; p: of the paired test; n: samples. None where
    the two have no finished screening of the same samples.
    """

    trained: str
    other: str
    metric: str
    means: tuple[float, float] | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    n: int = 0

    def __str__(self) -> str:
        if self.means is None:
            return f"{self.trained} and {self.other} have no finished screening of the same samples"
        assert self.difference is not None and self.low is not None and self.high is not None
        gap = difference(self.difference, self.low, self.high)
        means = f"{self.trained} {self.means[0]:.2f}, {self.other} {self.means[1]:.2f}"
        return f"{means}: {gap}, p = {self.p:.4f}, {self.n} samples, {self.metric}"


def gain(database: Path, trained: str, other: str, language: str) -> Gain:
    """How the latest finished run of a trained model compares with that of another on the same samples."""
    from dsum_bench.store.pairs import compared
    from dsum_bench.store.reader import run
    from dsum_bench.store.training import latest_pair

    metric = main_metric(language)
    keys = latest_pair(database, trained, other)
    if keys is None:
        return Gain(trained, other, metric)
    first, second = (run(database, key) for key in keys)
    found = compared(database, (first, second), metric, "mean")
    means, (pair,) = found.means, found.pairs
    gap = pair.difference
    return Gain(trained, other, metric, (means[0], means[1]), gap.mean, gap.low, gap.high, pair.p, found.n)
