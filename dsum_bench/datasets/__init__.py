"""Dataset formats: CSV, TSV, JSON, Parquet, Hugging Face's layouts, files inside a package, NIKL's nested arrays."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.datasets.base import DatasetReader


@hookimpl
def dsum_register_datasets(register: Callable[[type[DatasetReader]], None]) -> None:
    from dsum_bench.datasets.huggingface import HuggingFaceReader
    from dsum_bench.datasets.nikl import NiklReader
    from dsum_bench.datasets.readers import CsvReader, EmbeddedReader, JsonlReader, ParquetReader

    for reader in (CsvReader, JsonlReader, ParquetReader, HuggingFaceReader, EmbeddedReader, NiklReader):
        register(reader)
