"""What is done with stored summaries: postprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dsum_bench.api.management import Management
from dsum_bench.errors import UserError
from dsum_bench.spec import Output, PostprocessSpec, Sample

if TYPE_CHECKING:
    from dsum_bench.metrics.base import Metric
    from dsum_bench.screening.postprocessing import Postprocessed, StepGain
    from dsum_bench.screening.preflight import Candidate
    from dsum_bench.screening.sweep import RunResult
    from dsum_bench.store.records import RunRecord

TIDY = "tidy"
STEPS = "steps"
"""Name of a list of steps that is no entry of the registry."""


class Stages(Management):
    """What makes new runs of stored ones, without a model."""

    def postprocess(
        self,
        runs: str | Sequence[str],
        by: str | PostprocessSpec | Sequence[str] = TIDY,
        *,
        metrics: Sequence[str] | None = None,
        measure: str = "mean",
    ) -> list[Postprocessed]:
        """Change the summaries of stored runs by rules; each result is a run of its own, ``MODEL+NAME``.

        by: an entry ``[postprocess.NAME]`` of the registry, a ``PostprocessSpec``, or a list of steps.
        metrics: to score with; by default those that the source is scored with. measure: that the gains are told by.

        Nothing is generated: what the model wrote stays, in the source and in the result.
        """
        from dsum_bench.screening import derived
        from dsum_bench.screening import postprocessing as rules

        spec = self._postprocess_spec(by)
        steps = rules.postprocessors(spec, self.loaded_plugins)
        names = [runs] if isinstance(runs, str) else runs
        done = []
        for record in [derived.finished(self.run(name)) for name in names]:
            samples, written = derived.samples(self.database, record), derived.outputs(self.database, record)
            found = rules.stages(samples, written, steps)
            built = self._metrics_for([record], metrics)
            made = rules.candidate(record, spec, steps, written)
            result = self._store_derived(made, rules.processed(found, written), samples, built)
            by_metric = self._judge(record, built, measure)
            told = rules.gains(found, by_metric, measure) if by_metric and samples[0].references else ()
            done.append(rules.Postprocessed(record, result, found.changed, told))
        return done

    def step_gains(self, run: str, *, metric: str | None = None, measure: str = "mean") -> tuple[StepGain, ...]:
        """What each step of a postprocessed run brought over the step before it, by one measure of a metric."""
        from dsum_bench.metrics.choose import build
        from dsum_bench.screening import postprocessing as rules

        record = self.run(run)
        found = rules.stored_stages(self.database, record, self.loaded_plugins)
        return rules.gains(found, build(self.loaded_plugins, metric or self._metric(record)), measure)

    # -- work -----------------------------------------------------------------------------------------------

    def _postprocess_spec(self, by: str | PostprocessSpec | Sequence[str]) -> PostprocessSpec:
        if isinstance(by, str):
            return self.registry.postprocessing(by)
        if isinstance(by, PostprocessSpec):
            return by
        if not by:
            raise UserError("name at least one step (see 'dsum-bench plugins')")
        return PostprocessSpec(STEPS, tuple(by), origin="Bench")

    def _metrics_for(self, records: Sequence[RunRecord], named: Sequence[str] | None) -> dict[str, Metric]:
        """The metrics named, else those that all of some runs are scored with, as far as they can be made here."""
        from dsum_bench.metrics.choose import build
        from dsum_bench.screening import derived

        if named is not None:
            return {name: build(self.loaded_plugins, name) for name in dict.fromkeys(named)}
        built = {}
        for name in derived.metrics_of(records):
            try:
                built[name] = build(self.loaded_plugins, name)
            except UserError as error:
                self.display.warn(f"not scored with {name}: {error}")
        return built

    def _judge(self, record: RunRecord, built: Mapping[str, Metric], measure: str) -> Metric | None:
        """The metric of a run that has the measure, the usual one first."""
        usual = self._metric(record)
        order = [usual, *built] if usual in built else list(built)
        return next((built[name] for name in order if measure in built[name].measures), None)

    def _store_derived(
        self,
        candidate: Candidate,
        outputs: Mapping[str, Output],
        samples: Sequence[Sample],
        metrics: Mapping[str, Metric],
    ) -> RunResult:
        from dsum_bench.screening import sweep as sweeps
        from dsum_bench.screening.derived import Ready
        from dsum_bench.store.writer import Store

        options = sweeps.Settings(log_folder=self.results / "logs")
        with Store.open(self.database) as store, self.display.screening(1) as observer:
            sweep = sweeps.Sweep(samples, metrics, store, self.loaded_plugins, observer, options)
            (result,) = sweep.go([candidate], Ready(outputs))
        return result
