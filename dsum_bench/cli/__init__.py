"""The command ``dsum-bench``: a table of commands, each imported when it is called."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from dsum_bench import __version__
from dsum_bench.errors import Terminated, UserError, suggestion

COMMANDS: Mapping[str, tuple[str, str]] = {
    "screen": ("dsum_bench.cli.screen:screen", "Run models on a dataset and score their summaries."),
    "finetune": ("dsum_bench.cli.finetune:finetune", "Fine-tune a model by recipe and screen the result."),
    "export": ("dsum_bench.cli.export:export", "Export a trained model to a new folder."),
    "predict": ("dsum_bench.cli.predict:predict", "Write a model's summaries of a split to a file."),
    "submissions": (
        "dsum_bench.cli.submissions:submissions",
        "Track submissions and choose the final ones.",
    ),
    "score": ("dsum_bench.cli.score:score", "Score a file of summaries."),
    "leaderboard": ("dsum_bench.cli.leaderboard:leaderboard", "Rank finished runs."),
    "compare": ("dsum_bench.cli.compare:compare", "Test whether runs differ significantly."),
    "votes": ("dsum_bench.cli.votes:votes", "Rank runs by votes of people and judge models."),
    "show": ("dsum_bench.cli.show:show", "Show one run: its settings and some of its summaries."),
    "report": ("dsum_bench.cli.report:report", "Write results as one HTML file."),
    "plot": ("dsum_bench.cli.plot:plot", "Draw a chart to a file or as text."),
    "view": ("dsum_bench.cli.view:view", "Serve a live report or a blind vote."),
    "runs": ("dsum_bench.cli.runs:runs", "List runs and how they differ."),
    "rename": ("dsum_bench.cli.runs:rename", "Give a run a name."),
    "delete": ("dsum_bench.cli.runs:delete", "Delete runs."),
    "postprocess": ("dsum_bench.cli.postprocess:postprocess", "Post-process stored summaries by rules."),
    "combine": ("dsum_bench.cli.combine:combine", "Combine several runs into one."),
    "average": ("dsum_bench.cli.combine:average", "Average LoRA adapters of the same base."),
    "rescore": ("dsum_bench.cli.rescore:rescore", "Score stored summaries with more metrics."),
    "merge": ("dsum_bench.cli.runs:merge", "Add the results of another folder."),
    "export-runs": ("dsum_bench.cli.runs:export_runs", "Export runs to a new database."),
    "results": ("dsum_bench.cli.results:results", "Maintain the results database."),
    "models": ("dsum_bench.cli.models:models", "List the model zoo."),
    "datasets": ("dsum_bench.cli.datasets:datasets", "List the datasets and their splits."),
    "data": ("dsum_bench.cli.data:data", "Generate the registry entry for a data file."),
    "check": ("dsum_bench.cli.check:check", "Run the protocol checks that need no generation."),
    "prompt": ("dsum_bench.cli.prompt:prompt", "Print the exact prompt of a model."),
    "doctor": ("dsum_bench.cli.doctor:doctor", "Check what this machine can run."),
    "plugins": ("dsum_bench.cli.plugins:plugins", "List plugins and what they register."),
    "plugin": ("dsum_bench.cli.plugin:plugin", "Create a new plugin package."),
}
"""Name -> where the command is, and its line in the help; the line stands here so that help imports nothing."""

INTERRUPTED = 130


class Failure(click.ClickException):
    """A UserError on its way out: ``Error: sentence`` on stderr and exit code 2."""

    exit_code = 2


class LazyGroup(click.Group):
    """Commands from the table above first, then those that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(set(self.commands) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            self._find(name, strict=ctx.params.get("strict", False))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, TextIOWrapper):
            # A name in Korean on a terminal that has no Korean is a question mark, not a traceback.
            sys.stdout.reconfigure(errors="replace")
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
            return result
        except UserError as error:
            raise Failure(str(error)) from error
        except OSError as error:
            if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):
                raise
            # What is still in the buffer cannot be written either, and Python would say so once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise Failure(f"cannot write to standard output: {os.strerror(error.errno)}") from error
        except KeyboardInterrupt as error:
            click.echo("Interrupted.", err=True)
            ctx.exit(error.exit_code if isinstance(error, Terminated) else INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        if _has_plugins():
            self._ask_plugins(strict=False)
            added = sorted(set(self.commands) - set(COMMANDS))
            if added:
                with formatter.section("Commands of plugins"):
                    formatter.write_dl([(name, self.commands[name].get_short_help_str()) for name in added])

    def _find(self, name: str, strict: bool) -> None:
        """Let plugins add their commands; raise UserError when none of them has this one."""
        problems = self._ask_plugins(strict)
        if name not in self.commands:
            broken = "".join(f"; {problem}" for problem in problems)
            raise UserError(f"unknown command '{name}'{suggestion(name, {*COMMANDS, *self.commands})}{broken}")

    def _ask_plugins(self, strict: bool) -> list[str]:
        """Let plugins add their commands; returns what went wrong."""
        from dataclasses import replace

        from dsum_bench.plugins import Plugins
        from dsum_bench.spec import PluginSettings

        settings = PluginSettings.from_environment()
        plugins = Plugins(replace(settings, strict=strict or settings.strict))
        failed = plugins.tell("dsum_register_commands", cli=self)
        return [*plugins.problems, *failed]


def _has_plugins() -> bool:
    """Whether a plugin package seems to be installed and may be loaded.

    importlib.metadata would say it for certain, and double the time that help takes.
    """
    if os.environ.get("DSUM_BENCH_LOAD_PLUGINS") == "":
        return False
    return any(b"[dsum_bench]" in _entry_points(folder) for path in sys.path for folder in _distributions(path))


def _distributions(path: str) -> list[str]:
    try:
        with os.scandir(path or ".") as entries:
            return [entry.path for entry in entries if entry.name.endswith(".dist-info")]
    except OSError:
        return []


def _entry_points(folder: str) -> bytes:
    try:
        with open(f"{folder}/entry_points.txt", "rb", buffering=0) as file:  # noqa: PTH123 (pathlib takes longer)
            return file.read()
    except OSError:
        return b""


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="dsum-bench")
@click.option("--strict", is_flag=True, help="Stop if a plugin cannot be loaded instead of skipping it.")
@click.pass_context
def main(context: click.Context, /, strict: bool) -> None:
    """Screen language models for Korean dialogue summarisation and rank what they write."""
    if strict:
        # Workers load the plugins again and must be as strict; the environment is what they share with this process.
        before = os.environ.get("DSUM_BENCH_STRICT", "")
        os.environ["DSUM_BENCH_STRICT"] = "1"
        context.call_on_close(lambda: os.environ.update(DSUM_BENCH_STRICT=before))
