"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DATABASE = "dsum.db"
RESULTS_VARIABLE = "DSUM_BENCH_RESULTS"


def results_option(command: F) -> F:
    """``--results DIR``; the command is given the path of the database in it, as ``database``."""
    option = click.option(
        "--results",
        "database",
        metavar="DIR",
        type=click.Path(path_type=Path),
        default="results",
        envvar=RESULTS_VARIABLE,
        show_default=True,
        show_envvar=True,
        callback=lambda ctx, param, value: value / DATABASE,
        help="Folder of the results database.",
    )
    return option(command)


def json_option(command: F) -> F:
    """``--json``; the command is given ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, with every field.")(command)
