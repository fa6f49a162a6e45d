"""The engine on a CPU: this checkout in float32 and in int8, and another checkout in float32.

    python -m benchmarks.engine --data FILE --against FOLDER --repeats 3 --out results/reference

Each round runs every peer in a process of its own. All have the same dialogues and the same greedy decoding; the texts
of the two in float32 must be equal.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import click

NEW = 64


@dataclass(frozen=True, slots=True)
class Round:
    """seconds, processor: of generation alone. loaded, peak: bytes of the process after loading, and at most."""

    seconds: float
    processor: float
    loaded: int
    peak: int
    texts: dict[str, str]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="JSON lines.")
@click.option("--count", default=32, show_default=True, help="Dialogues.")
@click.option("--repeats", default=3, show_default=True, help="Rounds.")
@click.option("--threads", default=2, show_default=True, help="Threads for torch.")
@click.option("--model", default="smollm2-135m", show_default=True, help="A model of the registry.")
@click.option("--against", type=click.Path(path_type=Path, exists=True), help="Another checkout of dsum-bench.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write bench-engine.md into.")
@click.option("--peer", hidden=True, help="Run one peer and print its round.")
def main(
    data: Path, count: int, repeats: int, threads: int, model: str, against: Path | None, out: Path | None,
    peer: str | None,
) -> None:  # fmt: skip
    """Time generation on a CPU in float32 and int8."""
    if peer:
        print(json.dumps(run(data, count, threads, model, peer)))
        return
    here = Path(__file__).parents[1]
    peers = {"float32": (here, "none"), "int8": (here, "int8")}
    if against:
        peers = {"float32, other checkout": (against, "none"), **peers}
    rounds: dict[str, list[Round]] = {name: [] for name in peers}
    for turn in range(repeats):
        for name, (root, quantization) in list(peers.items())[:: -1 if turn % 2 else 1]:
            asked = ["--data", str(data.resolve()), "--count", str(count), "--threads", str(threads), "--model", model]
            rounds[name].append(Round(**_started(root, [*asked, "--peer", quantization])))
            print(f"  {name}: {rounds[name][-1].seconds:.2f} s", flush=True)
    text = report(rounds, count, data.name, threads, model)
    click.echo(text)
    if out:
        (out / "bench-engine.md").write_text(text + "\n", encoding="utf-8")


def _started(root: Path, arguments: list[str]) -> dict[str, Any]:
    """A round of the package in this folder, by the benchmark in this file."""
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": arguments[arguments.index("--threads") + 1]}
    done = subprocess.run(
        [sys.executable, "-P", __file__, *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(data: Path, count: int, threads: int, model: str, quantization: str) -> dict[str, Any]:
    """One round in this process."""
    import psutil
    import torch

    from benchmarks.screening import Bench
    from dsum_bench.decoding.strategies import Greedy, GreedyParams
    from dsum_bench.registry.load import load

    torch.set_num_threads(threads)
    bench = Bench(data, count, replace(load().model(model), quantization=quantization))  # type: ignore[arg-type]
    loaded = psutil.Process().memory_info().rss
    start, processor = perf_counter(), process_time()
    texts = bench.ours(Greedy(GreedyParams(max_new_tokens=NEW)))
    seconds, processor = perf_counter() - start, process_time() - processor
    peak = bench.engine.peak_memory()
    return {"seconds": seconds, "processor": processor, "loaded": loaded, "peak": peak, "texts": texts}


def report(rounds: dict[str, list[Round]], count: int, name: str, threads: int, model: str) -> str:
    """The table, in Markdown."""
    from benchmarks.measure import machine

    ours = rounds["float32"]
    lines = [
        "# Benchmark: the engine on a CPU",
        "",
        f"    python -m benchmarks.engine --data FILE --count {count} --repeats {len(ours)} --threads {threads}"
        + (" --against FOLDER" if len(rounds) > 2 else ""),
        "",
        f"{machine(threads)}. {model}, {count} dialogues of {name}, greedy, {NEW} new tokens at most. Medians of "
        "interleaved rounds, each in a process of its own; generation alone, packing of weights included.",
        "",
        "| | s | processor, s | float32 takes | from-to | after loading, GB | at most, GB | texts as in float32 |",
        "|---|---:|---:|---:|---|---:|---:|---|",
    ]
    for peer, found in rounds.items():
        ratios = [mine.seconds / its.seconds for mine, its in zip(ours, found, strict=True)]
        same = sum(found[0].texts[key] == text for key, text in ours[0].texts.items())
        memory = [max(getattr(r, field) for r in found) / 1e9 for field in ("loaded", "peak")]
        lines.append(
            f"| {peer} | {median(r.seconds for r in found):.1f} | {median(r.processor for r in found):.1f} | "
            f"**{median(ratios):.2f} x** | {min(ratios):.2f}-{max(ratios):.2f} | {memory[0]:.2f} | {memory[1]:.2f} | "
            f"{same} of {len(ours[0].texts)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
