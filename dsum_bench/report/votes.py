"""A blind vote between the summaries of some runs: what is shown next, and the file that keeps the choices."""

from __future__ import annotations

import csv
import os
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from threading import Lock
from typing import Any

from dsum_bench.dialogue import split_turns
from dsum_bench.errors import UserError
from dsum_bench.store import reader
from dsum_bench.store.catalog import matches
from dsum_bench.store.columns import output_columns, sample_ids
from dsum_bench.store.records import RunRecord
from dsum_bench.store.samples import stored_samples

COLUMNS = ("voter", "sample_id", "first", "second", "choice", "when")
CHOICES = ("first", "second", "tie")
VOTER = re.compile(r"[\w][\w .-]{0,39}")
"""Begins with a letter or a digit, so that no name is a formula to a spreadsheet."""


@dataclass(frozen=True, slots=True)
class Question:
    """Two summaries of one dialogue. first, second: what the runs are called, in the order in which they are shown."""

    sample_id: str
    first: str
    second: str


@dataclass(slots=True)
class Ballot:
    """The questions of a vote and the file of answers. Order and sides are drawn for each voter, always alike, so that
    a vote can be broken off and resumed."""

    file: Path
    pairs: Sequence[tuple[str, str]]
    summaries: dict[str, dict[str, str]]
    dialogues: dict[str, list[str]]
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def open(cls, database: Path, runs: Sequence[str], file: Path) -> Ballot:
        """A vote between runs, by anything that names one, on the samples that all of them have.

        Raises:
            UserError: fewer than two runs, runs on other dialogues, or dialogues that the database does not keep.
        """
        records = {r.row.run_id: r for r in (reader.run(database, run) for run in runs)}
        called = _called(list(records.values()), reader.runs(database))
        if len(records) < 2:
            raise UserError("a vote needs two runs or more: view --vote A B")
        sets = {r.spec["dataset_fingerprint"] for r in records.values()}
        if len(sets) > 1:
            raise UserError("these runs are not of the same dialogues; vote between runs of one board")
        first = next(iter(records.values()))
        stored = stored_samples(database, first.spec["dataset_fingerprint"], first.spec["references_fingerprint"])
        dialogues = {s.sample_id: split_turns(s.dialogue) for s in stored if s.dialogue is not None}
        if not dialogues:
            raise UserError("the database keeps no dialogues of these runs: screen them again to store them")
        ids = [i for i in sample_ids(database, list(records)) if i in dialogues]
        summaries = {
            called[run]: {i: text for i, text in zip(ids, columns.summary, strict=True) if text is not None}
            for run, columns in output_columns(database, list(records), ids)
        }
        return cls(file, list(combinations(called.values(), 2)), summaries, dialogues)

    def questions(self, voter: str) -> list[Question]:
        """Everything to ask one voter, in the order drawn for this voter. Equal summaries are not asked about."""
        draw = random.Random(f"dsum-bench vote {voter}")
        found = []
        for pair in self.pairs:
            for sample in self.dialogues:
                texts = [self.summaries[run].get(sample) for run in pair]
                if None not in texts and texts[0] != texts[1]:
                    first, second = pair if draw.random() < 0.5 else pair[::-1]
                    found.append(Question(sample, first, second))
        draw.shuffle(found)
        return found

    def answered(self, voter: str) -> set[Question]:
        """What a voter has answered already, as asked."""
        if not self.file.exists():
            return set()
        with self.file.open(encoding="utf-8", newline="") as rows:
            return {
                Question(row["sample_id"], row["first"], row["second"])
                for row in csv.DictReader(rows)
                if row.get("voter") == voter
            }

    def next(self, voter: str) -> dict[str, Any]:
        """The next question for a voter without the names of its runs; ``item`` is None when all are answered."""
        asked, answered = self.questions(voter), self.answered(voter)
        left = [place for place, question in enumerate(asked) if question not in answered]
        told: dict[str, Any] = {"left": len(left), "total": len(asked), "item": left[0] if left else None}
        return told | (self.shown(voter, left[0]) if left else {})

    def shown(self, voter: str, item: int) -> dict[str, Any]:
        """Dialogue and summaries of a question."""
        question = self.questions(voter)[item]
        return {
            "item": item,
            "dialogue": self.dialogues[question.sample_id],
            "first": self.summaries[question.first][question.sample_id],
            "second": self.summaries[question.second][question.sample_id],
        }

    def vote(self, voter: str, item: int, choice: str) -> None:
        """Append a choice to the file; it is on the disk when this returns. A later one on the same question counts.

        Raises:
            ValueError: no such question or choice, or a name that is none.
        """
        questions = self.questions(voter) if VOTER.fullmatch(voter) else []
        if choice not in CHOICES or not 0 <= item < len(questions):
            raise ValueError("no such question or choice")
        question = questions[item]
        when = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.file.exists() or not self.file.stat().st_size
            with self.file.open("a", encoding="utf-8", newline="") as rows:
                writer = csv.writer(rows, lineterminator="\n")
                if fresh:
                    writer.writerow(COLUMNS)
                writer.writerow([voter, question.sample_id, question.first, question.second, choice, when])
                rows.flush()
                os.fsync(rows.fileno())


def _called(chosen: Sequence[RunRecord], known: Sequence[RunRecord]) -> dict[str, str]:
    """Key -> what the file of votes calls a run: its name or its model's if that means this run alone, else its key."""
    found = {}
    for record in chosen:
        row = record.row
        name = row.name or row.model
        alone = [r.row.run_id for r in matches(known, name)] == [row.run_id]
        found[row.run_id] = name if alone else row.run_id
    return found
