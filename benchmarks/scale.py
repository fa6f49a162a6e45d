"""How long a sweep takes on N nodes, when a night is enough, and what the one writer and its database bear.

``python -m benchmarks scale`` checks the simulator against real sweeps of the Ray executor on one, two and three local
nodes where Ray and ``dsum-bench-ray`` are installed, and tabulates nights. ``python -m benchmarks.scale`` asks for one
sweep; ``--results`` takes the seconds a sample from runs that were made.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pickle
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import click

from benchmarks.measure import Row
from benchmarks.simulator import Model, Nodes, Outcome, simulate
from benchmarks.startup import run_spec
from benchmarks.store import BATCH, SIGNATURES, fill

ROOT = Path(__file__).parents[1]
NIGHT = 10.0
"""Hours from one evening to the next morning."""
ASSUMED = Model("model", load=120.0, sample=3.0, spread=0.5)
"""No GPU was at hand: two minutes to load and three seconds a sample stand for a model of 7B on one card."""
FLEET = {"slow": 0.1, "slow_by": 2.0, "fails": 100.0}
"""Every tenth node takes twice as long, and each is lost once in 100 hours."""
SIZES = ((10, 499), (10, 10_000), (100, 499), (100, 10_000), (100, 1_000_000))
COUNTS = (1, 2, 4, 8, 16, 64, 256)
MOST_PIECES = 300_000
"""Of one simulation; beyond it the work is scaled, since pieces no longer matter."""
RATES = """
select model, avg(outputs.seconds), count(*) from outputs join runs on runs.id = run_id
where status = 'done' and adapter != 'control' and outputs.seconds > 0 group by model order by model
"""


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """No peer does this; the figures are remarks."""
    return [], [checked(600), nights(), written(), shared(data)]


def checked(samples: int) -> str:
    """Real sweeps of the Ray executor, with an engine that waits, and what the simulator says of them."""
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("dsum_bench_ray") is None:
        return "Ray and dsum-bench-ray are not installed: the simulator was not checked against real sweeps."
    sys.path.insert(0, str(ROOT / "plugins" / "dsum-bench-ray" / "tests"))
    campaign = importlib.import_module("campaign")
    pause: float = campaign.SECONDS
    real: dict[int, float] = {count: campaign.timed(count, samples) for count in (1, 2, 3)}
    # What one node takes beyond its samples: the command's start, the worker's, and both ends.
    model = Model("waits", load=real[1] - samples * pause, sample=pause)
    lines = [f"{samples} samples of {pause} s on local nodes of Ray; one node sets the time of a start.", ""]
    lines += ["| nodes | measured, s | simulated, s | difference |", "|---:|---:|---:|---:|"]
    for count, seconds in real.items():
        told = simulate([model], samples, Nodes(count), batch=4).seconds
        lines.append(f"| {count} | {seconds:.1f} | {told:.1f} | {100 * (told / seconds - 1):+.1f} % |")
    return "\n".join(lines)


def nights() -> str:
    """Hours of sweeps of several sizes on several numbers of nodes."""
    lines = [
        f"Hours of a sweep where a model takes {ASSUMED.load:.0f} s to load and {ASSUMED.sample:.0f} s a sample "
        "(assumed, not measured), every tenth node takes twice as long, and a node is lost once in "
        f"{FLEET['fails']:.0f} hours. Bold: within a night of {NIGHT:.0f} hours.",
        "",
        f"| models x dialogues | {' | '.join(f'{count} nodes' for count in COUNTS)} |",
        f"|---|{'---:|' * len(COUNTS)}",
    ]
    for models, samples in SIZES:
        hours = [sweep(ASSUMED, models, samples, Nodes(count, **FLEET)).seconds / 3600 for count in COUNTS]
        cells = [f"**{h:,.1f}**" if h <= NIGHT else f"{h:,.1f}" if h < 100 else f"{h:,.0f}" for h in hours]
        lines.append(f"| {models} x {samples:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sweep(model: Model, models: int, samples: int, nodes: Nodes) -> Outcome:
    """Simulate equal models. Of very many samples, a smaller number that take longer each stand for all."""
    each = min(samples, MOST_PIECES * 16 // models)
    stands = Model(model.name, model.load, model.sample * samples / each, model.spread)
    return simulate([stands] * models, each, nodes)


def written() -> str:
    """What one writer writes and how large its file gets, by a small store."""
    with tempfile.TemporaryDirectory() as name:
        database = Path(name) / "results" / "dsum.db"
        rates = fill(database, 5, 4_000)
        size = database.stat().st_size / (5 * 4_000)
    rate = median(wall for wall, _ in rates)
    measures = sum(len(names) for _, names in SIGNATURES.values())
    return (
        f"One writer: {rate:,.0f} samples a second with {measures} measures each, {size:,.0f} bytes a sample. At "
        f"{ASSUMED.sample:.0f} s a sample it is busy with {rate * ASSUMED.sample:,.0f} nodes."
    )


def shared(data: Path, count: int = 100_000) -> str:
    """What the one process that gives out work and the network bear."""
    if importlib.util.find_spec("dsum_bench_ray") is None:
        return "dsum-bench-ray is not installed: giving out work was not measured."
    from dsum_bench.screening.job import ScreeningJob
    from dsum_bench.spec import Generation, Output, PluginSettings, Sample

    told = [json.loads(line)["dialogue"] for line in data.read_text(encoding="utf-8").splitlines()]
    samples = tuple(Sample(f"s{i}", told[i % len(told)]) for i in range(count))
    job = ScreeningJob("model", run_spec(0, count), samples, PluginSettings(), "log")
    # Texts that are one object would be sent once.
    size = len(pickle.dumps(tuple(replace(s, dialogue=f"{s.dialogue} {s.id}") for s in samples))) / count
    sharing, given = importlib.import_module("dsum_bench_ray.sharing").Sharing([job]), 0
    start = perf_counter()
    while (found := sharing.choose("slot", "node", "cpu", 8)) or given < count:
        piece = found[1].samples if found else sharing.more("model", "slot", 8)
        for first in range(0, len(piece), BATCH):
            made = [Output(Generation(s.id, "", 1, 1, "stop", 0.0), "") for s in piece[first : first + BATCH]]
            given += len(sharing.keep("model", "slot", made))
    seconds = perf_counter() - start
    return (
        f"Giving out and taking in: {count / seconds:,.0f} samples a second. A dialogue takes {size:,.0f} bytes on its "
        "way to a node. Until its checks have been told, a worker is sent all of a model's: "
        f"{size * 1e6 / 1e9:.1f} GB of a million."
    )


def rates(database: Path, load: float) -> list[Model]:
    """The models of a results database with their mean seconds a sample. load: seconds, which are not stored."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return [Model(name, load, seconds, ASSUMED.spread) for name, seconds, _ in db.execute(RATES)]


