"""What a person sees while a sweep runs: Rich bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dsum_bench.figures import duration
from dsum_bench.spec import Finding, RunSpec

PLAIN_EVERY = 30.0


class Rate(ProgressColumn):
    """Samples a minute and time left, from the samples of this session only."""

    def render(self, task: Task) -> Text:
        rate, left = task.fields.get("rate"), task.fields.get("left")
        if not rate:
            return Text("")
        return Text(f"{rate * 60:.1f}/min" + (f", {duration(left)} left" if left else ""))


@contextmanager
def counted(console: Console, live: bool, what: str) -> Iterator[Callable[[int, int], None]]:
    """How many of something are done: a bar where the console is live, a line now and then elsewhere."""
    if live:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
        ) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    told = monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        if monotonic() - told >= PLAIN_EVERY:
            told = monotonic()
            console.print(f"{done} of {total} {what}", markup=False)

    yield tell


class Bars:
    """One bar for the sweep and one for each running model. Updates at most four times a second."""

    def __init__(self, console: Console, models: int) -> None:
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            Rate(),
            TextColumn("{task.fields[said]}", style="dim", markup=False),
            console=console,
            refresh_per_second=4,
            transient=True,
        )
        self.sweep = self.progress.add_task("models", total=models, said="")
        self.tasks: dict[str, TaskID] = {}
        self.started: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def model_started(self, run: RunSpec, done: int, total: int) -> None:
        name = run.model.name
        self.tasks[name] = self.progress.add_task(name, total=total, completed=done, said="")
        self.started[name] = (monotonic(), done)

    def model_progress(self, run: RunSpec, text: str) -> None:
        if run.model.name in self.tasks:
            self.progress.update(self.tasks[run.model.name], said=text)

    def samples_done(self, run: RunSpec, done: int, total: int) -> None:
        began, before = self.started[run.model.name]
        rate = (done - before) / max(1e-6, monotonic() - began)
        left = (total - done) / rate if rate else 0.0
        self.progress.update(self.tasks[run.model.name], completed=done, rate=rate, left=left, said="")

    def model_ended(self, run: RunSpec, status: str, reason: str) -> None:
        if run.model.name in self.tasks:
            self.progress.remove_task(self.tasks.pop(run.model.name))
        self.progress.advance(self.sweep)
        if status != "skipped" or not reason.startswith("made for"):
            self.progress.console.print(end_line(run, status, reason))

    def found(self, run: RunSpec, finding: Finding) -> None:
        self.progress.console.print(finding_line(run.model.name, finding))

    def warned(self, text: str) -> None:
        self.progress.console.print(Text(f"warning: {text}", style="yellow"))


class Lines:
    """The same for a pipe or a log file: a line when something begins or ends, and one every half minute."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.last: dict[str, float] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def model_started(self, run: RunSpec, done: int, total: int) -> None:
        self.last[run.model.name] = monotonic()
        self._line(f"{run.model.name}: started, {done} of {total} samples done before")

    def model_progress(self, run: RunSpec, text: str) -> None:
        return

    def samples_done(self, run: RunSpec, done: int, total: int) -> None:
        if monotonic() - self.last[run.model.name] >= PLAIN_EVERY:
            self.last[run.model.name] = monotonic()
            self._line(f"{run.model.name}: {done} of {total} samples")

    def model_ended(self, run: RunSpec, status: str, reason: str) -> None:
        self._line(end_line(run, status, reason))

    def found(self, run: RunSpec, finding: Finding) -> None:
        self._line(finding_line(run.model.name, finding))

    def warned(self, text: str) -> None:
        self._line(f"warning: {text}")

    def _line(self, text: str | Text) -> None:
        self.console.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)


STYLES = {"done": "green", "partial": "yellow", "failed": "red", "skipped": "dim"}


LEVELS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def finding_line(model: str, finding: Finding) -> Text:
    """One line on what a check found."""
    text = Text(f"{model}: ")
    text.append(f"{finding.level} [{finding.check}]", LEVELS[finding.level])
    return text.append(f" {finding.text}")


def end_line(run: RunSpec, status: str, reason: str) -> Text:
    """One line on how a model ended; names and reasons are data, never markup."""
    text = Text(f"{run.model.name}: ")
    text.append(status, STYLES.get(status, ""))
    if reason:
        text.append(f" - {reason}")
    return text
