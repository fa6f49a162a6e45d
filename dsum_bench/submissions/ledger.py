"""The ledger of submissions: a CSV file that a person can read and mend."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from math import isfinite
from pathlib import Path

from dsum_bench.errors import UserError

FILE = "submissions.csv"
A_DAY = 12
"""Submissions a day that competitions of this kind allow."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission. when: local time, ISO 8601. run: key of the run that was handed in. local: key of the run that
    has scores of the same model and settings, '' where there is none. public, private: what the competition's board
    said."""

    when: str
    run: str
    local: str
    model: str
    public: float
    private: float | None = None
    note: str = ""


COLUMNS = tuple(f.name for f in fields(Submission))


def read(file: Path) -> list[Submission]:
    """All submissions in the order they were made; none where there is no file.

    Raises:
        UserError: a column that is missing, or a value that is none; names the row.
    """
    if not file.exists():
        return []
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read: {error}") from None
    return [_submission(row, f"{file}, row {number}") for number, row in enumerate(rows, 1)]


def _submission(row: dict[str, str | None], where: str) -> Submission:
    lacking = [name for name in ("when", "run", "public") if not row.get(name)]
    if lacking:
        raise UserError(f"{where}: no '{lacking[0]}'")
    try:
        datetime.fromisoformat(str(row["when"]))
    except ValueError:
        raise UserError(f"{where}, column 'when': '{row['when']}' is no time such as 2026-11-23T07:07") from None
    private = row.get("private")
    return Submission(
        str(row["when"]),
        str(row["run"]),
        row.get("local") or "",
        row.get("model") or "",
        score(row["public"], f"{where}, column 'public'"),
        score(private, f"{where}, column 'private'") if private else None,
        row.get("note") or "",
    )


def score(value: object, where: str) -> float:
    """A score of a board, on the scale of 100. Raises UserError for anything else."""
    try:
        number = float(str(value))
    except ValueError:
        number = float("nan")
    if not isfinite(number) or not 0 <= number <= 100:
        raise UserError(f"{where}: '{value}' is no score between 0 and 100")
    return number


def add(file: Path, submission: Submission) -> list[Submission]:
    """Write a submission; one of the same run takes the place of the earlier one, whose time stays. Returns all.

    Raises:
        UserError: the file cannot be read or written.
    """
    known = read(file)
    place = next((i for i, s in enumerate(known) if s.run == submission.run), None)
    if place is None:
        known.append(submission)
    else:
        before = known[place]
        private = submission.private if submission.private is not None else before.private
        note = submission.note or before.note
        known[place] = replace(submission, when=before.when, private=private, note=note)
    _write(file, known)
    return known


def _write(file: Path, rows: Iterable[Submission]) -> None:
    new = file.with_name(f".{file.name}.new")
    try:
        with new.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in rows:
                values = [getattr(row, name) for name in COLUMNS]
                writer.writerow(["" if value is None else value for value in values])
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from error


def on_day(submissions: Sequence[Submission], day: str) -> int:
    """How many were made on a day, ``2026-11-23``."""
    return sum(s.when.startswith(day) for s in submissions)
