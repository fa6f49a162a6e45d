"""What a person sees while a model is trained: a Rich bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from dsum_bench.figures import duration, size

PLAIN_EVERY = 30.0
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60

if TYPE_CHECKING:
    from dsum_bench.training.job import CurvePoint, TrainingJob, TrainingPlan


@dataclass(slots=True)
class Shown:
    """A training as it is shown. steps: of its plan; first: step and seconds of its first point; tokens: likewise."""

    steps: int = 0
    task: TaskID | None = None
    said: float = 0.0
    first: tuple[int, float] | None = None
    tokens: tuple[float, float] | None = None
    losses: list[float] = field(default_factory=list)


@dataclass(slots=True)
class TrainingProgress:
    """Shows trainings, several at a time. bar: None where the console is no terminal; there a line comes every half
    minute."""

    console: Console
    bar: Progress | None
    shown: dict[str, Shown] = field(default_factory=dict)

    def planned(self, job: TrainingJob, figures: TrainingPlan) -> None:
        shown = self.shown[job.id] = Shown(figures.steps)
        self.console.print(plan_table(job, figures))
        if self.bar is not None and not job.plan_only:
            shown.task = self.bar.add_task(job.id, total=figures.steps, said="loading")

    def probed(self, job: TrainingJob, seconds: float) -> None:
        self.console.print(Text(f"{job.id}: about {duration(seconds)} of training, estimated from one batch here"))

    def told(self, job: TrainingJob, text: str) -> None:
        shown = self.shown.get(job.id)
        if self.bar is not None and shown is not None and shown.task is not None and not shown.losses:
            self.bar.update(shown.task, said=text)

    def warned(self, job: TrainingJob, text: str) -> None:
        self.console.print(Text(f"{job.id}: warning: {text}"))

    def resumed(self, job: TrainingJob, step: int) -> None:
        self.console.print(Text(f"{job.id}: resuming at step {step} of {self._of(job).steps}"))

    def logged(self, job: TrainingJob, point: CurvePoint) -> None:
        values, shown = point.values, self._of(job)
        if "eval_loss" in values:
            self.console.print(Text(f"{job.id}: step {point.step}, evaluation loss {values['eval_loss']:.4f}"))
        if "eval_rouge" in values:
            self.console.print(Text(f"{job.id}: step {point.step}, evaluation score {values['eval_rouge']:.2f}"))
        if "loss" not in values:
            return
        shown.losses.append(values["loss"])
        shown.first = shown.first or (point.step, point.seconds)
        shown.tokens = shown.tokens or (values.get("tokens", 0.0), point.seconds)
        line = _line(shown, point)
        if self.bar is not None and shown.task is not None:
            self.bar.update(shown.task, completed=point.step, said=line)
        elif monotonic() - shown.said > PLAIN_EVERY or point.step == shown.steps:
            shown.said = monotonic()
            self.console.print(Text(f"{job.id}: step {point.step} of {shown.steps}, {line}"))

    def ended(self, job: TrainingJob, status: str, reason: str) -> None:
        shown = self.shown.pop(job.id, Shown())
        if self.bar is not None and shown.task is not None:
            self.bar.remove_task(shown.task)
        if shown.losses:
            losses = shown.losses
            self.console.print(Text(f"loss {drawn(losses)} {losses[0]:.3f} to {losses[-1]:.3f}"))
        trained = f"trained; the model is called {job.id}" + (f" ({reason})" if reason else "")
        told = {"done": trained, "planned": "planned"}.get(status, f"{status}: {reason}")
        self.console.print(Text(f"{job.id}: {told}"))

    def _of(self, job: TrainingJob) -> Shown:
        return self.shown.setdefault(job.id, Shown())


def _line(shown: Shown, point: CurvePoint) -> str:
    """What is said of a point, for the steps since the first one."""
    values = point.values
    parts = [f"loss {values['loss']:.3f}", f"lr {values.get('lr', 0.0):.1e}", f"{size(point.peak_memory)}"]
    assert shown.first is not None and shown.tokens is not None
    step, began = shown.first
    if point.step > step:
        each = (point.seconds - began) / (point.step - step)
        rate = (values.get("tokens", 0.0) - shown.tokens[0]) / (point.seconds - began)
        parts += [f"{rate:.0f} tokens/s", f"{duration(each * (shown.steps - point.step))} left"]
    return ", ".join(parts)


@contextmanager
def training_progress(console: Console, live: bool) -> Iterator[TrainingProgress]:
    """A bar where the console is live, else lines."""
    if not live:
        yield TrainingProgress(console, None)
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}", style="dim", markup=False),
        console=console,
        refresh_per_second=4,
        transient=True,
    )
    with bar:
        yield TrainingProgress(console, bar)


def plan_table(job: TrainingJob, figures: TrainingPlan) -> Table:
    """The plan of a run as rows of name and figure."""
    table = Table(title=f"Plan of {job.id}", title_justify="left", show_header=False)
    place = job.spec.placement
    share = 100 * figures.trainable / figures.weights
    trimmed = f", {figures.trimmed} lost turns" if figures.trimmed else ""
    told = [
        (
            "recipe",
            f"{job.spec.recipe.name} ({job.spec.recipe.trainer}), {place.device} {place.dtype} {place.quantization}",
        ),
        ("trained", f"{figures.trainable:,} of {figures.weights:,} weights, {share:.2f} %"),
        (
            "pairs" if job.spec.preferences else "rows",
            f"{figures.rows:,} ({job.spec.dataset} {job.spec.split}){trimmed}",
        ),
        (
            "tokens",
            f"{figures.tokens:,}, of which {figures.target_tokens:,} are learnt; longest row {figures.longest:,}",
        ),
        ("steps", f"{figures.steps:,} of {_update(job, figures.processes)}"),
        *((f"memory: {name}", size(count)) for name, count in figures.memory.items()),
        ("memory, together", f"{size(figures.peak)} of {size(figures.free)} free"),
        ("activations", "computed again, which takes less memory" if figures.checkpointing else "kept"),
        *((("freed memory", "kept for the next batch, which is faster"),) if figures.keeps_freed else ()),
        ("disk", f"{size(figures.disk)} of {size(figures.disk_free)} free"),
    ]
    for name, text in told:
        table.add_row(name, Text(text))
    return table


def _update(job: TrainingJob, processes: int) -> str:
    """What an update of the weights is made of."""
    params = {key: int(str(job.spec.recipe.params[key] or 0)) for key in ("batch", "accumulate", "pack_tokens")}
    batches = params["accumulate"] * processes
    if params["pack_tokens"]:
        return f"at most {params['pack_tokens'] * batches:,} tokens"
    return f"{params['batch'] * batches} {'pairs' if job.spec.preferences else 'rows'}"


def drawn(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve as a line of blocks; each stands for the mean of its share of the values."""
    count = min(width, len(values))
    edges = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((m - low) * scale)] for m in means)
