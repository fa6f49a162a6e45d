"""Parquet files and the Arrow files that the package datasets saves, read by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from dsum_bench.datasets.base import Row
from dsum_bench.datasets.nested import flat
from dsum_bench.errors import UserError


def parquet_records(data: bytes, file: str, encoding: str = "auto") -> Iterator[Row]:
    """Records of a Parquet file. encoding: not used; Parquet's strings are UTF-8.

    Raises:
        UserError: pyarrow is not installed, or it cannot read the file.
    """
    _need_pyarrow(file)
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        batches = list(ParquetFile(BytesIO(data)).iter_batches())
    except (ArrowException, OSError) as error:
        raise UserError(f"{file}: not a valid Parquet file: {_first_line(error)}") from None
    yield from _rows(batches, file)


def arrow_records(data: bytes, file: str, encoding: str = "auto") -> Iterator[Row]:
    """Records of an Arrow file, a stream as ``save_to_disk`` of the package datasets writes it, or with an index.

    Raises:
        UserError: pyarrow is not installed, or it cannot read the file.
    """
    _need_pyarrow(file)
    from pyarrow import ArrowException, ipc

    try:
        opened = ipc.open_file(BytesIO(data)) if data.startswith(b"ARROW1") else ipc.open_stream(BytesIO(data))
        batches = opened.read_all().to_batches()
    except (ArrowException, OSError) as error:
        raise UserError(f"{file}: not a valid Arrow file: {_first_line(error)}") from None
    yield from _rows(batches, file)


def _rows(batches: list[Any], file: str) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for values in batch.to_pylist():
            number += 1
            yield Row(f"{file}, row {number}", flat(values))


def _need_pyarrow(file: str) -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise UserError(f'{file}: reading it needs the package pyarrow: pip install "dsum-bench[parquet]"')


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
