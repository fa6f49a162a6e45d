"""The outlook of submissions on hidden splits of which the truth is known. Seeded.

    python -m benchmarks.submissions --data dialogsum-ko/dev.csv -o results/reference/submissions.md

Scores are those of ``benchmarks.statistics``: references in which a part of the tokens is replaced. A study draws
dialogues for a local, a public and a private part, and submissions that differ in quality. What the board scores is
not what is scored here: it has another scale and offset, other references (noise for each dialogue), and every
submission has an advantage or disadvantage there of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.statistics import VARIANTS, Floats, Generator, read, scores
from dsum_bench.submissions.outlook import outlook

LOCAL, PUBLIC, PRIVATE = 499, 250, 249
OFFSET, REFERENCES = 4.0, 6.0


@dataclass(frozen=True, slots=True)
class Case:
    """count: submissions. quality: spread of their true quality here, in points. own: spread of what each has for
    itself on the board. slope: points of the board for a point here."""

    title: str
    count: int
    quality: float
    own: float
    slope: float


CASES = (
    Case("8 submissions, 1 point apart", 8, 1.0, 0.5, 0.9),
    Case("12 submissions, 1 point apart", 12, 1.0, 0.5, 0.9),
    Case("12 submissions, half a point apart", 12, 0.5, 0.5, 0.9),
    Case("12 submissions, 2 points apart", 12, 2.0, 0.5, 0.9),
    Case("12 submissions, the board measures something else", 12, 1.0, 1.5, 0.6),
    Case("30 submissions, 1 point apart", 30, 1.0, 0.5, 0.9),
)


def study(generator: Generator, pool: Floats, case: Case) -> tuple[Floats, Floats, Floats]:
    """Local scores, shape (submissions, dialogues), and means on the public and the private part."""
    quality = generator.normal(0, case.quality, case.count)
    own = generator.normal(0, case.own, case.count)

    def part(n: int) -> Floats:
        dialogues = generator.integers(0, pool.shape[1], n)
        found: Floats = pool[generator.integers(0, VARIANTS, (case.count, n)), dialogues] + quality[:, None]
        return found

    def board(n: int) -> Floats:
        noise = generator.normal(0, REFERENCES, (case.count, n))
        means: Floats = (OFFSET + case.slope * part(n) + own[:, None] + noise).mean(axis=1)
        return means

    return part(LOCAL), board(PUBLIC), board(PRIVATE)


Chosen = Callable[[Floats, Floats], tuple[int, ...]]
RULES: dict[str, Chosen] = {
    "two best in public": lambda local, public: tuple(np.argsort(-public)[:2]),
    "two best here": lambda local, public: tuple(np.argsort(-local.mean(axis=1))[:2]),
    "best in public, best here": lambda local, public: (int(public.argmax()), int(local.mean(axis=1).argmax())),
}


Told = dict[str, tuple[float, float, float, float]]


def simulate(pool: Floats, case: Case, studies: int, seed: int) -> tuple[float, Told]:
    """Share of private scores inside their 90 % intervals; and for each rule how often the better of its two beats,
    equals and loses to the best in public on the private part, and by how many points on average."""
    inside = total = 0
    gaps: dict[str, list[float]] = {}
    for number in range(studies):
        local, public, private = study(np.random.default_rng([seed, number, case.count]), pool, case)
        found = outlook(local, list(public), PUBLIC, PRIVATE)
        inside += sum(p.low <= v <= p.high for p, v in zip(found.prospects, private, strict=True))
        total += case.count
        pairs = {"chosen by the outlook": found.chosen} | {name: rule(local, public) for name, rule in RULES.items()}
        pairs["the best there is, which nobody knows"] = (int(private.argmax()),)
        for name, pair in pairs.items():
            gaps.setdefault(name, []).append(float(private[list(pair)].max() - private[public.argmax()]))
    told = {}
    for name, values in gaps.items():
        gap = np.array(values)
        told[name] = (float((gap > 0).mean()), float((gap == 0).mean()), float((gap < 0).mean()), float(gap.mean()))
    return inside / total, told


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Dialogues and summaries.")
@click.option("--studies", default=500, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Markdown file to write.")
def main(data: Path, studies: int, seed: int, output: Path | None) -> None:
    """Simulate hidden splits."""
    rows = read(data)
    pool = scores(rows, np.random.default_rng(seed))
    lines = [
        "# Submissions: hidden scores foretold, and which two to choose",
        "",
        f"    python -m benchmarks.submissions --data FILE --studies {studies} --seed {seed}",
        "",
        f"FILE was {data.parent.name}/{data.name}. {studies} studies a line; {LOCAL} dialogues here, {PUBLIC} in "
        f"public, {PRIVATE} hidden. What is simulated stands in `benchmarks/submissions.py`.",
        "",
        "| case | private scores inside their 90 % intervals |",
        "|---|---:|",
    ]
    table = [
        "",
        "The better of the two chosen on the hidden part against the best in public there:",
        "",
        "| case | rule | better | the same | worse | points on average |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case in CASES:
        inside, told = simulate(pool, case, studies, seed)
        lines.append(f"| {case.title} | {100 * inside:.1f} % |")
        click.echo(lines[-1])
        for name, (better, same, worse, mean) in told.items():
            shares = " | ".join(f"{100 * v:.0f} %" for v in (better, same, worse))
            table.append(f"| {case.title} | {name} | {shares} | {mean:+.2f} |")
            click.echo(table[-1])
    if output:
        output.write_text("\n".join([*lines, *table]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
