"""``dsum-bench judge``: ask a model for marks and for choices between runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from dsum_bench import ModelSpec, UserError
from dsum_bench.cli import formatting
from dsum_bench.cli.options import json_option, plugin_option, registry_option, results_option

CACHE = "judge.db"
DATABASE = "dsum.db"


@click.command(short_help="Let a model judge the summaries of runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--by", "judge_name", required=True, metavar="MODEL", help="The judge: a registry entry of engine openai."
)
@click.option(
    "--ask",
    type=click.Choice(["both", "rubric", "pairs"]),
    default="both",
    show_default=True,
    help="Marks by the rubric, choices between two runs in both orders, or both.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Judge only the first N dialogues.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=8),
    default=256,
    show_default=True,
    help="Length of an answer; a judge that thinks needs thousands.",
)
@click.option(
    "--prices", type=(float, float), metavar="IN OUT", help="Price of a million prompt and of a million output tokens."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write the choices to a file for dsum-bench votes."
)
@registry_option
@plugin_option
@results_option
@json_option
@click.pass_context
def judge(
    context: click.Context,
    /,
    runs: tuple[str, ...],
    judge_name: str,
    ask: str,
    limit: int | None,
    max_tokens: int,
    prices: tuple[float, float] | None,
    output: Path | None,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    results: Path,
    as_json: bool,
) -> None:
    """Let a model judge the summaries of finished RUNs on the same dialogues, each a run's key or its model's name.

    Every answer is kept as it arrives; the same command asks only for what is missing.
    """
    from dsum_bench.combining.tally import stored, tally
    from dsum_bench.combining.votes import write
    from dsum_bench_judge.asking import asked
    from dsum_bench_judge.printing import plain, print_judgement
    from dsum_bench_judge.questions import markings, marks, material, pairings, votes
    from dsum_bench_judge.results import cost_of, judgement

    database = results / DATABASE
    if ask == "pairs" and len(runs) < 2:
        raise UserError("choices are between runs: name two or more, or use --ask rubric")
    model = _model(judge_name, registry, plugin)
    given = material(database, runs, limit)
    marking = [] if ask == "pairs" else markings(given)
    pairing = [] if ask == "rubric" else pairings(given)
    if output is not None and ask == "rubric":
        raise UserError("--output holds choices: leave --ask rubric out")
    with _progress(len(marking) + len(pairing)) as step:
        found = asked(model, [*marking, *pairing], max_tokens, results / CACHE, step)
    answers = found.answers[: len(marking)], found.answers[len(marking) :]
    chosen = votes(judge_name, given, pairing, answers[1]) if pairing or (ask != "rubric" and len(runs) > 1) else []
    given_marks = marks(given, marking, answers[0]) if marking else {}
    counted = tally(chosen, stored(database, list(given.summaries))) if chosen else None
    result = judgement(judge_name, given, given_marks, counted, cost_of(found, len(marking), prices or ()))
    if output is not None:
        write(output, chosen)
    if as_json:
        formatting.print_json(plain(asdict(result)))
    else:
        print_judgement(result)
    if found.problem:
        click.echo(f"warning: {found.problem}", err=True)
    context.exit(int(bool(found.problem)))


def _model(name: str, registry: Sequence[Path], plugin: Sequence[str]) -> ModelSpec:
    from dsum_bench.plugins import Plugins
    from dsum_bench.registry.load import load, plugin_files
    from dsum_bench.spec import PluginSettings

    here = Path.cwd()
    files = (*plugin, *plugin_files(registry, here))
    plugins = Plugins(PluginSettings.from_environment(str(Path(f).resolve()) for f in files))
    model = load(registry, plugins, here).model(name)
    if model.engine != "openai" or model.adapter != "openai":
        raise UserError(f'{name} is no judge: its entry must have engine = "openai" and adapter = "openai"')
    return model


class _progress:
    """A bar on standard error while it is a terminal."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("judging"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> Callable[[int], None]:
        self.bar.start()
        return lambda count: self.bar.advance(self.task, count)

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
