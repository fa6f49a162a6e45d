"""Training rows of one dataset, or of several mixed by weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

from dsum_bench.datasets.load import Selection, load, select
from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import Registry
from dsum_bench.spec import DatasetSpec

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Part:
    """A dataset of a mixture. weight: its share of the rows, against those of the others; None where none is given."""

    name: str
    weight: float | None = None


def parts(text: str) -> tuple[Part, ...]:
    """The datasets that ``a``, ``a,b`` or ``a:0.7,b:0.3`` names.

    Raises:
        UserError: a weight that is none, a name given twice, or weights for some of them only.
    """
    found = []
    for piece in text.split(","):
        name, colon, number = (part.strip() for part in piece.partition(":"))
        try:
            weight = float(number) if colon else None
        except ValueError:
            weight = -1.0
        if not name or (weight is not None and not 0 < weight < float("inf")):
            raise UserError(f"--dataset {text}: write NAME, NAME,NAME or NAME:WEIGHT,NAME:WEIGHT, each weight above 0")
        found.append(Part(name, weight))
    names = [part.name for part in found]
    if len(set(names)) < len(names):
        raise UserError(f"--dataset {text}: a dataset is named twice; give it the sum of its weights")
    if len({part.weight is None for part in found}) > 1:
        raise UserError(f"--dataset {text}: give every dataset a weight, or none of them")
    return tuple(found)


def mixed(
    text: str, registry: Registry, plugins: Plugins, split: str, limit: int | None, sample: int | None, seed: int
) -> tuple[DatasetSpec, Selection]:
    """The rows to train on, and the first dataset named, whose other splits evaluate.

    Without weights every row of every dataset is taken. With weights, the largest mixture of these shares that repeats
    no row, its rows drawn at random. limit, sample: for one dataset as ``select`` has them; sample of several: rows of
    the mixture.

    Raises:
        UserError: an unknown dataset, rows that cannot be read, datasets in several languages, or more rows asked for
            than a mixture can have.
    """
    named = parts(text)
    specs = [registry.dataset(part.name) for part in named]
    if len(specs) == 1:
        return specs[0], select(load(specs[0], plugins, split), limit, sample, seed)
    if limit is not None:
        raise UserError("--limit takes the first rows of one dataset; for several use --sample")
    languages = {spec.language for spec in specs}
    if len(languages) > 1:
        raise UserError(f"--dataset {text}: its datasets are in several languages ({', '.join(sorted(languages))})")
    rows = [load(spec, plugins, split) for spec in specs]
    counts = shares([len(found) for found in rows], [part.weight for part in named], sample)
    if sample is not None and sum(counts) < sample - len(counts):
        raise UserError(f"--sample {sample}: a mixture of these weights that repeats no row has {sum(counts)} rows")
    chosen = [select(found, None, count, seed) for found, count in zip(rows, counts, strict=True)]
    labels = [f"{spec.name} {selection.label}" for spec, selection in zip(specs, chosen, strict=True)]
    # Ids are unique within a dataset only.
    samples = [replace(s, id=f"{spec.name}/{s.id}") for spec, c in zip(specs, chosen, strict=True) for s in c.samples]
    return specs[0], Selection(tuple(samples), ", ".join(labels))


def shares(sizes: Sequence[int], weights: Sequence[float | None], total: int | None) -> list[int]:
    """Rows of each dataset in the largest mixture that repeats none, of at most total rows; each has one at least."""
    given = [float(size) if weight is None else weight for size, weight in zip(sizes, weights, strict=True)]
    scale = min(size / weight for size, weight in zip(sizes, given, strict=True))
    if total is not None:
        scale = min(scale, total / sum(given))
    return [max(1, floor(weight * scale + TOLERANCE)) for weight in given]
