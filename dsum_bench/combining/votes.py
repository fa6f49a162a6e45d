"""Votes: which of two summaries of a dialogue somebody found better. One file form for people and for judges."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from dsum_bench.errors import UserError

Choice = Literal["first", "second", "tie"]
COLUMNS = ("voter", "sample_id", "first", "second", "choice")
JUDGE = "judge:"
"""How the name of a voter begins who is a model."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One choice. first, second: the runs in the order in which their summaries were shown."""

    voter: str
    sample_id: str
    first: str
    second: str
    choice: Choice

    @property
    def pair(self) -> tuple[str, str]:
        """Both runs, in the order of their names."""
        return (self.first, self.second) if self.first < self.second else (self.second, self.first)

    @property
    def winner(self) -> str | None:
        """The run that was found better; None for a tie."""
        return {"first": self.first, "second": self.second}.get(self.choice)

    @property
    def is_judge(self) -> bool:
        """Whether a model voted."""
        return self.voter.startswith(JUDGE)


def read(files: Sequence[Path]) -> list[Vote]:
    """The votes of CSV files with the columns ``voter``, ``sample_id``, ``first``, ``second`` and ``choice`` (first,
    second or tie); further columns are ignored. A repeated vote (the same voter, dialogue and order) replaces the
    earlier one of its file: somebody changed their mind.

    Raises:
        UserError: a file that cannot be read, a missing column, a value that is none; names file and line.
    """
    votes = [vote for file in files for vote in _read(file)]
    if not votes:
        raise UserError(f"there are no votes in {', '.join(map(str, files))}")
    return votes


def _read(file: Path) -> list[Vote]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8: save it as CSV in UTF-8") from None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = [c for c in COLUMNS if c not in (rows.fieldnames or ())]
    if missing:
        raise UserError(f"{file}: no column '{missing[0]}'; a file of votes has the columns {', '.join(COLUMNS)}")
    found: dict[tuple[str, str, str, str], Vote] = {}
    for row in rows:
        vote = _vote(row, f"{file}, line {rows.line_num}")
        found[vote.voter, vote.sample_id, vote.first, vote.second] = vote
    return list(found.values())


def _vote(row: dict[str, str | None], where: str) -> Vote:
    values = {name: (row[name] or "").strip() for name in COLUMNS}
    for name, value in values.items():
        if not value:
            raise UserError(f"{where}: column '{name}' is empty")
    if values["choice"] not in get_args(Choice):
        raise UserError(f"{where}: choice must be {', '.join(get_args(Choice))}, not '{values['choice']}'")
    if values["first"] == values["second"]:
        raise UserError(f"{where}: first and second are the same run, '{values['first']}'")
    return Vote(**values)  # type: ignore[arg-type]  # choice was checked


def write(file: Path, votes: Iterable[Vote]) -> None:
    """Write votes as ``read`` reads them. Raises UserError when the file cannot be written."""
    try:
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(COLUMNS)
            writer.writerows([v.voter, v.sample_id, v.first, v.second, v.choice] for v in votes)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from None
