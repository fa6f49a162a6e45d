"""From stored runs to questions, and from answers to votes and marks. Pure, apart from reading the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from dsum_bench_openai.reading import Answer

from dsum_bench import UserError
from dsum_bench.adapters.parsing import without_thoughts
from dsum_bench.combining.votes import JUDGE, Choice, Vote
from dsum_bench.store import reader
from dsum_bench.store.records import RunRecord
from dsum_bench.store.samples import stored_samples
from dsum_bench_judge.prompts import CRITERIA, LOWEST, Messages, pair_messages, read_choice, read_marks, rubric_messages


@dataclass(frozen=True, slots=True)
class Material:
    """What is judged. dialogues: by sample id; summaries: run -> sample id -> summary, of the same samples."""

    language: str
    dialogues: Mapping[str, str]
    summaries: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Marking:
    """A question for marks."""

    run: str
    sample_id: str
    messages: Messages


@dataclass(frozen=True, slots=True)
class Pairing:
    """A question which of two is better, in the order in which they are shown."""

    first: str
    second: str
    sample_id: str
    messages: Messages


Question = Marking | Pairing
Marks = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Run -> sample id -> criterion -> mark."""


def material(database: Path, runs: Sequence[str], limit: int | None) -> Material:
    """Dialogues and summaries of finished runs on the same dialogues.

    limit: as many samples of each run, the first ones.

    Raises:
        UserError: a run is unknown, not finished or named twice, the dialogues differ or are not in the database.
    """
    records = [reader.run(database, run) for run in runs]
    first = records[0]
    for i, record in enumerate(records):
        if record.row.status != "done":
            raise UserError(f"{_title(record)} is {record.row.status}; only finished runs are judged")
        if record.row.run_id in {r.row.run_id for r in records[:i]}:
            raise UserError(f"both names stand for the same run, {_title(record)}")
        if record.spec["dataset_fingerprint"] != first.spec["dataset_fingerprint"]:
            raise UserError(f"{_title(first)} and {_title(record)} are not of the same dialogues")
    samples = stored_samples(database, first.spec["dataset_fingerprint"], first.spec["references_fingerprint"])[:limit]
    dialogues = {s.sample_id: s.dialogue for s in samples if s.dialogue is not None}
    if not dialogues or len(dialogues) < len(samples):
        raise UserError(
            f"the dialogues of {_title(first)} are not in {database}: screen again without --no-dialogues, with this "
            "version (what is there is not generated again)"
        )
    summaries = {}
    for name, record in zip(_names(database, records), records, strict=True):
        made = reader.samples(database, record.row.run_id)
        summaries[name] = {s.sample_id: s.summary for s in made if s.sample_id in dialogues}
    return Material(str(first.spec["language"]), dialogues, summaries)


def _names(database: Path, records: Sequence[RunRecord]) -> list[str]:
    """What a run is called in votes: its model's name where that means this run, else its key."""
    names = []
    for record in records:
        try:
            alone = reader.run(database, record.row.model).row.run_id == record.row.run_id
        except UserError:
            alone = False
        names.append(record.row.model if alone else record.row.run_id)
    return names


def _title(record: RunRecord) -> str:
    return f"{record.row.model} ({record.row.run_id})"


# -- questions ----------------------------------------------------------------------------------------------------


def markings(given: Material) -> list[Marking]:
    """One question for each summary that is not empty."""
    return [
        Marking(run, sample_id, rubric_messages(given.language, given.dialogues[sample_id], summary))
        for run, summaries in given.summaries.items()
        for sample_id, summary in summaries.items()
        if summary.strip()
    ]


def pairings(given: Material) -> list[Pairing]:
    """Two questions, one in each order, for each dialogue and two runs whose summaries differ and are not empty."""
    found = []
    for one, other in combinations(given.summaries, 2):
        for sample_id, dialogue in given.dialogues.items():
            for first, second in ((one, other), (other, one)):
                texts = given.summaries[first][sample_id], given.summaries[second][sample_id]
                if settled(*texts) is None:
                    messages = pair_messages(given.language, dialogue, *texts)
                    found.append(Pairing(first, second, sample_id, messages))
    return found


def settled(first: str, second: str) -> Choice | None:
    """What needs no judge: equal summaries are a tie, and an empty one loses."""
    first, second = first.strip(), second.strip()
    if first == second:
        return "tie"
    if not first:
        return "second"
    return "first" if not second else None


# -- answers ------------------------------------------------------------------------------------------------------


def votes(judge: str, given: Material, asked: Sequence[Pairing], answers: Sequence[Answer | None]) -> list[Vote]:
    """All votes, those that needed no judge among them. An answer without a choice gives none.

    answers: in the order of asked; None where there is none.
    """
    voter = JUDGE + judge
    found = [
        Vote(voter, q.sample_id, q.first, q.second, choice)
        for q, answer in zip(asked, answers, strict=True)
        if answer is not None and (choice := read_choice(without_thoughts(answer.text))) is not None
    ]
    for one, other in combinations(given.summaries, 2):
        for sample_id in given.dialogues:
            for first, second in ((one, other), (other, one)):
                choice = settled(given.summaries[first][sample_id], given.summaries[second][sample_id])
                if choice is not None:
                    found.append(Vote(voter, sample_id, first, second, choice))
    return found


def marks(given: Material, asked: Sequence[Marking], answers: Sequence[Answer | None]) -> Marks:
    """All marks; an empty summary has the lowest. An answer without marks gives none."""
    found: dict[str, dict[str, dict[str, int]]] = {
        run: {i: dict.fromkeys(CRITERIA, LOWEST) for i, summary in summaries.items() if not summary.strip()}
        for run, summaries in given.summaries.items()
    }
    for question, answer in zip(asked, answers, strict=True):
        read = None if answer is None else read_marks(without_thoughts(answer.text))
        if read is not None:
            found[question.run][question.sample_id] = read
    return found
