"""The charts, declared with Vega-Altair: one function a chart, from rows to a chart.

Page and plots share them. Titles that begin with ``t:`` are keys of ``words`` and are put into a language when the
chart is drawn, colours that begin with ``c:`` are names in a theme.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsum_bench.report.words import WORDS, Language

if TYPE_CHECKING:
    import altair as alt

Rows = Sequence[Mapping[str, object]]

LABEL_LIMIT = 190
ROW = 22
KINDS = ["model", "control"]
LIGHT = {
    "text": "#1b1e23", "muted": "#59616d", "line": "#dfe2e7", "accent": "#2456c4", "control": "#7b8390",
    "front": "#b3470b", "low": "#b3470b", "middle": "#f4f4f2", "high": "#2456c4",
}  # fmt: skip
DARK = {
    "text": "#e7e9ed", "muted": "#a3abb7", "line": "#343a44", "accent": "#8fb4ff", "control": "#98a1ae",
    "front": "#ffab70", "low": "#ffab70", "middle": "#2a2e36", "high": "#8fb4ff",
}  # fmt: skip
CATEGORY = [
    "#4c78ff", "#d9702b", "#1a9a80", "#a06bff", "#b8921a", "#e04f8a", "#74a02f", "#1f9cc2", "#b07d5b", "#8a93a1",
]  # fmt: skip
"""Readable on light and dark ground."""


def forest(data: Any) -> alt.LayerChart:
    """Means with their 95 % intervals, one line a run in the order of the board, and the best control as a rule.

    Rows: label, mean, low, high, kind, control (mean of the best control, or null).
    """
    import altair as alt

    y = alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=LABEL_LIMIT))
    kind = alt.Color("kind:N", scale=alt.Scale(domain=KINDS, range=["c:accent", "c:control"]), legend=None)
    base = alt.Chart(data).encode(y=y)
    x = alt.X("low:Q", title="t:axis.score", scale=alt.Scale(zero=False))
    intervals = base.mark_rule(strokeWidth=2).encode(x=x, x2="high:Q", color=kind)
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x="mean:Q",
        color=kind,
        shape=alt.Shape("kind:N", scale=alt.Scale(domain=KINDS, range=["circle", "diamond"]), legend=None),
        tooltip=["label:N", alt.Tooltip("mean:Q", format=".2f"), *_interval()],
    )
    control = (
        alt.Chart(data)
        .mark_rule(strokeDash=[4, 4], color="c:control")
        .encode(x="mean(control):Q")
        .properties(name="control")
    )
    return _sized(control + intervals + points, alt.Step(ROW))


def tradeoff(data: Any) -> alt.LayerChart:
    """Quality against a cost on a logarithmic axis, the Pareto front joined.

    Rows: label, x (cost), mean, low, high, kind, front (whether it is on the front).
    """
    import altair as alt

    base = alt.Chart(data)
    x = alt.X(
        "x:Q",
        title="t:axis.cost",
        scale=alt.Scale(type="log", nice=False, padding=24),
        axis=alt.Axis(tickCount=6, grid=False),
    )
    y = alt.Y("mean:Q", title="t:axis.score", scale=alt.Scale(zero=False, padding=12))
    joined = (
        base.transform_filter("datum.front").mark_line(interpolate="step-after", color="c:front", strokeDash=[5, 3])
    ).encode(x=x, y=y, order="x:Q")
    whiskers = base.mark_rule(opacity=0.45, color="c:accent").encode(
        x=x, y=alt.Y("low:Q", title="t:axis.score"), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=x,
        y=y,
        color=alt.condition("datum.front", alt.value("c:front"), alt.value("c:accent")),
        shape=alt.condition("datum.front", alt.value("triangle-up"), alt.value("circle")),
        tooltip=["label:N", alt.Tooltip("x:Q", format=".3~s"), alt.Tooltip("mean:Q", format=".2f"), *_interval()],
    )
    names = (
        base.transform_filter("datum.front")
        .mark_text(align="left", dx=9, dy=-9, color="c:text", limit=LABEL_LIMIT)
        .encode(x=x, y=y, text="label:N")
    )
    return _sized(joined + whiskers + points + names, 340)


def distribution(data: Any) -> alt.LayerChart:
    """Middle half, median and the 5 to 95 % range of one value over the samples, one line a run.

    Rows: label, kind, low, quarter, median, three_quarters, high, mean.
    """
    import altair as alt

    y = alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=LABEL_LIMIT))
    kind = alt.Color("kind:N", scale=alt.Scale(domain=KINDS, range=["c:accent", "c:control"]), legend=None)
    base = alt.Chart(data).encode(y=y, color=kind)
    ranges = base.mark_rule().encode(x=alt.X("low:Q", title="t:axis.value"), x2="high:Q")
    middle = base.mark_bar(height=11, opacity=0.55).encode(
        x="quarter:Q",
        x2="three_quarters:Q",
        tooltip=["label:N", *(alt.Tooltip(f"{n}:Q", format=".2f") for n in ("median", "mean", "low", "high"))],
    )
    medians = base.mark_tick(thickness=2.5, size=15, color="c:text").encode(x="median:Q", color=alt.value("c:text"))
    return _sized(ranges + middle + medians, alt.Step(ROW))


def heat(data: Any) -> alt.LayerChart:
    """Mean score of every run in every group of samples. Rows: label, group, n, mean, order, group_order."""
    import altair as alt

    base = alt.Chart(data).encode(
        x=alt.X(
            "group:N", sort=alt.SortField("group_order"), title=None, axis=alt.Axis(labelAngle=-40, labelLimit=120)
        ),
        y=alt.Y("label:N", sort=alt.SortField("order"), title=None, axis=alt.Axis(labelLimit=LABEL_LIMIT)),
    )
    cells = base.mark_rect(stroke="c:line").encode(
        color=alt.Color(
            "mean:Q", title="t:axis.score", scale=alt.Scale(range=["c:middle", "c:high"], interpolate="rgb", zero=False)
        ),
        tooltip=["label:N", "group:N", "n:Q", alt.Tooltip("mean:Q", format=".2f")],
    )
    return _sized(alt.layer(cells), alt.Step(ROW))


def lengths(data: Any) -> alt.LayerChart:
    """Mean score by the length of the dialogue, one line a run. Rows: label, group, group_order, n, mean, order."""
    import altair as alt

    base = alt.Chart(data).encode(
        x=alt.X("group:N", sort=alt.SortField("group_order"), title="t:axis.characters", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("mean:Q", title="t:axis.score", scale=alt.Scale(zero=False)),
        color=alt.Color(
            "label:N",
            sort=alt.SortField("order"),
            title=None,
            scale=alt.Scale(range=CATEGORY),
            legend=alt.Legend(orient="bottom", columns=2, labelLimit=LABEL_LIMIT),
        ),
    )
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        tooltip=["label:N", "group:N", "n:Q", alt.Tooltip("mean:Q", format=".2f")]
    )
    return _sized(base.mark_line() + points, 280)


def matrix(data: Any) -> alt.LayerChart:
    """Row run against column run: the difference of their means, with a dot where they can be told apart.

    Rows: a, b, difference (a minus b), p, apart, order_a, order_b.
    """
    import altair as alt

    base = alt.Chart(data).encode(
        x=alt.X(
            "b:N",
            sort=alt.SortField("order_b"),
            title=None,
            axis=alt.Axis(orient="top", labelAngle=-40, labelLimit=120),
        ),
        y=alt.Y("a:N", sort=alt.SortField("order_a"), title=None, axis=alt.Axis(labelLimit=LABEL_LIMIT)),
    )
    cells = base.mark_rect(stroke="c:line").encode(
        color=alt.Color(
            "difference:Q",
            title="t:axis.difference",
            scale=alt.Scale(range=["c:low", "c:middle", "c:high"], interpolate="rgb", domainMid=0),
        ),
        tooltip=["a:N", "b:N", alt.Tooltip("difference:Q", format="+.2f"), alt.Tooltip("p:Q", format=".4f")],
    )
    dots = base.transform_filter("datum.apart").mark_point(filled=True, size=16, color="c:text", opacity=1).encode()
    return _sized(cells + dots, alt.Step(ROW))


def curve(data: Any) -> alt.LayerChart:
    """One measure of trainings by step. Rows: label, step, value."""
    import altair as alt

    base = alt.Chart(data).encode(
        x=alt.X("step:Q", title="t:axis.step", axis=alt.Axis(tickMinStep=1)),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
        color=alt.Color(
            "label:N",
            sort=None,
            title=None,
            scale=alt.Scale(range=CATEGORY),
            legend=alt.Legend(orient="bottom", columns=1, labelLimit=260),
        ),
    )
    points = base.mark_point(filled=True, size=20, opacity=1).encode(
        tooltip=["label:N", "step:Q", alt.Tooltip("value:Q", format=".5~g")]
    )
    return _sized(base.mark_line() + points, 200)


CHARTS: Mapping[str, Callable[[Any], Any]] = {
    "forest": forest,
    "tradeoff": tradeoff,
    "distribution": distribution,
    "heat": heat,
    "lengths": lengths,
    "matrix": matrix,
    "curve": curve,
}


def specs() -> dict[str, Any]:
    """Vega-Lite of every chart, each with its rows to be filled in as data set ``rows``."""
    import altair as alt

    data = alt.NamedData(name="rows")
    return {name: make(data).to_dict(validate=False) for name, make in CHARTS.items()}


def finished(spec: Any, language: Language, theme: Mapping[str, str], titles: Mapping[str, str] | None = None) -> Any:
    """A chart's specification with words and colours in place of their keys. titles: key -> title of this chart."""
    if isinstance(spec, dict):
        return {key: finished(value, language, theme, titles) for key, value in spec.items()}
    if isinstance(spec, list):
        return [finished(value, language, theme, titles) for value in spec]
    if isinstance(spec, str) and spec.startswith("t:"):
        return (titles or {}).get(spec[2:]) or WORDS[spec[2:]][language]
    return theme[spec[2:]] if isinstance(spec, str) and spec.startswith("c:") else spec


def _interval() -> list[Any]:
    import altair as alt

    return [alt.Tooltip("low:Q", format=".2f"), alt.Tooltip("high:Q", format=".2f")]


def _sized(chart: Any, height: Any) -> Any:
    import altair as alt

    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    return chart.properties(width="container", height=height, autosize=fit)
