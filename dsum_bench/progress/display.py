"""Where progress goes: Rich in a terminal or a notebook, plain lines elsewhere, a function of the caller, nowhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from dsum_bench.screening.sweep import SweepObserver
    from dsum_bench.training.sessions import TrainingObserver

Kind = Literal[
    "started", "progress", "samples", "finding", "ended", "warning", "planned", "estimate", "resumed", "point"
]


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """One thing that happened, for a caller's own display.

    kind: ``started``, ``progress`` (a few words), ``samples`` (done of total), ``finding``, ``ended``, ``warning``; for
    a training also ``planned``, ``estimate``, ``resumed``, ``point``. name: of the model, or of the training
    ``BASE@RUN``; '' where it concerns none. text: a sentence. done, total: samples, or steps of a training.
    values: of a point of the curve.
    """

    kind: Kind
    name: str
    text: str = ""
    done: int = 0
    total: int = 0
    values: Mapping[str, float] = field(default_factory=dict)


Callback = Callable[[ProgressEvent], None]
Target = Literal["auto"] | Callback | None


class Display:
    """Hands out observers. target: ``auto``, a function that takes each ``ProgressEvent``, or None for silence.

    console: where ``auto`` writes; standard error by default, so that output stays the caller's own.
    """

    def __init__(self, target: Target = "auto", console: Console | None = None) -> None:
        self.target = target
        self._console = console

    @property
    def console(self) -> Console:
        """The console that ``auto`` writes to."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False)
        return self._console

    @property
    def live(self) -> bool:
        """Whether bars that redraw themselves can be shown. A forced colour does not make a pipe a terminal."""
        if self.console.is_jupyter:
            return find_spec("ipywidgets") is not None  # without it Rich draws no bar and warns of that
        return self.console.is_terminal and bool(getattr(self.console.file, "isatty", lambda: False)())

    def warn(self, text: str) -> None:
        """Say something that the caller should know, once."""
        if callable(self.target):
            self.target(ProgressEvent("warning", "", text))
        elif self.target == "auto":
            print(f"warning: {text}", file=sys.stderr)

    def tell(self, text: str) -> None:
        """A line of progress that belongs to no sweep or training."""
        if callable(self.target):
            self.target(ProgressEvent("progress", "", text))
        elif self.target == "auto":
            print(text, file=sys.stderr)

    @contextmanager
    def screening(self, models: int) -> Iterator[SweepObserver]:
        """The observer of one sweep."""
        from dsum_bench.progress import callbacks, screening

        if self.target == "auto":
            observer = screening.Bars(self.console, models) if self.live else screening.Lines(self.console)
            with observer:
                yield observer
        else:
            yield callbacks.ScreeningCallback(self.target or callbacks.ignore)

    @contextmanager
    def counted(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A function to call with how many of something are done, and of how many."""
        from dsum_bench.progress import screening

        if self.target == "auto":
            with screening.counted(self.console, self.live, what) as progress:
                yield progress
        elif self.target is None:
            yield lambda done, total: None
        else:
            target = self.target
            yield lambda done, total: target(ProgressEvent("progress", "", what, done, total))

    @contextmanager
    def training(self) -> Iterator[TrainingObserver]:
        """The observer of trainings, one after the other."""
        from dsum_bench.progress import callbacks, training

        if self.target == "auto":
            with training.training_progress(self.console, self.live) as observer:
                yield observer
        else:
            yield callbacks.TrainingCallback(self.target or callbacks.ignore)
