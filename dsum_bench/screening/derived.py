"""Runs made from stored runs: a summary for every sample, and nothing generated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dsum_bench.checks import runner
from dsum_bench.errors import UserError
from dsum_bench.executors.base import Event, Executor, Job, JobEnded
from dsum_bench.plugins import Plugins
from dsum_bench.registry.tables import Where, read_table
from dsum_bench.screening.job import BatchDone, ChecksDone, ScreeningJob
from dsum_bench.spec import Generation, Output, RunSpec, Sample
from dsum_bench.store import reader
from dsum_bench.store.records import RunRecord
from dsum_bench.store.samples import stored_samples


def run_spec(record: RunRecord) -> RunSpec:
    """The specification of a stored run."""
    return read_table(RunSpec, record.spec, Where(f"run {record.row.run_id}"))


def finished(record: RunRecord) -> RunRecord:
    """The record, if its run has a summary of every sample. Raises UserError otherwise."""
    row = record.row
    if row.status != "done":
        raise UserError(f"run {row.run_id} of {row.model} is not finished ({row.status}); screen its model again first")
    return record


def samples(path: Path, record: RunRecord) -> list[Sample]:
    """The dialogues and references of a run, as the database keeps them, in the order of the dataset.

    Raises:
        UserError: the database keeps no dialogues of it.
    """
    stored = stored_samples(path, record.spec["dataset_fingerprint"], record.spec["references_fingerprint"])
    found = [Sample(s.sample_id, s.dialogue, s.references, s.topic) for s in stored if s.dialogue is not None]
    if len(found) != record.row.n_samples:
        raise UserError(
            f"the database keeps no dialogues of run {record.row.run_id} ({record.row.model}); screen it again with "
            "--dialogues"
        )
    return found


def outputs(path: Path, record: RunRecord) -> dict[str, Output]:
    """What a run has written, by sample id, in the order of the dataset; its drafts too."""
    drafts = reader.drafts(path, record.row.run_id)
    return {
        s.sample_id: Output(
            Generation(s.sample_id, s.output, s.prompt_tokens, s.new_tokens, s.finish, s.seconds, s.note),  # type: ignore[arg-type]  # stored by ourselves
            s.summary,
            s.trimmed_turns,
            s.trimmed_chars,
            drafts.get(s.sample_id, ()),
        )
        for s in reader.samples(path, record.row.run_id)
    }


def digest(*runs: Mapping[str, Output]) -> str:
    """16 hexadecimal digits over the summaries that a run is made from."""
    said = [
        [[sample_id, output.summary, *(draft.summary for draft in output.drafts)] for sample_id, output in run.items()]
        for run in runs
    ]
    text = json.dumps(said, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def metrics_of(records: Sequence[RunRecord]) -> list[str]:
    """The metrics that all samples of every one of these runs have scores of."""
    scored = [{s.metric for s in r.scores if s.n == r.row.n_samples} for r in records]
    return [m for m in dict.fromkeys(s.metric for s in records[0].scores) if all(m in names for names in scored)]


class Ready(Executor):
    """Hands out outputs that are there already, as a worker would."""

    name = "ready"

    def __init__(self, outputs: Mapping[str, Output]) -> None:
        super().__init__()
        self.outputs = outputs

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        for job in jobs:
            assert isinstance(job, ScreeningJob)
            faults: list[str] = []
            found = runner.data(Plugins(job.plugins), job.run, (*job.samples, *job.finished), faults.append)
            yield ChecksDone(job.id, tuple(found), tuple(faults))
            yield BatchDone(job.id, tuple(self.outputs[s.id] for s in job.samples), 0)
            yield JobEnded(job.id)

    def stop(self, job: str, reason: str) -> None:
        return
