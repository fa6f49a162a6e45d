"""Members of ensembles, found once the registry is complete: trained models may be among them."""

from __future__ import annotations

from dataclasses import replace

from dsum_bench.registry.load import Registry
from dsum_bench.spec import ModelSpec


def with_parts(registry: Registry) -> Registry:
    """The registry with the entries of every ensemble's members in it. One that is not there stays out, and the engine
    says so when that ensemble is asked for."""
    known = registry.models
    return replace(registry, models={name: _filled(model, registry) for name, model in known.items()})


def _filled(model: ModelSpec, registry: Registry) -> ModelSpec:
    if not model.members:
        return model
    parts = tuple(registry.models[name] for name in model.members if name in registry.models)
    counts = [part.params for part in parts if part.params is not None]
    together = sum(counts) if len(counts) == len(model.members) else None
    return replace(model, parts=parts, params=model.params if model.params is not None else together)
