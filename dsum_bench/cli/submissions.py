"""``dsum-bench submissions``: the ledger of what was handed in, and which two to choose at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import OnceCommand, json_option, open_bench, results_option

if TYPE_CHECKING:
    from dsum_bench.api.submissions import Forecast

from dsum_bench.submissions.ledger import A_DAY


@click.group()
def submissions() -> None:
    """Keep a ledger of submissions, and choose the final ones.

    `submissions add RUN --public 47.1` records a public score, `submissions list` shows all submissions and how many
    are left today, `submissions choose` estimates the private scores from the public ones. The ledger is
    submissions.csv in the results folder.
    """


@submissions.command(cls=OnceCommand)
@click.argument("run", shell_complete=completion.runs)
@click.option("--public", type=float, required=True, help="Score on the public part, from 0 to 100.")
@click.option("--private", type=float, help="Score on the private part, once it is known.")
@click.option("--local", metavar="RUN", shell_complete=completion.runs, help="Run with its local scores.")
@click.option("--when", metavar="TIME", help="Time of the submission, such as 2026-11-23T07:07  [default: now]")
@click.option("--note", default="", help="A remark.")
@click.option("--a-day", default=A_DAY, show_default=True, help="Submissions that are allowed a day.")
@results_option
def add(run: str, results: Path, a_day: int, **options: Any) -> None:
    """Record the public score of RUN. Adding a RUN again changes its scores.

    Local scores are those of RUN, or of the largest run of the same model and settings that has scores.

    \b
    Examples:
      dsum-bench submissions add 1a2b3c --public 47.1
      dsum-bench submissions add 1a2b3c --public 47.1 --private 46.4
    """
    bench = open_bench(results)
    made = bench.add_submission(run, **options)
    here = f"scores here are those of run {made.local}" if made.local else "no scores here; name a run with --local"
    click.echo(f"{made.model} ({made.run}): public {made.public:.2f}; {here}")
    click.echo(_left(results, a_day))


@submissions.command("list", cls=OnceCommand)
@click.option("--a-day", default=A_DAY, show_default=True, help="Submissions that are allowed a day.")
@json_option
@results_option
def list_(results: Path, a_day: int, as_json: bool) -> None:
    """List the submissions with their local and public scores, and how many are left today.

    \b
    Example:
      dsum-bench submissions list
    """
    table = open_bench(results).submissions()
    if as_json:
        from dsum_bench.cli.formatting import print_json

        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        print_json([row | {"when": row["when"].isoformat()} for row in rows])
        return
    if table.empty:
        click.echo("no submissions yet: dsum-bench submissions add RUN --public SCORE")
        return
    click.echo(f"{'handed in':16}  {'here':>6}  {'public':>6}  {'private':>7}  model")
    for row in table.itertuples():
        scores = [f"{value:6.2f}" if value == value else " " * 6 for value in (row.local, row.public, row.private)]
        note = f"  {row.note}" if row.note else ""
        stamp = row.when.to_pydatetime().astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{stamp}  {scores[0]}  {scores[1]}  {scores[2]:>7}  {row.model} ({row.run}){note}")
    click.echo(_left(results, a_day))


@submissions.command(cls=OnceCommand)
@click.option("--public-size", "n_public", default=250, show_default=True, help="Dialogues of the public part.")
@click.option("--private-size", "n_private", default=249, show_default=True, help="Dialogues of the private part.")
@click.option("--choose", default=2, show_default=True, type=click.IntRange(min=1), help="Number of final submissions.")
@click.option("--metric", metavar="METRIC@TOKENIZER", help="Local metric  [default: the metric of the data's language]")
@click.option("--measure", default="mean", show_default=True, help="Measure of the metric.")
@json_option
@results_option
def choose(results: Path, as_json: bool, **options: Any) -> None:
    """Estimate the private scores from local and public ones, and choose the final submissions.

    Prints for each the expected private score with its 90 % interval and the probability that it is the best; how many
    leaderboard points one local point is worth; and the smallest difference that the public part can detect.

    \b
    Example:
      dsum-bench submissions choose
    """
    found = open_bench(results).forecast(**options)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json(_object(found))
        return
    for line in _lines(found, options["n_public"]):
        click.echo(line)


def _lines(found: Forecast, n_public: int) -> Iterator[str]:
    yield f"{'here':>6}  {'public':>6}  {'private, expected':>20}  {'best':>5}  model"
    rows = zip(found.submissions, found.local, found.outlook.prospects, strict=True)
    chosen = {s.run for s in found.chosen}
    for made, here, hidden in sorted(rows, key=lambda row: -row[2].mean):
        expected = f"{hidden.mean:.2f} ({hidden.low:.1f}-{hidden.high:.1f})"
        mark = "  <- choose" if made.run in chosen else ""
        chance = f"{100 * hidden.best:.0f} %"
        yield f"{here:6.2f}  {made.public:6.2f}  {expected:>20}  {chance:>5}  {made.model} ({made.run}){mark}"
    outlook = found.outlook
    yield (
        f"a point here is worth {outlook.slope:.2f} points of the board (90 % interval {outlook.slope_low:.2f} to "
        f"{outlook.slope_high:.2f}), by {found.measure} of {found.metric} on {found.n} dialogues"
    )
    yield (
        f"{n_public} public dialogues show a difference of {outlook.smallest:.2f} points or more (80 % power); smaller "
        "ones on the public board say little"
    )
    for made in found.left_out:
        yield f"left out: {made.model} ({made.run}) has no scores here; add it again with --local RUN"


def _left(results: Path, a_day: int) -> str:
    from dsum_bench.submissions.ledger import on_day, read

    today = datetime.now().astimezone().date().isoformat()
    count = on_day(read(open_bench(results).ledger), today)
    over = ": more than are allowed" if count > a_day else ""
    return f"{count} of {a_day} submissions today{over}"


def _object(found: Forecast) -> dict[str, Any]:
    rows = zip(found.submissions, found.local, found.outlook.prospects, strict=True)
    return {
        "submissions": [asdict(s) | {"here": here, "expected": asdict(hidden)} for s, here, hidden in rows],
        "chosen": [s.run for s in found.chosen],
        "slope": found.outlook.slope,
        "slope_interval": [found.outlook.slope_low, found.outlook.slope_high],
        "smallest": found.outlook.smallest,
        "left_out": [s.run for s in found.left_out],
        "n": found.n,
        "metric": found.metric,
        "measure": found.measure,
    }
