"""All samples of many runs at once, by columns. Standard library only, as the reader."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsum_bench.store import scores
from dsum_bench.store.reading import reading

IDS = """
select sample_id from outputs where run_id in (select value from json_each(?))
group by sample_id order by min(position), sample_id
"""
OUTPUTS = """
select sample_id, summary, nullif(output, summary) as output, prompt_tokens, new_tokens, finish, seconds,
    trimmed_turns, trimmed_chars, {note}
from outputs where run_id = ?
"""


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """What one run wrote, a list a column in the order of the sample ids that were asked for.

    Samples that the run lacks have None everywhere. output: None where it equals the summary; note: None for none.
    """

    summary: Sequence[str | None]
    output: Sequence[str | None]
    prompt_tokens: Sequence[int | None]
    new_tokens: Sequence[int | None]
    finish: Sequence[str | None]
    seconds: Sequence[float | None]
    trimmed_turns: Sequence[int | None]
    trimmed_chars: Sequence[int | None]
    note: Sequence[str | None]


def sample_ids(path: Path, runs: Sequence[str]) -> list[str]:
    """Ids of the samples that any of some runs has finished, in the order of the dataset."""
    import json

    with reading(path) as db:
        return [row[0] for row in db.execute(IDS, [json.dumps(list(runs))])]


def output_columns(path: Path, runs: Sequence[str], ids: Sequence[str]) -> Iterator[tuple[str, OutputColumns]]:
    """The outputs of runs, one run at a time."""
    places = {sample: place for place, sample in enumerate(ids)}
    with reading(path) as db:
        # A database that no newer version has opened for writing has no notes yet.
        noted = any(row["name"] == "note" for row in db.execute("pragma table_info(outputs)"))
        sql = OUTPUTS.format(note="nullif(note, '')" if noted else "null")
        for run in runs:
            columns: list[list[object]] = [[None] * len(ids) for _ in range(9)]
            for sample, *values in db.execute(sql, [run]):
                place = places.get(sample)
                if place is not None:
                    for column, value in zip(columns, values, strict=True):
                        column[place] = value
            yield run, OutputColumns(*columns)  # type: ignore[arg-type]


def score_columns(
    path: Path, runs: Sequence[str], ids: Sequence[str]
) -> Iterator[tuple[str, Mapping[tuple[str, str], array[float]]]]:
    """The scores of runs, one run at a time: (signature, measure) -> values in the order of ids, NaN for none."""
    places = {sample: place for place, sample in enumerate(ids)}
    empty = array("d", [float("nan")]) * len(ids)
    with reading(path) as db:
        names = {row["id"]: row["signature"] for row in db.execute("select id, signature from signatures")}
        for run in runs:
            part = scores.of_run(db, run)
            at = [places.get(sample) for sample in part.samples]
            found = {}
            for (signature, measure), values in part.columns.items():
                found[names[signature], measure] = column = empty[:]
                for place, value in zip(at, values, strict=True):
                    if place is not None:
                        column[place] = value
            yield run, found
