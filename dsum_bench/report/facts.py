"""What there is to know of one run, as labels and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dsum_bench.figures import gibibytes, members, moment, params, seconds
from dsum_bench.report.words import say
from dsum_bench.store.records import RunRecord


def facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Key of ``words`` and value of everything but the prompt; empty values are left out."""
    row, spec = record.row, record.spec
    model, decoding, placement = spec["model"], spec["decoding"], spec["placement"]
    found = {
        "fact.key": row.run_id,
        "fact.how": f"{row.treatment}; adapter {model['adapter']}, engine {model['engine']}",
        "fact.made": lineage(record),
        "fact.source": " ".join(model["source"])
        + (f" @ {model['revision']}" if model["revision"] else "")
        + members(model.get("members", {})),
        "col.params": params(row.params),
        "fact.weights": spec["weights"],
        "fact.decoding": f"{decoding['name']}: {decoding['strategy']} {_settings(decoding['params'])}"
        if decoding
        else "",
        "fact.placement": f"{row.device}, {row.dtype}, quantization {row.quantization}: {placement['reason']}",
        "fact.data": f"{record.dataset} {record.split}, {record.selection}, dialogues {spec['dataset_fingerprint']}, "
        f"references {spec['references_fingerprint']}",
        "fact.status": f"{row.status}{f': {row.reason}' if row.reason else ''} ({moment(row.finished)})",
        "fact.time": f"{seconds(row.seconds_per_sample)} s/sample" if row.seconds_per_sample else "",
        "fact.memory": f"{gibibytes(row.peak_memory)} GiB" if row.peak_memory else "",
        "fact.limit": str(model.get("max_prompt_tokens") or ""),
        "fact.seed": str(spec["seed"]),
        "fact.versions": _settings(spec["versions"]),
    }
    yield from ((label, value) for label, value in found.items() if value)


def lineage(record: RunRecord) -> str:
    """What a run was made from and how; '' for one that a model wrote."""
    made = record.spec.get("derived")
    if not made:
        return ""
    settings = dict(made["settings"])
    steps = [name for name, _ in settings.pop("steps", [])]
    rest = [f"{name} {_plain(value)}" for name, value in settings.items() if value]
    runs = f"run{'s' * (len(made['runs']) > 1)} {', '.join(made['runs'])}"
    return "; ".join([f"{made['name']} of {runs}", *([" ".join(steps)] if steps else []), *rest])


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def prompt_of(record: RunRecord, dialogues: bool) -> Mapping[str, Any] | None:
    """The prompt of a run, None for one that has none. dialogues: False leaves the worked examples out."""
    prompt = record.spec["prompt"]
    if prompt is None:
        return None
    return {**prompt, "examples": prompt["examples"] if dialogues else [], "count": len(prompt["examples"])}


def trimming(record: RunRecord) -> str:
    """How prompts were made to fit, in words."""
    return say("fact.trimming.text", record.row.trimmed)


def _settings(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
