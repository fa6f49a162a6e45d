"""What the reference pages must say: pure functions over a page's text and the things it describes.

Run as a program, this file writes docs/reference/commands.md anew.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path

TUTORIALS = {"first-plugin.md": 6, "first-screening.md": 5, "first-screening.ko.md": 5}
"""The tutorials, with how many commands each has."""
COMMANDS_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
HEAD = """# Commands

What every command prints with `--help`. `python tests/support/pages.py` makes this page; a test compares it with the
commands themselves.
"""


def helps() -> dict[str, str]:
    """Command (``""`` for the program itself) -> what ``--help`` prints on a terminal of 80 columns."""
    from click.testing import CliRunner

    from dsum_bench.cli import COMMANDS, main

    printed = {}
    for name in ("", *COMMANDS):
        arguments = [*([name] if name else []), "--help"]
        result = CliRunner().invoke(main, arguments, prog_name="dsum-bench", terminal_width=80)
        assert result.exit_code == 0, result.output
        printed[name] = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
    return printed


def commands_page(printed: Mapping[str, str]) -> str:
    parts = [f"## `{f'dsum-bench {name}'.strip()}`\n\n```text\n{text}\n```\n" for name, text in printed.items()]
    return "\n".join([HEAD, *parts])


def stale_helps(page: str, printed: Mapping[str, str]) -> list[str]:
    """Commands whose help the page lacks or shows otherwise, and commands that only the page has."""
    shown = dict(re.findall(r"^## `dsum-bench ?([\w-]*)`\n\n```text\n(.*?)\n```$", page, re.MULTILINE | re.DOTALL))
    return sorted(name for name in shown.keys() | printed.keys() if shown.get(name) != printed.get(name))


def columns(database: sqlite3.Connection) -> dict[str, list[str]]:
    """Table -> its columns, of the tables that are ours."""
    names = database.execute(
        "select name from sqlite_master"
        " where type = 'table' and name not like '%migrations' and name not like 'sqlite%'"
    )
    return {n: [row[1] for row in database.execute(f"pragma table_info({n})")] for (n,) in names.fetchall()}


def wrong_columns(page: str, real: Mapping[str, list[str]]) -> list[str]:
    """``table.column`` of all that only the page or only the database has."""
    shown = set()
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        table = part.partition("\n")[0].strip("` ")
        shown |= {f"{table}.{c}" for c in re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)}
    return sorted(shown ^ {f"{table}.{c}" for table, names in real.items() for c in names})


def wrong_variables(page: str, code: str) -> list[str]:
    """Environment variables of ours that only the page or only the code names."""
    pattern = r"\bDSUM_BENCH_[A-Z_]+\b"
    return sorted(set(re.findall(r"^\| `(DSUM_BENCH_[A-Z_]+)`", page, re.MULTILINE)) ^ set(re.findall(pattern, code)))


if __name__ == "__main__":
    COMMANDS_PAGE.write_text(commands_page(helps()), encoding="utf-8")
