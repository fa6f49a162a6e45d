"""``dsum-bench votes``: what people and judges found better, and how far metrics agree with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.cli import formatting
from dsum_bench.cli.options import command, json_option, open_bench, results_option

if TYPE_CHECKING:
    from rich.table import Table

    from dsum_bench.combining.agreement import Agreement
    from dsum_bench.combining.bias import LengthBias, PositionBias
    from dsum_bench.combining.tally import Poll, Tally

LEGEND = (
    "same: pairs judged alike, ties left out, %; alpha: Krippendorff's, ordinal; tau: Kendall's, of pairs within "
    "dialogues; ranking: Kendall's tau-b between the rankings of runs"
)


@command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@results_option
@json_option
def votes(files: tuple[Path, ...], results: Path, as_json: bool) -> None:
    """Rank runs by the votes in FILE..., and compare the votes with every metric.

    A file of votes is CSV with the columns voter, sample_id, first, second (the runs, in the order shown) and choice
    (first, second or tie). Voters whose names begin with judge: are models; all others are people.

    \b
    Example:
      dsum-bench votes votes.csv
    """
    found = open_bench(results).votes(files)
    if as_json:
        formatting.print_json(_without_nan(asdict(found)))
        return
    print_tally(found)


def print_tally(found: Tally) -> None:
    """Print rankings, biases and agreement for people to read."""
    console = formatting.console()
    for poll in found.polls:
        console.print(formatting.literal(_title(poll), "bold"))
        console.print(_ranking(poll))
        for line in _notes(poll):
            console.print(formatting.literal(line))
        console.print()
    for name, agreements in found.agreements.items():
        if agreements:
            console.print(formatting.literal(f"agreement with {name}", "bold"))
            console.print(_agreements(agreements))
    if any(found.agreements.values()):
        console.print(formatting.literal(LEGEND, "dim"))
    for run, why in found.unknown.items():
        console.print(formatting.literal(f"no scores of '{run}': {why}", "dim"))


def _title(poll: Poll) -> str:
    who = f" ({poll.voters})" if poll.voters > 1 else ""
    return f"{poll.name}{who}: {poll.votes} votes on {poll.dialogues} dialogues"


def _ranking(poll: Poll) -> Table:
    table = _table("#", "run", "preferred %", "95 %", "won", "tied", "lost")
    for place, s in enumerate(poll.ranking, 1):
        ends = formatting.interval((s.rate.low, s.rate.high))
        table.add_row(
            str(place), formatting.literal(s.run), f"{s.rate.mean:.1f}", ends, str(s.wins), str(s.ties), str(s.losses)
        )
    return table


def _notes(poll: Poll) -> Iterator[str]:
    yield "preferred: how often to another of these runs (Bradley-Terry; dialogues resampled)"
    if poll.position is not None:
        yield _position(poll.position)
    if poll.length is not None:
        yield _length(poll.length)
    if not isnan(poll.alpha):
        yield f"agreement between voters: Krippendorff's alpha {poll.alpha:.2f} (ordinal)"


def _position(bias: PositionBias) -> str:
    verdict = "POSITION BIAS" if bias.found else "no position bias seen"
    orders = ""
    if bias.both:
        flipped = 100 * bias.flipped / bias.both
        orders = f"; asked in both orders, {bias.flipped} of {bias.both} pairs ({flipped:.0f} %) go to the same place"
    return (
        f"{verdict}: {bias.share.mean:.1f} % for the summary shown first "
        f"({bias.share.low:.1f}-{bias.share.high:.1f}; p = {bias.p:.4f}){orders}"
    )


def _length(bias: LengthBias) -> str:
    verdict = "LENGTH BIAS" if bias.found else "no length bias seen"
    return (
        f"{verdict}: {bias.share:.1f} % for the longer summary, {bias.expected:.1f} % expected of its run "
        f"({bias.excess.mean:+.1f}, {bias.excess.low:+.1f} to {bias.excess.high:+.1f})"
    )


def _agreements(agreements: Sequence[Agreement]) -> Table:
    table = _table("", "pairs", "same %", "alpha", "tau", "ranking")
    for a in agreements:
        numbers = (_number(a.same, 1), *(_number(v, 2) for v in (a.alpha, a.tau, a.ranking)))
        table.add_row(formatting.literal(a.rater), str(a.pairs), *numbers)
    return table


def _table(*titles: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, justify="left" if title in ("run", "") else "right")
    return table


def _number(value: float, digits: int) -> str:
    return "" if isnan(value) else f"{value:.{digits}f}"


def _without_nan(value: Any) -> Any:
    """value with None for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and isnan(value) else value
