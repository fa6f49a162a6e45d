"""``dsum-bench compare``: whether one run is better than another, or may only look so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.cli import completion, formatting
from dsum_bench.cli.board_table import TITLES, too_few
from dsum_bench.cli.options import command, json_option, open_bench, results_option
from dsum_bench.cli.postprocess import step_lines, step_values
from dsum_bench.cli.sample import print_texts
from dsum_bench.errors import UserError
from dsum_bench.figures import difference
from dsum_bench.store.pairs import Comparison, PairTest, SampleOfRuns
from dsum_bench.store.records import RunRecord

if TYPE_CHECKING:
    from dsum_bench.api.bench import Bench
    from dsum_bench.store.samples import StoredSample


@command()
@click.argument("a", shell_complete=completion.runs)
@click.argument("b", shell_complete=completion.runs)
@click.argument("more", metavar="[C]...", nargs=-1, shell_complete=completion.runs)
@results_option
@click.option(
    "--metric",
    shell_complete=completion.stored_metrics,
    help="Metric to compare by  [default: the metric of the data's language]",
)
@click.option("--measure", default="mean", show_default=True, help="Measure of the metric.")
@click.option(
    "--samples",
    "limit",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="Samples to show, largest difference first.",
)
@click.option("--dialogues/--no-dialogues", default=True, help="Omit dialogues and references.")
@json_option
def compare(
    a: str,
    b: str,
    more: tuple[str, ...],
    results: Path,
    metric: str | None,
    measure: str,
    limit: int,
    dialogues: bool,
    as_json: bool,
) -> None:
    """Compare two or more runs, each given by its key (or a prefix of it) or by the name of a model with one run.

    Prints for every pair the difference of the means with its 95 % interval and the p-value of a paired permutation
    test, both corrected for the number of pairs, and the samples that differ most. If the leaderboard has other runs,
    the p-value corrected for all its pairs is printed too. Runs on different samples are compared on those that they
    share. For a post-processed run and its source, the effect of each step is printed.

    \b
    Examples:
      dsum-bench compare ours kobart
      dsum-bench compare ours theirs kobart --metric facts
    """
    names = (a, b, *more)
    if len(names) > len(ascii_uppercase):
        raise UserError(f"{len(names)} runs are too many to compare; the limit is {len(ascii_uppercase)}")
    bench = open_bench(results, as_json=as_json)
    found = bench.comparison(*names, metric=metric, measure=measure)
    metric = found.together.metric
    most = sorted(found.together.samples, key=lambda s: -s.spread)[:limit]
    texts = _texts(bench, found) if dialogues else {}
    if as_json:
        formatting.print_json(_object(found, most, texts) | {"steps": _steps(bench, found)})
        return
    console = formatting.console()
    labels = {r.row.run_id: letter for r, letter in zip(found.together.runs, ascii_uppercase, strict=False)}
    for record, mean in zip(found.together.runs, found.means, strict=True):
        console.print(formatting.literal(f"{labels[record.row.run_id]}  {mean:6.2f}  {_run(record)}", "bold"))
    sizes = [r.row.n_samples for r in found.together.runs]
    if any(size != found.n for size in sizes):
        each = ", ".join(f"{letter} has {size}" for letter, size in zip(labels.values(), sizes, strict=True))
        console.print(formatting.literal(f"on the {found.n} samples that they share ({each})"))
    for line in _told(found, labels):
        console.print(formatting.literal(line))
    if found.smallest:
        least = f"smallest detectable difference (80 % power): {found.smallest.middle:.2f}"
        console.print(formatting.literal(least, "dim"))
    for key, steps in _steps(bench, found).items():
        for line in step_lines(steps, f"{labels[key]} step by step"):
            console.print(formatting.literal(line))
    title = f"{TITLES.get(measure, measure)} of {metric}: {found.together.signature}"
    console.print(formatting.literal(title, "dim"))
    _print_samples(most, list(labels.values()), texts)


def _told(found: Comparison, labels: Mapping[str, str]) -> Iterator[str]:
    """Lines on every pair, and what they are corrected for."""
    from dsum_bench.statistics import FEWEST

    for pair in found.pairs:
        yield _difference(pair, labels, brackets=len(found.pairs) > 1)
        if len(found.pairs) == 1:
            yield from _verdict(found, pair)
    if found.n < FEWEST:
        yield too_few(found.n)
    if len(found.pairs) > 1:
        board = (
            f"; in brackets p for all {found.board_pairs} pairs of the {found.board_runs} runs on their board"
            if found.pairs[0].p_board is not None
            else ""
        )
        yield f"intervals and p are corrected for {len(found.pairs)} pairs{board}"


def _difference(pair: PairTest, labels: Mapping[str, str], brackets: bool) -> str:
    gap = difference(pair.difference.mean, pair.difference.low, pair.difference.high)
    board = f" ({pair.p_board:.4f})" if brackets and pair.p_board is not None else ""
    return f"{labels[pair.a]} - {labels[pair.b]}  {gap}, p = {pair.p:.4f}{board}"


def _verdict(found: Comparison, pair: PairTest) -> Iterator[str]:
    """Lines on the only pair."""
    from dsum_bench.statistics import ALPHA, FEWEST

    differ = pair.p < ALPHA
    if found.n >= FEWEST:
        yield f"they differ (p < {ALPHA})" if differ else f"they do not differ significantly at {100 * ALPHA:g} %"
    if pair.p_board is not None:
        but = ": not significant among so many" if differ and pair.p_board >= ALPHA else ""
        yield (
            f"one of {found.board_pairs} pairs of the {found.board_runs} runs on their board; corrected for all of "
            f"them p = {pair.p_board:.4f}{but}"
        )
    yield f"A is better on {pair.wins} of {found.n} samples, B on {pair.losses}, {pair.ties} tied"


def _texts(bench: Bench, found: Comparison) -> dict[str, StoredSample]:
    """Sample's id -> what the database keeps of its dialogue and references."""
    from dsum_bench.store.samples import stored_samples

    spec = found.together.runs[0].spec
    kept = stored_samples(bench.database, spec["dataset_fingerprint"], spec["references_fingerprint"])
    return {sample.sample_id: sample for sample in kept}


