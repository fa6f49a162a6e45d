"""A judgement for people to read, and as JSON."""

from __future__ import annotations

from math import isfinite, isnan
from typing import Any

from rich import box
from rich.table import Table

from dsum_bench.cli import formatting
from dsum_bench.cli.votes import print_tally
from dsum_bench_judge.results import OVERALL, Cost, Judgement


def print_judgement(result: Judgement) -> None:
    """Print marks, choices and cost for people to read."""
    console = formatting.console()
    if result.marked:
        console.print(formatting.literal(f"marks of {result.judge} (1 to 5) on {result.dialogues} dialogues", "bold"))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        names = [name for name in result.marked[0].means if name != OVERALL]
        for title in ("run", *names, OVERALL, "95 %", "n"):
            table.add_column(title, justify="left" if title == "run" else "right")
        for row in result.marked:
            whole = row.means[OVERALL]
            ends = f"{whole.low:.2f}-{whole.high:.2f}" if isfinite(whole.low) else ""
            values = [f"{row.means[name].mean:.2f}" for name in (*names, OVERALL)]
            table.add_row(formatting.literal(row.run), *values, ends, str(row.n))
        console.print(table)
        if not isnan(result.length_tau):
            told = f"marks and length within runs: Kendall's tau {result.length_tau:+.2f} (0: length does not matter)"
            console.print(formatting.literal(told))
        console.print()
    if result.tally is not None:
        print_tally(result.tally)
    for line in _cost(result.cost):
        console.print(formatting.literal(line, "dim"))


def _cost(cost: Cost) -> list[str]:
    price = f", cost {cost.price:.4f}" if cost.price is not None else ""
    lines = [
        f"{cost.questions} questions: {cost.asked} asked now, {cost.kept} answered before; "
        f"{cost.prompt_tokens:,} prompt and {cost.new_tokens:,} output tokens in all{price}"
    ]
    if cost.unread:
        lines.append(f"{cost.unread} answers hold no verdict and are left out; a judge that thinks needs --max-tokens")
    if cost.unanswered:
        lines.append(f"{cost.unanswered} questions have no answer yet")
    return lines


def plain(value: Any) -> Any:
    """value with None for NaN and infinite numbers, which JSON does not have."""
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not isfinite(value) else value
