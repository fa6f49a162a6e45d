"""``dsum-bench show --sample``: dialogue, references and every summary together."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.cli import formatting
from dsum_bench.store.differences import how_by_model
from dsum_bench.store.reader import overall
from dsum_bench.store.views import SampleView, sample_views

if TYPE_CHECKING:
    from rich.console import Console

    from dsum_bench.store.samples import StoredSample


def show_sample(
    database: Path, sample_id: str, run: str | None, metric: str | None, dialogues: bool, as_json: bool
) -> None:
    """Print a sample with the summaries of one run or of all, the best first."""
    views = sample_views(database, sample_id, run, metric)
    if as_json:
        formatting.print_json([_object(view, dialogues) for view in views])
        return
    for view in views:
        _print(view, dialogues)


def print_texts(console: Console, sample: StoredSample | None) -> bool:
    """Print a sample's dialogue and references; False where the database keeps none of it."""
    if sample is None or sample.dialogue is None:
        return False
    console.print(formatting.literal(sample.dialogue, "dim"))
    for reference in sample.references:
        console.print(formatting.literal(f"reference: {reference}"))
    return True


def _object(view: SampleView, dialogues: bool) -> dict[str, object]:
    sample = asdict(view.sample) if view.sample and dialogues else None
    outputs = [
        {"run_id": record.row.run_id, "model": record.row.model} | asdict(output) for record, output in view.outputs
    ]
    return {"sample_id": view.sample_id, "sample": sample, "outputs": outputs}


def _print(view: SampleView, dialogues: bool) -> None:
    console = formatting.console()
    first = view.outputs[0][0]
    console.print(formatting.literal(f"{view.sample_id}  {first.dataset} {first.split}", "bold"))
    if view.sample is not None and view.sample.dialogue is not None and dialogues:
        if view.sample.topic:
            console.print(formatting.literal(f"topic: {view.sample.topic}", "dim"))
        console.print(formatting.literal(view.sample.dialogue))
        for reference in view.sample.references:
            console.print(formatting.literal(f"\nreference\n  {reference}"))
    elif dialogues:
        console.print(formatting.literal("(the database keeps no text of this dialogue)", "dim"))
    told = how_by_model([record.row for record, _ in view.outputs])
    for (record, output), how in zip(view.outputs, told, strict=True):
        score = f"{overall(output.scores):.2f}  " if output.scores else ""
        console.print(formatting.literal(f"\n{score}{record.row.model}, {how}", "bold"))
        if output.shown:
            console.print(formatting.literal(f"  examples: {', '.join(output.shown)}", "dim"))
        console.print(formatting.literal(f"  {output.summary or '(empty summary)'}"))
    console.print()
