"""How runs and outputs become table rows, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dsum_bench.fingerprints import canonical, setup_id
from dsum_bench.spec import Generation, Output, RunSpec

Scores = Mapping[str, Mapping[str, float]]
"""Signature -> measure -> value, of one sample."""


@dataclass(frozen=True, slots=True)
class ScoredOutput:
    """A finished sample with its scores, the unit that is stored. input: digest of what it was asked with."""

    output: Output
    scores: Scores
    input: str = ""


def now() -> str:
    """The time in UTC, such that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def run_row(key: str, run: RunSpec, kind: str) -> dict[str, object]:
    """The columns of ``runs`` that follow from its specification; what happens to it is filled in elsewhere."""
    return {
        "id": key,
        "setup": setup_id(run),
        "model": run.model.name,
        "params": run.model.params,
        "source": " ".join(run.model.source),
        "revision": run.model.revision,
        "weights": run.weights,
        "adapter": run.model.adapter,
        "engine": run.model.engine,
        "treatment": treatment(run, kind),
        "kind": kind,
        "dataset": run.dataset,
        "language": run.language,
        "split": run.split,
        "selection": run.selection,
        "n_samples": run.n_samples,
        "dataset_fingerprint": run.dataset_fingerprint,
        "references_fingerprint": run.references_fingerprint,
        "prompt_name": run.prompt.name if run.prompt else None,
        "prompt_format": run.prompt_format,
        "decoding_name": run.decoding.name if run.decoding else None,
        "dtype": run.placement.dtype,
        "quantization": run.placement.quantization,
        "device": run.placement.device,
        "seed": run.seed,
        "versions": canonical(run.versions),
        "spec": canonical(run),
    }


def treatment(run: RunSpec, kind: str) -> str:
    """What was done to the model, in a word or two: ``zero-shot``, ``3-shot``, ``zero-shot raw``, ``control``; for a
    run made from others also what made it: ``zero-shot, tidy``, ``mbr of 3``."""
    if run.derived is None:
        return _treatment(run, kind)
    if run.derived.stage == "combine":
        return f"{run.derived.name} of {run.derived.settings['summaries']}"
    return f"{_treatment(run, kind)}, {run.derived.name}"


def _treatment(run: RunSpec, kind: str) -> str:
    if kind == "control":
        return "control"
    if run.model.engine in ("file", "combined"):
        return run.model.engine
    examples = len(run.prompt.examples) if run.prompt else 0
    shots = f"{examples}-shot" if examples else "zero-shot"
    choice = run.prompt.choose if run.prompt else None
    if choice is not None:
        shots = f"{examples + choice.most}-shot {choice.by}"
    if run.model.base is not None:
        shots = f"{run.model.recipe}, {shots}" if examples or choice else run.model.recipe
    return f"{shots} raw" if run.prompt_format == "raw" else shots


def output_row(key: str, output: Output, position: int, asked: str = "") -> tuple[object, ...]:
    """One row of ``outputs``, in the order of its columns. asked: ``ScoredOutput.input``."""
    made = output.generation
    return (
        key,
        made.sample_id,
        position,
        storable(made.text),
        storable(output.summary),
        made.prompt_tokens,
        made.new_tokens,
        made.finish,
        made.seconds,
        output.trimmed_turns,
        output.trimmed_chars,
        storable(made.note),
        asked,
        json.dumps(output.shown),
    )


def draft_rows(key: str, output: Output) -> list[tuple[object, ...]]:
    """The rows of ``drafts``, numbered from 1: the output itself is 0."""
    sample_id = output.generation.sample_id
    return [
        (key, sample_id, number, storable(d.text), storable(d.summary), d.new_tokens, d.finish)
        for number, d in enumerate(output.drafts, 1)
    ]


def stored_output(row: Mapping[str, Any]) -> Output:
    """The inverse of ``output_row``, from a row with named columns."""
    made = Generation(
        row["sample_id"],
        row["output"],
        row["prompt_tokens"],
        row["new_tokens"],
        row["finish"],
        row["seconds"],
        row["note"],
    )
    shown = tuple(json.loads(row["shown"]))
    return Output(made, row["summary"], row["trimmed_turns"], row["trimmed_chars"], shown=shown)


def score_rows(sample_id: str, scores: Scores) -> Iterator[tuple[str, str, str, float]]:
    """(sample_id, signature, measure, value) of one sample.

    Raises:
        ValueError: a value that is NaN or infinite; its mean would be one too.
    """
    for signature, values in scores.items():
        for measure, value in values.items():
            if not math.isfinite(value):
                raise ValueError(f"sample {sample_id}: {measure} is {value} ({signature}); only finite scores are kept")
            yield sample_id, signature, measure, float(value)


def storable(text: str) -> str:
    """text with lone surrogates, which no UTF-8 file can hold, replaced by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
