"""What a dataset format is: it turns a file into rows and knows where each row came from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from dsum_bench.spec import DatasetSpec


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it stands in a file. where: for messages, such as ``dev.csv, row 12 (line 140)``."""

    where: str
    values: Mapping[str, object]


class DatasetReader(ABC):
    """Reads the rows of one dataset.

    name: the ``format`` of a registry entry.
    """

    name: ClassVar[str]

    def __init__(self, spec: DatasetSpec) -> None:
        self.spec = spec

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names of the splits there are, sorted."""

    @abstractmethod
    def rows(self, split: str) -> Iterator[Row]:
        """The records of a split in file order. Raises UserError naming file and place."""
