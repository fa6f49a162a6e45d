"""The parts of the GPU benchmark, each run by ``benchmarks.gpu`` in a process of its own: reports are lines of JSON."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal, NamedTuple, cast
from unittest.mock import patch

from benchmarks.gpu import REPORTED, SHAPES, WEIGHTS, save
from benchmarks.measure import interleaved
from benchmarks.screening import NEW, Bench
from benchmarks.script import TOKENIZER
from dsum_bench.decoding.base import Decoding
from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams
from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import load
from dsum_bench.spec import ModelSpec, PluginSettings
from dsum_bench.training.job import CurvePoint, PlanReady, TrainingJob

GIB = 2**30
UPDATES, BATCH, ACCUMULATE = 7, 4, 4
TINY = 3
"""Rows that the shape tiny is trained on, one to an update."""
LONGEST = 1024
TOGETHER = 32
"""Rows of the pipeline's batches; it was slower with 8 on an H200."""
WARM = 4
"""New tokens of the loop's first call, which loads kernels."""
WITHOUT_BEAMS = ("llama3-8b",)
"""Not timed with beams, so that the whole takes less than ten minutes."""
REGISTRY = """
[models.{name}]
source = "{folder}"
adapter = "llama3"
dtype = "bfloat16"

[datasets.rows]
format = "jsonl"
path = "{{split}}.jsonl"
language = "ko"
"""


class Point(NamedTuple):
    """The end of an update. tokens: so far. at: seconds. held: bytes that are allocated then."""

    tokens: int
    at: float
    loss: float
    held: int


