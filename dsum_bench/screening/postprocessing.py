"""Stored summaries made better by rules: a run beside its source, and what each step brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench import __version__
from dsum_bench.errors import UserError
from dsum_bench.metrics.base import Metric
from dsum_bench.metrics.bounds import scored_part
from dsum_bench.plugins import Plugins
from dsum_bench.postprocess.base import Postprocessor, apply
from dsum_bench.screening import derived
from dsum_bench.screening.preflight import Candidate
from dsum_bench.spec import Derivation, Output, PostprocessSpec, Sample
from dsum_bench.store import reader
from dsum_bench.store.records import RunRecord

if TYPE_CHECKING:
    from dsum_bench.screening.sweep import RunResult
    from dsum_bench.statistics import Interval


@dataclass(frozen=True, slots=True)
class StepGain:
    """What one step brought. changed: summaries that it changed; mean: of the measure after it.

    difference: mean after the step less mean before it, with its 95 % interval; p as ``compare`` gives it. Both are
    corrected for all pairs of stages, from the summaries as they were to the last step.
    """

    step: str
    changed: int
    mean: float
    difference: Interval
    p: float


@dataclass(frozen=True, slots=True)
class Postprocessed:
    """A run made from a stored one. changed: step -> summaries it changed; gains: empty without references."""

    source: RunRecord
    run: RunResult
    changed: Mapping[str, int]
    gains: tuple[StepGain, ...]


@dataclass(frozen=True, slots=True)
class Stages:
    """The summaries of a run before the first step and after each. texts: shape (steps + 1, samples)."""

    steps: tuple[str, ...]
    samples: tuple[Sample, ...]
    texts: tuple[tuple[str, ...], ...]

    @property
    def changed(self) -> dict[str, int]:
        """Step -> number of summaries that it changed."""
        pairs = zip(self.texts, self.texts[1:], strict=False)
        return {
            step: sum(a != b for a, b in zip(before, after, strict=True))
            for step, (before, after) in zip(self.steps, pairs, strict=True)
        }


def postprocessors(spec: PostprocessSpec, plugins: Plugins) -> list[Postprocessor]:
    """The steps of an entry. Raises UserError for one that is not registered."""
    return [plugins.get("postprocessor", step, f"[postprocess.{spec.name}]")() for step in spec.steps]


def stages(samples: Sequence[Sample], outputs: Mapping[str, Output], steps: Sequence[Postprocessor]) -> Stages:
    """Every summary before and after each step."""
    columns = []
    for sample in samples:
        before = outputs[sample.id].summary
        columns.append((before, *apply(steps, before, sample)))
    return Stages(tuple(step.name for step in steps), tuple(samples), tuple(zip(*columns, strict=True)))


def candidate(
    source: RunRecord, spec: PostprocessSpec, steps: Sequence[Postprocessor], outputs: Mapping[str, Output]
) -> Candidate:
    """The run that the steps make of a stored one: as its source, called ``MODEL+NAME``, with its lineage."""
    run = derived.run_spec(source)
    settings = {"steps": [[step.name, step.version] for step in steps]}
    made = Derivation("postprocess", spec.name, (source.row.run_id,), settings, derived.digest(outputs))
    return Candidate(
        replace(
            run,
            model=replace(run.model, name=f"{run.model.name}+{spec.name}"),
            versions={**run.versions, "dsum-bench": __version__},
            derived=made,
        ),
        control=source.row.kind == "control",
    )


def processed(found: Stages, outputs: Mapping[str, Output]) -> dict[str, Output]:
    """The outputs with their last summaries; what the model wrote stays as it is."""
    pairs = zip(found.samples, found.texts[-1], strict=True)
    return {sample.id: replace(outputs[sample.id], summary=summary, drafts=()) for sample, summary in pairs}


def gains(found: Stages, metric: Metric, measure: str) -> tuple[StepGain, ...]:
    """What each step brought by one measure."""
    from dsum_bench.statistics import AllPairs

    @cache
    def score(text: str, place: int) -> float:
        return metric.score(scored_part(text), found.samples[place])[measure]

    tests = AllPairs([[score(text, i) for i, text in enumerate(texts)] for texts in found.texts])
    changed = found.changed
    made = []
    for number, step in enumerate(found.steps):
        pair = tests.pair(number + 1, number)
        mean = float(tests.values[number + 1].mean())
        made.append(StepGain(step, changed[step], mean, pair.difference, pair.p))
    return tuple(made)


def stored_stages(path: Path, record: RunRecord, plugins: Plugins) -> Stages:
    """The stages of a stored postprocessed run, made again from its source's summaries.

    Raises:
        UserError: it is no such run, its source is gone, or its steps give other summaries by now.
    """
    run = derived.run_spec(record)
    name = f"run {record.row.run_id} ({record.row.model})"
    if run.derived is None or run.derived.stage != "postprocess":
        raise UserError(f"{name} was not made by postprocessing")
    settings = run.derived.settings["steps"]
    assert isinstance(settings, list)
    spec = PostprocessSpec(run.derived.name, tuple(str(step) for step, _ in settings))
    steps = postprocessors(spec, plugins)
    source = next((r for r in reader.runs(path) if r.row.run_id == run.derived.runs[0]), None)
    if source is None:
        raise UserError(f"the source of {name}, run {run.derived.runs[0]}, has been deleted")
    found = stages(derived.samples(path, source), derived.outputs(path, source), steps)
    written = derived.outputs(path, record)
    if any(written[s.id].summary != text for s, text in zip(found.samples, found.texts[-1], strict=True)):
        raise UserError(f"the steps of {name} now give different summaries; run `dsum-bench postprocess` again")
    return found
