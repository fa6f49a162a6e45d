"""Which runs of a board can be told apart, and how large a difference its dialogues can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.store import scores
from dsum_bench.store.reading import reading

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dsum_bench.statistics import Smallest


@dataclass(frozen=True, slots=True)
class Significance:
    """What the tests of a board's runs found, by one measure.

    runs: how many there are; pairs: how many pairs of them were tested at once, on n samples each.
    groups: run key -> number of its group, from 0; all runs of later groups are told apart from the first of a group.
    smallest: the smallest difference that is found with 80 % power; None where n samples show none, whatever it is.
    """

    measure: str
    n: int
    runs: int
    pairs: int
    groups: Mapping[str, int]
    smallest: Smallest | None


def significance(measure: str, runs: Sequence[str], scores: npt.NDArray[np.float64]) -> Significance | None:
    """Test all pairs of a board's runs at once (``statistics.AllPairs``); None where there are not two.

    runs: keys of finished runs on the same samples, the best by the measure first; scores: theirs, as of ``values``.
    """
    if len(runs) < 2:
        return None
    from dsum_bench.statistics import AllPairs, groups

    pairs = AllPairs(scores)
    numbers = dict(zip(runs, groups(pairs), strict=True))
    return Significance(measure, pairs.n, pairs.runs, pairs.pairs, numbers, pairs.smallest())


def values(path: Path, signature: str, measure: str, runs: Sequence[str]) -> npt.NDArray[np.float64]:
    """Scores of runs on the samples that they share, shape (runs, samples), samples in the order of their ids."""
    import numpy as np

    with reading(path) as db:
        (number,) = db.execute("select id from signatures where signature = ?", [signature]).fetchone()
        first = np.frombuffer(scores.column(db, runs[0], number, measure))
        found = np.empty((len(runs), first.size))
        for place, run in enumerate(runs):
            found[place] = first if place == 0 else np.frombuffer(scores.column(db, run, number, measure))
    return found
