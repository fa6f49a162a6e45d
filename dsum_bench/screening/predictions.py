"""Summaries from a file as a run of their own: made elsewhere, scored and ranked here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsum_bench import __version__
from dsum_bench.characters import repaired
from dsum_bench.checks import runner
from dsum_bench.datasets.base import Row
from dsum_bench.errors import UserError, suggestion
from dsum_bench.executors.base import Event, Executor, Job, JobEnded
from dsum_bench.plugins import Plugins
from dsum_bench.screening.job import BatchDone, ChecksDone, ScreeningJob
from dsum_bench.screening.preflight import NOWHERE, Candidate
from dsum_bench.spec import DatasetSpec, Generation, ModelSpec, Output, RunSpec, Sample

ID_COLUMNS = ("id", "fname")
SUMMARY_COLUMNS = ("summary", "prediction", "predictions")
FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
NAMED = 5


@dataclass(frozen=True, slots=True)
class Predictions:
    """Summaries by sample id, in the order of the samples. missing: ids that the file lacks, taken as empty."""

    summaries: Mapping[str, str]
    missing: tuple[str, ...] = ()


def read(
    file: Path,
    samples: Sequence[Sample],
    plugins: Plugins,
    id_column: str | None = None,
    summary_column: str | None = None,
    allow_missing: bool = False,
) -> Predictions:
    """The summaries of a CSV or JSON Lines file, aligned with samples by id. An empty summary is one.

    Raises:
        UserError: no such file, column or format; an id twice, missing or unknown; names row and id.
    """
    found: dict[str, tuple[str, str]] = {}
    for row in _rows(file, plugins):
        sample_id = _text(row, _column(row, id_column, ID_COLUMNS, "--id-column"))
        summary = _text(row, _column(row, summary_column, SUMMARY_COLUMNS, "--summary-column"))
        if sample_id in found:
            raise UserError(
                f"{row.where}: id '{sample_id}' is there already, in {found[sample_id][1]}; ids must differ"
            )
        found[sample_id] = (summary, row.where)
    wanted = [s.id for s in samples]
    extra = [f"'{i}' ({where})" for i, (_, where) in found.items() if i not in set(wanted)]
    if extra:
        raise UserError(
            f"{file}: {len(extra)} of {len(found)} ids are not in the split: {_named(extra)}; is it the right dataset "
            "and split, and --id-column?"
        )
    missing = [i for i in wanted if i not in found]
    if missing and not allow_missing:
        raise UserError(
            f"{file} has no summary for {len(missing)} of {len(wanted)} samples: {_named(missing)}; add them, or count "
            "them as empty (they score 0) with --allow-missing"
        )
    return Predictions({i: found[i][0] if i in found else "" for i in wanted}, tuple(missing))


def _rows(file: Path, plugins: Plugins) -> Iterator[Row]:
    kind = FORMATS.get(file.suffix.lower())
    if kind is None:
        raise UserError(f"{file}: the name of a file of summaries must end in {', '.join(FORMATS)}")
    if not file.is_file():
        raise UserError(f"there is no file {file}")
    from dsum_bench.datasets.formats import csv_records, jsonl_records

    records = csv_records if kind == "csv" else jsonl_records
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
    rows = list(records(data, str(file), "auto"))
    if not rows:
        raise UserError(f"{file} has no rows")
    yield from rows


def _column(row: Row, named: str | None, usual: Sequence[str], option: str) -> str:
    if named is not None:
        if named not in row.values:
            raise UserError(f"{row.where}: no column '{named}'{suggestion(named, row.values)}")
        return named
    for name in usual:
        if name in row.values:
            return name
    there = ", ".join(f"'{name}'" for name in row.values)
    raise UserError(f"{row.where}: none of the columns {', '.join(usual)}, only {there}; name it with {option}")


def _text(row: Row, column: str) -> str:
    value = row.values[column]
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"{row.where}, column '{column}': must be a text, not {json.dumps(value, default=str)[:40]}")
    return str(value).strip()


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


# -- as a run -------------------------------------------------------------------------------------------------


def candidate(
    name: str, file: Path, predictions: Predictions, dataset: DatasetSpec, split: str, samples: Sequence[Sample]
) -> Candidate:
    """The run that a file's summaries are. Its key follows their text: a changed file is another run."""
    from dsum_bench.fingerprints import references_fingerprint, samples_fingerprint

    text = json.dumps(predictions.summaries, ensure_ascii=False)
    run = RunSpec(
        model=ModelSpec(name, "file", source=(file.name,), engine="file", origin=str(file)),
        dataset=dataset.name,
        language=dataset.language,
        split=split,
        selection="all",
        n_samples=len(samples),
        dataset_fingerprint=samples_fingerprint(samples),
        references_fingerprint=references_fingerprint(samples),
        prompt=None,
        prompt_format="template",
        decoding=None,
        placement=NOWHERE,
        weights=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16],
        seed=0,
        versions={"dsum-bench": __version__},
    )
    return Candidate(run, control=False)


class FromFile(Executor):
    """Hands out summaries that are there already, as a worker would."""

    name = "file"

    def __init__(self, predictions: Predictions) -> None:
        super().__init__()
        self.predictions = predictions

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        for job in jobs:
            assert isinstance(job, ScreeningJob)
            faults: list[str] = []
            found = runner.data(Plugins(job.plugins), job.run, (*job.samples, *job.finished), faults.append)
            yield ChecksDone(job.id, tuple(found), tuple(faults))
            yield BatchDone(job.id, tuple(self.output(s) for s in job.samples), 0)
            yield JobEnded(job.id)

    def output(self, sample: Sample) -> Output:
        text = self.predictions.summaries[sample.id]
        return Output(Generation(sample.id, text, 0, 0, "stop", 0.0), " ".join(repaired(text).split("\n")).strip())

    def stop(self, job: str, reason: str) -> None:
        return
