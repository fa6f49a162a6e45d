"""``dsum-bench postprocess``: stored summaries changed by rules, and what each rule brought."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import (
    command,
    json_option,
    metric_option,
    open_bench,
    plugin_option,
    registry_option,
    results_option,
)
from dsum_bench.errors import UserError
from dsum_bench.figures import difference

if TYPE_CHECKING:
    from dsum_bench.screening.postprocessing import Postprocessed, StepGain


@command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=completion.runs)
@click.option("--by", metavar="NAME", help="Entry [postprocess.NAME] of the registry  [default: tidy]")
@click.option("--steps", metavar="STEP,...", help="Steps in order, instead of an entry.")
@metric_option
@click.option("--measure", default="mean", show_default=True, help="Measure for the effect of the steps.")
@json_option
@registry_option
@plugin_option
@results_option
def postprocess(
    runs: tuple[str, ...],
    by: str | None,
    steps: str | None,
    metrics: tuple[str, ...] | None,
    measure: str,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """Post-process the stored summaries of finished RUNs by rules. Each result is a new run, MODEL+NAME.

    Nothing is generated, and the model's output is kept. If there are references, the effect of each step is printed
    with its 95 % interval; `compare` prints it again.

    \b
    Examples:
      dsum-bench postprocess kobart
      dsum-bench postprocess kobart --steps tags,particles
    """
    if by is not None and steps is not None:
        raise UserError("give either --by (an entry) or --steps (a list of steps), not both")
    chosen = [step.strip() for step in steps.split(",") if step.strip()] if steps is not None else by or "tidy"
    bench = open_bench(results, registry, plugin, as_json)
    found = bench.postprocess(runs, chosen, metrics=metrics, measure=measure)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json([_object(done) for done in found])
        return
    for done in found:
        click.echo(f"{done.run.run_id} {done.run.model}: {sum(done.changed.values())} changes to {done.run.samples}")
        for line in step_lines([step_values(gain) for gain in done.gains]) if done.gains else _changes(done):
            click.echo(f"  {line}")


def step_values(gain: StepGain) -> dict[str, Any]:
    """A step's gain for a program. An end of an interval that is infinite is null."""
    values = asdict(gain)
    values["difference"] = {k: v if isfinite(v) else None for k, v in values["difference"].items()}
    return values


def step_lines(steps: Sequence[dict[str, Any]], title: str = "") -> Iterator[str]:
    """A line a step: its name, how many summaries it changed, the mean after it, and what it brought."""
    if title:
        yield title
    width = max(len(step["step"]) for step in steps)
    for step in steps:
        gap = step["difference"]
        ends = [float("inf") if gap[end] is None else gap[end] for end in ("low", "high")]
        told = f"{difference(gap['mean'], *ends)}, p = {step['p']:.4f}" if step["changed"] else "changes nothing"
        yield f"{step['step']:<{width}}  {step['changed']:4} changed  {step['mean']:6.2f}  {told}"


def _changes(done: Postprocessed) -> Iterator[str]:
    width = max(map(len, done.changed))
    for step, changed in done.changed.items():
        yield f"{step:<{width}}  {changed:4} changed"


def _object(done: Postprocessed) -> dict[str, Any]:
    return {
        "run_id": done.run.run_id,
        "model": done.run.model,
        "source": done.source.row.run_id,
        "status": done.run.status,
        "samples": done.run.samples,
        "changed": dict(done.changed),
        "steps": [step_values(gain) for gain in done.gains],
    }
