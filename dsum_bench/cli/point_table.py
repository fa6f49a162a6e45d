"""How the points of a sweep over prompts and decodings are printed."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import TYPE_CHECKING, Any

from dsum_bench.cli import formatting
from dsum_bench.figures import difference, seconds

if TYPE_CHECKING:
    from dsum_bench.screening.tables import PointRow, PointTable


def show(table: PointTable, confirmed: bool) -> None:
    """One table, the best point first, and what its figures are corrected for."""
    from rich.table import Table

    title = "Confirmed on held-out samples" if confirmed else "Points of the sweep"
    shown = Table(title=f"{title}: {table.data}, {table.n} samples", title_justify="left")
    models = len({row.model for row in table.rows}) > 1
    shown.add_column("point", overflow="fold")
    shown.add_column(table.measure, justify="right")
    shown.add_column("to the best", overflow="fold")
    shown.add_column("p", justify="right")
    shown.add_column("s/sample", justify="right")
    for row in table.rows:
        name = " ".join(filter(None, [row.model if models or not row.point else "", row.point]))
        gap = row.difference
        shown.add_row(
            formatting.literal(name),
            f"{row.mean:.2f}",
            difference(gap.mean, gap.low, gap.high) if gap is not None else "",
            f"{row.p:.4f}" if row.p is not None else "",
            seconds(row.seconds),
        )
    console = formatting.console()
    console.print(shown)
    if table.pairs > 1:
        told = f"by {table.metric}; intervals and p are corrected for {table.pairs} pairs of {len(table.rows)} points"
        console.print(formatting.literal(told, "dim"))
    if not confirmed and len(table.rows) > 1:
        best = "the best of several points is biased upwards by the selection: score it on other samples (--confirm-on)"
        console.print(formatting.literal(best, "dim"))


def as_object(table: PointTable) -> dict[str, Any]:
    """For a program. An end of an interval that is infinite is null."""
    return asdict(table) | {"rows": [_row(row) for row in table.rows]}


def _row(row: PointRow) -> dict[str, Any]:
    found = asdict(row)
    if found["difference"] is not None:
        found["difference"] = {k: v if isfinite(v) else None for k, v in found["difference"].items()}
    return found
