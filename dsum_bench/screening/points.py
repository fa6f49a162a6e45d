"""The points of a sweep over prompts and decodings: which runs they are, and which samples they are chosen on."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from dsum_bench.datasets.load import Selection
from dsum_bench.errors import UserError, suggestion
from dsum_bench.fingerprints import run_id
from dsum_bench.machine import Machine
from dsum_bench.plugins import Plugins
from dsum_bench.registry.grid import Axes, points
from dsum_bench.registry.load import Registry
from dsum_bench.screening.preflight import Candidate
from dsum_bench.screening.request import Dialogues, ScreenRequest, candidates, refuse_unused
from dsum_bench.screening.tables import PointTable
from dsum_bench.spec import DecodingSpec, ModelSpec, PromptSpec

PROMPT, DECODING = "prompt", "decoding"


def point_candidates(
    request: ScreenRequest, axes: Axes, named: bool, registry: Registry, plugins: Plugins, machine: Machine
) -> list[Candidate]:
    """Candidates of every model at every point of the axes, each once: a parameter that the decoding of a point does
    not have makes no point of its own.

    named: the models were named by the caller, so that what one has no use for is refused.

    Raises:
        UserError: a key that is neither ``prompt`` nor ``decoding`` nor a parameter of any decoding of the sweep.
    """
    for key, given in ((PROMPT, request.prompt), (DECODING, request.decoding)):
        if key in axes and given is not None:
            raise UserError(f"'{key}' is given in --sweep and as --{key}: give it once")
    _check_keys(request, axes, registry, plugins)
    found: dict[str, Candidate] = {}
    for model in request.models:
        for point in points(axes):
            asked, said = _at(replace(request, models=(model,)), model, point, registry, plugins)
            if named:
                refuse_unused(asked, plugins)
            (candidate,) = candidates(asked, registry, plugins, machine)
            found.setdefault(run_id(candidate.run), replace(candidate, point=said))
    return list(found.values())


def _at(
    request: ScreenRequest, model: ModelSpec, point: Mapping[str, Any], registry: Registry, plugins: Plugins
) -> tuple[ScreenRequest, str]:
    """The request at one point, and the point as it is shown."""
    prompt = _prompt(point.get(PROMPT, request.prompt), registry)
    decoding = _decoding(point.get(DECODING, request.decoding), registry)
    known = _params(decoding or registry.decoding(model.decoding), plugins)
    settings = {k: v for k, v in point.items() if k in known}
    names = {PROMPT: prompt.name if prompt else "", DECODING: decoding.name if decoding else ""}
    said = [f"{key}={names.get(key, value)}" for key, value in point.items() if key in names or key in settings]
    typed = tuple(f"{key}={value}" for key, value in settings.items())
    return replace(request, prompt=prompt, decoding=decoding, settings=(*request.settings, *typed)), " ".join(said)


def _check_keys(request: ScreenRequest, axes: Axes, registry: Registry, plugins: Plugins) -> None:
    named = [_decoding(value, registry) for value in axes.get(DECODING, ())] or [request.decoding]
    specs = [spec or registry.decoding(model.decoding) for spec in named for model in request.models]
    known = {key for spec in specs for key in _params(spec, plugins)}
    for key in axes:
        if key not in known and key not in (PROMPT, DECODING):
            options = [PROMPT, DECODING, *sorted(known)]
            raise UserError(f"--sweep: no decoding of the sweep has a parameter '{key}'{suggestion(key, options)}")


def _params(spec: DecodingSpec, plugins: Plugins) -> set[str]:
    strategy = plugins.get("decoding", spec.strategy, f"decoding '{spec.name}'")
    return {f.name for f in fields(strategy.Params)}


def _prompt(value: str | PromptSpec | None, registry: Registry) -> PromptSpec | None:
    return registry.prompt(value) if isinstance(value, str) else value


def _decoding(value: str | DecodingSpec | None, registry: Registry) -> DecodingSpec | None:
    return registry.decoding(value) if isinstance(value, str) else value


# -- choosing on one part, confirming on another --------------------------------------------------------------------


def share_of(text: str) -> float | None:
    """The share that ``0.3`` or ``30%`` names; None for the name of a split."""
    try:
        share = float(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except ValueError:
        return None
    if not 0 < share < 1:
        raise UserError(f"--confirm-on {text}: a share must be between 0 and 1, such as 0.3 or 30%")
    return share


def divided(dialogues: Dialogues, share: float, seed: int) -> tuple[Dialogues, Dialogues]:
    """Samples to choose on, and the share of them that is kept for confirming: drawn by the seed, in file order.

    Raises:
        UserError: there are too few samples for two parts.
    """
    samples = dialogues.selection.samples
    kept = round(share * len(samples))
    if not 0 < kept < len(samples):
        raise UserError(f"{len(samples)} samples cannot be divided into two parts of which one is {100 * share:g} %")
    drawn = set(random.Random(seed).sample(range(len(samples)), kept))
    parts = ([i for i in range(len(samples)) if i not in drawn], sorted(drawn))
    of = f"of {len(samples)}, seed {seed}"
    labels = (f"choosing, {len(parts[0])} {of}", f"confirming, {kept} {of}")
    first, second = (
        replace(dialogues, selection=Selection(tuple(samples[i] for i in part), label))
        for part, label in zip(parts, labels, strict=True)
    )
    return first, second


def to_confirm(table: PointTable, chosen_on: Sequence[Candidate], rest: Sequence[Candidate]) -> list[Candidate]:
    """Of the same points on other samples, the best and the first: what was won against not having chosen."""
    first = next(c for c in chosen_on if not c.control)
    wanted = {(table.rows[0].model, table.rows[0].point), (first.run.model.name, first.point)}
    return [c for c in rest if (c.run.model.name, c.point) in wanted]
