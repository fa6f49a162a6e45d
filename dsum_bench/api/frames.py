"""What the store holds as pandas DataFrames: one row a run, sample, score, finding or point of a curve.

Scores are on the scale of 100, times in seconds, memory in bytes. Missing values are NaN, None or NaT by column type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.store import reader

if TYPE_CHECKING:
    import pandas as pd

    from dsum_bench.store.pairs import Comparison
    from dsum_bench.store.ranking import RankedBoard
    from dsum_bench.store.records import BoardRow, RunRecord

RUN_COLUMNS = {
    "run_id": "string", "model": "string", "params": "Int64", "kind": "string", "adapter": "string",
    "treatment": "string", "prompt": "string", "decoding": "string", "seed": "int64", "revision": "string",
    "dtype": "string", "quantization": "string", "device": "string", "n": "int64", "n_samples": "int64",
    "seconds_per_sample": "float64", "peak_memory": "int64", "trimmed": "int64", "cut": "int64", "empty": "int64",
    "status": "string", "reason": "string", "finished": "datetime64[ns, UTC]",
}  # fmt: skip
WHERE_COLUMNS = dict.fromkeys(("dataset", "split", "selection"), "string")
BOARD_COLUMNS = {
    **WHERE_COLUMNS, "metric": "string", "signature": "string", "rank": "Int64", "group": "Int64", "how": "string",
    **RUN_COLUMNS,
}  # fmt: skip
SAMPLE_COLUMNS = {
    "sample_id": "string", "position": "int64", "output": "string", "summary": "string", "prompt_tokens": "int64",
    "new_tokens": "int64", "finish": "string", "seconds": "float64", "trimmed_turns": "int64", "trimmed_chars": "int64",
}  # fmt: skip
FINDING_COLUMNS = {
    "run_id": "string", "model": "string", "check": "string", "level": "string", "mark": "string", "text": "string",
    "hit": "int64", "total": "int64",
}  # fmt: skip
SPLIT_COLUMNS = {
    "dataset": "string", "split": "string", "samples": "Int64", "problem": "string", "language": "string",
    "format": "string", "path": "string", "license": "string",
}  # fmt: skip
PAIR_COLUMNS = {
    "a": "string", "b": "string", "model_a": "string", "model_b": "string", "mean_a": "float64", "mean_b": "float64",
    "difference": "float64", "low": "float64", "high": "float64", "p": "float64", "p_alone": "float64",
    "p_board": "float64", "wins": "int64", "ties": "int64", "losses": "int64", "n": "int64",
}  # fmt: skip
CURVE_COLUMNS = {"step": "int64", "measure": "string", "value": "float64"}


def frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], floats: Sequence[str] = ()) -> pd.DataFrame:
    """Rows as a DataFrame with just these columns and dtypes, also when there are no rows."""
    import pandas as pd

    kinds = {**columns, **dict.fromkeys(floats, "float64")}
    made = pd.DataFrame(list(rows), columns=list(kinds))
    stamps = [name for name, kind in kinds.items() if kind.startswith("datetime")]
    for name in stamps:
        made[name] = pd.to_datetime(made[name], utc=True, format="ISO8601")
    return made.astype({name: kind for name, kind in kinds.items() if name not in stamps})


def run_values(row: BoardRow) -> dict[str, Any]:
    """The columns of ``RUN_COLUMNS`` for one run."""
    return {name: getattr(row, name) for name in RUN_COLUMNS}


def leaderboard(boards: Sequence[RankedBoard]) -> pd.DataFrame:
    """One row a run, board by board: the ranked ones in order, then those that are not ranked."""
    measures = list(dict.fromkeys(m for found in boards for m in found.board.measures))
    columns = [name for m in measures for name in (m, f"{m}_low", f"{m}_high")]
    return frame((row for found in boards for row in _board_rows(found)), BOARD_COLUMNS, columns)


def _board_rows(found: RankedBoard) -> Iterator[dict[str, Any]]:
    where = {name: getattr(found.board, name) for name in (*WHERE_COLUMNS, "metric", "signature")}
    for place in found.places:
        row = place.row
        scores = dict(row.means)
        for measure, (low, high) in row.intervals.items():
            scores |= {f"{measure}_low": low, f"{measure}_high": high}
        yield where | run_values(row) | scores | {"rank": place.rank, "group": place.group, "how": place.how}
    for row in found.board.others:
        yield where | run_values(row)


def compare(found: Comparison) -> pd.DataFrame:
    """One row a pair of runs."""
    means = {r.row.run_id: mean for r, mean in zip(found.together.runs, found.means, strict=True)}
    models = {r.row.run_id: r.row.model for r in found.together.runs}
    rows = (
        asdict(pair) | asdict(pair.difference) | {"model_a": models[pair.a], "model_b": models[pair.b]}
        | {"mean_a": means[pair.a], "mean_b": means[pair.b], "difference": pair.difference.mean, "n": found.n}
        for pair in found.pairs
    )  # fmt: skip
    return frame(rows, PAIR_COLUMNS)


def runs(records: Iterable[RunRecord]) -> pd.DataFrame:
    """One row a run, whatever its status."""
    rows = ({"dataset": r.dataset, "split": r.split, "selection": r.selection} | run_values(r.row) for r in records)
    return frame(rows, {**WHERE_COLUMNS, **RUN_COLUMNS})


def samples(database: Path, record: RunRecord, metric: str, order: reader.Order) -> pd.DataFrame:
    """One row a finished sample, with a column for each measure of the metric."""
    found = reader.samples(database, record.row.run_id, metric, order)
    measures = list(dict.fromkeys(m for sample in found for m in sample.scores))
    rows = ({name: getattr(s, name) for name in SAMPLE_COLUMNS} | dict(s.scores) for s in found)
    return frame(rows, SAMPLE_COLUMNS, measures)


def scores(database: Path, record: RunRecord, metric: str) -> pd.DataFrame:
    """One row a sample, the sample's id as index, a column for each measure."""
    found = reader.samples(database, record.row.run_id, metric)
    measures = list(dict.fromkeys(m for sample in found for m in sample.scores))
    rows = ({"sample_id": s.sample_id} | dict(s.scores) for s in found if s.scores)
    return frame(rows, {"sample_id": "string"}, measures).set_index("sample_id")


def findings(records: Iterable[RunRecord]) -> pd.DataFrame:
    """One row a finding of the checks."""
    rows = (
        {"run_id": r.row.run_id, "model": r.row.model} | {name: getattr(f, name) for name in list(FINDING_COLUMNS)[2:]}
        for r in records
        for f in r.row.findings
    )
    return frame(rows, FINDING_COLUMNS)


def curve(points: Mapping[str, Sequence[tuple[int, float]]]) -> pd.DataFrame:
    """One row a logged value of a training, in order of steps."""
    rows = [
        {"step": step, "measure": measure, "value": value} for measure, many in points.items() for step, value in many
    ]
    return frame(sorted(rows, key=lambda row: row["step"]), CURVE_COLUMNS)
