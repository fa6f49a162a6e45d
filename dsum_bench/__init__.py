"""dsum-bench: screen, fine-tune and rank language models for Korean dialogue summarisation.

This package root holds what a plugin author imports. Importing it costs nothing: the public types are
loaded on first use, and none of them pulls in torch or transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker

if TYPE_CHECKING:
    from dsum_bench.adapters.base import Adapter, AdapterContext
    from dsum_bench.adapters.chat import ChatAdapter
    from dsum_bench.checks.base import Check, RunOutputs, Setup
    from dsum_bench.datasets.base import DatasetReader, Row
    from dsum_bench.decoding.base import Batch, Decoding
    from dsum_bench.engines.base import Engine
    from dsum_bench.errors import ModelError, ModelSkipped, UserError
    from dsum_bench.executors.base import Executor
    from dsum_bench.metrics.base import Metric, MetricTokenizer
    from dsum_bench.spec import Finding, Generation, ModelSpec, Prompt, Sample

__version__ = "0.1.0"

API_VERSION = 1
"""Rises when a hook or a public class changes so that a plugin must change too. A plugin module that says
``dsum_bench_api = 1`` is skipped, with a sentence, by a dsum-bench of another version."""

hookimpl = HookimplMarker("dsum_bench")

_PUBLIC = {
    "Adapter": "dsum_bench.adapters.base",
    "AdapterContext": "dsum_bench.adapters.base",
    "ChatAdapter": "dsum_bench.adapters.chat",
    "Check": "dsum_bench.checks.base",
    "Finding": "dsum_bench.spec",
    "Setup": "dsum_bench.checks.base",
    "RunOutputs": "dsum_bench.checks.base",
    "DatasetReader": "dsum_bench.datasets.base",
    "Row": "dsum_bench.datasets.base",
    "Batch": "dsum_bench.decoding.base",
    "Decoding": "dsum_bench.decoding.base",
    "Engine": "dsum_bench.engines.base",
    "Executor": "dsum_bench.executors.base",
    "Metric": "dsum_bench.metrics.base",
    "MetricTokenizer": "dsum_bench.metrics.base",
    "ModelError": "dsum_bench.errors",
    "ModelSkipped": "dsum_bench.errors",
    "UserError": "dsum_bench.errors",
    "Generation": "dsum_bench.spec",
    "ModelSpec": "dsum_bench.spec",
    "Prompt": "dsum_bench.spec",
    "Sample": "dsum_bench.spec",
}

__all__ = [
    "API_VERSION",
    "Adapter",
    "AdapterContext",
    "Batch",
    "ChatAdapter",
    "Check",
    "DatasetReader",
    "Decoding",
    "Engine",
    "Executor",
    "Finding",
    "Generation",
    "Metric",
    "MetricTokenizer",
    "ModelError",
    "ModelSkipped",
    "ModelSpec",
    "Prompt",
    "Row",
    "RunOutputs",
    "Sample",
    "Setup",
    "UserError",
    "__version__",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'dsum_bench' has no attribute {name!r}")
