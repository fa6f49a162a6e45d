"""Dataset formats: CSV and TSV files, JSON lines, files inside an installed package, and NIKL's nested arrays."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.datasets.base import DatasetReader


@hookimpl
def dsum_register_datasets(register: Callable[[type[DatasetReader]], None]) -> None:
    from dsum_bench.datasets.nikl import NiklReader
    from dsum_bench.datasets.readers import CsvReader, EmbeddedReader, JsonlReader

    for reader in (CsvReader, JsonlReader, EmbeddedReader, NiklReader):
        register(reader)
