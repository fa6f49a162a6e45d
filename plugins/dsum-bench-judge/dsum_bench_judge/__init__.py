"""A language model as judge of summaries for dsum-bench."""

from __future__ import annotations

import click

from dsum_bench import hookimpl


@hookimpl
def dsum_register_commands(cli: click.Group) -> None:
    from dsum_bench_judge.command import judge

    cli.add_command(judge)
