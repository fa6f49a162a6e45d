"""The reference pages are those of this version, and each rule reports an omission."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pages
import pytest
import python_page

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def read(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    return pages.helps()


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, list[str]]:
    from sqlite_utils import Database

    from dsum_bench.store.schema import migrations

    file = tmp_path / "results.db"
    database = Database(str(file))
    migrations().apply(database)
    database.conn.commit()
    database.close()
    return pages.columns(sqlite3.connect(file))


def code() -> str:
    return "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "dsum_bench").rglob("*.py")))


def test_help_is_not_stale(printed: dict[str, str]) -> None:
    assert "screen" in printed
    assert pages.stale_helps(read("commands.md"), printed) == []


def test_a_new_option_makes_the_help_stale(printed: dict[str, str]) -> None:
    more = printed | {"screen": printed["screen"] + "\n  --planted  Not in the page."}
    assert pages.stale_helps(read("commands.md"), more) == ["screen"]


def test_a_new_command_and_a_lost_one_are_reported(printed: dict[str, str]) -> None:
    others = {name: text for name, text in printed.items() if name != "show"} | {"planted": "Usage: planted"}
    assert pages.stale_helps(read("commands.md"), others) == ["planted", "show"]


def test_a_changed_block_of_help_is_reported(printed: dict[str, str]) -> None:
    page = read("commands.md").replace("--fresh ", "--afresh ", 1)
    assert page != read("commands.md")
    assert len(pages.stale_helps(page, printed)) == 1


def test_every_table_and_column_is_named(tables: dict[str, list[str]]) -> None:
    assert {"runs", "outputs", "score_columns"} <= tables.keys()
    assert pages.wrong_columns(read("store.md"), tables) == []


def test_a_column_left_out_or_made_up_is_reported(tables: dict[str, list[str]]) -> None:
    page = re.sub(r"^\| `low` .*\n", "| `planted` | No column. |\n", read("store.md"), flags=re.MULTILINE)
    assert pages.wrong_columns(page, tables) == ["aggregates.low", "aggregates.planted"]


def test_every_variable_is_named() -> None:
    assert pages.wrong_variables(read("environment.md"), code()) == []


def test_a_variable_left_out_is_reported() -> None:
    page = re.sub(r"^\| `DSUM_BENCH_CACHE`.*\n", "", read("environment.md"), flags=re.MULTILINE)
    assert pages.wrong_variables(page, code()) == ["DSUM_BENCH_CACHE"]


def test_the_python_page_is_what_the_docstrings_say() -> None:
    written = python_page.PAGE.read_text(encoding="utf-8")
    assert written == python_page.page(), "run: python tests/support/python_page.py"


def test_every_public_name_has_a_docstring() -> None:
    assert python_page.undocumented() == []


def test_a_signature_says_what_a_default_factory_makes_and_wraps_when_long() -> None:
    entry = python_page.entry("DecodingSpec")
    assert "\n    strategy: str,\n    params: Mapping[str, object] = {},\n" in entry
    assert "\nModelSpec(\n    name: str,\n    adapter: str,\n" in python_page.entry("ModelSpec")
