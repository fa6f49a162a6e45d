"""Simulation: how often the statistics of a board are wrong, and what they can find. Seeded; minutes on one core.

    python -m benchmarks.statistics --data dialogsum-ko/dev.csv -o results/reference/statistics.md

Scores are ROUGE on Mecab tokens of real references: a system writes a reference in which a part of the tokens, another
part for each sample, is replaced by tokens of the dialogue. A study draws its dialogues with replacement from the file,
so that the true mean of every system is known.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from time import process_time
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from dsum_bench.statistics import ALPHA, AllPairs, compare, groups, mean_intervals
from dsum_bench.statistics.distributions import t_p

Floats = npt.NDArray[np.float64]
Generator = np.random.Generator
Study = Callable[[Generator, Floats, int, int], tuple[Floats, npt.NDArray[np.intp]]]

SIZES = (16, 50, 499)
RUNS = (2, 10, 50)
VARIANTS = 12
ABOUT = """\
What is simulated and how stands in `benchmarks/statistics.py`: systems that write references with
a part of the tokens replaced, as good as each other by construction. `own noise`: each run writes every
summary in one of twelve ways; `three systems`: takes every summary at random from the same three; `twins`: runs in twos
that share nine tenths of their summaries; `half worse`: every other run is far worse."""
CONSTANT = "#Person1#은 #Person2#에게 이야기를 합니다."
SAMPLES_KO = Path(__file__).parents[1] / "dsum_bench" / "datasets" / "samples_ko" / "dev.jsonl"


# -- scores of systems of which the truth is known ---------------------------------------------------------------


def read(path: Path) -> list[tuple[str, str]]:
    """Dialogue and (first) summary of each row of a CSV or JSON Lines file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows: Iterable[dict[str, Any]] = csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file)
        both = [(row["dialogue"], row["summary"]) for row in rows]
    return [(dialogue, summary if isinstance(summary, str) else summary[0]) for dialogue, summary in both]


def scores(rows: Sequence[tuple[str, str]], generator: Generator) -> Floats:
    """Mean ROUGE of each sample's variants, shape (VARIANTS, rows): as good as each other, each with its own noise."""
    from dsum_bench.metrics.tokenizers import Mecab

    cut = Mecab()
    found = np.zeros((VARIANTS, len(rows)))
    for column, (dialogue, summary) in enumerate(rows):
        reference, spare = cut(summary), cut(dialogue)
        share = generator.beta(2, 2)
        for row in range(VARIANTS):
            kept = generator.random(len(reference)) < share
            drawn = generator.choice(spare, size=len(reference))
            written = [r if k else str(d) for r, k, d in zip(reference, kept, drawn, strict=True)]
            found[row, column] = rouge(written, reference)
    return found


def controls(rows: Sequence[tuple[str, str]]) -> Floats:
    """Mean ROUGE of a constant sentence, of the first three turns and of the three longest, shape (3, rows)."""
    from dsum_bench.dialogue import split_turns
    from dsum_bench.metrics.tokenizers import Mecab

    cut = Mecab()
    found = np.zeros((3, len(rows)))
    for column, (dialogue, summary) in enumerate(rows):
        turns = split_turns(dialogue)
        longest = sorted(sorted(range(len(turns)), key=lambda i: -len(turns[i]))[:3])
        texts = (CONSTANT, " ".join(turns[:3]), " ".join(turns[i] for i in longest))
        found[:, column] = [rouge(cut(text), cut(summary)) for text in texts]
    return found


def rouge(written: list[str], reference: list[str]) -> float:
    from dsum_bench.metrics.rouge_core import rouge_scores

    value = rouge_scores(written, reference)
    return 100 * (value.rouge1.f1 + value.rouge2.f1 + value.rougeL.f1) / 3


def dialogues(generator: Generator, variants: Floats, n: int) -> Floats:
    return variants[:, generator.integers(0, variants.shape[1], n)]


