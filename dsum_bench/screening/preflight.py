"""What can run here, found for all models at once before any weight is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal

from dsum_bench import __version__
from dsum_bench.adapters.controls import ConstantFitAdapter
from dsum_bench.adapters.prompts import default_prompt
from dsum_bench.engines.base import Plan
from dsum_bench.errors import ModelError, ModelSkipped, UserError, plugin_code
from dsum_bench.machine import Machine
from dsum_bench.plugins import Plugins
from dsum_bench.prompting.asking import Asked, asked
from dsum_bench.registry.load import Registry
from dsum_bench.registry.tables import with_settings
from dsum_bench.screening.fitting import fitted
from dsum_bench.spec import DecodingSpec, Example, ModelSpec, Placement, PromptFormat, PromptSpec, RunSpec, Sample

NOWHERE = Placement("none", "none", "none", "")


@dataclass(frozen=True, slots=True)
class Task:
    """The samples of a sweep and how they are summarised; the same for all its models.

    prompt, decoding: for all models, None for each model's own. settings: ``key=value`` changes to every decoding.
    """

    dataset: str
    language: str
    split: str
    selection: str
    n_samples: int
    dataset_fingerprint: str
    references_fingerprint: str
    prompt: PromptSpec | None = None
    prompt_format: PromptFormat = "template"
    decoding: DecodingSpec | None = None
    settings: tuple[str, ...] = ()
    seed: int = 42
    samples: tuple[Sample, ...] = ()
    held: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model and what became of it before the sweep: a run to do, or why not.

    status: ``ready``, ``skipped`` (this machine) or ``failed`` (the entry is at fault).
    fields: names of the columns that its prompts hold. point: of a sweep over prompts and decodings, as it is shown.
    examples: chosen for each sample, by its id.
    """

    run: RunSpec
    control: bool
    status: Literal["ready", "skipped", "failed"] = "ready"
    reason: str = ""
    download_bytes: int = 0
    fields: tuple[str, ...] = ()
    point: str = ""
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)

    def shown(self, sample: Sample) -> Sample:
        """The sample with the examples that were chosen for it."""
        found = self.examples.get(sample.id, ())
        return replace(sample, examples=found) if found else sample


def preflight(
    models: Sequence[ModelSpec], task: Task, registry: Registry, plugins: Plugins, machine: Machine
) -> list[Candidate]:
    """Check every model side by side; none costs the others time.

    Raises:
        UserError: a prompt, decoding or setting that does not exist, or a sample without a field that a prompt asks
            for: the caller's mistake.
    """
    runs = [_run(model, task, registry, plugins) for model in models]
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = pool.map(lambda run: _check(run[0], registry, plugins, machine), runs)
        return [
            replace(candidate, fields=what.fields, examples=what.examples)
            for candidate, (_, what) in zip(found, runs, strict=True)
        ]


def _run(model: ModelSpec, task: Task, registry: Registry, plugins: Plugins) -> tuple[RunSpec, Asked]:
    adapter = plugins.get("adapter", model.adapter, f"{model.origin}: model '{model.name}'")
    generates = adapter.architecture != "none"
    prompt: PromptSpec | None = None
    if adapter.prompt_style != "none":
        own = model.prompt or default_prompt(adapter.prompt_style, task.language)
        prompt = task.prompt or registry.prompt(own)
    what = asked(model, prompt, task.samples, task.dataset, registry, plugins, task.held or None)
    run = RunSpec(
        model=model,
        dataset=task.dataset,
        language=task.language,
        split=task.split,
        selection=task.selection,
        n_samples=task.n_samples,
        dataset_fingerprint=task.dataset_fingerprint,
        references_fingerprint=task.references_fingerprint,
        prompt=what.prompt,
        prompt_format=task.prompt_format if adapter.prompt_style == "chat" else "template",
        decoding=_decoding(model, task, registry, plugins) if generates else None,
        placement=NOWHERE,
        weights="",
        seed=task.seed,
        versions={"dsum-bench": __version__},
        asked=what.digest,
    )
    return run, what


def _decoding(model: ModelSpec, task: Task, registry: Registry, plugins: Plugins) -> DecodingSpec:
    spec = task.decoding or registry.decoding(model.decoding)
    strategy = plugins.get("decoding", spec.strategy, f"decoding '{spec.name}'")
    params = with_settings(strategy.Params, spec.params, task.settings)
    try:
        strategy.Params(**params)
    except ValueError as error:
        raise UserError(f"decoding '{spec.name}' of {spec.origin or 'the command line'}: {error}") from None
    return replace(spec, params=params)


def _check(run: RunSpec, registry: Registry, plugins: Plugins, machine: Machine) -> Candidate:
    model = run.model
    adapter = plugins.adapters[model.adapter]
    control = adapter.architecture == "none"
    engine = plugins.get("engine", model.engine, f"{model.origin}: model '{model.name}'")
    try:
        if model.adapter == ConstantFitAdapter.name:
            model = fitted(run, registry, plugins)
            run, adapter = replace(run, model=model), plugins.adapters[model.adapter]
        if model.languages and run.language not in model.languages:
            raise ModelSkipped(f"made for {', '.join(model.languages)}; the dataset is {run.language}")
        decoding = plugins.decodings[run.decoding.strategy] if run.decoding else None
        beams = decoding(decoding.Params(**run.decoding.params)).beams if decoding and run.decoding else 1
        with plugin_code():
            plan = engine.plan(model, machine, beams)
            versions = engine.versions()
            wrong = adapter.refuses(plan.config) if plan.config else None
        if wrong:
            raise ModelError(f"adapter '{model.adapter}' does not fit its checkpoint: {wrong}")
        asks = adapter.prompt_style == "chat" and run.prompt_format == "template"
        if asks and plan.template is False:
            raise ModelError("its tokenizer has no chat template; use adapter completion or --prompt-format raw")
    except ModelSkipped as error:
        return Candidate(run, control, "skipped", str(error))
    except ModelError as error:
        return Candidate(run, control, "failed", str(error))
    except Exception as error:  # an engine may be a plugin: its fault is this model's, not the sweep's
        return Candidate(run, control, "failed", f"{type(error).__name__}: {error}")
    return Candidate(_planned(run, plan, versions), control, download_bytes=plan.download_bytes)


def _planned(run: RunSpec, plan: Plan, versions: Mapping[str, str]) -> RunSpec:
    return replace(
        run,
        model=replace(run.model, revision=plan.revision or run.model.revision),
        placement=plan.placement,
        weights=plan.weights,
        versions={**run.versions, **versions},
    )
