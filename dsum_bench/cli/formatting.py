"""How texts are printed for people, and JSON for programs."""

from __future__ import annotations

import json
import sys
import unicodedata
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click

from dsum_bench.figures import gibibytes, interval, members, moment, params, score, seconds

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "clean",
    "console",
    "gibibytes",
    "interval",
    "literal",
    "members",
    "moment",
    "params",
    "print_file",
    "print_json",
    "score",
    "seconds",
]


def clean(text: str) -> str:
    """text without the control characters that could move a terminal's cursor or change its colours.

    Newlines stay and tabs become spaces; other control characters, and the ones that turn the direction of writing,
    become U+FFFD.
    """
    return text if text.isprintable() else "".join(_visible(c) for c in text)


def literal(text: str, style: str = "") -> Text:
    """text as it is: brackets in it are no markup."""
    from rich.text import Text

    return Text(clean(text), style=style)


def console() -> Console:
    """A console on standard output that interprets nothing it is given."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 (Rich calls this while it handles the error, and would end without a word)

    return Output(markup=False, highlight=False, emoji=False)


def print_file(text: str) -> None:
    """Print what a program reads, such as CSV: UTF-8 in a file or a pipe, whatever code page the terminal has."""
    if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    click.echo(text, nl=False)


def print_json(value: object) -> None:
    """Print JSON for a program to read; escaped where the terminal cannot show every character."""
    unicode_output = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    click.echo(json.dumps(value, ensure_ascii=not unicode_output, indent=2, allow_nan=False))


def _visible(character: str) -> str:
    if character == "\n":
        return character
    if character == "\t":
        return " "
    unsafe = (
        unicodedata.category(character) == "Cc" or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
    return "\ufffd" if unsafe else character
