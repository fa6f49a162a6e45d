"""Names that a shell completes: entries of the registry, plugins' parts, and what the results folder holds.

The options parsed so far (``--registry``, ``--plugin``, ``--results``) count. A shell has no place for an error: what
cannot be read has no names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING

import click

from dsum_bench.errors import UserError

if TYPE_CHECKING:
    from dsum_bench.api.bench import Bench

RESULTS = "results"
Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completion(names: Callable[[Bench], Iterable[str]]) -> Complete:
    """What click asks for the values of an option or argument that begin with what stands there."""

    @wraps(names)
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        from dsum_bench.api.bench import Bench

        given = context.params
        bench = Bench(given.get("registry"), given.get("results") or RESULTS, given.get("plugin") or (), progress=None)
        try:
            return sorted({name for name in names(bench) if name.startswith(incomplete)})
        except UserError:
            return []

    return complete


def _entries(table: str) -> Complete:
    """Names of a table of the registry."""
    return _completion(lambda bench: getattr(bench.registry, table))


models = _entries("models")
datasets = _entries("datasets")
prompts = _entries("prompts")
decodings = _entries("decodings")
recipes = _entries("recipes")


@_completion
def executors(bench: Bench) -> Iterable[str]:
    """Executors that plugins register."""
    return bench.loaded_plugins.executors


@_completion
def metrics(bench: Bench) -> Iterable[str]:
    """Metrics that can be computed, with each tokenizer."""
    tokenizers = bench.loaded_plugins.tokenizers
    for name, metric in bench.loaded_plugins.metrics.items():
        yield from (f"{name}@{tokenizer}" for tokenizer in tokenizers) if metric.needs_tokenizer else (name,)


@_completion
def stored_metrics(bench: Bench) -> Iterable[str]:
    """Metrics that the results were scored with."""
    from dsum_bench.store import reader

    return reader.metrics(bench.database)


@_completion
def runs(bench: Bench) -> Iterable[str]:
    """Models that have a run, and the names that runs were given."""
    return _stored(bench)


@_completion
def models_and_runs(bench: Bench) -> Iterable[str]:
    """What can be predicted with: a model, or a run that is stored."""
    return [*bench.registry.models, *(_stored(bench) if bench.database.exists() else ())]


@_completion
def trained(bench: Bench) -> Iterable[str]:
    """Models that were trained into the results folder."""
    return [name for name, model in bench.registry.models.items() if model.base is not None]


def _stored(bench: Bench) -> list[str]:
    from dsum_bench.store import reader

    rows = [record.row for record in reader.runs(bench.database)]
    return [name for row in rows for name in (row.model, row.name) if name]