def report(kind: Literal["row", "remark", "failed"], **values: Any) -> None:
    """Give on a finding."""
    print(REPORTED + json.dumps({"kind": kind, **values}, ensure_ascii=False), flush=True)


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """What fails inside is reported, with its traceback in the log; afterwards memory is free again."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        report("failed", text=f"{what}: {type(error).__name__}: {str(error)[:300]}")
    finally:
        give_back()


def main() -> None:
    """``gpu_parts PART SHAPE FOLDER DATA COUNT REPEATS``"""
    import torch

    part, shape, folder, data, count, repeats = sys.argv[1:]
    place = Path(folder)
    if shape != "tiny" and not torch.cuda.is_available():
        report("failed", text="torch sees no GPU")
        return
    if part == WEIGHTS:
        with attempt(part):
            weights(shape, place)
    elif part.startswith("write-"):
        quantization = cast(Literal["none", "nf4"], part.removeprefix("write-"))
        with attempt(part):
            writing(shape, place, quantization, Path(data), int(count), int(repeats))
    else:
        training(shape, place, part.removeprefix("train-"), Path(data))


def weights(shape: str, folder: Path) -> None:
    """Make the checkpoint, unless it is there."""
    if (folder / "made").is_file():
        return
    start = perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    save(SHAPES[shape], Path(os.environ[TOKENIZER]), folder, device())
    (folder / "made").touch()
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1e9
    report("remark", text=f"{shape}: {size:.1f} GB of weights made and written in {perf_counter() - start:.0f} s.")


# -- writing --------------------------------------------------------------------------------------------------


def writing(
    shape: str, folder: Path, quantization: Literal["none", "nf4"], data: Path, count: int, repeats: int
) -> None:
    """One shape in one packing: both decodings against the peers, and memory."""
    import torch

    spec = ModelSpec(name=shape, adapter="llama3", source=(str(folder),), dtype="bfloat16", quantization=quantization)
    start = perf_counter()
    bench = Bench(data, count, spec, "ko-default")
    label = f"{shape}, {'bfloat16' if quantization == 'none' else quantization}"
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    tokens = sum(len(p.token_ids) for p in bench.prompts)
    report(
        "remark",
        text=f"{label}: on {where}, placed as {bench.engine.placement}; loaded in {perf_counter() - start:.1f} s. "
        f"{len(bench.prompts)} dialogues, {tokens:,} prompt tokens, {NEW} new tokens each.",
    )
    greedy, beam = Greedy(GreedyParams(max_new_tokens=NEW)), Beam(BeamParams(max_new_tokens=NEW, beams=4))
    ways: list[tuple[str, int, Decoding]] = [("greedy", 1, greedy)]
    if quantization == "none" and shape not in WITHOUT_BEAMS:
        ways.append(("beam4", 4, beam))
    measured_memory(label, bench, spec, tuple((beams, decoding) for _, beams, decoding in ways))
    for name, beams, decoding in ways:
        with attempt(f"{label}, {name}"):
            spent = against(bench, f"{label}, {name}", beams, decoding, repeats)
            if beams == 1:
                limits(label, bench, spent)


def against(bench: Bench, what: str, beams: int, decoding: Decoding, repeats: int) -> list[float]:
    """The two peers in one decoding, each called before it is timed; gives our seconds. The loop is timed once, on one
    dialogue of middle length, since all take as many steps, and it takes many times as long."""
    count = len(bench.prompts)
    middle = sorted(bench.prompts, key=lambda p: len(p.token_ids))[count // 2]

    def loop(new: int) -> float:
        whole, bench.prompts = bench.prompts, [middle]
        start = now()
        try:
            bench.notebook(beams, new)
        finally:
            bench.prompts = whole
        return now() - start

    peers: dict[str, Callable[[], object]] = {
        "ours": lambda: bench.ours(decoding),
        "pipe": lambda: bench.pipeline(beams, TOGETHER),
    }
    for work in peers.values():  # the first call loads kernels and lays out memory
        work()
    seconds = interleaved(peers, repeats)
    ours = seconds["ours"]
    report("row", what=what, peer=f"pipeline, batches of {TOGETHER}", ours=ours, theirs=seconds["pipe"])
    loop(WARM)
    report("row", what=what, peer="the notebook's loop", ours=[median(ours)], theirs=[loop(NEW) * count],
           note=f"one dialogue, once, times {count}")  # fmt: skip
    return ours


def measured_memory(label: str, bench: Bench, spec: ModelSpec, ways: tuple[tuple[int, Decoding], ...]) -> None:
    """Memory that placement plans for, which is weights and a single prompt, against the peak with all prompts."""
    for beams, decoding in ways:
        with attempt(f"{label}, memory of {beams} beams"):
            plan = bench.engine.plan(spec, detect(), beams).placement
            longest = max(range(len(bench.prompts)), key=lambda i: len(bench.prompts[i].token_ids))
            whole, peaks = bench.prompts, []
            for prompts in ([whole[longest]], whole):
                bench.prompts = prompts
                give_back()
                reset_peaks()
                start = perf_counter()
                try:
                    bench.ours(decoding)
                finally:
                    bench.prompts = whole
                peaks.append((*peak(), perf_counter() - start))
            held = allocated()
            (one, one_reserved, _), (every, every_reserved, seconds) = peaks
            report(
                "remark",
                beams=beams,
                planned=plan.needs_bytes,
                weights=held,
                peaks=peaks,
                text=f"{label}, {beams} beams: planned {plan.needs_bytes / GIB:.2f} GiB for weights and one prompt; "
                f"the weights take {held / GIB:.2f}, the longest prompt alone {one / GIB:.2f} "
                f"({one_reserved / GIB:.2f} reserved), all {len(whole)} prompts {every / GIB:.2f} "
                f"({every_reserved / GIB:.2f} reserved; first time, {seconds:.1f} s).",
            )


def limits(label: str, bench: Bench, ours: list[float]) -> None:
    """What reading the weights alone takes."""
    speed = bandwidth()
    size = sum(p.numel() * p.element_size() for p in bench.network.parameters())
    embeddings = bench.network.get_input_embeddings().weight
    if not bench.network.config.tie_word_embeddings:
        size -= embeddings.numel() * embeddings.element_size()  # of which a step reads a row for each token
    limit, spent = NEW * size / speed, median(ours)
    report(
        "remark",
        text=f"{label}: {len(bench.prompts) * NEW / spent:.0f} new tokens a second greedily. A copy moves "
        f"{speed / 1e9:.0f} GB/s; reading {size / 1e9:.2f} GB of weights once for each of {NEW} steps takes "
        f"{limit:.2f} s, {100 * limit / spent:.0f} % of the time taken.",
    )


# -- training -------------------------------------------------------------------------------------------------


def training(shape: str, folder: Path, recipe: str, data: Path) -> None:
    """Tokens a second and peak memory of a recipe as shipped, and of a plain loop with peft."""
    recipe, _, key = recipe.partition("-")
    label = f"{shape}, {recipe}{f' with {key}' if key else ''}"
    settings = (f"{key}=true",) if key else ()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        ours, theirs = {}, {}
        with attempt(f"{label}, ours"):
            job = job_of(place, shape, folder, recipe, data, settings)
            ours = trained(job)
            report("remark", text=f"{label}: {told(ours)} Planned {ours['planned'] / GIB:.2f} GiB "
                   f"({', '.join(f'{n} {v / GIB:.2f}' for n, v in ours['parts'].items())}) for a batch of at most "
                   f"{ours['planned_tokens']:,} tokens.", **ours)  # fmt: skip
        with attempt(f"{label}, plain loop"):
            theirs = plain_loop(job_of(place, shape, folder, recipe, data, settings))
            report("remark", text=f"{label}, plain loop: {told(theirs)}", **theirs)
        if ours and theirs:
            report("row", what=f"{label}, 1,000 tokens", peer="plain loop with peft",
                   ours=[1000 * ours["seconds"] / ours["tokens"]],
                   theirs=[1000 * theirs["seconds"] / theirs["tokens"]])  # fmt: skip


def told(found: dict[str, Any]) -> str:
    """A run's figures in a sentence."""
    return (
        f"{found['tokens'] / found['seconds']:.0f} tokens a second from the first update on ({found['tokens']:,} in "
        f"{found['seconds']:.1f} s{', activations computed again' if found.get('checkpointing') else ''}); loss "
        f"{found['losses'][0]:.3f} to {found['losses'][-1]:.3f}; peak {found['allocated'] / GIB:.2f} GiB allocated, "
        f"{found['reserved'] / GIB:.2f} reserved, {found['held'] / GIB:.2f} allocated between updates, "
        f"{found['used'] / GIB:.2f} of the card in use at the end. The largest batch has {found['batch_tokens']:,} "
        f"tokens, filling counted, and {found['batch_logits']:,} places with logits."
    )


