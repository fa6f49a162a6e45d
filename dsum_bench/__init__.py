"""dsum-bench: screen, fine-tune and rank language models for Korean dialogue summarisation.

This package root holds what a plugin author imports. Importing it costs nothing: the public types are
loaded on first use, and none of them pulls in torch or transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsum_bench.adapters.base import Adapter, AdapterContext
    from dsum_bench.adapters.chat import ChatAdapter
    from dsum_bench.adapters.completion import CompletionAdapter
    from dsum_bench.adapters.encoder_decoder import EncoderDecoderAdapter
    from dsum_bench.adapters.text import Encoded, TextAdapter
    from dsum_bench.api.bench import Bench
    from dsum_bench.api.screening import ModelCheck
    from dsum_bench.checks.base import Check, RunOutputs, Setup
    from dsum_bench.datasets.base import DatasetReader, Row
    from dsum_bench.decoding.base import Batch, Decoding
    from dsum_bench.engines.base import Engine, Loaded, Plan, Tell, TrainableEngine
    from dsum_bench.errors import ModelError, ModelSkipped, UserError
    from dsum_bench.executors.base import Event, Executor, Job, JobEnded, NodeState, Progress
    from dsum_bench.executors.child import run_job
    from dsum_bench.executors.supervisor import Supervisor
    from dsum_bench.hookspecs import hookimpl
    from dsum_bench.machine import Gpu, Machine
    from dsum_bench.metrics.base import Metric, MetricTokenizer
    from dsum_bench.postprocess.base import Postprocessor
    from dsum_bench.progress.display import ProgressEvent
    from dsum_bench.spec import (
        DatasetSpec,
        DecodingSpec,
        Example,
        ExampleChoice,
        Finding,
        Finish,
        Generation,
        LengthRule,
        Level,
        ModelSpec,
        Output,
        Placement,
        PostprocessSpec,
        Prompt,
        PromptSpec,
        RecipeSpec,
        RunSpec,
        Sample,
        TrainingSpec,
    )
    from dsum_bench.training.base import Trainer
    from dsum_bench.training.params import FullParams, LoraParams, TrainingParams

__version__ = "0.1.0"

API_VERSION = 1
"""Rises when a hook or a public class changes so that a plugin must change too. A plugin module that says
``dsum_bench_api = 1`` is skipped, with a sentence, by a dsum-bench of another version."""

_MODULES = {
    "Adapter": "dsum_bench.adapters.base",
    "AdapterContext": "dsum_bench.adapters.base",
    "Batch": "dsum_bench.decoding.base",
    "Bench": "dsum_bench.api.bench",
    "ChatAdapter": "dsum_bench.adapters.chat",
    "Check": "dsum_bench.checks.base",
    "CompletionAdapter": "dsum_bench.adapters.completion",
    "DatasetReader": "dsum_bench.datasets.base",
    "DatasetSpec": "dsum_bench.spec",
    "Decoding": "dsum_bench.decoding.base",
    "DecodingSpec": "dsum_bench.spec",
    "Encoded": "dsum_bench.adapters.text",
    "EncoderDecoderAdapter": "dsum_bench.adapters.encoder_decoder",
    "Engine": "dsum_bench.engines.base",
    "Event": "dsum_bench.executors.base",
    "Example": "dsum_bench.spec",
    "ExampleChoice": "dsum_bench.spec",
    "Executor": "dsum_bench.executors.base",
    "Finding": "dsum_bench.spec",
    "Finish": "dsum_bench.spec",
    "FullParams": "dsum_bench.training.params",
    "Generation": "dsum_bench.spec",
    "Gpu": "dsum_bench.machine",
    "Job": "dsum_bench.executors.base",
    "JobEnded": "dsum_bench.executors.base",
    "LengthRule": "dsum_bench.spec",
    "Level": "dsum_bench.spec",
    "Loaded": "dsum_bench.engines.base",
    "LoraParams": "dsum_bench.training.params",
    "Machine": "dsum_bench.machine",
    "Metric": "dsum_bench.metrics.base",
    "MetricTokenizer": "dsum_bench.metrics.base",
    "ModelCheck": "dsum_bench.api.screening",
    "ModelError": "dsum_bench.errors",
    "ModelSkipped": "dsum_bench.errors",
    "ModelSpec": "dsum_bench.spec",
    "NodeState": "dsum_bench.executors.base",
    "Output": "dsum_bench.spec",
    "Placement": "dsum_bench.spec",
    "Plan": "dsum_bench.engines.base",
    "PostprocessSpec": "dsum_bench.spec",
    "Postprocessor": "dsum_bench.postprocess.base",
    "Progress": "dsum_bench.executors.base",
    "ProgressEvent": "dsum_bench.progress.display",
    "Prompt": "dsum_bench.spec",
    "PromptSpec": "dsum_bench.spec",
    "RecipeSpec": "dsum_bench.spec",
    "Row": "dsum_bench.datasets.base",
    "RunOutputs": "dsum_bench.checks.base",
    "RunSpec": "dsum_bench.spec",
    "Sample": "dsum_bench.spec",
    "Setup": "dsum_bench.checks.base",
    "Supervisor": "dsum_bench.executors.supervisor",
    "Tell": "dsum_bench.engines.base",
    "TextAdapter": "dsum_bench.adapters.text",
    "TrainableEngine": "dsum_bench.engines.base",
    "Trainer": "dsum_bench.training.base",
    "TrainingParams": "dsum_bench.training.params",
    "TrainingSpec": "dsum_bench.spec",
    "UserError": "dsum_bench.errors",
    "hookimpl": "dsum_bench.hookspecs",
    "run_job": "dsum_bench.executors.child",
}
"""Public name -> the module that defines it, imported when the name is first used."""

__all__ = [
    "API_VERSION",
    "Adapter",
    "AdapterContext",
    "Batch",
    "Bench",
    "ChatAdapter",
    "Check",
    "CompletionAdapter",
    "DatasetReader",
    "DatasetSpec",
    "Decoding",
    "DecodingSpec",
    "Encoded",
    "EncoderDecoderAdapter",
    "Engine",
    "Event",
    "Example",
    "ExampleChoice",
    "Executor",
    "Finding",
    "Finish",
    "FullParams",
    "Generation",
    "Gpu",
    "Job",
    "JobEnded",
    "LengthRule",
    "Level",
    "Loaded",
    "LoraParams",
    "Machine",
    "Metric",
    "MetricTokenizer",
    "ModelCheck",
    "ModelError",
    "ModelSkipped",
    "ModelSpec",
    "NodeState",
    "Output",
    "Placement",
    "Plan",
    "PostprocessSpec",
    "Postprocessor",
    "Progress",
    "ProgressEvent",
    "Prompt",
    "PromptSpec",
    "RecipeSpec",
    "Row",
    "RunOutputs",
    "RunSpec",
    "Sample",
    "Setup",
    "Supervisor",
    "Tell",
    "TextAdapter",
    "TrainableEngine",
    "Trainer",
    "TrainingParams",
    "TrainingSpec",
    "UserError",
    "__version__",
    "hookimpl",
    "run_job",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'dsum_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
