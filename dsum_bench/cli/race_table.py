"""How a race is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsum_bench.cli import formatting

if TYPE_CHECKING:
    from dsum_bench.screening.race import RaceRow, RaceTable


def show(table: RaceTable) -> None:
    """One table, the winner first, and how much was generated."""
    from rich.table import Table

    shown = Table(title=f"Race over {table.samples} samples, by {table.metric}", title_justify="left")
    shown.add_column("candidate", overflow="fold")
    shown.add_column("samples", justify="right")
    shown.add_column("mean", justify="right")
    shown.add_column("ended", overflow="fold")
    for row in table.rows:
        mean = "" if row.why == "failed" else f"{row.mean:.2f}"
        shown.add_row(formatting.literal(f"{row.model} {row.point}".rstrip()), str(row.n), mean, _told(row))
    console = formatting.console()
    console.print(shown)
    share = 100 * table.generated / table.full
    told = (
        f"{table.generated} of {table.full} samples ({share:.0f} %); p are one-sided, corrected for rivals and rounds; "
        "means of different samples are not comparable"
    )
    console.print(formatting.literal(told, "dim"))
    winner = table.rows[0] if table.rows and table.rows[0].why == "won" else None
    if winner is not None and winner.n < table.samples:
        text = f"screen {winner.model} without --race to score it on all {table.samples}; existing outputs are reused"
        console.print(formatting.literal(text, "dim"))


def _told(row: RaceRow) -> str:
    if row.why == "behind":
        return f"{row.behind:.2f} behind, p = {row.p:.4f}"
    if row.why == "budget":
        return f"{row.behind:.2f} behind, not significant (p = {row.p:.4f}): over the budget of the next round"
    return row.why