@click.command()
@click.option("--results", type=click.Path(path_type=Path, exists=True), help="A dsum.db: its models and their rates.")
@click.option("--models", default=10, show_default=True, help="Models, where no --results are given.")
@click.option("--sample", default=ASSUMED.sample, show_default=True, help="Seconds a sample.")
@click.option("--load", default=ASSUMED.load, show_default=True, help="Seconds to load a model.")
@click.option("--samples", default=499, show_default=True, help="Dialogues.")
@click.option("--fails", default=float("inf"), show_default=True, help="Mean hours until a node is lost.")
@click.option("--slow", default=0.0, show_default=True, help="Share of nodes that take twice as long.")
@click.option("--nodes", "counts", multiple=True, type=int, default=(1, 2, 4, 8), show_default=True, help="Nodes.")
def main(
    results: Path | None, models: int, sample: float, load: float, samples: int, fails: float, slow: float,
    counts: Sequence[int],
) -> None:  # fmt: skip
    """Say how long one sweep takes on so many nodes."""
    given = Model("model", load, sample, ASSUMED.spread)
    zoo = rates(results, load) if results else [given] * models
    for count in counts:
        found = simulate(zoo, samples, Nodes(count, slow=slow, fails=fails))
        click.echo(
            f"{count} nodes: {found.seconds / 3600:.2f} hours, generating {found.busy:.0%} of the time, "
            f"{found.loads} loads, {found.losses} nodes lost, {found.again} samples written again"
        )


if __name__ == "__main__":
    main()
