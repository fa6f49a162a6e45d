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


def registry_option(command: F) -> F:
    """``--registry FILE``, any number; the command is given ``registry``, a tuple of paths."""
    return click.option(
        "--registry",
        multiple=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Your own registry; extends the shipped one. registry.toml in this folder is read by itself.",
    )(command)


def plugin_option(command: F) -> F:
    """``--plugin FILE``, any number; the command is given ``plugin``, a tuple of texts."""
    return click.option(
        "--plugin", multiple=True, metavar="FILE", help="Python file to load as a plugin (its code runs)."
    )(command)
