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
class TrainingProgress:
    """Shows a training. bar: None where the console is no terminal; there a line comes every half minute."""

    console: Console
    bar: Progress | None
    task: TaskID | None = None
    said: float = 0.0
    steps: int = 0
    first: tuple[int, float] | None = None
    tokens: tuple[float, float] | None = None
    losses: list[float] = field(default_factory=list)

    def planned(self, job: TrainingJob, figures: TrainingPlan) -> None:
        self.steps, self.first, self.tokens, self.losses = figures.steps, None, None, []
        self.console.print(plan_table(job, figures))
        if self.bar is not None and not job.plan_only:
            self.task = self.bar.add_task(job.id, total=figures.steps, said="loading")

    def probed(self, job: TrainingJob, seconds: float) -> None:
        self.console.print(Text(f"{job.id}: about {duration(seconds)} of training, estimated from one batch here"))

    def told(self, job: TrainingJob, text: str) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, said=text) if not self.losses else None

    def warned(self, job: TrainingJob, text: str) -> None:
        self.console.print(Text(f"{job.id}: warning: {text}"))

    def resumed(self, job: TrainingJob, step: int) -> None:
        self.console.print(Text(f"{job.id}: resuming at step {step} of {self.steps}"))

    def logged(self, job: TrainingJob, point: CurvePoint) -> None:
        values = point.values
        if "eval_loss" in values:
            self.console.print(Text(f"{job.id}: step {point.step}, evaluation loss {values['eval_loss']:.4f}"))
        if "eval_rouge" in values:
            self.console.print(Text(f"{job.id}: step {point.step}, evaluation score {values['eval_rouge']:.2f}"))
        if "loss" not in values:
            return
        self.losses.append(values["loss"])
        self.first = self.first or (point.step, point.seconds)
        self.tokens = self.tokens or (values.get("tokens", 0.0), point.seconds)
        line = self._line(point)
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=point.step, said=line)
        elif monotonic() - self.said > PLAIN_EVERY or point.step == self.steps:
            self.said = monotonic()
            self.console.print(Text(f"{job.id}: step {point.step} of {self.steps}, {line}"))

    def ended(self, job: TrainingJob, status: str, reason: str) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None
        if self.losses:
            self.console.print(Text(f"loss {drawn(self.losses)} {self.losses[0]:.3f} to {self.losses[-1]:.3f}"))
        trained = f"trained; the model is called {job.id}" + (f" ({reason})" if reason else "")
        told = {"done": trained, "planned": "planned"}.get(status, f"{status}: {reason}")
        self.console.print(Text(f"{job.id}: {told}"))

    def _line(self, point: CurvePoint) -> str:
        values = point.values
        parts = [f"loss {values['loss']:.3f}", f"lr {values.get('lr', 0.0):.1e}", f"{size(point.peak_memory)}"]
        assert self.first is not None and self.tokens is not None
        step, began = self.first
        if point.step > step:
            each = (point.seconds - began) / (point.step - step)
            rate = (values.get("tokens", 0.0) - self.tokens[0]) / (point.seconds - began)
            parts += [f"{rate:.0f} tokens/s", f"{duration(each * (self.steps - point.step))} left"]
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
    batch = job.spec.recipe.params
    share = 100 * figures.trainable / figures.weights
    trimmed = f", {figures.trimmed} lost turns" if figures.trimmed else ""
    together = int(str(batch["batch"])) * int(str(batch["accumulate"])) * figures.processes
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
        ("steps", f"{figures.steps:,} of {together} {'pairs' if job.spec.preferences else 'rows'}"),
        *((f"memory: {name}", size(count)) for name, count in figures.memory.items()),
        ("memory, together", f"{size(figures.peak)} of {size(figures.free)} free"),
        ("activations", "computed again, which takes less memory" if figures.checkpointing else "kept"),
        *((("freed memory", "kept for the next batch, which is faster"),) if figures.keeps_freed else ()),
        ("disk", f"{size(figures.disk)} of {size(figures.disk_free)} free"),
    ]
    for name, text in told:
        table.add_row(name, Text(text))
    return table


def drawn(values: Sequence[float], width: int = WIDTH) -> str:
    """A curve as a line of blocks; each stands for the mean of its share of the values."""
    count = min(width, len(values))
    edges = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((m - low) * scale)] for m in means)
