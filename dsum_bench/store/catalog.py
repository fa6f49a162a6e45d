"""Which run is meant, and what tells runs apart. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dsum_bench.store.records import RunRecord

SHOWN = 8
"""Candidates that an ambiguous name is answered with."""


def described(record: RunRecord) -> Mapping[str, str]:
    """Everything that may tell a run from another, by what it is called; '' where there is nothing."""
    row, spec = record.row, record.spec
    params = " ".join(f"{name}={value}" for name, value in row.decoding_params.items())
    return {
        "name": row.name,
        "model": row.model,
        "how": row.treatment,
        "data": f"{row.dataset} {row.split}",
        "selection": record.selection,
        "samples": f"{row.n_samples} samples",
        "prompt": row.prompt or "",
        "prompt text": f"text {row.prompt_digest}" if row.prompt_digest else "",
        "decoding": row.decoding or "",
        "parameters": params,
        "dtype": row.dtype,
        "quantization": row.quantization,
        "device": row.device,
        "seed": f"seed {row.seed}",
        "revision": row.revision or "",
        "weights": f"weights {spec.get('weights', '')}",
        "versions": " ".join(f"{name}={value}" for name, value in spec.get("versions", {}).items()),
        "status": row.status,
        "finished": row.finished[:16].replace("T", " "),
    }


def matches(records: Sequence[RunRecord], text: str) -> list[RunRecord]:
    """The runs that a text means: by key, by the name it was given, by its model's name, by the beginning of its key,
    or by words that all stand in what describes it; a model that a word names in full comes before those whose names
    only begin so. Where several are meant and one alone is finished, that one; of those that differ in their samples
    alone, the largest."""
    found = (
        [r for r in records if r.row.run_id == text]
        or [r for r in records if r.row.name and r.row.name == text]
        or [r for r in records if r.row.model == text]
        or [r for r in records if text and r.row.run_id.startswith(text)]
        or _named_in_full(with_words(records, text), text)
    )
    finished = [r for r in found if r.row.status == "done"]
    return finished if len(finished) == 1 else _grown(found)


def _grown(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The largest finished run of each that were made with the same settings on the same split."""
    alike: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        settings = record.setup or record.row.run_id
        alike.setdefault((settings, record.dataset, record.split), []).append(record)
    kept = set()
    for group in alike.values():
        finished = [r for r in group if r.row.status == "done"] or group
        most = max(r.row.n_samples for r in finished)
        kept |= {r.row.run_id for r in finished if r.row.n_samples == most}
    return [r for r in records if r.row.run_id in kept]


def _named_in_full(records: list[RunRecord], text: str) -> list[RunRecord]:
    words = text.casefold().split()
    return [r for r in records if r.row.model.casefold() in words] or records


def with_words(records: Sequence[RunRecord], text: str) -> list[RunRecord]:
    """The runs in whose description every word of a text stands, in any case; the beginning of a word will do, but for
    a number."""
    words = text.casefold().split()
    if not words:
        return []
    found = []
    for record in records:
        said = " ".join([record.row.run_id, *described(record).values()]).casefold()
        parts = [*said.split(), *re.split(r"[\s\-_@./,:]+", said)]
        if all(any(part == word if word.isdigit() else part.startswith(word) for part in parts) for word in words):
            found.append(record)
    return found


def differences(records: Sequence[RunRecord]) -> list[str]:
    """Of each run, what not all of them share, and when it ended."""
    told = [described(r) for r in records]
    names = [n for n in told[0] if n != "finished" and len({d[n] for d in told}) > 1] if told else []
    return [", ".join(filter(None, [*(d[n] or f"no {n}" for n in names), d["finished"]])) for d in told]


def ambiguous(text: str, records: Sequence[RunRecord]) -> str:
    """The answer to a text that means several runs: what tells them apart, a line each, the latest first."""
    latest = sorted(records, key=lambda r: r.row.finished, reverse=True)[:SHOWN]
    lines = [f"  {r.row.run_id}  {told}" for r, told in zip(latest, differences(latest), strict=True)]
    more = [f"  and {len(records) - SHOWN} more"] if len(records) > SHOWN else []
    advice = "add words that tell them apart, or give the beginning of one's key:"
    return "\n".join([f"'{text}' names {len(records)} runs; {advice}", *lines, *more])
