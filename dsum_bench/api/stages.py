"""What is done with stored summaries: postprocessing and combining."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from dsum_bench.api.management import Management
from dsum_bench.errors import UserError, suggestion
from dsum_bench.spec import Output, PostprocessSpec, Sample

if TYPE_CHECKING:
    from dsum_bench.metrics.base import Metric
    from dsum_bench.screening.combination import Combined, Member, Recipe, Way
    from dsum_bench.screening.postprocessing import Postprocessed, StepGain
    from dsum_bench.screening.preflight import Candidate
    from dsum_bench.screening.sweep import RunResult
    from dsum_bench.store.records import RunRecord

TIDY = "tidy"
STEPS = "steps"
"""Name of a list of steps that is no entry of the registry."""


class Stages(Management):
    """Methods that derive new runs from stored ones, without a model."""

    def postprocess(
        self,
        runs: str | Sequence[str],
        by: str | PostprocessSpec | Sequence[str] = TIDY,
        *,
        metrics: Sequence[str] | None = None,
        measure: str = "mean",
    ) -> list[Postprocessed]:
        """Post-process the summaries of stored runs by rules; each result is a new run, ``MODEL+NAME``.

        by: an entry ``[postprocess.NAME]`` of the registry, a ``PostprocessSpec``, or a list of steps.
        metrics: to score with; by default those of the source. measure: for the effect of each step.

        Nothing is generated, and the model's output is kept.
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
        """The effect of each step of a post-processed run over the previous step, by one measure of a metric."""
        from dsum_bench.metrics.choose import build
        from dsum_bench.screening import postprocessing as rules

        record = self.run(run)
        found = rules.stored_stages(self.database, record, self.loaded_plugins)
        return rules.gains(found, build(self.loaded_plugins, metric or self._metric(record)), measure)

    def combine(
        self,
        runs: Sequence[str],
        by: Way = "mbr",
        *,
        metric: str | None = None,
        measure: str = "mean",
        weights: Sequence[float] | None = None,
        learn_from: Sequence[str] = (),
        metrics: Sequence[str] | None = None,
        name: str | None = None,
    ) -> Combined:
        """Combine several runs on the same samples by selecting one of their summaries for each sample. All
        ``candidates`` of a sampled run take part, so one such run is enough.

        by: ``mbr``, the summary that scores best with all others as references (minimum Bayes risk); ``vote``, the
            nearest neighbour of most others; ``shorter``, the shortest; ``route``, that of the run which a router
            predicts to be best for the dialogue.
        metric, measure: to compare summaries and to train the router; by default the data's usual metric.
        weights: of the runs, 1 for each by default. learn_from: for ``route``, finished runs of the same models on
            other rows, in the same order; by default the router is cross-validated on these rows.
        metrics: to score with; by default those that all the runs are scored with. name: of the result.

        The result has the gain over the best of the runs, if there is one.
        """
        from dsum_bench.screening import combination, derived

        records = [derived.finished(self.run(run)) for run in runs]
        combination.check(records, by)
        members = self._members(records, weights)
        samples = derived.samples(self.database, records[0])
        recipe = self._recipe(by, records, metric, measure, [self.run(run) for run in learn_from])
        chosen = combination.choose(recipe, members, samples)
        built = self._metrics_for(records, metrics)
        made = combination.candidate(recipe, members, name)
        result = self._store_derived(made, combination.outputs(chosen, members), samples, built)
        counts = Counter(place for place, _ in chosen.values())
        benefit = None
        judge = self._metric(records[0])
        if samples[0].references and judge in built and "mean" in built[judge].measures:
            combined = self.run(result.run_id)
            benefit = combination.tested(self.database, records, combined, judge, "mean")
        return combination.Combined(tuple(records), result, tuple(counts[i] for i in range(len(records))), benefit)

    def average(self, models: Sequence[str], name: str, weights: Sequence[float] | None = None) -> str:
        """Average LoRA adapters ``BASE@RUN`` of the same base into ``BASE@name``, exactly; returns that name.

        weights: of the models, 1 for each by default. The rank of the result is the sum of their ranks. Screen it like
        any other model to evaluate it. The training data of all adapters count as its training data.
        """
        from dsum_bench.combining.adapters import average
        from dsum_bench.registry.check import NAME
        from dsum_bench.registry.trained import result_folder

        listed = list(dict.fromkeys(models))
        if len(listed) < 2:
            raise UserError("give at least two trained models BASE@RUN to average")
        given = self._weights(weights, len(listed), "models")
        specs = [self.registry.model(model) for model in listed]
        untrained = [spec.name for spec in specs if spec.base is None]
        if untrained:
            raise UserError(f"{untrained[0]} is not a trained model of this results folder; give models BASE@RUN")
        if not NAME.fullmatch(name) or "@" in name:
            raise UserError(f"--name {name}: use lower-case letters, digits and . _ + - (not first)")
        made = f"{specs[0].base}@{name}"
        average({m: result_folder(self.results, m) for m in listed}, given, result_folder(self.results, made))
        return made

    # -- work -----------------------------------------------------------------------------------------------

    def _postprocess_spec(self, by: str | PostprocessSpec | Sequence[str]) -> PostprocessSpec:
        if isinstance(by, str):
            return self.registry.postprocessing(by)
        if isinstance(by, PostprocessSpec):
            return by
        if not by:
            raise UserError("give at least one step (see 'dsum-bench plugins')")
        return PostprocessSpec(STEPS, tuple(by), origin="Bench")

    def _members(self, records: Sequence[RunRecord], weights: Sequence[float] | None) -> list[Member]:
        from dsum_bench.screening import derived
        from dsum_bench.screening.combination import Member

        given = self._weights(weights, len(records), "runs")
        return [Member(r, derived.outputs(self.database, r), w) for r, w in zip(records, given, strict=True)]

    @staticmethod
    def _weights(weights: Sequence[float] | None, count: int, what: str) -> list[float]:
        given = list(weights) if weights is not None else [1.0] * count
        if len(given) != count:
            raise UserError(f"{len(given)} weights for {count} {what}; give one for each, in their order")
        if any(not isfinite(w) or w <= 0 for w in given):
            raise UserError(f"a weight must be more than 0; leave one of the {what} out instead")
        return given

    def _recipe(
        self, by: Way, records: Sequence[RunRecord], metric: str | None, measure: str, learn_from: Sequence[RunRecord]
    ) -> Recipe:
        from dsum_bench.metrics.choose import build
        from dsum_bench.screening import derived
        from dsum_bench.screening.combination import WAYS, Recipe, alike

        if by not in WAYS:
            raise UserError(f"unknown way to combine '{by}'{suggestion(by, WAYS)}")
        if learn_from and by != "route":
            raise UserError(f"--learn-from is only valid with --by route, not '{by}'")
        if by == "shorter":
            return Recipe(by)
        built = build(self.loaded_plugins, metric or self._metric(records[0]))
        if measure not in built.measures:
            raise UserError(f"metric '{built.name}' has no measure '{measure}'{suggestion(measure, built.measures)}")
        if not learn_from:
            return Recipe(by, built, measure)
        if len(learn_from) != len(records):
            raise UserError(
                f"{len(learn_from)} runs to learn from for {len(records)} to combine; name one for each with "
                "--learn-from, in their order"
            )
        alike([derived.finished(record) for record in learn_from])
        known = derived.samples(self.database, learn_from[0])
        return Recipe(by, built, measure, tuple(self._members(learn_from, None)), tuple(known))

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