def _object(found: Comparison, most: Sequence[SampleOfRuns], texts: Mapping[str, StoredSample]) -> dict[str, Any]:
    """For a program. An end of an interval that is infinite is null."""
    runs = [
        {"run_id": r.row.run_id, "model": r.row.model, "mean": mean, "n_samples": r.row.n_samples}
        for r, mean in zip(found.together.runs, found.means, strict=True)
    ]
    pairs = [asdict(pair) for pair in found.pairs]
    for pair in pairs:
        pair["difference"] = {k: v if isfinite(v) else None for k, v in pair["difference"].items()}
    return {
        "metric": found.together.metric,
        "signature": found.together.signature,
        "measure": found.together.measure,
        "n": found.n,
        "runs": runs,
        "pairs": pairs,
        "smallest": asdict(found.smallest) if found.smallest else None,
        "board": {"runs": found.board_runs, "pairs": found.board_pairs},
        "samples": [asdict(sample) | _kept(texts.get(sample.sample_id)) for sample in most],
    }


def _steps(bench: Bench, found: Comparison) -> dict[str, list[dict[str, Any]]]:
    """Key of each postprocessed run whose source is compared too -> what its steps brought."""
    keys = {r.row.run_id for r in found.together.runs}
    told = {}
    for record in found.together.runs:
        made = record.spec.get("derived")
        if made and made["stage"] == "postprocess" and set(made["runs"]) <= keys:
            try:
                gains = bench.step_gains(
                    record.row.run_id, metric=found.together.metric, measure=found.together.measure
                )
            except UserError as error:  # a step or a source that is gone costs no comparison
                bench.display.warn(f"cannot show the steps: {error}")
                continue
            told[record.row.run_id] = [step_values(gain) for gain in gains]
    return told


def _kept(sample: StoredSample | None) -> dict[str, Any]:
    return {} if sample is None else {"dialogue": sample.dialogue, "references": sample.references}


def _print_samples(most: Sequence[SampleOfRuns], labels: Sequence[str], texts: Mapping[str, StoredSample]) -> None:
    console = formatting.console()
    for sample in most:
        console.print()
        scores = ", ".join(f"{label} {score:.2f}" for label, score in zip(labels, sample.scores, strict=True))
        console.print(formatting.literal(f"{sample.sample_id}  {scores}", "bold"))
        print_texts(console, texts.get(sample.sample_id))
        for label, summary in zip(labels, sample.summaries, strict=True):
            console.print(formatting.literal(f"{label}: {summary or '(empty summary)'}"))


def _run(record: RunRecord) -> str:
    row = record.row
    how = ", ".join(t for t in (row.treatment, row.decoding or "", row.quantization.replace("none", "")) if t)
    return f"{row.model} ({how}; {row.run_id})"
