"""A run's summaries as a file for others: CSV or JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dsum_bench.datasets.csv_text import csv_text
from dsum_bench.errors import UserError
from dsum_bench.screening import like
from dsum_bench.spec import DatasetSpec
from dsum_bench.store.records import SampleRecord

FORMATS = (".csv", ".jsonl")


def check_output(file: Path, sample: Path | None = None) -> None:
    """Raise UserError where summaries cannot go to this file, before any are generated. sample: file to write like."""
    if sample is not None:
        like.check(sample, file)
    elif file.suffix not in FORMATS:
        raise UserError(f"--output {file}: the name must end in {' or '.join(FORMATS)}")
    if file.exists():
        raise UserError(f"{file} already exists; move it or choose another --output")
    if not file.absolute().parent.is_dir():
        raise UserError(f"folder {file.parent} of --output does not exist")


def columns_of(spec: DatasetSpec | None) -> tuple[str, str]:
    """What a dataset calls ids and summaries; our own names where it is unknown."""
    found = [spec.columns.get(ours, ours) if spec else ours for ours in ("id", "summary")]
    first, second = (name if isinstance(name, str) else name[0] for name in found)
    return first, second


def write(file: Path, rows: Sequence[SampleRecord], columns: tuple[str, str], index: bool = False) -> None:
    """Write all of it or nothing. index: number the rows in a first CSV column without a name, as pandas does.

    Raises:
        UserError: the file cannot be written.
    """
    text = _lines(rows, columns) if file.suffix == ".jsonl" else _table(rows, columns, index)
    _put(file, text.encode("utf-8"))


def write_like(file: Path, rows: Sequence[SampleRecord], columns: tuple[str, str], sample: Path) -> None:
    """Write summaries as a sample file has them, all of it or nothing.

    Raises:
        UserError: the sample asks for an id that has no summary, or an empty one; the file cannot be written.
    """
    _put(file, like.written(sample, {row.sample_id: row.summary for row in rows}, columns[1]))


def _put(file: Path, data: bytes) -> None:
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_bytes(data)
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UserError(f"{file} cannot be written: {error.strerror or error}; the summaries are kept") from error


def _table(rows: Sequence[SampleRecord], columns: tuple[str, str], index: bool) -> str:
    head = ["", *columns] if index else columns
    body = ([*([number] if index else []), row.sample_id, row.summary] for number, row in enumerate(rows))
    return csv_text([head, *body])


def _lines(rows: Sequence[SampleRecord], columns: tuple[str, str]) -> str:
    first, second = columns
    return "".join(json.dumps({first: r.sample_id, second: r.summary}, ensure_ascii=False) + "\n" for r in rows)
