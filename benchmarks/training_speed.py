"""``python -m benchmarks.training_speed``: tokens a second of a training by default, against a loop of a few lines.

Both train LoRA on SmolLM2-135M in float32 on the same rows, each in a process of its own, by turns: what the C
library does with freed memory belongs to a process. The loop is what a notebook has: rows in a random order, each batch
filled up to its longest, the network's own loss, AdamW, nothing computed again. Five minutes on two quiet cores.
What comes before the end of the first update is left out: libraries are loaded and memory is laid out once.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, Literal

import click

from benchmarks.measure import machine
from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import load
from dsum_bench.spec import PluginSettings
from dsum_bench.training import worker
from dsum_bench.training.finetune import TrainingOptions, make_job
from dsum_bench.training.job import CurvePoint, PlanReady, TrainingJob
from dsum_bench.training.prepare import TrainingRequest, prepare
from dsum_bench.training.texts import IGNORED, TrainingText, build_texts

Peer = Literal["ours", "plain loop"]
PEERS: tuple[Peer, ...] = ("ours", "plain loop")
BATCH, ACCUMULATE, LONGEST = 4, 1, 512
REGISTRY = """
[datasets.rows]
format = "jsonl"
path = "{split}.jsonl"
language = "en"
"""


def job_of(folder: Path) -> TrainingJob:
    """A training of ``finetune smollm2-135m --recipe lora`` without evaluation; the rest is the default."""
    plugins = Plugins(PluginSettings(packages=()))
    registry = load([folder / "registry.toml"], plugins, folder)
    settings = (f"max_tokens={LONGEST}", f"batch={BATCH}", f"accumulate={ACCUMULATE}", "epochs=1", "save_steps=1000")
    request = TrainingRequest(
        "smollm2-135m", "lora", "rows", "train", None, None, None, 0, None, "template", settings, None, 42, "float32"
    )
    prepared = prepare(request, registry, plugins, detect())
    return make_job(prepared, TrainingOptions("speed", probe=False), plugins, folder / "results")


def ours(folder: Path) -> dict[str, float]:
    """The worker's own training, from the first update to the last."""
    points: list[tuple[int, float, float]] = []
    planned: list[Any] = []

    def emit(event: Any) -> None:
        if isinstance(event, CurvePoint) and "loss" in event.values:
            points.append((int(event.values["tokens"]), perf_counter(), process_time()))
        elif isinstance(event, PlanReady):
            planned.append(event.figures)

    worker.run(job_of(folder), emit)
    (first, began, cpu), (last, ended, spent) = points[0], points[-1]
    plan = planned[0]
    ways = {"checkpointing": float(plan.checkpointing), "keeps_freed": float(plan.keeps_freed)}
    return {"tokens": last - first, "seconds": ended - began, "cpu": spent - cpu} | ways


def plain_loop(folder: Path) -> dict[str, float]:
    """The notebook's loop, from the first update to the last."""
    import torch
    from peft import LoraConfig, get_peft_model

    job = job_of(folder)
    plugins = Plugins(job.plugins)
    engine: Any = plugins.get("engine", job.spec.model.engine)(job.spec.model, job.spec.placement)
    loaded = engine.prepare(lambda text: None)
    texts = build_texts(worker.build_adapter(job.spec, plugins, loaded), job.train, LONGEST)
    engine.load(lambda text: None)
    params = job.spec.recipe.params
    config = LoraConfig(r=params["r"], lora_alpha=params["alpha"], lora_dropout=0.1, target_modules="all-linear",
                        task_type="CAUSAL_LM")  # type: ignore[arg-type]  # fmt: skip
    network = get_peft_model(engine.network, config).train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0)
    random.Random(42).shuffle(texts)
    batches = [texts[at : at + BATCH] for at in range(0, len(texts), BATCH)]
    pad = loaded.tokenizer.pad_token_id or 0
    done, marks = 0, []
    for number, rows in enumerate(batches, start=1):
        loss = network(**padded(rows, pad), use_cache=False).loss / ACCUMULATE
        loss.backward()
        done += sum(len(row.input_ids) for row in rows)
        if number % ACCUMULATE == 0 or number == len(batches):
            torch.nn.utils.clip_grad_norm_(trained, 0.3)
            optimizer.step()
            optimizer.zero_grad()
            marks.append((done, perf_counter(), process_time()))
    (first, began, cpu), (last, ended, spent) = marks[0], marks[-1]
    return {"tokens": last - first, "seconds": ended - began, "cpu": spent - cpu}


