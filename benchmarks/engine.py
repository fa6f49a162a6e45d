"""The engine on a CPU: this checkout in float32 and in int8, and another checkout in float32.

    python -m benchmarks.engine --data FILE --against FOLDER --repeats 3 --out results/reference

    python -m benchmarks.engine --data FILE --shape FOLDER --beams 4 --against FOLDER --out results/reference

Each round runs every peer in a process of its own. All have the same dialogues and the same decoding; the texts of the
two in float32 must be equal. An encoder-decoder has the shape that a config.json names, and random weights; it writes
all tokens that it may, and no bigram twice, since of random weights the best token is mostly the one before.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dsum_bench.decoding.base import Decoding

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
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="JSON lines or CSV.")
@click.option("--count", default=32, show_default=True, help="Dialogues.")
@click.option("--repeats", default=3, show_default=True, help="Rounds.")
@click.option("--threads", default=2, show_default=True, help="Threads for torch.")
@click.option("--model", default="smollm2-135m", show_default=True, help="A model of the registry.")
@click.option(
    "--shape",
    type=click.Path(path_type=Path, exists=True),
    help="Folder with the config.json and tokenizer of an encoder-decoder to time instead.",
)
@click.option("--beams", default=1, show_default=True, help="Beams; 1 is greedy.")
@click.option("--against", type=click.Path(path_type=Path, exists=True), help="Another checkout of dsum-bench.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for bench-engine.md or bench-encoder-decoder.md.")
@click.option("--peer", hidden=True, help="Run one peer and print its round.")
def main(
    data: Path, count: int, repeats: int, threads: int, model: str, shape: Path | None, beams: int,
    against: Path | None, out: Path | None, peer: str | None,
) -> None:  # fmt: skip
    """Time generation on a CPU in float32 and int8."""
    if peer:
        print(json.dumps(run(data, count, threads, model, beams, peer)))
        return
    here = Path(__file__).parents[1]
    peers = {"float32": (here, "none"), "int8": (here, "int8")}
    if against:
        peers = {"float32, other checkout": (against, "none"), **peers}
    rounds: dict[str, list[Round]] = {name: [] for name in peers}
    with ExitStack() as stack:
        if shape:
            model = stack.enter_context(TemporaryDirectory())
            draw(shape, Path(model))
        asked = [
            "--data", str(data.resolve()), "--count", str(count), "--threads", str(threads), "--model", model,
            "--beams", str(beams),
        ]  # fmt: skip
        for turn in range(repeats):
            for name, (root, quantization) in list(peers.items())[:: -1 if turn % 2 else 1]:
                rounds[name].append(Round(**_started(root, [*asked, "--peer", quantization])))
                print(f"  {name}: {rounds[name][-1].seconds:.2f} s", flush=True)
    what = f"{shape_of(shape)}, {beams} beams, {NEW} new tokens" if shape else f"{model}, {NEW} new tokens at most"
    options = (" --shape FOLDER" if shape else "") + (f" --beams {beams}" if beams > 1 else "")
    text = report(rounds, count, data.name, threads, what, options)
    click.echo(text)
    if out:
        name = "bench-encoder-decoder.md" if shape else "bench-engine.md"
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text + "\n", encoding="utf-8")


def draw(shape: Path, folder: Path) -> None:
    """A checkpoint with random weights, the same every time."""
    import torch
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    AutoModelForSeq2SeqLM.from_config(AutoConfig.from_pretrained(shape), dtype=torch.float32).save_pretrained(folder)
    for file in shape.glob("*token*"):
        shutil.copy(file, folder / file.name)


def shape_of(shape: Path) -> str:
    """In words."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(shape)
    return (
        f"{config.model_type} with random weights ({config.num_hidden_layers} + {config.decoder_layers} layers of "
        f"{config.hidden_size}, {config.vocab_size:,} tokens)"
    )


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


def run(data: Path, count: int, threads: int, model: str, beams: int, quantization: str) -> dict[str, Any]:
    """One round in this process. model: of the registry, or a folder with an encoder-decoder."""
    import psutil
    import torch

    from dsum_bench.adapters.base import AdapterContext
    from dsum_bench.adapters.build import build
    from dsum_bench.engines.huggingface import HuggingFace
    from dsum_bench.machine import detect
    from dsum_bench.plugins import Plugins
    from dsum_bench.registry.load import load
    from dsum_bench.spec import ModelSpec, PluginSettings, Sample

    torch.set_num_threads(threads)
    registry, drawn = load(), Path(model).is_dir()
    spec = ModelSpec("drawn", "encoder_decoder", (model,), options={"wrap": True}) if drawn else registry.model(model)
    spec = replace(spec, quantization=quantization)  # type: ignore[arg-type]
    engine = HuggingFace(spec, HuggingFace.plan(spec, detect(), beams).placement)
    found = engine.prepare(lambda text: None)
    engine.load(lambda text: None)
    room = min(8192, found.max_tokens or 8192) - NEW
    context = AdapterContext(spec, registry.prompt("en-default"), "template", "en", found.tokenizer, room)
    adapter = build(Plugins(PluginSettings(packages=())), context)
    with data.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file)) if data.suffix == ".csv" else [json.loads(line) for line in file]
    prompts = [adapter.prompt(Sample(str(r.get("fname", r.get("id"))), r["dialogue"])) for r in rows[:count]]
    loaded = psutil.Process().memory_info().rss
    start, processor = perf_counter(), process_time()
    batches = engine.generate(prompts, adapter, decoding(beams, drawn), lambda text: None)
    texts = {made.sample_id: made.text for batch in batches for made in batch}
    seconds, processor = perf_counter() - start, process_time() - processor
    peak = engine.peak_memory()
    return {"seconds": seconds, "processor": processor, "loaded": loaded, "peak": peak, "texts": texts}


def decoding(beams: int, drawn: bool) -> Decoding:
    """drawn: the weights are random."""
    from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams

    params: dict[str, Any] = {"max_new_tokens": NEW}
    if drawn:
        params |= {"min_new_tokens": NEW, "no_repeat_ngram": 2}
    return Greedy(GreedyParams(**params)) if beams == 1 else Beam(BeamParams(beams=beams, **params))


def report(rounds: dict[str, list[Round]], count: int, name: str, threads: int, what: str, options: str) -> str:
    """The table, in Markdown. what: was run."""
    from benchmarks.measure import machine

    ours = rounds["float32"]
    lines = [
        "# Benchmark: the engine on a CPU",
        "",
        f"    python -m benchmarks.engine --data FILE --count {count} --repeats {len(ours)} --threads {threads}"
        + options
        + (" --against FOLDER" if len(rounds) > 2 else ""),
        "",
        f"{machine(threads)}. {count} dialogues of {name}, {what}. Medians of "
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
