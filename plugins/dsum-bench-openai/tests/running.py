"""Screening a served model as a user does: a registry, a dataset, the command, its worker in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from dsum_bench.cli import main

KEY = "sk-secret-7f3a91"
Done = subprocess.CompletedProcess[str]


def write(
    folder: Path, url: str | list[str], n: int = 12, key: str = "", model: str = "m", adapter: str = "openai"
) -> None:
    """A registry with one served model and n dialogues."""
    rows = [{"id": f"s{i}", "dialogue": f"#Person1#: This is number {i} today.", "summary": "x"} for i in range(n)]
    (folder / "d_dev.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    named = f', key = "{key}"' if key else ""
    (folder / "registry.toml").write_text(
        '[datasets.d]\nformat = "jsonl"\npath = "d_{split}.jsonl"\nlanguage = "en"\n'
        'columns = { id = "id", dialogue = "dialogue", summary = "summary" }\n'
        f'[models.served]\nsource = "{model}"\nengine = "openai"\nadapter = "{adapter}"\n'
        f"options = {{ url = {json.dumps(url)}{named} }}\n",
        encoding="utf-8",
    )


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "dsum_bench", "screen", "served", "--dataset", "d", "--no-controls", *more]


def environment(**more: str) -> dict[str, str]:
    return (
        os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "200"} | {f"DSUM_BENCH_OPENAI_{k}": v for k, v in more.items()}
    )


def screen(folder: Path, *more: str, key: str | None = None, **speed: str) -> Done:
    env = environment(**speed) | ({"THE_KEY": key} if key is not None else {})
    with contextlib.chdir(folder):
        done = CliRunner(env=env).invoke(main, command(*more)[3:], catch_exceptions=False)
    return Done(command(*more), done.exit_code, done.stdout, done.stderr)


def rows(folder: Path, sql: str) -> list[Any]:
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        return db.execute(sql).fetchall()


def stored(folder: Path) -> dict[str, str]:
    return dict(rows(folder, "select sample_id, output from outputs"))


def expected(n: int = 12) -> dict[str, str]:
    return {f"s{i}": f"summary of {i}" for i in range(n)}


def files_with(folder: Path, text: str) -> list[Path]:
    return [f for f in folder.rglob("*") if f.is_file() and text.encode() in f.read_bytes()]


def findings(folder: Path) -> dict[str, str]:
    """What the checks found, by check."""
    return dict(rows(folder, "select code, text from findings"))
