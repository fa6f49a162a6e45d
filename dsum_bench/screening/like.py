"""A submission written as a sample file has it: columns, order, index, separator, encoding and line ends."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsum_bench.characters import visible
from dsum_bench.datasets.formats import LONGEST_FIELD
from dsum_bench.datasets.nikl import filled
from dsum_bench.errors import UserError
from dsum_bench.screening.predictions import ID_COLUMNS, LIKE_SUMMARY

FORMATS = (".csv", ".tsv", ".json")
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Table:
    """A sample file in rows. encoding, mark: of the file, and its byte order mark; end: of its lines.
    delimiter: between fields. rows: without the header."""

    file: str
    encoding: str
    mark: bytes
    end: str
    delimiter: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def check(sample: Path, output: Path) -> None:
    """Raise UserError where the sample cannot be read, or the output is not of its kind, before any are generated."""
    if sample.suffix.lower() not in FORMATS:
        raise UserError(f"--like {sample}: the name of a sample file must end in {', '.join(FORMATS)}")
    if output.suffix.lower() != sample.suffix.lower():
        raise UserError(f"--output {output}: the name must end in {sample.suffix}, as that of {sample} does")
    data = _read(sample)
    if sample.suffix.lower() != ".json":
        table(data, str(sample))


def written(sample: Path, summaries: Mapping[str, str], column: str) -> bytes:
    """The sample file with these summaries, by id.

    column: what the dataset calls summaries.

    Raises:
        UserError: an id of the sample that has no summary or an empty one, or occurs twice; a column that cannot be
            told; a character that the file's encoding does not have.
    """
    data = _read(sample)
    if sample.suffix.lower() == ".json":
        return filled(data, str(sample), summaries)
    found = table(data, str(sample))
    ids = _id_place(found, summaries)
    place = _summary_place(found, ids, column)
    wanted = [row[ids] for row in found.rows]
    _complete(found.file, wanted, summaries)
    rows = [[*row[:place], summaries[row[ids]], *row[place + 1 :]] for row in found.rows]
    return _encoded(found, [list(found.header), *rows])


def table(data: bytes, file: str) -> Table:
    """A sample CSV file.

    Raises:
        UserError: it is not valid CSV, has no rows, or rows of another length than its header.
    """
    encoding, mark = _encoding(data)
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError:
        raise UserError(f"{file} is neither UTF-8, UTF-16 nor CP949; save it as UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(",\t;|", key=first.count) if Path(file).suffix.lower() != ".tsv" else "\t"
    csv.field_size_limit(LONGEST_FIELD)
    try:
        records = [tuple(r) for r in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if r]
    except csv.Error as error:
        raise UserError(f"{file}: not valid CSV: {error}") from None
    if len(records) < 2:
        raise UserError(f"{file} has no rows; a sample file has a header and a row for each id")
    for number, record in enumerate(records[1:], 1):
        if len(record) != len(records[0]):
            raise UserError(f"{file}, row {number}: {len(record)} fields under a header of {len(records[0])} columns")
    end = "\r\n" if first.endswith("\r") else "\n"
    return Table(file, encoding, mark, end, delimiter, records[0], tuple(records[1:]))


def _encoding(data: bytes) -> tuple[str, bytes]:
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")
    ):  # fmt: skip
        if data.startswith(mark):
            return name, mark
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp949", b""
    return "utf-8", b""


def _id_place(found: Table, summaries: Mapping[str, str]) -> int:
    """The column that holds the ids: of several that might, the one that is called so."""
    hits = [sum(row[i] in summaries for row in found.rows) for i in range(len(found.header))]
    most = max(hits)
    if not most:
        raise UserError(f"{found.file}: no column contains the ids of these summaries; is it the right split?")
    places = [i for i, hit in enumerate(hits) if hit == most]
    return next((i for i in places if found.header[i].strip() in ID_COLUMNS), places[0])


def _summary_place(found: Table, ids: int, column: str) -> int:
    """The column to fill: what the dataset calls summaries, else the one that looks so, else the only one left."""
    names = [name.strip() for name in found.header]
    others = [i for i, name in enumerate(names) if name and i != ids]
    called = [i for i in others if names[i] == column]
    alike = [i for i in others if LIKE_SUMMARY.search(names[i])]
    for likely in (called, alike, others):
        if len(likely) == 1:
            return likely[0]
    there = ", ".join(f"'{visible(name)}'" for name in found.header)
    raise UserError(
        f"{found.file}: which of the columns {there} is the summary column? Set it in the dataset's entry: "
        'columns = { summary = "..." }'
    )


def _complete(file: str, wanted: Sequence[str], summaries: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for sample_id in wanted:
        if sample_id in seen:
            raise UserError(f"{file}: id '{sample_id}' occurs twice")
        seen.add(sample_id)
    for what, lacking in (
        ("no summary", [i for i in wanted if i not in summaries]),
        ("an empty summary", [i for i in wanted if i in summaries and not summaries[i].strip()]),
    ):
        if lacking:
            more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
            named = f"{', '.join(lacking[:SHOWN])}{more}"
            raise UserError(f"{what} for {len(lacking)} of the {len(wanted)} ids of {file}: {named}")


def _encoded(found: Table, rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=found.delimiter, lineterminator=found.end).writerows(rows)
    try:
        return found.mark + text.getvalue().encode(found.encoding)
    except UnicodeEncodeError as error:
        wrong = visible(error.object[error.start])
        raise UserError(f"{found.file} is {found.encoding}, which has no '{wrong}'; save it as UTF-8") from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(f"--like {file} cannot be read: {error.strerror or error}") from None
