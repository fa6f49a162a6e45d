"""What a report says, gathered from a results database and from nothing else."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path

from dsum_bench.dialogue import split_turns
from dsum_bench.languages import DEFAULTS
from dsum_bench.report.figures import Group, Spread, by_length, by_topic, front, mean_of, spread
from dsum_bench.report.text import visible
from dsum_bench.store import reader
from dsum_bench.store.columns import OutputColumns, output_columns, sample_ids, score_columns
from dsum_bench.store.groups import Significance
from dsum_bench.store.ranking import Place, RankedBoard, ranked
from dsum_bench.store.records import Board, BoardRow, RunRecord
from dsum_bench.store.samples import StoredSample, stored_samples
from dsum_bench.store.training import Training, trainings

COSTS = ("seconds", "memory", "params", "money")
LINES = 8
"""Runs drawn as lines of one chart, besides the best control: more cannot be told apart by colour."""
TEXT_METRIC = "text"

Columns = Mapping[tuple[str, str], "array[float]"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One run of a board. label: unlike any other on the board. costs: what it took -> how much, where measured.
    front: the costs in which it is on the Pareto front of the board's models."""

    place: Place
    label: str
    costs: Mapping[str, float]
    front: frozenset[str] = frozenset()

    @property
    def row(self) -> BoardRow:
        return self.place.row

    def interval(self, measure: str) -> tuple[float, float] | None:
        """The 95 % interval of a mean; None where there are too few samples for one."""
        ends = self.row.intervals.get(measure)
        return ends if ends is not None and all(map(isfinite, ends)) else None


@dataclass(frozen=True, slots=True)
class GroupMean:
    """Mean of one run over the samples of a group."""

    run_id: str
    group: str
    n: int
    mean: float


@dataclass(frozen=True, slots=True)
class PairDifference:
    """Run a minus run b. p: corrected for all pairs of the board. apart: whether they can be told apart."""

    a: str
    b: str
    difference: float
    p: float
    apart: bool


@dataclass(frozen=True, slots=True)
class BoardContent:
    """A board with all that is drawn of it.

    key: its name on the page. texts: key of its texts. measure: the one that ranks. control: the best control.
    scores: run -> measure -> values in the order of the texts' ids. spreads: (run, value) -> quantiles.
    """

    key: str
    texts: str
    board: Board
    measure: str
    runs: tuple[Ranked, ...]
    control: Ranked | None
    scores: Mapping[str, Mapping[str, array[float]]] = field(repr=False)
    spreads: Mapping[tuple[str, str], Spread] = field(repr=False)
    topics: tuple[GroupMean, ...] = ()
    lengths: tuple[GroupMean, ...] = ()
    pairs: tuple[PairDifference, ...] = ()
    significance: Significance | None = None

    @property
    def title(self) -> str:
        board = self.board
        return f"{board.dataset} {board.split}, {board.selection}, {board.n} dialogue{'s' * (board.n != 1)}"


@dataclass(frozen=True, slots=True)
class Texts:
    """Dialogues, references and what the runs wrote, for the boards that share them.

    samples: in the order of ids; None where the database keeps none of it.
    """

    key: str
    ids: tuple[str, ...]
    samples: tuple[StoredSample | None, ...]
    outputs: Mapping[str, OutputColumns]


@dataclass(frozen=True, slots=True)
class Content:
    """A whole report. labels: run -> what it is called outside of a board."""

    boards: tuple[BoardContent, ...]
    texts: tuple[Texts, ...]
    runs: tuple[RunRecord, ...]
    labels: Mapping[str, str]
    trainings: tuple[Training, ...]


