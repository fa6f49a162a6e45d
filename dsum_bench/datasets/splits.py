"""The splits of a dataset, and how many samples each has."""

from __future__ import annotations

from dataclasses import dataclass

from dsum_bench.datasets.load import load
from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.spec import DatasetSpec


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """One split. samples: their number, None where it cannot be read; problem: why. split: '-' where none is known."""

    split: str
    samples: int | None
    problem: str = ""


def splits(spec: DatasetSpec, plugins: Plugins) -> list[SplitSummary]:
    """Every split of a dataset; a fault in one does not hide the others."""
    try:
        names = plugins.datasets[spec.format](spec).splits()
    except UserError as error:
        return [SplitSummary("-", None, str(error))]
    return [_summary(spec, name, plugins) for name in names]


def _summary(spec: DatasetSpec, split: str, plugins: Plugins) -> SplitSummary:
    try:
        return SplitSummary(split, len(load(spec, plugins, split, references=False)))
    except UserError as error:
        return SplitSummary(split, None, str(error))
