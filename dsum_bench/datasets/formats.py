"""Records of one file, each with the place it came from."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import PurePath

from dsum_bench.characters import repaired
from dsum_bench.datasets.arrow import parquet_records
from dsum_bench.datasets.base import Row
from dsum_bench.datasets.decode import decode
from dsum_bench.datasets.nested import flat
from dsum_bench.errors import UserError

LONGEST_FIELD = 2**31 - 1
"""The csv module stops at 131,072 characters by default; a transcript of a meeting may be longer."""

Records = Callable[[bytes, str, str], Iterator[Row]]
"""From the bytes of a file, its name and its encoding."""


def csv_records(data: bytes, file: str, encoding: str) -> Iterator[Row]:
    """Records of a CSV file with a header. Fields are cut by commas, or by tabs in a ``.tsv``; by semicolons, tabs or
    bars where the header has only those, as spreadsheets write them in some countries.

    A column without a name (an index that pandas wrote) is left out. Quoted fields may hold line breaks.

    Raises:
        UserError: a header with a column twice, a record with more or fewer fields, a quote that is not closed.
    """
    usual = "\t" if PurePath(file).suffix.lower() == ".tsv" else ","
    text = decode(data, encoding, file, lambda before: _csv_rows_before(before, usual))
    delimiter, text = _delimiter(text, usual)
    records = _numbered(text, delimiter, file)
    header = next((fields for _, _, fields in records), None)
    if header is None:
        raise UserError(f"{file} is empty; its first line must name the columns")
    names = [repaired(name).strip() for name in header]
    twice = next((n for n in names if n and names.count(n) > 1), None)
    if twice:
        raise UserError(f"{file}, line 1: column '{twice}' occurs {names.count(twice)} times; give each its own name")
    for row, line, fields in records:
        where = f"{file}, row {row} (line {line})"
        if len(fields) != len(names):
            raise UserError(
                f"{where}: {_count(len(fields), 'field')} under a header of {_count(len(names), 'column')}; a field "
                "that holds a separator, a quote or a line break must be quoted"
            )
        yield Row(where, {n: v for n, v in zip(names, fields, strict=True) if n})


def _delimiter(text: str, usual: str) -> tuple[str, str]:
    """What cuts the fields, and the text without the line ``sep=;`` that Excel may put first (its line end stays)."""
    named = re.match(r"sep=(.)(?=\r?\n)", text, re.IGNORECASE)
    if named:
        return named[1], text[named.end() :]
    header = text.lstrip().partition("\n")[0]
    return next((d for d in (usual, ",", ";", "\t", "|") if d in header), usual), text


def _numbered(text: str, delimiter: str, file: str) -> Iterator[tuple[int, int, list[str]]]:
    """Number (the header is 0), first line and fields of each record; blank lines are passed over."""
    csv.field_size_limit(LONGEST_FIELD)
    # Strict, because otherwise a quote that is not closed swallows the rest of the file without a word.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row = 0
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            at = f"row {row} (line {line})" if row else f"line {line}"
            raise UserError(f"{file}, {at}: not valid CSV: {error}") from None
        if fields:
            yield row, line, fields
            row += 1


def _csv_rows_before(text: str, delimiter: str) -> int:
    """Records that end in text: the number of the record that goes on after it, the header being 0."""
    reader = csv.reader(io.StringIO(text + "x", newline=""), delimiter=delimiter)
    rows = 0
    with suppress(csv.Error):
        rows = sum(1 for fields in reader if fields)
    return max(rows - 1, 0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def jsonl_records(data: bytes, file: str, encoding: str) -> Iterator[Row]:
    """Records of a file with one JSON object on each line, empty lines passed over, or with one array of objects, which
    may lie in an object under one of ARRAYS. What lies in objects inside a record has dotted names too.

    Raises:
        UserError: a line that is not JSON, or not an object.
    """
    text = decode(data, encoding, file, lambda before: _filled(before + "x"))
    if text.lstrip().startswith("["):
        yield from _array(text, file)
        return
    inner = _array_inside(text)
    if inner is not None:
        yield from _rows(inner, file)
        return
    row = 0
    # Only \n ends a line: JSON texts may hold other line separators, which splitlines would cut at.
    for line, record in enumerate(text.split("\n"), start=1):
        if not record.strip():
            continue
        row += 1
        where = f"{file}, row {row} (line {line})"
        try:
            values = json.loads(record)
        except json.JSONDecodeError as error:
            advice = _one_object(text) if row == 1 else ""
            raise UserError(f"{where}: not valid JSON: {error.msg} at column {error.colno}{advice}") from None
        except RecursionError:
            raise UserError(f"{where}: JSON nested too deeply") from None
        if not isinstance(values, dict):
            raise UserError(f'{where}: each line must be an object such as {{"id": "...", "dialogue": "..."}}')
        yield Row(where, flat(values))


ARRAYS = ("data", "rows", "records", "items", "samples", "examples", "documents")
"""Names under which an object holds all records of a file."""


def _array_inside(text: str) -> list[object] | None:
    """The records of a file that is one object around them; None where it is none."""
    first = text.lstrip().partition("\n")[0]
    for part in (first, text):
        try:
            found = json.loads(part)
        except (json.JSONDecodeError, RecursionError):
            continue
        arrays = [found[n] for n in ARRAYS if isinstance(found.get(n), list)] if isinstance(found, dict) else []
        whole = part is text or not text.lstrip()[len(first) :].strip()
        fits = whole and len(arrays) == 1 and arrays[0] and all(isinstance(r, dict) for r in arrays[0])
        return arrays[0] if fits else None
    return None


def _array(text: str, file: str) -> Iterator[Row]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{file}, line {error.lineno}"
        raise UserError(f"{where}: not valid JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise UserError(f"{file}: JSON nested too deeply") from None
    yield from _rows(values, file)


def _rows(values: list[object], file: str) -> Iterator[Row]:
    for row, value in enumerate(values, start=1):
        where = f"{file}, row {row}"
        if not isinstance(value, dict):
            raise UserError(f'{where}: the array must hold objects such as {{"id": "...", "dialogue": "..."}}')
        yield Row(where, flat(value))


def _one_object(text: str) -> str:
    """Advice for a file that is one JSON object over several lines."""
    try:
        json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return ""
    return "; the file is one object: write an array of objects, or one object on each line"


def _filled(text: str) -> int:
    return sum(1 for line in text.split("\n") if line.strip())


BY_SUFFIX: dict[str, Records] = {
    ".csv": csv_records, ".tsv": csv_records, ".jsonl": jsonl_records, ".ndjson": jsonl_records, ".json": jsonl_records,
    ".parquet": parquet_records,
}  # fmt: skip
