"""Measure the executor on real clusters on this machine: speed with more nodes, its cost, and runs with random kills.

    python plugins/dsum-bench-ray/tests/campaign.py speed --samples 600
    python plugins/dsum-bench-ray/tests/campaign.py cost --samples 600
    python plugins/dsum-bench-ray/tests/campaign.py kills --runs 30

The engine waits for 0.2 seconds a sample instead of computing, so that nodes on one machine do not share a processor.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import psutil

sys.path.insert(0, str(Path(__file__).parent))
from clusters import cluster, node, waiting
from test_cluster import SCRIPT, quietly, rows, screen, stored, workers

SECONDS = 0.2


@click.group()
def main() -> None:
    """Choose what to measure."""


@main.command()
@click.option("--samples", default=600, show_default=True)
def speed(samples: int) -> None:
    """Seconds of one model on one, two and three nodes."""
    took = {nodes: timed(nodes, samples) for nodes in (1, 2, 3)}
    for nodes, seconds in took.items():
        click.echo(f"{nodes} nodes: {seconds:.1f} s, {took[1] / seconds:.2f} x")


@main.command()
@click.option("--samples", default=600, show_default=True)
def cost(samples: int) -> None:
    """Seconds of one model by the local executor and by Ray on one node."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        screen(Path(name), None, engine=waiting(Path(name), seconds=SECONDS), count=samples)
        local = time.perf_counter() - start
    there = timed(1, samples)
    click.echo(f"local {local:.1f} s, ray {there:.1f} s, {100 * (there / local - 1):+.1f} %")


def timed(nodes: int, samples: int) -> float:
    """Seconds of a screening on so many nodes, that of a first one, which starts their processes, left out."""
    with tempfile.TemporaryDirectory() as name, cluster(nodes) as made:
        for part, count in (("first", 8 * nodes), ("timed", samples)):
            folder = Path(name) / part
            folder.mkdir()
            start = time.perf_counter()
            screen(folder, made.address, engine=waiting(folder, seconds=SECONDS), count=count)
        return time.perf_counter() - start


@main.command()
@click.option("--runs", default=30, show_default=True)
@click.option("--samples", default=120, show_default=True)
@click.option("--seed", default=0, show_default=True)
def kills(runs: int, samples: int, seed: int) -> None:
    """Runs in each of which a raylet, a worker or the command itself is killed at random moments, until all is done."""
    rng = random.Random(seed)
    lost, doubled, killed = 0, 0, Counter[str]()
    with cluster(3) as made:
        for number in range(runs):
            with tempfile.TemporaryDirectory() as name:
                found, what = one_run(made, Path(name), samples, rng)
            killed.update(what)
            lost += len({f"s{i}" for i in range(samples)} - set(found))
            doubled += len(found) - len(set(found))
            click.echo(f"run {number + 1}: killed {', '.join(what)}; {lost} lost, {doubled} doubled so far")
    click.echo(f"{runs} runs x {samples} samples, killed {dict(killed)}: {lost} rows lost, {doubled} doubled")


def one_run(made: Any, folder: Path, samples: int, rng: random.Random) -> tuple[list[str], list[str]]:
    """A screening with two kills; a command that was killed is given again. Returns the stored ids and the kills."""
    engine = waiting(folder, seconds=SECONDS)
    code = SCRIPT.format(
        tests=str(Path(__file__).parent), folder=str(folder), address=made.address, engine=str(engine)
    ).replace("count=200", f"count={samples}")
    at = sorted(rng.sample(range(1, samples), 2))
    done: list[str] = []
    for _ in range(6):
        command = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        while command.poll() is None:
            there = len(quietly(rows, folder)) if (folder / "results" / "dsum.db").exists() else 0
            if at and there >= at[0]:
                at.pop(0)
                done.append(kill(made, folder, command, rng))
            time.sleep(0.2)
        output = command.stdout.read() if command.stdout else ""
        if command.returncode == 0 and '["done"]' in output.splitlines():  # Ray may print lines of its own
            break
    assert stored(folder)[0] == "done", stored(folder)
    return rows(folder), done


def kill(made: Any, folder: Path, command: subprocess.Popen[str], rng: random.Random) -> str:
    """Kill something; a node that is lost is replaced by another."""
    what = rng.choice(("raylet", "worker", "command"))
    if what == "raylet":
        others = [n for n in made.list_all_nodes() if not n.is_head()]
        made.remove_node(rng.choice(others), allow_graceful=False)
        made.add_node(**node())
    elif what == "worker":
        pids = workers(folder)
        if not pids:
            return "nothing"
        psutil.Process(rng.choice(pids)).send_signal(signal.SIGKILL)
    else:
        os.kill(command.pid, signal.SIGKILL)
    return what


if __name__ == "__main__":
    main()