def job_of(
    place: Path, shape: str, folder: Path, recipe: str, data: Path, settings: tuple[str, ...] = ()
) -> TrainingJob:
    """The training that ``dsum-bench finetune`` would start, without evaluation."""
    from dsum_bench.training.finetune import TrainingOptions, make_job
    from dsum_bench.training.prepare import TrainingRequest, prepare

    (place / "registry.toml").write_text(REGISTRY.format(name=f"{shape}-random", folder=folder), encoding="utf-8")
    lines = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    batch, accumulate = (1, 1) if shape == "tiny" else (BATCH, ACCUMULATE)
    count = TINY if shape == "tiny" else UPDATES * batch * accumulate
    rows = [
        {"id": str(n), "dialogue": r["dialogue"], "summary": r.get("summary") or r["summary1"]}
        for n, r in enumerate(lines[i % len(lines)] for i in range(count))
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (place / "train.jsonl").write_text(text, encoding="utf-8")
    plugins = Plugins(PluginSettings(packages=()))
    registry = load([place / "registry.toml"], plugins, place)
    request = TrainingRequest(
        f"{shape}-random", recipe, "rows", "train", None, None, None, 0, None, "template",
        ("epochs=1", "save_steps=1000", f"batch={batch}", f"accumulate={accumulate}", f"max_tokens={LONGEST}",
         *settings),
        None, 42, None,
    )  # fmt: skip
    prepared = prepare(request, registry, plugins, detect())
    return make_job(prepared, TrainingOptions(f"gpu-{recipe}", probe=False), plugins, place / "results")


def trained(job: TrainingJob) -> dict[str, Any]:
    """The worker's own training."""
    from dsum_bench.training import worker

    points: list[Point] = []
    plans: list[PlanReady] = []

    def emit(event: Any) -> None:
        if isinstance(event, CurvePoint) and "loss" in event.values:
            points.append(Point(int(event.values["tokens"]), now(), event.values["loss"], allocated()))
        elif isinstance(event, PlanReady):
            plans.append(event)

    reset_peaks()
    with shapes_of_batches() as shapes:
        worker.run(job, emit)
    plan = plans[0].figures
    return summed(points, shapes) | {
        "planned": plan.peak,
        "parts": dict(plan.memory),
        "checkpointing": plan.checkpointing,
        "planned_tokens": plan.longest * int(str(job.spec.recipe.params["batch"])),
    }


@contextmanager
def shapes_of_batches() -> Iterator[list[tuple[int, int]]]:
    """Tokens, filling counted, and places with logits of each batch that is made inside."""
    from dsum_bench.training.batches import Collator, Packed

    found: list[tuple[int, int]] = []

    def watched(make: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        def made(*given: Any, **named: Any) -> dict[str, Any]:
            batch = make(*given, **named)
            found.append((batch["input_ids"].numel(), batch["shift_labels"].numel()))
            return batch

        return made

    with ExitStack() as stack:
        for kind in (Collator, Packed):
            stack.enter_context(patch.object(kind, "__call__", watched(kind.__call__)))
        yield found


def plain_loop(job: TrainingJob) -> dict[str, Any]:
    """What a notebook has: rows in a random order, batches filled up, the network's own loss, AdamW."""
    import torch
    from peft import LoraConfig, get_peft_model

    from benchmarks.training_speed import padded
    from dsum_bench.training import worker
    from dsum_bench.training.texts import build_texts

    plugins = Plugins(job.plugins)
    engine: Any = plugins.get("engine", job.spec.model.engine)(job.spec.model, job.spec.placement)
    loaded = engine.prepare(print)
    texts = build_texts(worker.build_adapter(job.spec, plugins, loaded), job.train, LONGEST)
    engine.packed = True
    reset_peaks()
    engine.load(print)
    config = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")  # type: ignore[arg-type]
    network = get_peft_model(engine.network, config).train()
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=2e-4, weight_decay=0.0)
    random.Random(42).shuffle(texts)
    size, accumulate = (int(str(job.spec.recipe.params[name])) for name in ("batch", "accumulate"))
    done, points, shapes = 0, list[Point](), list[tuple[int, int]]()
    for start in range(0, len(texts), size * accumulate):
        update = texts[start : start + size * accumulate]
        total = 0.0
        for at in range(0, len(update), size):
            rows = update[at : at + size]
            batch = {name: t.to(network.device) for name, t in padded(rows, loaded.tokenizer.pad_token_id or 0).items()}
            shapes.append((batch["input_ids"].numel(), batch["input_ids"].numel()))
            loss = network(**batch, use_cache=False).loss / accumulate
            loss.backward()
            total += float(loss.detach())
            done += sum(len(row.input_ids) for row in rows)
        torch.nn.utils.clip_grad_norm_(learning, 0.3)
        optimizer.step()
        optimizer.zero_grad()
        points.append(Point(done, now(), total, allocated()))
    return summed(points, shapes)


def summed(points: Sequence[Point], shapes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Figures from the end of the first update on: libraries are loaded and memory is laid out once."""
    first, last = points[0], points[-1]
    most, reserved = peak()
    return {
        "tokens": last.tokens - first.tokens,
        "seconds": last.at - first.at,
        "allocated": most,
        "reserved": reserved,
        "held": max(point.held for point in points),
        "used": in_use(),
        "losses": [point.loss for point in points],
        "batch_tokens": max(tokens for tokens, _ in shapes),
        "batch_logits": max(logits for _, logits in shapes),
    }


# -- the device -----------------------------------------------------------------------------------------------


def device() -> str:
    """Where the shapes are made."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def now() -> float:
    """The time once the GPU has done all it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


def reset_peaks() -> None:
    """Have the peak begin here."""
    import torch

    if torch.cuda.is_available():
        give_back()
        torch.cuda.reset_peak_memory_stats()


def peak() -> tuple[int, int]:
    """Bytes that torch had allocated and reserved at most."""
    import torch

    if not torch.cuda.is_available():
        return 0, 0
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def allocated() -> int:
    """Bytes of tensors that are there now."""
    import torch

    return torch.cuda.memory_allocated() if torch.cuda.is_available() else 0


def in_use() -> int:
    """Bytes of the card that anyone holds now: a paged optimiser's state is not among torch's own."""
    import torch

    if not torch.cuda.is_available():
        return 0
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def bandwidth() -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    big = torch.randn(2**28 if torch.cuda.is_available() else 2**22, device=device())

    def copy() -> None:
        big.clone()
        now()

    return 2 * big.numel() * 4 / min(interleaved({"copy": copy}, 5)["copy"])


def give_back() -> None:
    """Free what is no longer held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
