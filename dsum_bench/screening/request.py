"""What is to be screened: models, dialogues and settings, from a caller's words to checked candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dsum_bench.datasets.load import Selection
from dsum_bench.errors import UserError
from dsum_bench.fingerprints import references_fingerprint, samples_fingerprint
from dsum_bench.machine import Machine
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import Registry
from dsum_bench.screening.fitting import can_be_fitted
from dsum_bench.screening.preflight import Candidate, Task, preflight
from dsum_bench.spec import (
    DatasetSpec,
    DecodingSpec,
    Dtype,
    ModelSpec,
    PromptFormat,
    PromptSpec,
    Quantization,
    Sample,
)


@dataclass(frozen=True, slots=True)
class Dialogues:
    """Samples of one split of a dataset, and how they were chosen."""

    spec: DatasetSpec
    split: str
    selection: Selection


@dataclass(frozen=True, slots=True)
class ScreenRequest:
    """Models and how each of them is to summarise the dialogues.

    prompt, decoding: for all models, None for each model's own. settings: ``key=value`` changes to the decoding.
    dtype, quantization: for all models, None for each entry's own. held: rows that no prompt may show as an example,
    where more than the dialogues will be evaluated.
    """

    models: tuple[ModelSpec, ...]
    dialogues: Dialogues
    prompt: PromptSpec | None = None
    prompt_format: PromptFormat = "template"
    decoding: DecodingSpec | None = None
    settings: tuple[str, ...] = ()
    dtype: Dtype | None = None
    quantization: Quantization | None = None
    seed: int = 42
    held: tuple[Sample, ...] = ()


def candidates(request: ScreenRequest, registry: Registry, plugins: Plugins, machine: Machine) -> list[Candidate]:
    """Every model, checked: controls first, then small models before large ones.

    Raises:
        UserError: a prompt, decoding or setting that does not exist or does not fit.
    """
    found = preflight(_changed(request), task(request), registry, plugins, machine)
    return sorted(found, key=lambda c: (not c.control, c.run.model.params or 0))


def task(request: ScreenRequest) -> Task:
    """What all runs of a request share."""
    dialogues = request.dialogues
    samples = dialogues.selection.samples
    return Task(
        dataset=dialogues.spec.name,
        language=dialogues.spec.language,
        split=dialogues.split,
        selection=dialogues.selection.label,
        n_samples=len(samples),
        dataset_fingerprint=samples_fingerprint(samples),
        references_fingerprint=references_fingerprint(samples),
        prompt=request.prompt,
        prompt_format=request.prompt_format,
        decoding=request.decoding,
        settings=request.settings,
        seed=request.seed,
        samples=samples,
        held=request.held,
    )


def _changed(request: ScreenRequest) -> list[ModelSpec]:
    changes: dict[str, Any] = {}
    if request.dtype:
        changes["dtype"] = request.dtype
    if request.quantization:
        changes["quantization"] = request.quantization
    return [replace(model, **changes) for model in request.models]


def with_controls(
    request: ScreenRequest, wanted: bool, everything: bool, registry: Registry, plugins: Plugins
) -> ScreenRequest:
    """The request with the controls of the dialogues' language beside its models, as far as the dataset has what they
    need, or without any.

    everything: the models are the whole zoo; those named one by one stay, controls or not.
    """
    language = request.dialogues.spec.language
    dataset, split = request.dialogues.spec, request.dialogues.split
    beside = [
        model
        for model in registry.models.values()
        if _is_control(model, plugins)
        and (not model.languages or language in model.languages)
        and (not model.formats or dataset.format in model.formats)
        and can_be_fitted(model, dataset, split, plugins)
    ]
    if everything:
        fits = [m for m in request.models if not m.formats or dataset.format in m.formats]
        request = replace(request, models=tuple(fits))
    if wanted:
        names = {model.name for model in request.models}
        return replace(request, models=(*request.models, *(m for m in beside if m.name not in names)))
    if everything:
        return replace(request, models=tuple(m for m in request.models if not _is_control(m, plugins)))
    return request


def _is_control(model: ModelSpec, plugins: Plugins) -> bool:
    adapter = plugins.adapters.get(model.adapter)
    return adapter is not None and adapter.architecture == "none" and model.engine == "control"


def refuse_unused(request: ScreenRequest, plugins: Plugins) -> None:
    """Raise UserError for a setting that a model named by the caller has no use for.

    Controls beside models are left alone: they run with every screening, whatever its settings.
    """
    models = [m for m in request.models if not _is_control(m, plugins)] or request.models
    for model in models:
        adapter = plugins.adapters.get(model.adapter)
        if adapter is None:
            continue  # preflight names it
        for given, taken, what in _settings(request, adapter.prompt_style, adapter.architecture):
            if given and not taken:
                raise UserError(f"{model.name} takes no {what}; leave it out, or screen {model.name} by itself")


def _settings(request: ScreenRequest, style: str, architecture: str) -> Sequence[tuple[bool, bool, str]]:
    generates = architecture != "none"
    return (
        (request.prompt is not None, style != "none", "prompt (--prompt)"),
        (
            request.prompt_format == "raw",
            style == "chat",
            "raw prompt format (--prompt-format): it has no chat template",
        ),
        (request.decoding is not None, generates, "decoding (--decoding)"),
        (bool(request.settings), generates, "decoding parameters (--set)"),
    )


def announcement(candidates: Sequence[Candidate]) -> str:
    """What a sweep is about to fetch, '' for nothing: a whole zoo is more than many disks and evenings hold."""
    from dsum_bench.figures import size

    fetched = [c.download_bytes for c in candidates if c.status == "ready" and c.download_bytes]
    if not fetched:
        return ""
    return f"to be downloaded: {size(sum(fetched))} for {len(fetched)} model{'s' * (len(fetched) > 1)}"
