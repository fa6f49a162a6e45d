"""``dsum-bench show``: one run, its settings and some of its summaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.cli import completion, formatting
from dsum_bench.cli.board_table import TITLES, progress
from dsum_bench.cli.options import command, json_option, open_bench, results_option
from dsum_bench.cli.sample import print_texts, show_sample
from dsum_bench.cli.training_facts import facts
from dsum_bench.errors import UserError
from dsum_bench.report.facts import lineage
from dsum_bench.store import reader
from dsum_bench.store.records import RunRecord, SampleRecord, SignatureScores
from dsum_bench.store.samples import stored_samples

if TYPE_CHECKING:
    from rich.console import Console

LABEL_WIDTH = 12


@command()
@click.argument("run", required=False, shell_complete=completion.runs)
@results_option
@click.option(
    "--samples", "limit", type=click.IntRange(min=0), default=3, show_default=True, help="How many summaries to show."
)
@click.option("--worst", "order", flag_value="worst", help="Lowest scores first.")
@click.option("--best", "order", flag_value="best", help="Highest scores first.")
@click.option(
    "--metric",
    shell_complete=completion.stored_metrics,
    help="Metric of the scores shown  [default: the metric of the data's language]",
)
@click.option(
    "--sample", "sample_id", metavar="ID", help="One sample: its dialogue, references and every run's summary."
)
@click.option("--dialogues/--no-dialogues", default=True, help="Omit dialogues and references.")
@json_option
def show(
    run: str | None,
    results: Path,
    limit: int,
    order: reader.Order | None,
    metric: str | None,
    sample_id: str | None,
    dialogues: bool,
    as_json: bool,
) -> None:
    """Show RUN, given by its key or a prefix of it, its name, its model, or a few words that describe it.
    A training that was not screened is shown with its settings and curve.

    With --sample ID, show that sample with the summary of RUN, or of every run, best first.

    \b
    Examples:
      dsum-bench show gemma3-270m
      dsum-bench show --sample dev_0
    """
    bench = open_bench(results)
    database = bench.database
    if sample_id is not None:
        show_sample(database, sample_id, run, metric, dialogues, as_json)
        return
    if run is None:
        raise UserError("give a run (see 'dsum-bench runs'), or a sample with --sample ID")
    record = bench.find(run)
    if not isinstance(record, RunRecord):
        if as_json:
            formatting.print_json(asdict(record))
        else:
            _print_facts(formatting.console(), facts(record))
        return
    record = record if dialogues else replace(record, asked=None)
    samples = reader.samples(database, record.row.run_id, metric, order or "position", limit)
    if as_json:
        formatting.print_json(_without_means(asdict(record)) | {"samples": [asdict(sample) for sample in samples]})
        return
    console = formatting.console()
    _print_facts(console, _facts(record))
    for scores in record.scores:
        _print_facts(console, _score_facts(scores))
    if record.spec["prompt"]:
        _print_facts(console, _prompt_facts(record.spec["prompt"]))
    for finding in record.row.findings:
        _print_facts(console, iter([(finding.level, f"[{finding.check}] {finding.text}")]))
    stored = stored_samples(database, record.spec["dataset_fingerprint"], record.spec["references_fingerprint"])
    texts = {s.sample_id: s for s in stored}
    for sample in samples:
        console.print()
        console.print(formatting.literal(f"{sample.sample_id}  {_line(sample)}", "bold"))
        told = texts.get(sample.sample_id)
        if dialogues and print_texts(console, told):
            console.print(formatting.literal(f"summary:   {sample.summary or '(empty summary)'}"))
        else:
            console.print(formatting.literal(sample.summary or "(empty summary)"))
        if sample.output.strip() != sample.summary.strip():
            console.print(formatting.literal(f"written: {sample.output}", "dim"))
        if sample.note:
            console.print(formatting.literal(f"noted: {sample.note}", "dim"))


def _without_means(record: dict[str, Any]) -> dict[str, Any]:
    # The row's means depend on a metric; those of every metric stand in ``scores``.
    return record | {
        "row": {name: value for name, value in record["row"].items() if name not in ("means", "intervals")}
    }


def _facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    row, spec = record.row, record.spec
    model, decoding, placement = spec["model"], spec["decoding"], spec["placement"]
    yield "run", row.run_id
    yield "model", " ".join(filter(None, [row.model, formatting.params(row.params)]))
    yield "made from", lineage(record)
    yield "source", "" if record.spec.get("derived") else " ".join(model["source"])
    yield "members", formatting.members(model.get("members", {}))
    yield "weights", spec["weights"]
    yield "how", f"{row.treatment}, adapter {model['adapter']}, engine {model['engine']}"
    yield "decoding", f"{decoding['name']}: {decoding['strategy']} {_settings(decoding['params'])}" if decoding else ""
    yield "placed on", f"{row.device}, {row.dtype}, quantization {row.quantization}: {placement['reason']}"
    yield "data", f"{record.dataset} {record.split}, {record.selection}, dialogues {spec['dataset_fingerprint']}"
    yield "status", f"{progress(row)}{f': {row.reason}' if row.reason else ''} ({formatting.moment(row.finished)})"
    yield "time", f"{formatting.seconds(row.seconds_per_sample)} s a sample" if row.seconds_per_sample else ""
    yield "memory", f"{formatting.gibibytes(row.peak_memory)} GiB at its peak" if row.peak_memory else ""
    yield "samples", f"{row.n} finished; {row.trimmed} trimmed prompts, {row.cut} outputs cut, {row.empty} empty"
    yield "seed", str(spec["seed"])
    yield "versions", _settings(spec["versions"])


def _score_facts(scores: SignatureScores) -> Iterator[tuple[str, str]]:
    values = ", ".join(_value(m, value, scores.intervals.get(m)) for m, value in scores.means.items())
    yield scores.metric, f"{values} (n {scores.n})"
    yield "", scores.signature


def _value(measure: str, value: float, ends: tuple[float, float] | None) -> str:
    shown = f" [{formatting.score(ends[0])}, {formatting.score(ends[1])}]" if ends else ""
    return f"{TITLES.get(measure, measure)} {formatting.score(value)}{shown}"


def _prompt_facts(prompt: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "prompt", prompt["name"]
    yield "  system", prompt["system"]
    yield "  user", prompt["user"]
    yield "  examples", str(len(prompt["examples"])) if prompt["examples"] else ""


def _settings(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _line(sample: SampleRecord) -> str:
    scores = [f"{TITLES.get(m, m)} {formatting.score(value)}" for m, value in sample.scores.items()]
    counts = {"turns": sample.trimmed_turns, "characters": sample.trimmed_chars}
    trimmed = [f"{what} trimmed: {count}" for what, count in counts.items() if count]
    cut = {"length": ["cut by its length"], "refused": ["refused"]}.get(sample.finish, [])
    return ", ".join(
        [*scores, f"{sample.new_tokens} tokens", f"{formatting.seconds(sample.seconds)} s", *trimmed, *cut]
    )


def _print_facts(console: Console, facts: Iterator[tuple[str, str]]) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    grid.add_column(min_width=LABEL_WIDTH, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts:
        if value:
            grid.add_row(formatting.literal(label, "dim"), formatting.literal(value))
    console.print(grid)
