"""Summaries from a file as a run of their own: made elsewhere, scored and ranked here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsum_bench import __version__
from dsum_bench.characters import repaired, visible
from dsum_bench.datasets.base import Row
from dsum_bench.errors import UserError, suggestion
from dsum_bench.screening.derived import Ready
from dsum_bench.screening.preflight import NOWHERE, Candidate
from dsum_bench.spec import DatasetSpec, Generation, ModelSpec, Output, RunSpec, Sample

ID_COLUMNS = ("id", "fname")
SUMMARY_COLUMNS = ("summary", "prediction", "predictions")
LIKE_SUMMARY = re.compile(
    r"summar|predict|(?:^|_)pred(?:_|$)|hypothes|(?:^|_)hyp(?:_|$)|generat|output|candidate|요약|생성|예측",
    re.IGNORECASE,
)
"""Names of columns that summaries made by a model have been seen in. A file may hold the reference under another."""
NAMED = 5


@dataclass(frozen=True, slots=True)
class Predictions:
    """Summaries by sample id, in the order of the samples. missing: ids that the file lacks, taken as empty."""

    summaries: Mapping[str, str]
    missing: tuple[str, ...] = ()


def names(sources: Sequence[Any], name: str | None, known: Collection[str], frame: str) -> list[str]:
    """What the run of each source is called: name, else the file's name without its ending, or frame for a DataFrame.

    Raises:
        UserError: one name for several sources, a name twice, or that of a model of the registry.
    """
    if name is not None and len(sources) > 1:
        raise UserError("--name is only valid with one file; several runs are named after their files")
    found: dict[str, str] = {}
    for source in sources:
        called = name or (Path(source).stem if isinstance(source, str | Path) else frame)
        if called in known:
            raise UserError(f"'{called}' is a model of the registry; choose another --name, or rename {origin(source)}")
        if called in found:
            raise UserError(f"{origin(source)} and {found[called]} would both be named '{called}'; rename one of them")
        found[called] = origin(source)
    return list(found)


def origin(source: Any) -> str:
    """Where summaries come from, for messages and the store."""
    return str(source) if isinstance(source, str | Path) else "DataFrame"


def read(
    source: Any,
    samples: Sequence[Sample],
    name: str = "",
    id_column: str | None = None,
    summary_column: str | None = None,
    allow_missing: bool = False,
) -> Predictions:
    """The summaries of a CSV or JSON Lines file, or of a DataFrame called name, aligned with samples by id.

    An empty summary is one.

    Raises:
        UserError: no such file, column or format, or several columns that may hold the summaries; an id twice, missing
            or unknown; names row and id.
    """
    if isinstance(source, str | Path):
        rows = _rows(Path(source))
    else:
        from dsum_bench.datasets.frames import frame_rows

        rows = list(frame_rows(source, name))
    return align(rows, origin(source), samples, id_column, summary_column, allow_missing)


def align(
    rows: Sequence[Row],
    source: str,
    samples: Sequence[Sample],
    id_column: str | None = None,
    summary_column: str | None = None,
    allow_missing: bool = False,
) -> Predictions:
    """The summaries in rows of any source, by sample id; source names it in messages. Raises UserError as ``read``."""
    found: dict[str, tuple[str, str]] = {}
    from_column = _id_column(rows[0], id_column)
    column = _summary_column(rows, summary_column, from_column)
    for row in rows:
        sample_id, summary = _text(row, from_column).strip(), _text(row, column).strip()
        if sample_id in found:
            raise UserError(f"{row.where}: duplicate id '{sample_id}', first seen in {found[sample_id][1]}")
        found[sample_id] = (summary, row.where)
    wanted = [s.id for s in samples]
    extra = [f"'{i}' ({where})" for i, (_, where) in found.items() if i not in set(wanted)]
    if extra:
        raise UserError(
            f"{source}: {len(extra)} of {len(found)} ids are not in the split: {_named(extra)}; is it the right "
            "dataset and split, and --id-column?"
        )
    missing = [i for i in wanted if i not in found]
    if missing and not allow_missing:
        raise UserError(
            f"{source} has no summary for {len(missing)} of {len(wanted)} samples: {_named(missing)}; add them, or "
            "count them as empty (they score 0) with --allow-missing"
        )
    return Predictions({i: found[i][0] if i in found else "" for i in wanted}, tuple(missing))


def _rows(file: Path) -> list[Row]:
    from dsum_bench.datasets.formats import BY_SUFFIX

    records = BY_SUFFIX.get(file.suffix.lower())
    if records is None:
        raise UserError(f"{file}: the name of a file of summaries must end in {', '.join(BY_SUFFIX)}")
    if not file.is_file():
        raise UserError(f"no such file: {file}")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from None
    rows = list(records(data, str(file), "auto"))
    if not rows:
        raise UserError(f"{file} has no rows")
    return rows


def _id_column(row: Row, named: str | None) -> str:
    if named is not None:
        return named
    return next((name for name in ID_COLUMNS if name in row.values), "") or _no_column(row, ID_COLUMNS, "--id-column")


def _summary_column(rows: Sequence[Row], named: str | None, id_column: str) -> str:
    """The one column that may hold the summaries. A file that holds references too must be told apart by its user."""
    if named is not None:
        return named
    likely = [
        name
        for name in rows[0].values
        if name != id_column and LIKE_SUMMARY.search(name) and not all(_is_number(r.values.get(name)) for r in rows)
    ]
    if len(likely) > 1:
        file, names = rows[0].where.partition(", row")[0], " or ".join(map(_quoted, likely))
        raise UserError(
            f"{file}: the summaries may be in {names}, one of which may be the reference; choose one with "
            "--summary-column"
        )
    return likely[0] if likely else _no_column(rows[0], SUMMARY_COLUMNS, "--summary-column")


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return bool(re.fullmatch(r"\s*[-+]?\d*[.,]?\d*\s*%?\s*", value))
    return isinstance(value, int | float)


def _no_column(row: Row, usual: Sequence[str], option: str) -> str:
    there = ", ".join(map(_quoted, row.values))
    raise UserError(f"{row.where}: none of the columns {', '.join(usual)}, only {there}; name it with {option}")


def _quoted(name: str) -> str:
    return f"'{visible(name)}'"


def _text(row: Row, column: str) -> str:
    if column not in row.values:
        raise UserError(f"{row.where}: no column '{column}'{suggestion(column, map(visible, row.values))}")
    value = row.values[column]
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"{row.where}, column '{column}': must be a string, not {json.dumps(value, default=str)[:40]}")
    return str(value)


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(ids[:NAMED]) + more


# -- as a run -------------------------------------------------------------------------------------------------


def candidate(
    name: str, source: str, predictions: Predictions, dataset: DatasetSpec, split: str, samples: Sequence[Sample]
) -> Candidate:
    """The run that a file's summaries are. Its key follows their text: a changed file is another run."""
    from dsum_bench.fingerprints import references_fingerprint, samples_fingerprint

    text = json.dumps(predictions.summaries, ensure_ascii=False)
    run = RunSpec(
        model=ModelSpec(name, "file", source=(Path(source).name,), engine="file", origin=source),
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


class FromFile(Ready):
    """Hands out the summaries of a file."""

    name = "file"

    def __init__(self, predictions: Predictions) -> None:
        super().__init__({sample: _output(sample, text) for sample, text in predictions.summaries.items()})


def _output(sample: str, text: str) -> Output:
    return Output(Generation(sample, text, 0, 0, "stop", 0.0), " ".join(repaired(text).split("\n")).strip())
