"""Scores as they are stored: by parts of a run, in each a column a measure. Standard library only, as the reader.

A part is a list of samples in the order of their ids; a column holds one measure of one signature for all of them, as
little-endian doubles, NaN where a sample has none. While a run is going on each of its batches is a part. They are
folded into one when it ends, so that a board reads one value a run, however many samples that has.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Key = tuple[int, str]
"""Number of a signature, and a measure."""
Row = tuple[str, int, str, float]
"""Sample, number of its signature, measure, value."""

PARTS = "select id, samples from score_parts where run_id = ? order by id"
COLUMNS = """
select part_id, signature_id, measure, data from score_columns
where part_id in (select id from score_parts where run_id = ?)
"""
COLUMN = """
select data from score_parts join score_columns on part_id = score_parts.id
where run_id = ? and signature_id = ? and measure = ?
"""
COUNT = "select count(*) from score_parts where run_id = ?"
OLDER = "select sample_id, signature_id, measure, value from scores where run_id = ? order by sample_id"
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Part:
    """Samples in the order of their ids, and values of each measure in the same order, NaN for none."""

    samples: Sequence[str]
    columns: Mapping[Key, array[float]]


def packed(values: array[float]) -> bytes:
    """Doubles as they are stored, on machines of any byte order."""
    return values.tobytes() if sys.byteorder == "little" else _swapped(values).tobytes()


def unpacked(data: bytes) -> array[float]:
    """The inverse of ``packed``."""
    values = array("d")
    values.frombytes(data)
    return values if sys.byteorder == "little" else _swapped(values)


def part_of(rows: Iterable[Row]) -> Part:
    """Rows of single values as a part; of a value that is given twice, the first counts."""
    found: dict[Key, dict[str, float]] = {}
    for sample, signature, measure, value in rows:
        found.setdefault((signature, measure), {}).setdefault(sample, value)
    samples = sorted({sample for values in found.values() for sample in values})
    columns = {key: array("d", [values.get(s, NAN) for s in samples]) for key, values in found.items()}
    return Part(samples, columns)


def folded(parts: Sequence[Part]) -> Part:
    """Several parts as one; of a value that several have, that of the first counts."""
    if len(parts) == 1:
        return parts[0]
    samples = sorted({sample for part in parts for sample in part.samples})
    places = {sample: place for place, sample in enumerate(samples)}
    columns: dict[Key, array[float]] = {}
    for part in parts:
        at = [places[sample] for sample in part.samples]
        for key, values in part.columns.items():
            column = columns.setdefault(key, array("d", [NAN]) * len(samples))
            for place, value in zip(at, values, strict=True):
                if column[place] != column[place]:  # it is NaN
                    column[place] = value
    return Part(samples, columns)


def of_run(db: sqlite3.Connection, run_id: str) -> Part:
    """All scores of a run, whatever version wrote them."""
    if not _has_parts(db):
        return part_of(tuple(row) for row in db.execute(OLDER, [run_id]))
    return folded(_parts(db, run_id))


def column(db: sqlite3.Connection, run_id: str, signature: int, measure: str) -> array[float]:
    """One measure of a run that has it of all its samples, in the order of their ids."""
    if _has_parts(db) and db.execute(COUNT, [run_id]).fetchone()[0] == 1:
        row = db.execute(COLUMN, [run_id, signature, measure]).fetchone()
        return unpacked(row[0]) if row else array("d")
    return of_run(db, run_id).columns.get((signature, measure), array("d"))


def by_sample(part: Part, signature: int) -> dict[str, dict[str, float]]:
    """The values of one signature: sample -> measure -> value."""
    found: dict[str, dict[str, float]] = {}
    for (number, measure), values in part.columns.items():
        if number == signature:
            for sample, value in zip(part.samples, values, strict=True):
                if value == value:  # not NaN
                    found.setdefault(sample, {})[measure] = value
    return found


def rows_of(part: Part) -> Iterable[Row]:
    """The inverse of ``part_of``."""
    for (signature, measure), values in part.columns.items():
        for sample, value in zip(part.samples, values, strict=True):
            if value == value:  # not NaN
                yield sample, signature, measure, value


# -- writing --------------------------------------------------------------------------------------------------


def add(db: sqlite3.Connection, run_id: str, part: Part) -> None:
    """Store a part behind those that are there, whose values stay as they are."""
    if not part.samples:
        return
    insert = "insert into score_parts (run_id, samples) values (?, ?)"
    number = db.execute(insert, [run_id, json.dumps(part.samples, separators=(",", ":"))]).lastrowid
    db.executemany(
        "insert into score_columns values (?, ?, ?, ?)",
        [(number, *key, packed(values)) for key, values in part.columns.items()],
    )


def fold(db: sqlite3.Connection, run_id: str) -> None:
    """Make one part of all parts of a run."""
    if db.execute(COUNT, [run_id]).fetchone()[0] > 1:
        whole = folded(_parts(db, run_id))
        drop(db, run_id)
        add(db, run_id, whole)


def drop(db: sqlite3.Connection, run_id: str) -> None:
    """Delete all scores of a run."""
    db.execute("delete from score_parts where run_id = ?", [run_id])


# -- inside ---------------------------------------------------------------------------------------------------


def _parts(db: sqlite3.Connection, run_id: str) -> list[Part]:
    columns: dict[int, dict[Key, array[float]]] = {}
    for number, signature, measure, data in db.execute(COLUMNS, [run_id]):
        columns.setdefault(number, {})[signature, measure] = unpacked(data)
    found = [Part(json.loads(samples), columns.get(number, {})) for number, samples in db.execute(PARTS, [run_id])]
    return found or [Part((), {})]


def _has_parts(db: sqlite3.Connection) -> bool:
    """Whether a database keeps scores by parts; one that no newer version has written to keeps a row a value."""
    return db.execute("select 1 from sqlite_master where name = 'score_parts'").fetchone() is not None


def _swapped(values: array[float]) -> array[float]:
    other = values[:]
    other.byteswap()
    return other
