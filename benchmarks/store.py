"""The results database at size: how fast it is written, what it takes, and how fast it is read.

``python -m benchmarks.store --runs 500 --samples 5000`` writes as many runs with the project's own writer, every batch
with its scores in one transaction, and then asks for the board and for one run's samples in processes of their own.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import click

from benchmarks.measure import Row
from benchmarks.startup import command, run_spec

RUNS, SAMPLES, BATCH = 500, 5_000, 16
SIGNATURES = {
    "rouge|profile:rouge-1.0.1|tok:bench|refs:mean|scale:100|v:1": (
        "rouge@mecab",
        ("rouge1", "rouge2", "rougeL", "sum", "mean"),
    ),
    "facts|bench|v:1": ("facts", ("numbers", "names", "tags", "mean")),
    "bertscore|bench|v:1": ("bertscore", ("precision", "recall", "mean")),
}
"""Twelve measures: signature -> what a user types, and its measures."""

SENTENCE = "철수가 영희에게 회의를 내일 오전으로 미루자고 말했다 두 사람은 저녁에 식당에서 만나기로 약속했다"
"""Of whose words summaries are drawn: about 40 characters, three bytes each."""

WITHIN = """
import sys
from time import perf_counter, process_time
import pandas
from dsum_bench import Bench
bench = Bench(results="results", progress=None)
start, worked = perf_counter(), process_time()
{work}
print(perf_counter() - start, process_time() - worked)
"""


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """No peer does this; the figures are remarks."""
    return [], measured(RUNS, SAMPLES, repeats)


def measured(runs: int, samples: int, repeats: int, keep: Path | None = None) -> list[str]:
    """Fill a database and read it. A remark for each figure. keep: a folder whose database is used again."""
    if keep is not None:
        return _measured(keep, runs, samples, repeats)
    with tempfile.TemporaryDirectory() as name:
        return _measured(Path(name), runs, samples, repeats)


def _measured(folder: Path, runs: int, samples: int, repeats: int) -> list[str]:
    database = folder / "results" / "dsum.db"
    remarks = [] if database.exists() else [_written(fill(database, runs, samples), runs)]
    size = database.stat().st_size
    scores = runs * samples * sum(len(measures) for _, measures in SIGNATURES.values())
    board = [_leaderboard(folder) for _ in range(repeats)]
    work = f"rows = bench.samples('model-7')\nassert len(rows) == {samples}"
    one = [_within(folder, work) for _ in range(repeats)]
    return [
        f"{runs} runs x {samples:,} samples x 12 measures: {scores:,} scores, batches of {BATCH}.",
        *remarks,
        f"The file: {size / 1e6:,.0f} MB, {size / (runs * samples):,.0f} bytes a sample with its summary and scores.",
        f"`leaderboard`: {median(wall for wall, _, _ in board):.2f} s, of which the processor worked "
        f"{median(cpu for _, cpu, _ in board):.2f} s; peak memory {max(m for _, _, m in board) / 1e6:.0f} MB (the "
        "whole process, Python's start included).",
        f"Samples of one run (`Bench.samples`): {median(wall for wall, _ in one):.2f} s beyond the imports, of which "
        f"the processor worked {median(cpu for _, cpu in one):.2f} s.",
    ]


def _written(rates: Sequence[tuple[float, float]], runs: int) -> str:
    """What to say of samples a second by the wall clock and by the processor's."""
    tenth = max(1, runs // 10)
    wall, cpu = [w for w, _ in rates], [c for _, c in rates]
    return (
        f"Written at {median(wall):,.0f} samples a second (median of the runs; of the first tenth "
        f"{median(wall[:tenth]):,.0f}, of the last {median(wall[-tenth:]):,.0f}, the slowest run {min(wall):,.0f}), "
        f"{median(cpu):,.0f} a second of the processor's time."
    )


def fill(path: Path, runs: int, samples: int) -> list[tuple[float, float]]:
    """Write finished runs; returns the samples a second of each, its opening and closing included.

    Both by the wall clock and by the processor's time.
    """
    from dsum_bench.spec import Generation, Output
    from dsum_bench.store.rows import ScoredOutput
    from dsum_bench.store.writer import Store

    rng = random.Random(1)
    places = {f"dev_{i}": i for i in range(samples)}
    texts = [" ".join(rng.choices(SENTENCE.split(), k=8)) for _ in range(997)]
    rates = []
    with Store.open(path) as store:
        for signature in SIGNATURES:
            store.declare_signature(signature, *SIGNATURES[signature])
        for number in range(runs):
            spec = run_spec(number, samples)
            rows = []
            level = rng.uniform(10, 50)
            for i in range(samples):
                value = max(0.0, rng.gauss(level, 8))
                scores = {
                    signature: dict.fromkeys(SIGNATURES[signature][1], value / (place + 1))
                    for place, signature in enumerate(SIGNATURES)
                }
                made = Generation(f"dev_{i}", texts[(i + number) % len(texts)], 100, 20, "stop", 0.5)
                rows.append(ScoredOutput(Output(made, made.text), scores))
            start, worked = perf_counter(), process_time()
            key = store.open_run(spec, "model")
            for first in range(0, samples, BATCH):
                store.add(key, rows[first : first + BATCH], places)
            store.close_run(key, "done", peak_memory=10**9)
            rates.append((samples / (perf_counter() - start), samples / (process_time() - worked)))
            if number % 10 == 9:
                print(f"  {number + 1} runs, {rates[-1][0]:,.0f} samples a second", file=sys.stderr, flush=True)
    return rates


def _leaderboard(folder: Path) -> tuple[float, float, int]:
    """Seconds of the command by the wall clock and by the processor's time, and its peak memory in bytes."""
    code = (
        "from dsum_bench.cli import main\n"
        "try: main(['leaderboard'])\n"
        "except SystemExit: pass\n"
        "from time import process_time\n"
        "memory = next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]\n"
        "print(process_time(), memory)"
    )
    start = perf_counter()
    cpu, peak = command(folder, "-c", code).split()[-2:]
    return perf_counter() - start, float(cpu), int(peak) * 1024


def _within(folder: Path, work: str) -> tuple[float, float]:
    """Seconds that work takes in a process that has its imports, by the wall clock and by the processor's time."""
    wall, cpu = command(folder, "-c", WITHIN.format(work=work)).split()[-2:]
    return float(wall), float(cpu)


@click.command()
@click.option("--runs", default=RUNS, show_default=True)
@click.option("--samples", default=SAMPLES, show_default=True)
@click.option("--repeats", default=3, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Folder to fill, or to read again where it is full.")
def main(runs: int, samples: int, repeats: int, keep: Path | None) -> None:
    """Fill a database of this size and print the figures."""
    for remark in measured(runs, samples, repeats, keep):
        click.echo(remark)


if __name__ == "__main__":
    main()
