"""Fingerprints: of samples, references, prompts and dialogues, and the key of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from typing import Any

from dsum_bench.characters import canonical_text
from dsum_bench.spec import DecodingSpec, Example, LengthRule, ModelSpec, PromptSpec, RunSpec, Sample

KEY_LENGTH = 12
DIGITS = 16
OF_SAMPLES = ("dataset", "dataset_fingerprint", "split", "asked")
"""What of a run's shape says which samples it is about."""


def run_id(run: RunSpec) -> str:
    """The key of a run: 12 hexadecimal digits of a SHA-256.

    Two runs with the same key would write the same text, so the second is the first one continued. What only
    describes a run (names of prompt and decoding, notes, licence, the label of the selection, why it was placed
    where it is) is left out, and so are the references: they change scores, never outputs.
    """
    digest = hashlib.sha256(canonical(_shaping(run)).encode("ascii"))
    return digest.hexdigest()[:KEY_LENGTH]


def setup_id(run: RunSpec) -> str:
    """The key of everything that shapes a run's outputs but its samples: 12 hexadecimal digits of a SHA-256.

    Two runs with the same would write the same text for the same sample, whatever else they are asked.
    """
    shaping = {name: value for name, value in _shaping(run).items() if name not in OF_SAMPLES}
    return hashlib.sha256(canonical(shaping).encode("ascii")).hexdigest()[:KEY_LENGTH]


def canonical(value: object) -> str:
    """JSON of value with sorted keys and no spaces, ASCII only; equal values give equal text.

    Raises:
        TypeError: a value that has no plain form.
        ValueError: NaN or an infinite number.
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(value: object) -> Any:
    """value with dataclasses and mappings made dicts, tuples lists, and sets sorted lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Set):
        return sorted((plain(v) for v in value), key=repr)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(v) for v in value]
    return value


def _shaping(run: RunSpec) -> dict[str, object]:
    # A run that a model wrote has no such entry: its key is that of earlier versions.
    derived = {} if run.derived is None else {"derived": run.derived}
    return {
        **derived,
        "model": _model(run.model),
        "weights": run.weights,
        "prompt": _prompt(run.prompt),
        "prompt_format": run.prompt_format,
        "decoding": _decoding(run.decoding),
        "dtype": run.placement.dtype,
        "quantization": run.placement.quantization,
        # Which of several equal GPUs did the work changes nothing.
        "device": run.placement.device.partition(":")[0],
        "dataset": run.dataset,
        "dataset_fingerprint": run.dataset_fingerprint,
        "language": run.language,
        "split": run.split,
        "seed": run.seed,
        "versions": run.versions,
        **({"asked": run.asked} if run.asked else {}),
    }


def _model(model: ModelSpec) -> dict[str, object]:
    # What dtype, quantisation and decoding the entry asks for is not here: what it got stands in the run.
    names = (
        "name", "source", "revision", "sha256", "adapter", "options", "engine", "max_prompt_tokens", "allow"
    )  # fmt: skip
    return {name: getattr(model, name) for name in names}


def _prompt(prompt: PromptSpec | None) -> dict[str, object] | None:
    if prompt is None:
        return None
    examples = [_example(e) for e in prompt.examples]
    rule = {"length": _rule(prompt.length)} if prompt.length is not None else {}
    choice = {"choose": prompt.choose} if prompt.choose is not None else {}
    return {"system": prompt.system, "user": prompt.user, "examples": examples, **rule, **choice}


def _example(example: Example) -> dict[str, object]:
    told = {"dialogue": example.dialogue, "summary": example.summary}
    return told | ({"fields": example.fields} if example.fields else {})


def _rule(rule: LengthRule) -> list[float]:
    """The numbers of a length rule, wherever they come from."""
    return [rule.base, rule.share, rule.least, rule.most, rule.step]


def _decoding(decoding: DecodingSpec | None) -> dict[str, object] | None:
    return None if decoding is None else {"strategy": decoding.strategy, "params": decoding.params}


# -- data and prompts -----------------------------------------------------------------------------------------


def samples_fingerprint(samples: Sequence[Sample]) -> str:
    """16 hexadecimal digits of a SHA-256 over ids and dialogues, sorted by id: another order is the same data."""
    return _rows_digest(sorted([s.id, s.dialogue] for s in samples))


def sample_digest(sample: Sample, fields: Sequence[str] = ()) -> str:
    """16 hexadecimal digits over what a model is asked about a sample, and over its id, which seeds what is random.

    fields: names of those that its prompt holds.
    """
    return _digest(canonical([sample.id, sample.dialogue, sample.turns, *_asked(sample, fields)]))


def asked_digest(samples: Sequence[Sample], fields: Sequence[str]) -> str:
    """16 hexadecimal digits over what prompts hold of samples besides their dialogues, by id; '' for nothing."""
    told = sorted([s.id, *_asked(s, fields)] for s in samples)
    return _digest(canonical(told)) if any(len(row) > 1 for row in told) else ""


def _asked(sample: Sample, fields: Sequence[str]) -> list[list[str]]:
    """What a prompt holds of a sample besides its dialogue: fields with their names, then chosen examples."""
    known = {**sample.fields, **({"topic": sample.topic} if sample.topic is not None else {})}
    shown = [[e.id, e.dialogue, e.summary, canonical(e.fields)] for e in sample.examples]
    return [*([name, known.get(name, "")] for name in sorted(fields)), *shown]


def references_fingerprint(samples: Sequence[Sample]) -> str:
    """16 hexadecimal digits of a SHA-256 over ids and references, sorted by id."""
    return _rows_digest(sorted([s.id, *s.references] for s in samples))


def ordered_fingerprint(samples: Sequence[Sample], fields: Sequence[str] = ()) -> str:
    """16 hexadecimal digits over ids, dialogues, references and fields in order, which is that of training."""
    rows = [[s.id, s.dialogue, *s.references] for s in samples]
    told = [_asked(s, fields) for s in samples]
    return _rows_digest([*rows, *(part for row in told for part in row)])


def prompt_fingerprint(prompt: PromptSpec | None, prompt_format: str) -> str:
    """16 hexadecimal digits over what a prompt says, wherever it is written; names and notes do not count."""
    said: list[object] = []
    if prompt is not None:
        said = [prompt.system, prompt.user, *([e.dialogue, e.summary] for e in prompt.examples)]
        said += [e.fields for e in prompt.examples if e.fields]
        said += [_rule(prompt.length)] if prompt.length is not None else []
        said += [plain(prompt.choose)] if prompt.choose is not None else []
    return _digest(json.dumps([prompt_format, *said], ensure_ascii=False, sort_keys=True))


def dialogue_digest(dialogue: str) -> str:
    """16 hexadecimal digits over a dialogue's words; neither white space nor what a reader cannot see counts: Unicode
    form, invisible characters, full-width forms."""
    return _digest(canonical_text(dialogue))


def dialogue_digests(dialogues: Iterable[str]) -> tuple[str, ...]:
    """The digests of dialogues, each once and sorted."""
    return tuple(sorted({dialogue_digest(d) for d in dialogues}))


def _rows_digest(rows: Sequence[Sequence[str]]) -> str:
    return _digest(json.dumps(rows, ensure_ascii=False, separators=(",", ":")))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
