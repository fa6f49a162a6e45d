"""The report's charts one by one: for papers and slides, for notebooks, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError, suggestion
from dsum_bench.report.charts import CHARTS, DARK, LIGHT, finished
from dsum_bench.report.content import COSTS, BoardContent, Content, GroupMean, Ranked
from dsum_bench.report.words import Language, say

if TYPE_CHECKING:
    import altair as alt

Rows = list[dict[str, Any]]

WIDTH, STEP = 560, 22
FORMATS = (".svg", ".png", ".pdf", ".html", ".json")
SCALE = 2
"""Pixels of a PNG for each of the chart's."""


def forest_rows(board: BoardContent) -> Rows:
    """Mean and interval of every run, the best first."""
    control = board.control.row.means.get(board.measure) if board.control else None
    return [_scored(board, run) | {"control": control} for run in board.runs if board.measure in run.row.means]


def _scored(board: BoardContent, run: Ranked) -> dict[str, Any]:
    mean = run.row.means[board.measure]
    low, high = run.interval(board.measure) or (mean, mean)
    return {"label": run.label, "mean": mean, "low": low, "high": high, "kind": run.row.kind}


def tradeoff_rows(board: BoardContent, cost: str) -> Rows:
    """Quality and one cost of every model that has it."""
    return [
        _scored(board, run) | {"x": run.costs[cost], "front": cost in run.front}
        for run in board.runs
        if run.row.kind == "model" and cost in run.costs and board.measure in run.row.means
    ]


def distribution_rows(board: BoardContent, value: str) -> Rows:
    """Quantiles of a measure, of ``characters``, ``new_tokens`` or ``seconds`` over the samples."""
    found = []
    for run in board.runs:
        spread = board.spreads.get((run.row.run_id, value))
        if spread is not None:
            found.append({"label": run.label, "kind": run.row.kind} | asdict(spread))
    return found


def matrix_rows(board: BoardContent) -> Rows:
    """Every pair twice, once from each side."""
    order = {run.row.run_id: (place, run.label) for place, run in enumerate(board.runs)}
    rows = []
    for pair in board.pairs:
        for a, b, sign in ((pair.a, pair.b, 1), (pair.b, pair.a, -1)):
            names = {"a": order[a][1], "b": order[b][1], "order_a": order[a][0], "order_b": order[b][0]}
            rows.append(names | {"difference": sign * pair.difference, "p": pair.p, "apart": pair.apart})
    return rows


def group_rows(board: BoardContent, means: Sequence[GroupMean]) -> Rows:
    """Means by topic or by length."""
    order = {run.row.run_id: (place, run.label) for place, run in enumerate(board.runs)}
    groups = list(dict.fromkeys(mean.group for mean in means))
    return [
        {
            "label": order[m.run_id][1],
            "order": order[m.run_id][0],
            "group": m.group,
            "group_order": groups.index(m.group),
            "n": m.n,
            "mean": m.mean,
        }
        for m in means
    ]


def curve_rows(content: Content, measure: str) -> Rows:
    """One measure of every training by step."""
    return [
        {"label": t.id, "step": step, "value": value}
        for t in content.trainings
        for step, value in t.curve.get(measure, ())
    ]


PLOTS = ("forest", "tradeoff", "distribution", "matrix", "topics", "lengths", "curve")
_OF_BOARD: Mapping[str, Callable[[BoardContent, str], Rows]] = {
    "forest": lambda board, _: forest_rows(board),
    "tradeoff": tradeoff_rows,
    "distribution": distribution_rows,
    "matrix": lambda board, _: matrix_rows(board),
    "topics": lambda board, _: group_rows(board, board.topics),
    "lengths": lambda board, _: group_rows(board, board.lengths),
}
_DEFAULTS = {"tradeoff": "seconds", "curve": "loss"}


def plot_rows(content: Content, what: str, value: str | None = None) -> Rows:
    """The rows of a plot of the first board.

    value: cost of a tradeoff (seconds, memory, params, money), what a distribution is of, measure of a curve.

    Raises:
        UserError: no such plot, or nothing to draw.
    """
    if what not in PLOTS:
        raise UserError(f"there is no plot '{what}'{suggestion(what, PLOTS)}; there are {', '.join(PLOTS)}")
    if what == "curve":
        rows = curve_rows(content, value or _DEFAULTS[what])
        known = {measure for t in content.trainings for measure in t.curve}
    else:
        if not content.boards or not content.boards[0].runs:
            raise UserError("nothing is ranked yet: run `dsum-bench screen` first")
        board = content.boards[0]
        rows = _OF_BOARD[what](board, value or _DEFAULTS.get(what, board.measure))
        values = {"tradeoff": set(COSTS), "distribution": {name for _, name in board.spreads}}
        known = values.get(what, set())
    if not rows:
        there = f"; there are {', '.join(sorted(known))}" if known else ""
        raise UserError(f"there is nothing to draw for {what}{f' of {value}' if value else ''}{there}")
    return rows


def make_chart(
    content: Content, what: str, value: str | None = None, language: Language = "en", dark: bool = False
) -> alt.LayerChart:
    """A plot as an Altair chart, which a notebook shows by itself. Raises UserError as ``plot_rows``."""
    import altair as alt

    rows = plot_rows(content, what, value)
    name = {"topics": "heat"}.get(what, what)
    spec = CHARTS[name](alt.Data(values=rows)).to_dict(validate=False)
    if all(row.get("control") is None for row in rows):
        spec["layer"] = [layer for layer in spec["layer"] if layer.get("name") != "control"]
    if isinstance(spec["height"], dict):
        spec["height"] = STEP * len({row.get("label", row.get("a")) for row in rows})
    spec |= {"width": WIDTH, "autosize": {"type": "pad"}, "background": "#1b1e24" if dark else "white"}
    titles = _titles(content, what, value, language)
    return alt.LayerChart.from_dict(finished(spec, language, DARK if dark else LIGHT, titles))


def save_plot(chart: Any, file: Path) -> Path:
    """Write a chart as SVG, PNG, PDF, HTML or Vega-Lite, by the file's ending.

    Raises:
        UserError: another ending, or the file cannot be written.
    """
    if file.suffix.lower() not in FORMATS:
        raise UserError(f"{file}: a plot's file must end in {', '.join(FORMATS)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix.lower() == ".html":
            chart.save(str(file), inline=True)
        else:
            chart.save(str(file), scale_factor=SCALE if file.suffix.lower() == ".png" else 1)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from None
    return file


def _titles(content: Content, what: str, value: str | None, language: Language) -> dict[str, str]:
    if what == "curve":
        return {}
    measure = content.boards[0].measure
    titles = {"axis.score": measure}
    if what == "tradeoff":
        titles["axis.cost"] = say(f"cost.{value or _DEFAULTS[what]}", language=language)
    if what == "distribution":
        titles["axis.value"] = value or measure
    return titles