def padded(rows: Sequence[TrainingText], pad: int) -> dict[str, Any]:
    """A batch filled up on the right."""
    import torch

    width = max(len(row.input_ids) for row in rows)
    fill: Callable[[Sequence[int], int], list[int]] = lambda ids, value: [*ids, *[value] * (width - len(ids))]  # noqa: E731
    return {
        "input_ids": torch.tensor([fill(row.input_ids, pad) for row in rows]),
        "attention_mask": torch.tensor([fill([1] * len(row.input_ids), 0) for row in rows]),
        "labels": torch.tensor([fill(row.labels, IGNORED) for row in rows]),
    }


def measured(folder: Path, peer: Peer, threads: int) -> dict[str, float]:
    """One round of one peer, in a process of its own."""
    work = folder / "results"
    subprocess.run(["rm", "-rf", str(work)], check=True)
    command = [sys.executable, "-m", "benchmarks.training_speed", "--worker", peer, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": str(threads)})  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="JSON lines with dialogue and summary.")
@click.option("--rows", default=12, show_default=True, help="Training rows.")
@click.option("--repeats", default=3, show_default=True, help="Rounds.")
@click.option("--threads", default=2, show_default=True, help="Threads for torch.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write training-speed.md into.")
@click.option("--worker", "peer", type=click.Choice(PEERS), hidden=True)
@click.option("--folder", type=click.Path(path_type=Path), hidden=True)
def main(
    data: Path | None, rows: int, repeats: int, threads: int, out: Path | None, peer: Peer | None, folder: Path | None
) -> None:
    """Tokens a second of a training by default, against a plain loop."""
    if peer is not None:
        assert folder is not None
        click.echo(json.dumps(ours(folder) if peer == "ours" else plain_loop(folder)))
        return
    source = data or Path(__file__).parents[1] / "dsum_bench" / "datasets" / "samples_ko" / "train.jsonl"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "registry.toml").write_text(REGISTRY, encoding="utf-8")
        lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
        made = [{"id": str(n), "dialogue": r["dialogue"], "summary": r.get("summary") or r["summary1"]}
                for n, r in enumerate(lines[i % len(lines)] for i in range(rows))]  # fmt: skip
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made)
        (place / "train.jsonl").write_text(text, encoding="utf-8")
        found: dict[Peer, list[dict[str, float]]] = {p: [] for p in PEERS}
        for turn in range(repeats):
            for one in PEERS[:: -1 if turn % 2 else 1]:
                found[one].append(measured(place, one, threads))
                click.echo(f"{one}: {found[one][-1]}", err=True)
    report = written(found, rows, repeats, threads, bool(data))
    click.echo(report)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "training-speed.md").write_text(report, encoding="utf-8")


def written(found: dict[Peer, list[dict[str, float]]], rows: int, repeats: int, threads: int, data: bool) -> str:
    """The table as Markdown."""
    rates = {p: {of: [r["tokens"] / r[of] for r in rounds] for of in ("seconds", "cpu")} for p, rounds in found.items()}
    lines = ["| training | tokens a second | tokens a CPU second |", "|---|---:|---:|"]
    lines += [f"| {p} | {median(r['seconds']):.1f} | {median(r['cpu']):.1f} |" for p, r in rates.items()]
    ratios = {of: [a / b for a, b in zip(rates["ours"][of], rates["plain loop"][of], strict=True)]
              for of in ("seconds", "cpu")}  # fmt: skip
    told = ", ".join(f"{median(r):.2f} x by {of} ({min(r):.2f} to {max(r):.2f})" for of, r in ratios.items())
    first = found["ours"][0]
    ways = (f"activations {'computed again' if first['checkpointing'] else 'kept'}, freed memory "
            f"{'kept' if first['keeps_freed'] else 'given back'}")  # fmt: skip
    return (
        "# Speed of training on the CPU\n\n"
        f"    python -m benchmarks.training_speed --rows {rows} --repeats {repeats} --threads {threads}"
        f"{' --data FILE' if data else ''} --out results/reference\n\n"
        f"{machine(threads)}. SmolLM2-135M, LoRA, float32, batches of {BATCH}, {ACCUMULATE} to an update, rows of at "
        f"most {LONGEST} tokens, dropout 0.1. The plan chose: {ways}. Tokens are those of prompts and summaries; "
        f"medians of {repeats} rounds by turns, each in a process of its own, from the first update on.\n\n"
        + "\n".join(lines)
        + f"\n\nThe default against the loop: {told}.\n"
    )


if __name__ == "__main__":
    main()