def own_noise(generator: Generator, variants: Floats, runs: int, n: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Every run writes each summary in one of twelve ways. Returns values and the number of each run's true mean."""
    drawn = dialogues(generator, variants, n)
    values = np.take_along_axis(drawn, generator.integers(0, VARIANTS, (runs, n)), axis=0)
    return values, np.zeros(runs, dtype=np.intp)


def three_systems(generator: Generator, variants: Floats, runs: int, n: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Every run takes each summary at random from the same three systems."""
    drawn = dialogues(generator, variants, n)
    values = np.take_along_axis(drawn, generator.integers(0, 3, (runs, n)), axis=0)
    return values, np.zeros(runs, dtype=np.intp)


def twins(generator: Generator, variants: Floats, runs: int, n: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Runs come in twos that share all but a tenth of their summaries: differences of very unlike spread."""
    values, truth = own_noise(generator, variants, runs, n)
    for a in range(0, runs - 1, 2):
        same = generator.random(n) > 0.1
        values[a + 1, same] = values[a, same]
    return values, truth


def half_worse(generator: Generator, variants: Floats, runs: int, n: int) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Every other run is far worse, and noisier: a fifth of its summaries are empty."""
    values, truth = own_noise(generator, variants, runs, n)
    worse = np.arange(runs) % 2 == 1
    values[worse] *= generator.random((int(worse.sum()), n)) > 0.2
    truth[worse] = 1
    return values, truth


STUDIES: dict[str, Study] = {
    "own noise": own_noise, "three systems": three_systems, "twins": twins, "half worse": half_worse
}  # fmt: skip


# -- false lines ------------------------------------------------------------------------------------------------


def wrong_lines(values: Floats, truth: npt.NDArray[np.intp]) -> tuple[bool, bool, bool]:
    """Whether a board is wrong: the rule of version 0.1.0 draws a line above a run that is as good as the first of the
    block above; ours does; any pair of runs of the same true mean is told apart by us."""
    order = np.argsort(-values.mean(axis=1), kind="stable")
    ranked, true = values[order], truth[order]
    old = False
    leader = 0
    for i in range(1, len(ranked)):
        if paired_t(ranked[leader] - ranked[i]) < ALPHA:
            old, leader = old or true[leader] == true[i], i
    pairs = AllPairs(ranked, draws=399)
    numbers = groups(pairs)
    firsts = [numbers.index(number) for number in sorted(set(numbers))]
    ours = any((true[below:] == true[first]).any() for first, below in pairwise(firsts))
    index = range(len(ranked))
    pair = any((pairs.apart(i, index[i + 1 :]) & (true[i + 1 :] == true[i])).any() for i in index[:-1])
    return old, ours, pair


def paired_t(difference: Floats) -> float:
    error = difference.std(ddof=1) / np.sqrt(difference.size)
    return t_p(abs(float(difference.mean())) / float(error), difference.size - 1) if error else 1.0


def false_lines(variants: Floats, boards: int, generator: Generator) -> Iterator[str]:
    yield "| board | runs | dialogues | rule of 0.1.0 | blank lines | any pair |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, study in STUDIES.items():
        for runs in RUNS:
            if runs == 2 and study is half_worse:
                continue
            for n in SIZES:
                wrong = np.array([wrong_lines(*study(generator, variants, runs, n)) for _ in range(boards)])
                yield f"| {name} | {runs} | {n} | {' | '.join(f'{100 * w:.1f} %' for w in wrong.mean(axis=0))} |"


# -- coverage ---------------------------------------------------------------------------------------------------


def coverage(variants: Floats, repeats: int, generator: Generator) -> Iterator[str]:
    """Share of studies of which an interval holds the truth: of a mean, and of a difference of two."""
    yield "| dialogues | mean, percentile bootstrap | mean, Student's t | difference, inverted permutation test |"
    yield "|---:|---:|---:|---:|"
    one, other = variants[0], variants[1] * np.linspace(1, 0.6, variants.shape[1])  # the gap differs by sample
    truth, gap = one.mean(), (one - other).mean()
    for n in SIZES:
        old = new = pair = 0
        for _ in range(repeats):
            rows = generator.integers(0, one.size, n)
            value = one[rows]
            low, high = np.quantile(value[generator.integers(0, n, (1000, n))].mean(axis=1), [ALPHA / 2, 1 - ALPHA / 2])
            old += low <= truth <= high
            (interval,) = mean_intervals([value])
            new += interval.low <= truth <= interval.high
            difference = compare(value, other[rows], draws=1000, seed=int(generator.integers(2**31))).difference
            pair += difference.low <= gap <= difference.high
        yield f"| {n} | {' | '.join(f'{100 * hit / repeats:.1f} %' for hit in (old, new, pair))} |"


# -- power ------------------------------------------------------------------------------------------------------


def power(variants: Floats, boards: int, generator: Generator) -> Iterator[str]:
    """Share of the pairs with the one better run that are told apart."""
    yield "| runs | dialogues | smallest difference said | found at it | found at 1.0 | at 2.0 | at 3.0 | at 5.0 |"
    yield "|---:|---:|---:|---:|---:|---:|---:|---:|"
    for runs in RUNS:
        for n in SIZES:
            found, said = np.zeros(5), []
            for _ in range(boards):
                values, _ = own_noise(generator, variants, runs, n)
                smallest = AllPairs(values, draws=199).smallest()
                said.append(smallest.middle if smallest else np.inf)
                # The same noise at every size of the difference. The size said is that of the study before.
                for k, better in enumerate((said[-2:][0], 1.0, 2.0, 3.0, 5.0)):
                    found[k] += _found(values, better)
            shares = " | ".join(f"{100 * share / boards:.0f} %" for share in found)
            yield f"| {runs} | {n} | {np.median(said):.1f} | {shares} |"


def _found(values: Floats, better: float) -> float:
    shifted = values + better * (np.arange(len(values)) == 0)[:, None]
    return float(AllPairs(shifted, draws=199).apart(0, range(1, len(values))).mean())


def spread(variants: Floats, controls: Floats) -> str:
    """The standard error of a paired difference over all the rows there are: of the systems, and of the controls."""
    n = variants.shape[1]
    systems, plain = (
        [(a - b).std(ddof=1) / np.sqrt(n) for a, b in combinations(runs, 2)] for runs in (variants, controls)
    )
    mixed = [(variants[0] - control).std(ddof=1) / np.sqrt(n) for control in controls]
    return (
        f"Standard error of a paired difference over {n} dialogues: {min(systems):.2f} to {max(systems):.2f} between "
        f"the systems, {min(plain):.2f} to {max(plain):.2f} between the controls (a constant sentence, LEAD-3, "
        f"the three longest turns), {min(mixed):.2f} to {max(mixed):.2f} between a system and a control."
    )


# -- the page ---------------------------------------------------------------------------------------------------


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), default=SAMPLES_KO, help="Dialogues and summaries."
)
@click.option("--boards", default=1000, show_default=True, help="Boards of each kind.")
@click.option("--repeats", default=2000, show_default=True, help="Studies for coverage.")
@click.option("--seed", default=1, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Markdown file to write.")
def main(data: Path, boards: int, repeats: int, seed: int, output: Path | None) -> None:
    """Simulate boards, intervals and differences of which the truth is known."""
    began = process_time()
    generator = np.random.default_rng(seed)
    rows = read(data)
    variants = scores(rows, generator)
    data_told = (
        f"FILE was {data.parent.name}/{data.name}: {len(rows)} dialogues, {variants.mean():.1f} points on average."
    )
    lines = [f"{data_told} {spread(variants, controls(rows))}"]
    for title, table in (
        ("Boards with a difference that is not there", false_lines(variants, boards, generator)),
        ("Intervals that hold the truth", coverage(variants, repeats, generator)),
        ("Differences found", power(variants, boards // 5, generator)),
    ):
        lines += ["", f"## {title}", ""]
        click.echo("\n".join(lines[-3:]))
        for line in table:
            click.echo(line)
            lines.append(line)
    lines += ["", f"{process_time() - began:.0f} s of one core."]
    if output:
        told = f"    python -m benchmarks.statistics --data FILE --boards {boards} --repeats {repeats} --seed {seed}"
        text = "\n".join(["# The statistics of a board, simulated", "", told, "", ABOUT, "", *lines])
        output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
