"""Two runs side by side, sample by sample. Standard library only, as the reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsum_bench.errors import UserError, suggestion
from dsum_bench.store.reader import reading
from dsum_bench.store.records import RunRecord, SignatureScores

PAIRS = """
select a.sample_id as sample_id, a.value as first, b.value as second, x.summary as of_first, y.summary as of_second
from scores a
join scores b on b.sample_id = a.sample_id and b.signature_id = a.signature_id and b.measure = a.measure
join signatures s on s.id = a.signature_id
join outputs x on x.run_id = a.run_id and x.sample_id = a.sample_id
join outputs y on y.run_id = b.run_id and y.sample_id = b.sample_id
where a.run_id = :first and b.run_id = :second and s.signature = :signature and a.measure = :measure
order by x.position, a.sample_id
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """One sample: what each run scored and wrote."""

    sample_id: str
    first: float
    second: float
    first_summary: str
    second_summary: str


@dataclass(frozen=True, slots=True)
class Pairs:
    """All samples of two runs, by one measure of the signature they share."""

    signature: str
    measure: str
    samples: tuple[Pair, ...]


def paired(path: Path, first: RunRecord, second: RunRecord, metric: str, measure: str) -> Pairs:
    """The samples of two finished runs that may be compared.

    Raises:
        UserError: a run is not finished, they are of other dialogues or references, or no signature of the metric
            is shared; says which.
    """
    for record in (first, second):
        if record.row.status != "done":
            raise UserError(f"{_name(record)} is {record.row.status}; only finished runs are compared")
    if first.row.run_id == second.row.run_id:
        raise UserError(f"both names stand for the same run, {_name(first)}")
    for key, what in (("dataset_fingerprint", "dialogues"), ("references_fingerprint", "references")):
        if first.spec[key] != second.spec[key]:
            raise UserError(
                f"{_name(first)} ({_data(first)}) and {_name(second)} ({_data(second)}) are not of the same {what}"
            )
    signature = _shared(first, second, metric)
    if measure not in signature.means:
        raise UserError(f"metric '{metric}' has no measure '{measure}'{suggestion(measure, signature.means)}")
    keys = {"first": first.row.run_id, "second": second.row.run_id}
    with reading(path) as db:
        rows = db.execute(PAIRS, {**keys, "signature": signature.signature, "measure": measure}).fetchall()
    samples = (Pair(r["sample_id"], r["first"], r["second"], r["of_first"], r["of_second"]) for r in rows)
    return Pairs(signature.signature, measure, tuple(samples))


def _shared(first: RunRecord, second: RunRecord, metric: str) -> SignatureScores:
    mine, theirs = (
        {s.signature: s for s in r.scores if s.metric == metric and s.n == r.row.n_samples} for r in (first, second)
    )
    for record, found in ((first, mine), (second, theirs)):
        if not found:
            known = ", ".join(sorted({s.metric for s in record.scores})) or "nothing"
            raise UserError(f"{_name(record)} is not scored with metric '{metric}', only with {known}")
    shared = [s for signature, s in mine.items() if signature in theirs]
    if not shared:
        raise UserError(
            f"{_name(first)} and {_name(second)} were scored with other signatures of '{metric}', which are not "
            f"comparable: {' and '.join([*mine, *theirs])}; screen both again to score them alike"
        )
    return shared[-1]


def _name(record: RunRecord) -> str:
    return f"{record.row.model} ({record.row.run_id})"


def _data(record: RunRecord) -> str:
    return f"{record.dataset} {record.split}, {record.selection}"