def gather(path: Path, metric: str | None = None, dataset: str | None = None, split: str | None = None) -> Content:
    """Everything a report shows.

    Raises:
        UserError: there is no database, or it has no such metric, dataset or split.
    """
    boards = _boards(path, metric, dataset, split)
    sets: dict[tuple[str, str], list[Board]] = {}
    for board in boards:
        sets.setdefault((board.dataset_fingerprint, board.references_fingerprint), []).append(board)
    texts: list[Texts] = []
    contents: dict[int, tuple[Texts, Mapping[str, Columns]]] = {}
    for number, alike in enumerate(sets.values()):
        found, scores = _texts(path, f"t{number}", alike)
        texts.append(found)
        contents |= {id(board): (found, scores) for board in alike}
    records = reader.runs(path)
    prices = {r.row.run_id: r.spec["model"].get("prices") or () for r in records}
    made = tuple(
        _board(f"b{i}", found, *contents[id(board)], prices)
        for i, (board, found) in enumerate(zip(boards, ranked(path, boards), strict=True))
    )
    shown = {row.run_id for board in boards for row in (*board.rows, *board.others)}
    runs = tuple(r for r in records if r.row.run_id in shown)
    labels = {r.row.run_id: r.row.model for r in runs}
    for content in made:
        labels |= {ranked.row.run_id: ranked.label for ranked in content.runs}
    return Content(made, tuple(texts), runs, labels, tuple(trainings(path)))


def _boards(path: Path, metric: str | None, dataset: str | None, split: str | None) -> list[Board]:
    """The boards of every metric, those of the default metric first; what is nowhere ranked once."""
    known = [metric] if metric else reader.metrics(path)
    mains = [metrics[0] for metrics in DEFAULTS.values()]
    known.sort(key=lambda name: (mains.index(name) if name in mains else len(mains), name))
    found: list[Board] = []
    for name in known or [reader.DEFAULT_METRIC]:
        found += [b for b in reader.boards(path, name, dataset, split) if b.rows or name == (known or [name])[0]]
    # Boards of the same dialogues stand together, in the order in which the first metric has them.
    order = {(b.dataset, b.split, b.dataset_fingerprint): i for i, b in reversed(list(enumerate(found)))}
    return sorted(found, key=lambda b: order[b.dataset, b.split, b.dataset_fingerprint])


def _texts(path: Path, key: str, boards: Sequence[Board]) -> tuple[Texts, Mapping[str, Columns]]:
    runs = list(dict.fromkeys(row.run_id for board in boards for row in board.rows))
    ids = tuple(sample_ids(path, runs))
    first = boards[0]
    stored = {s.sample_id: s for s in stored_samples(path, first.dataset_fingerprint, first.references_fingerprint)}
    outputs = dict(output_columns(path, runs, ids))
    scores = dict(score_columns(path, runs, ids))
    return Texts(key, ids, tuple(stored.get(i) for i in ids), outputs), scores


def _board(
    key: str,
    found: RankedBoard,
    texts: Texts,
    columns: Mapping[str, Columns],
    prices: Mapping[str, Sequence[float]],
) -> BoardContent:
    board, measure = found.board, found.measure
    money = {run: _money(output, prices.get(run, ())) for run, output in texts.outputs.items()}
    runs = _with_fronts(_labelled(found.places, money), measure)
    scores = {run.row.run_id: {m: columns[run.row.run_id][board.signature, m] for m in board.measures} for run in runs}
    controls = [run for run in runs if run.row.kind == "control"]
    values = {run: found[measure] for run, found in scores.items()} if measure else {}
    sizes = [s.characters if s else 0 for s in texts.samples]
    lines = {run.row.run_id for run in [r for r in runs if r.row.kind == "model"][:LINES]}
    lines |= {controls[0].row.run_id} if controls else set()
    return BoardContent(
        key,
        texts.key,
        board,
        measure,
        runs,
        controls[0] if controls else None,
        scores,
        _spreads(scores, texts),
        _group_means(values, by_topic([s.topic if s else None for s in texts.samples])),
        _group_means({r: v for r, v in values.items() if r in lines}, by_length(sizes) if any(sizes) else []),
        _pairs(values) if found.significance else (),
        found.significance,
    )


