"""A training as ``dsum-bench show`` prints it: settings, plan, status and curve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dsum_bench.figures import duration, size

if TYPE_CHECKING:
    from dsum_bench.store.training import Training


def facts(training: Training) -> Iterator[tuple[str, str]]:
    """Labels and values, '' where there is none."""
    figures = training.figures
    yield "training", training.id
    yield "base", training.base
    yield "recipe", f"{training.recipe} ({training.trainer})"
    yield "data", f"{training.dataset} {training.split}, {training.selection}"
    yield "status", training.status + (f": {training.reason}" if training.reason else "")
    if figures:
        yield "trained", f"{figures['trainable']:,} of {figures['weights']:,} weights"
        yield "rows", f"{figures['rows']:,}, {figures['target_tokens']:,} tokens learnt an epoch"
        yield "steps", f"{figures['steps']:,}"
    yield "time", duration(training.seconds) if training.seconds else ""
    yield "memory", f"{size(training.peak_memory)} at its peak" if training.peak_memory else ""
    yield "settings", " ".join(f"{name}={value}" for name, value in training.settings.items() if value)
    for measure, label in (("loss", "loss"), ("eval_loss", "eval loss"), ("eval_rouge", "eval score")):
        points = training.curve.get(measure, ())
        if points:
            yield label, _curve(points)


def _curve(points: tuple[tuple[int, float], ...]) -> str:
    from dsum_bench.progress.training import drawn

    (first, began), (last, ended) = points[0], points[-1]
    return f"{drawn([value for _, value in points], 40)} {began:.3f} at step {first}, {ended:.3f} at step {last}"
