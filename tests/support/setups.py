"""What checks are given before generation, made without a checkpoint: a real tokenizer, adapter and decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from making import builtins

from dsum_bench.adapters.base import Adapter
from dsum_bench.checks import runner
from dsum_bench.checks.base import RunOutputs, Setup
from dsum_bench.engines.base import Loaded
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.metrics.base import Metric
from dsum_bench.registry.load import load as registry
from dsum_bench.screening.predictions import FromFile, Predictions, candidate
from dsum_bench.screening.preflight import NOWHERE
from dsum_bench.spec import DecodingSpec, Finding, ModelSpec, RunSpec, Sample


def setup(
    adapter: Adapter,
    samples: Sequence[Sample],
    decoding: str = "greedy",
    config: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    **params: object,
) -> Setup:
    """A run of a model with this adapter. params: changes to the decoding."""
    known = registry(plugins=builtins(), working_directory=Path("/")).decoding(decoding)
    spec = DecodingSpec(known.name, known.strategy, {**known.params, **params})
    strategy = builtins().decodings[spec.strategy]
    tokenizer = adapter.tokenizer
    model = ModelSpec("m", adapter.name, ("m",))
    run = RunSpec(
        model, "d", "ko", "dev", "all", len(samples), "f", "r", adapter.context.prompt, adapter.context.prompt_format,
        spec, NOWHERE, "w", 0, {},
    )  # fmt: skip
    ends = (tokenizer.eos_token_id, *adapter.end_ids())
    loaded = Loaded(tokenizer, config or {}, None, tuple(e for e in ends if e is not None), folder)
    prompts = {s.id: adapter.prompt(s) for s in samples}
    way = strategy(strategy.Params(**spec.params))
    return Setup(run, samples, prompts, adapter, way, HuggingFace(model, NOWHERE), loaded)


def found(given: Setup) -> dict[str, Finding]:
    """What all checks say of it, by name; a check that raises fails the test."""
    faults: list[str] = []
    findings = {f.check: f for f in runner.before(builtins(), given, faults.append)}
    assert faults == []
    return findings


def file_run(samples: Sequence[Sample]) -> RunSpec:
    """The run that a file of summaries of these samples is."""
    dataset = registry(plugins=builtins(), working_directory=Path("/")).dataset("samples-ko")
    return candidate("mine", Path("mine.csv"), Predictions({}), dataset, "dev", samples).run


def in_data(samples: Sequence[Sample]) -> dict[str, Finding]:
    """What all checks say of dialogues and references."""
    faults: list[str] = []
    findings = {f.check: f for f in runner.data(builtins(), file_run(samples), samples, faults.append)}
    assert faults == []
    return findings


def in_summaries(
    samples: Sequence[Sample], summaries: Mapping[str, str], metric: Metric | None = None
) -> dict[str, Finding]:
    """What all checks say of summaries that come from a file, scored with a metric if there is one."""
    metrics = (metric,) if metric else ()
    outputs = FromFile(Predictions(summaries)).outputs
    values = {m.signature: {s.id: m.score(outputs[s.id].summary, s) for s in samples} for m in metrics}
    written = RunOutputs(file_run(samples), {s.id: s for s in samples}, outputs, True, metrics, values)
    faults: list[str] = []
    findings = {f.check: f for f in runner.after(builtins(), written, False, faults.append)}
    assert faults == []
    return findings
