"""How numbers, names and texts are written for people, and JSON for programs."""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

GIB = 2**30


def params(count: int | None) -> str:
    """Number of weights in three digits: ``135M``, ``3.21B``; nothing for a control, ``?`` when unknown."""
    if count is None:
        return "?"
    if count == 0:
        return ""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        # 999,500 and more would be written 1000K
        if count >= size * 0.9995:
            return f"{count / size:#.3g}".rstrip(".") + unit
    return str(count)


def score(value: float | None) -> str:
    """A score on the scale of 100, two decimals; nothing where there is none."""
    return "" if value is None else f"{value:.2f}"


def interval(ends: tuple[float, float] | None) -> str:
    """A 95 % interval in one decimal: ``46.6-48.2``."""
    return "" if ends is None else f"{ends[0]:.1f}-{ends[1]:.1f}"


def seconds(value: float | None) -> str:
    """Seconds in four digits or fewer: ``0.04``, ``1.52``, ``31.0``, ``240``."""
    if value is None:
        return ""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def gibibytes(size: int) -> str:
    """Bytes as GiB without the unit; nothing for 0, which means not measured."""
    return seconds(size / GIB) if size else ""


def moment(stamp: str) -> str:
    """A stored time for people: ``2026-11-23 07:07 UTC``."""
    return f"{stamp[:16].replace('T', ' ')} UTC"


def clean(text: str) -> str:
    """text without the control characters that could move a terminal's cursor or change its colours.

    Newlines stay and tabs become spaces; other control characters, and the ones that turn the direction of writing,
    become U+FFFD.
    """
    return "".join(_visible(c) for c in text)


def literal(text: str, style: str = "") -> Text:
    """text as it is: brackets in it are no markup."""
    from rich.text import Text

    return Text(clean(text), style=style)


def console() -> Console:
    """A console on standard output that interprets nothing it is given."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)


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
