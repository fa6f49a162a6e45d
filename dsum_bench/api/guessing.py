"""The entry of a data file, guessed and tried."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.datasets.guess import guess
from dsum_bench.datasets.huggingface import HUB
from dsum_bench.datasets.load import load
from dsum_bench.errors import UserError
from dsum_bench.registry.check import NAME
from dsum_bench.registry.entries import dataset_entry
from dsum_bench.registry.load import FILE

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins
    from dsum_bench.spec import DatasetSpec


@dataclass(frozen=True, slots=True)
class GuessedDataset:
    """What ``guess_dataset`` proposes.

    spec: the dataset, its path relative to the working directory where it lies below. entry: the same as TOML.
    notes: what was seen, and what is wrong with it. file: the registry file that the entry is for.
    """

    spec: DatasetSpec
    entry: str
    notes: tuple[str, ...]
    file: str = FILE


def guessed(file: Path, name: str | None, plugins: Plugins) -> GuessedDataset:
    """Raises UserError: the file cannot be read or holds no dialogues, or the name is none."""
    if name is not None and not NAME.fullmatch(name):
        raise UserError(f"'{name}' is not a valid name: use lower-case letters, digits and . _ @ + - (not first)")
    found = guess(file, name)
    here = Path.cwd()
    spec = replace(found.spec, origin=FILE)
    if spec.path.startswith(HUB):
        return GuessedDataset(spec, dataset_entry(spec), (*found.notes, *_tried(spec, plugins)))
    whole = Path(spec.path).absolute()
    path = whole.relative_to(here) if whole.is_relative_to(here) else whole
    tried = _tried(replace(spec, path=str(whole)), plugins)
    spec = replace(spec, path=path.as_posix())
    return GuessedDataset(spec, dataset_entry(spec), (*found.notes, *tried))


def _tried(spec: DatasetSpec, plugins: Plugins) -> Iterator[str]:
    """What each split says when it is read by the entry."""
    for split in plugins.datasets[spec.format](spec).splits():
        try:
            samples = load(spec, plugins, split, references=False)
            references = sum(bool(s.references) for s in samples)
            yield f"{split}: {len(samples)} dialogues, {references} of them with references"
        except UserError as error:
            yield f"{split}: {error}"
