"""``python -m benchmarks.facts``: does the metric ``facts`` see errors that were planted?"""

from __future__ import annotations

import csv
import json
import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, quantiles
from time import process_time

import click

from benchmarks.planted import PLANTS
from dsum_bench.metrics.facts.metric import Facts
from dsum_bench.metrics.rouge import Rouge
from dsum_bench.metrics.tokenizers import Mecab
from dsum_bench.spec import Sample

SHIPPED = Path(__file__).parents[1] / "dsum_bench" / "datasets" / "samples_ko"
SOFT = {"polarity", "speakers"}
"""Measures that are a probability; of the others any value below 100 is an alarm."""
ALARMS = 0.05


@dataclass(slots=True)
class Found:
    """Values of one measure on summaries as they were, and with the error planted; ``*_mean`` of the metric's mean.

    rouge: what a summary with the error scores against itself without it.
    """

    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    before_mean: list[float] = field(default_factory=list)
    after_mean: list[float] = field(default_factory=list)
    rouge: list[float] = field(default_factory=list)


def auc(before: Sequence[float], after: Sequence[float]) -> float:
    """Probability that a summary scores higher as it was than another with the error; ties count one half."""
    ordered = sorted(after)
    wins = sum((bisect_left(ordered, x) + bisect_right(ordered, x)) / 2 for x in before)
    return wins / (len(before) * len(after))


def limit(measure: str, before: Sequence[float]) -> float:
    """The value up to which a summary is flagged: anything below 100, or what flags at most 5 % of the unchanged."""
    if measure not in SOFT:
        return 100 - 1e-9
    rank = int(ALARMS * len(before))
    return sorted(before)[rank] - 1e-9


def rows(path: Path) -> Iterator[tuple[str, str]]:
    """Dialogues and summaries of a CSV or JSON lines file; each of several references is a pair of its own."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as lines:
            yield from ((row["dialogue"], row["summary"]) for row in csv.DictReader(lines))
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        several = row["summary"] if isinstance(row["summary"], list) else [row["summary"]]
        yield from ((row["dialogue"], summary) for summary in several)


def measure(metric: Facts, pairs: Sequence[tuple[str, str]], seed: int) -> tuple[dict[str, Found], list[float]]:
    """Values by kind of error, and the processor seconds of each summary, its dialogue read for the first time."""
    found = {kind: Found() for kind in PLANTS}
    rouge = Rouge(Mecab())
    seconds = []
    metric.score("수아는 세 시에 옵니다.", Sample("", "#Person1#: 네."))  # dictionaries are opened when first needed
    for i, (dialogue, summary) in enumerate(pairs):
        began = process_time()
        clean = metric.score(summary, Sample(str(i), dialogue + " "))  # a space: not read before
        seconds.append(process_time() - began)
        for kind, (name, plant) in PLANTS.items():
            changed = plant(summary, dialogue, random.Random(f"{seed} {i} {kind}"))
            if changed is None or changed == summary:
                continue
            wrong = metric.score(changed, Sample(str(i), dialogue))
            found[kind].before.append(clean[name])
            found[kind].after.append(wrong[name])
            found[kind].before_mean.append(clean["mean"])
            found[kind].after_mean.append(wrong["mean"])
            found[kind].rouge.append(rouge.score(changed, Sample("", "", (summary,)))["mean"])
    return found, seconds


def table(found: dict[str, Found]) -> list[str]:
    """Lines of a markdown table."""
    lines = [
        "| planted | measure | summaries | found | false alarms | AUC | AUC of `mean` | ROUGE left |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, (name, _) in PLANTS.items():
        f = found[kind]
        if not f.before:
            lines.append(f"| {kind} | `{name}` | 0 | | | | | |")
            continue
        bound = limit(name, f.before)
        hit, false = (sum(v <= bound for v in side) / len(side) for side in (f.after, f.before))
        lines.append(
            f"| {kind} | `{name}` | {len(f.before)} | {100 * hit:.0f} % | {100 * false:.1f} % "
            f"| {auc(f.before, f.after):.3f} | {auc(f.before_mean, f.after_mean):.3f} "
            f"| {fmean(f.rouge):.1f} |"
        )
    return lines


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), multiple=True, help="CSV or JSON lines.")
@click.option("--title", default="samples-ko (train, dev, test)", help="What the data are called in the table.")
@click.option("--seed", default=1, show_default=True)
@click.option("--kiwi", is_flag=True, help="Morphemes by Kiwi instead of Mecab.")
def main(data: Sequence[Path], title: str, seed: int, kiwi: bool) -> None:
    """Plant errors into summaries and print what the metric ``facts`` sees of them."""
    metric = Facts()
    metric.variant = "kiwi" if kiwi else ""
    pairs = [pair for path in data or sorted(SHIPPED.glob("*.jsonl")) for pair in rows(path)]
    found, seconds = measure(metric, pairs, seed)
    times = [1e3 * s for s in seconds]
    click.echo(f"## {title}, {len(pairs)} summaries\n")
    click.echo(f"`{metric.signature}`\n")
    click.echo("\n".join(table(found)))
    slow = quantiles(times, n=100)[98]
    click.echo(f"\nProcessor time of a summary with its dialogue: median {median(times):.1f} ms, 99 % {slow:.1f} ms.")


if __name__ == "__main__":
    main()
