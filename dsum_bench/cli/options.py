"""Options that several commands share, and the bench they open.

A leaderboard or a help text shall not wait for classes that it does without: imports stand where they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from dsum_bench.cli import completion
from dsum_bench.cli.completion import RESULTS

if TYPE_CHECKING:
    from dsum_bench.api.bench import Bench

F = TypeVar("F", bound=Callable[..., Any])

RESULTS_VARIABLE = "DSUM_BENCH_RESULTS"


class OnceCommand(click.Command):
    """A command that refuses an option given twice where only one value counts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(list(args))
            for option in order:
                counts_once = isinstance(option, click.Option) and not (option.multiple or option.count)
                if counts_once and order.count(option) > 1:
                    name = max(option.opts, key=len)
                    raise click.UsageError(f"{name} is given {order.count(option)} times; give it once", ctx)
        return super().parse_args(ctx, args)


command = partial(click.command, cls=OnceCommand)
"""The decorator of every command here."""


def open_bench(
    results: Path = Path(RESULTS), registry: tuple[Path, ...] = (), plugin: tuple[str, ...] = (), as_json: bool = False
) -> Bench:
    """The bench of one call. Progress goes to standard output, or to standard error where that is JSON."""
    from rich.console import Console

    from dsum_bench.api.bench import Bench

    return Bench(registry, results, plugin, console=Console(stderr=as_json, highlight=False))


def where(results: Path) -> str:
    """What a command line needs to find these results."""
    return "" if str(results) == RESULTS else f" --results {results}"


def results_option(command: F) -> F:
    """``--results DIR``; the command is given ``results``, a path."""
    option = click.option(
        "--results",
        metavar="DIR",
        type=click.Path(path_type=Path),
        default=RESULTS,
        envvar=RESULTS_VARIABLE,
        show_default=True,
        show_envvar=True,
        help="Folder of the results database.",
    )
    return option(command)


def json_option(command: F) -> F:
    """``--json``; the command is given ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, with every field.")(command)


def registry_option(command: F) -> F:
    """``--registry FILE``, any number; the command is given ``registry``, a tuple of paths."""
    return click.option(
        "--registry",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Registry file that extends the shipped one. registry.toml in the current folder is always read.",
    )(command)


def plugin_option(command: F) -> F:
    """``--plugin FILE``, any number; the command is given ``plugin``, a tuple of paths."""
    return click.option(
        "--plugin", multiple=True, metavar="FILE", help="Python file to load as a plugin (its code runs)."
    )(command)


def choice_options(command: F) -> F:
    """``--family NAME`` and ``--max-params N``: some models of the zoo."""
    family = click.option(
        "--family",
        metavar="NAME",
        help="Only models of this adapter, or whose name or checkpoint starts with it.",
    )
    most = click.option(
        "--max-params", metavar="N", help="Only models with at most this many parameters, such as 4B or 500M."
    )
    return family(most(command))


def dataset_options(command: F) -> F:
    """``--dataset NAME`` and ``--split NAME``."""
    split = click.option("--split", metavar="NAME", help="Split of the dataset  [default: the dataset's own]")
    dataset = click.option(
        "--dataset",
        metavar="NAME",
        default="samples-ko",
        show_default=True,
        shell_complete=completion.datasets,
        help="Dataset of the registry.",
    )
    return dataset(split(command))


def prompt_options(command: F) -> F:
    """``--prompt NAME`` and ``--prompt-format``."""
    from dsum_bench.spec import PromptFormat

    form = click.option(
        "--prompt-format",
        type=click.Choice(get_args(PromptFormat)),
        default="template",
        show_default=True,
        help="raw: without the chat template.",
    )
    prompt = click.option(
        "--prompt",
        metavar="NAME",
        shell_complete=completion.prompts,
        help="Prompt of the registry  [default: the model's own]",
    )
    return prompt(form(command))


def decoding_options(command: F) -> F:
    """``--decoding NAME`` and ``--set KEY=VALUE``, any number; the latter as ``settings``."""
    change = click.option(
        "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a parameter of the decoding."
    )
    decoding = click.option(
        "--decoding",
        metavar="NAME",
        shell_complete=completion.decodings,
        help="Decoding of the registry  [default: the model's own]",
    )
    return decoding(change(command))


def worker_options(command: F) -> F:
    """``--hang-timeout SECONDS`` and ``--executor NAME``."""
    from dsum_bench.spec import HANG_TIMEOUT

    executor = click.option(
        "--executor",
        metavar="NAME",
        shell_complete=completion.executors,
        default="local",
        show_default=True,
        help="Executor that runs the workers.",
    )
    hang_timeout = click.option(
        "--hang-timeout",
        metavar="SECONDS",
        default=HANG_TIMEOUT,
        show_default=True,
        help="Seconds without progress after which a worker is stopped.",
    )
    return hang_timeout(executor(command))


def address_option(command: F) -> F:
    """``--address URL``; the command is given ``address``, '' where none was named."""
    return click.option(
        "--address",
        metavar="URL",
        default="",
        help="Address of the executor's cluster, such as ray://head:10001.",
    )(command)


def metric_option(command: F) -> F:
    """``--metric METRIC@TOKENIZER``, any number; the command is given ``metrics``, None where none was named."""
    return click.option(
        "--metric",
        "metrics",
        multiple=True,
        metavar="METRIC@TOKENIZER",
        shell_complete=completion.metrics,
        callback=lambda context, option, value: value or None,
        help="Metric to score with  [default: those of the dataset's language]",
    )(command)
