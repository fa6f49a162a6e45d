"""Training rows in parts, so that a model scores every row that it has not seen. No torch."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from dsum_bench.datasets.load import Selection
from dsum_bench.errors import UserError
from dsum_bench.fingerprints import dialogue_digest
from dsum_bench.spec import Sample

TOPIC = "topic"


@dataclass(frozen=True, slots=True)
class Fold:
    """One of count parts, which its training leaves out. number: from 1.

    by: the column whose equal values stay together; None keeps equal dialogues together alone.
    """

    number: int
    count: int
    by: str | None = None

    def __str__(self) -> str:
        return f"fold {self.number} of {self.count}"


def split(selection: Selection, fold: Fold, seed: int) -> tuple[Selection, Selection]:
    """The rows to train on, and those that are left out, both in the order of the selection.

    Raises:
        UserError: there are fewer groups of rows than folds, or a row has no such column.
    """
    part = parts(selection.samples, fold.count, fold.by, seed)[fold.number - 1]
    inside = [s for i, s in enumerate(selection.samples) if i not in part]
    outside = [s for i, s in enumerate(selection.samples) if i in part]
    whole = selection.label
    return Selection(tuple(inside), f"{whole}, without {fold}"), Selection(tuple(outside), f"{whole}, {fold}")


def parts(samples: Sequence[Sample], count: int, by: str | None, seed: int) -> list[frozenset[int]]:
    """Positions of the samples of each part. Rows with one dialogue, or one value of a column, share a part; parts are
    filled from the largest group on, each time the smallest part."""
    groups = _groups(samples, by)
    if len(groups) < count:
        what = f"values of '{by}'" if by else "different dialogues"
        raise UserError(f"--folds {count}: the rows have {len(groups)} {what}")
    random.Random(seed).shuffle(groups)
    found: list[list[int]] = [[] for _ in range(count)]
    for group in sorted(groups, key=len, reverse=True):
        min(found, key=len).extend(group)
    return [frozenset(part) for part in found]


def together(models: Sequence[str]) -> str:
    """The name of what the models of all folds have summarised: ``BASE@NAME-folds``."""
    base, _, first = models[0].rpartition("@")
    stem = first.removesuffix("-fold1")
    if stem == first:  # the runs are named by their settings
        stem = hashlib.sha256(" ".join(models).encode()).hexdigest()[:8]
    return f"{base}@{stem}-folds"


def _groups(samples: Sequence[Sample], by: str | None) -> list[list[int]]:
    """Positions of rows that are linked by a common key, however many rows lie between."""
    first: dict[tuple[str, str], int] = {}
    root = list(range(len(samples)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, sample in enumerate(samples):
        keys = [("dialogue", dialogue_digest(sample.dialogue))]
        if by is not None:
            keys.append((by, _value(sample, by)))
        for key in keys:
            root[find(i)] = find(first.setdefault(key, i))
    found: dict[int, list[int]] = {}
    for i in range(len(samples)):
        found.setdefault(find(i), []).append(i)
    return list(found.values())


def _value(sample: Sample, by: str) -> str:
    value = sample.topic if by == TOPIC else sample.fields.get(by)
    if value is None:
        raise UserError(
            f"--fold-by {by}: sample '{sample.id}' has no such column; it has {', '.join(sample.fields) or 'no others'}"
        )
    return value
