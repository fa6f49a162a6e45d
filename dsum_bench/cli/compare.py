"""``dsum-bench compare``: whether one run is better than another, or may only look so."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from dsum_bench.cli import formatting
from dsum_bench.cli.board_table import TITLES
from dsum_bench.cli.options import json_option, results_option
from dsum_bench.store import reader
from dsum_bench.store.pairs import Pair, Pairs, paired
from dsum_bench.store.records import RunRecord

LEVEL = 0.05


@click.command()
@click.argument("a")
@click.argument("b")
@results_option
@click.option("--metric", default=reader.DEFAULT_METRIC, show_default=True, help="Metric that both are scored with.")
@click.option("--measure", default="mean", show_default=True, help="Measure of the metric.")
@click.option(
    "--samples", "limit", type=click.IntRange(min=0), default=3, show_default=True, help="Samples that differ most."
)
@json_option
def compare(a: str, b: str, database: Path, metric: str, measure: str, limit: int, as_json: bool) -> None:
    """Compare runs A and B, each a run's key (or its beginning) or the name of a model that has one run.

    Prints the difference of their means with its 95 % interval, the p of a paired permutation test, and the samples
    that differ most.
    """
    from dsum_bench.statistics import compare as test

    first, second = reader.run(database, a), reader.run(database, b)
    pairs = paired(database, first, second, metric, measure)
    found = test([p.first for p in pairs.samples], [p.second for p in pairs.samples])
    most = sorted(pairs.samples, key=lambda p: -abs(p.first - p.second))[:limit]
    if as_json:
        told = asdict(found) | {"signature": pairs.signature, "measure": measure, "samples": [asdict(p) for p in most]}
        names = {key: {"model": r.row.model, "run_id": r.row.run_id} for key, r in (("a", first), ("b", second))}
        formatting.print_json(names | told)
        return
    console = formatting.console()
    gap = found.difference
    verdict = f"they differ (p < {LEVEL})" if found.p < LEVEL else f"they cannot be told apart at {100 * LEVEL:g} %"
    for label, record in (("A", first), ("B", second)):
        mean = sum(p.first if record is first else p.second for p in pairs.samples) / found.n
        console.print(formatting.literal(f"{label}  {mean:6.2f}  {_run(record)}", "bold"))
    console.print(
        formatting.literal(
            f"A - B  {gap.mean:+.2f}, 95 % interval {gap.low:+.2f} to {gap.high:+.2f}, p = {found.p:.4f}\n{verdict}"
        )
    )
    console.print(
        formatting.literal(
            f"A is better on {found.wins} samples, B on {found.losses}; {found.ties} of {found.n} are tied"
        )
    )
    console.print(formatting.literal(f"{TITLES.get(measure, measure)} of {metric}: {pairs.signature}", "dim"))
    _print_samples(most, pairs)


def _print_samples(most: list[Pair], pairs: Pairs) -> None:
    console = formatting.console()
    for pair in most:
        console.print()
        console.print(formatting.literal(f"{pair.sample_id}  A {pair.first:.2f}, B {pair.second:.2f}", "bold"))
        for label, summary in (("A", pair.first_summary), ("B", pair.second_summary)):
            console.print(formatting.literal(f"{label}: {summary or '(empty summary)'}"))


def _run(record: RunRecord) -> str:
    row = record.row
    how = ", ".join(t for t in (row.treatment, row.decoding or "", row.quantization.replace("none", "")) if t)
    return f"{row.model} ({how}; {row.run_id})"