def _pairs(values: Mapping[str, array[float]]) -> tuple[PairDifference, ...]:
    """Every pair of runs, each once. values: run -> its scores, samples in one order."""
    import numpy as np

    from dsum_bench.statistics import AllPairs

    table = np.array([list(column) for column in values.values()])
    table = table[:, ~np.isnan(table).any(axis=0)]
    if not table.shape[1]:
        return ()
    pairs, means, runs = AllPairs(table), table.mean(axis=1), list(values)
    found = []
    for a in range(len(runs) - 1):
        apart = pairs.apart(a, range(a + 1, len(runs)))
        found += [
            PairDifference(
                runs[a], runs[b], float(means[a] - means[b]), pairs.corrected_p(a, b), bool(apart[b - a - 1])
            )
            for b in range(a + 1, len(runs))
        ]
    return tuple(found)


def _labelled(found: Sequence[Place], money: Mapping[str, float]) -> tuple[Ranked, ...]:
    """Places with a label each: the model's name, and as much more as tells it from others of that name."""
    names = [place.row.model for place in found]
    labels: list[str] = []
    for place, name in zip(found, names, strict=True):
        label = visible(name if names.count(name) == 1 else f"{name} ({place.how})", limit=80)
        labels.append(label if label not in labels else f"{label} {place.row.run_id}")
    return tuple(
        Ranked(place, label, _costs(place.row, money[place.row.run_id]))
        for place, label in zip(found, labels, strict=True)
    )


def _money(outputs: OutputColumns, prices: Sequence[float]) -> float:
    """What 1,000 samples cost by their tokens; 0 where there are no prices."""
    tokens = [(p, n) for p, n in zip(outputs.prompt_tokens, outputs.new_tokens, strict=True) if p is not None and n]
    if not prices or not tokens:
        return 0.0
    millions = [sum(column) / len(tokens) / 1e6 for column in zip(*tokens, strict=True)]
    return float(1000 * sum(price * amount for price, amount in zip(prices, millions, strict=True)))


def _costs(row: BoardRow, money: float) -> dict[str, float]:
    found = {
        "seconds": row.seconds_per_sample or 0.0,
        "memory": row.peak_memory / 2**30,
        "params": (row.params or 0) / 1e9,
        "money": money,
    }
    return {name: value for name, value in found.items() if value > 0}


def _with_fronts(runs: Sequence[Ranked], measure: str) -> tuple[Ranked, ...]:
    """Runs with the Pareto fronts they are on. Controls cost next to nothing and are on none."""
    fronts: dict[str, set[str]] = {run.row.run_id: set() for run in runs}
    for cost in COSTS:
        models = [run for run in runs if run.row.kind == "model" and cost in run.costs and measure in run.row.means]
        best = front([(run.costs[cost], run.row.means[measure]) for run in models])
        for place in best:
            fronts[models[place].row.run_id].add(cost)
    return tuple(Ranked(run.place, run.label, run.costs, frozenset(fronts[run.row.run_id])) for run in runs)


def _spreads(scores: Mapping[str, Mapping[str, array[float]]], texts: Texts) -> dict[tuple[str, str], Spread]:
    found = {}
    for run, measures in scores.items():
        outputs = texts.outputs[run]
        written = {
            "characters": [nan if s is None else float(len(s)) for s in outputs.summary],
            "new_tokens": [nan if v is None else float(v) for v in outputs.new_tokens],
            "seconds": [nan if v is None else v for v in outputs.seconds],
        }
        for name, values in (*measures.items(), *written.items()):
            quantiles = spread(values)
            if quantiles is not None:
                found[run, name] = quantiles
    return found


def _group_means(values: Mapping[str, array[float]], groups: Sequence[Group]) -> tuple[GroupMean, ...]:
    found = []
    for group in groups:
        for run, column in values.items():
            mean = mean_of(column, group.members)
            if mean is not None:
                found.append(GroupMean(run, group.name, len(group.members), mean))
    return tuple(found)


def turns_of(sample: StoredSample) -> list[str] | None:
    """The turns of a stored dialogue; None where there is no text."""
    return None if sample.dialogue is None else split_turns(sample.dialogue)
