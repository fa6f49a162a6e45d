"""Combining runs: how long it takes, how often a gain is claimed that is none, and how often one that is. Seeded.

    python -m benchmarks.combining --data dialogsum-ko/dev.csv -o results/reference/combining.md

Scores and summaries are those of ``benchmarks.statistics``: references in which a part of the tokens is replaced. A
study draws its dialogues with replacement, so that the truth is known.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time

import click
import numpy as np

from benchmarks.statistics import VARIANTS, Floats, Generator, read, scores
from dsum_bench.combining import consensus
from dsum_bench.combining.benefit import benefit
from dsum_bench.spec import Sample

CANDIDATES = 16
WEAKER = 8.0
"""Points that the other members lie below the best one where one is best."""

Make = Callable[[Generator, Floats, int, int], tuple[list[Floats], Floats]]


def equals(generator: Generator, pool: Floats, members: int, n: int) -> tuple[list[Floats], Floats]:
    """Members as good as each other, of which one is taken at random for each dialogue."""
    rows = _drawn(generator, pool, members + 1, n)
    taken = rows[generator.integers(0, members, n), np.arange(n)]
    return list(rows[:members]), taken


def fresh(generator: Generator, pool: Floats, members: int, n: int) -> tuple[list[Floats], Floats]:
    """The same, and what is taken are summaries of another system that is just as good."""
    rows = _drawn(generator, pool, members + 1, n)
    return list(rows[:members]), rows[members]


def one_best(generator: Generator, pool: Floats, members: int, n: int) -> tuple[list[Floats], Floats]:
    """One member is far better, and what is taken is as good as it is."""
    rows = _drawn(generator, pool, members + 1, n)
    rows[1:members] -= WEAKER
    return list(rows[:members]), rows[members]


def better(points: float) -> Make:
    """What is taken is better than members that are as good as each other."""

    def make(generator: Generator, pool: Floats, members: int, n: int) -> tuple[list[Floats], Floats]:
        found, taken = fresh(generator, pool, members, n)
        return found, taken + points

    return make


def _drawn(generator: Generator, pool: Floats, count: int, n: int) -> Floats:
    """Scores of systems that write each summary in one of twelve ways, shape (count, n)."""
    dialogues = generator.integers(0, pool.shape[1], n)
    return pool[generator.integers(0, VARIANTS, (count, n)), dialogues]


def claimed(make: Make, pool: Floats, members: int, n: int, studies: int, seed: int) -> float:
    """Share of the studies in which a gain is claimed."""
    found = 0
    for study in range(studies):
        parts, taken = make(np.random.default_rng([seed, study, members, n]), pool, members, n)
        found += benefit(parts, taken).gained
    return found / studies


def seconds(rows: list[tuple[str, str]], metric: str, seed: int) -> float:
    """Processor time of the consensus of CANDIDATES summaries of every dialogue, from the texts on."""
    from dsum_bench.metrics.choose import build
    from dsum_bench.plugins import Plugins
    from dsum_bench.spec import PluginSettings

    generator = np.random.default_rng(seed)
    groups = [[_changed(summary, dialogue, generator) for _ in range(CANDIDATES)] for dialogue, summary in rows]
    built = build(Plugins(PluginSettings(())), metric)
    begun = process_time()
    for texts in groups:
        consensus.mbr(built.pairwise(texts, Sample("", ""))["mean"], [1.0] * CANDIDATES)
    return process_time() - begun


def _changed(summary: str, dialogue: str, generator: Generator) -> str:
    spare = dialogue.split()
    return " ".join(str(generator.choice(spare)) if generator.random() < 0.3 else word for word in summary.split())


NULL: dict[str, Make] = {
    "members alike, one taken at random": equals,
    "members alike, another system as good": fresh,
    "one member far better, result as good as it": one_best,
}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Dialogues and summaries.")
@click.option("--studies", default=1000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Markdown file to write.")
def main(data: Path, studies: int, seed: int, output: Path | None) -> None:
    """Simulate gains and time the consensus."""
    rows = read(data)
    pool = scores(rows, np.random.default_rng(seed))
    lines = [
        "# Combining runs: gains claimed, and time",
        "",
        f"    python -m benchmarks.combining --data FILE --studies {studies} --seed {seed}",
        "",
        f"FILE was {data.parent.name}/{data.name}, {len(rows)} dialogues. What is simulated stands in "
        "`benchmarks/combining.py`.",
        "",
        f"## A gain is claimed, of {studies} studies",
        "",
        "| what is true | members | dialogues | claimed |",
        "|---|---:|---:|---:|",
    ]
    cases = NULL | {f"{points:g} points better than each member": better(points) for points in (1.0, 2.0)}
    for title, make in cases.items():
        for members in (2, 5):
            for n in (100, 499):
                share = claimed(make, pool, members, n, studies, seed)
                lines.append(f"| {title} | {members} | {n} | {100 * share:.1f} % |")
                click.echo(lines[-1])
    lines += [
        "",
        "## Time",
        "",
        f"Consensus (minimum Bayes risk) of {CANDIDATES} summaries of each of {len(rows)} dialogues, from texts to the "
        "choice, on one core:",
        "",
        "| metric | processor seconds |",
        "|---|---:|",
    ]
    for metric in ("rouge@mecab", "rouge-score@mecab"):
        lines.append(f"| `{metric}` | {seconds(rows, metric, seed):.1f} |")
        click.echo(lines[-1])
    if output:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
