"""Commands that print results, called in this process, and a results folder full of awkward ones."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from store_runs import make_control, make_run, open_store, positions, scored, store_run

from dsum_bench.cli import main

MARKUP = "[red]x[/red]"
CLOSING = "no memory [/] in [bold"


def run_command(*arguments: str, width: int = 80, code: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def store_board(folder: Path) -> Path:
    """Controls, models with awkward names, ties, unfinished and refused ones."""
    with open_store(folder / "dsum.db") as store:
        store_run(store, make_control("constant"), 32.0, kind="control")
        store_run(store, make_run("smollm2-135m-instruct", 134_515_008), 12.0, peak_memory=900 * 2**20)
        store_run(store, make_run("smollm2-135m-instruct", 134_515_008, prompt_format="raw"), 2.0)
        store_run(store, make_run(f"한국어-요약-{MARKUP}", 3_212_749_824), 42.0, peak_memory=7 * 2**30)
        store_run(store, make_run("twin", 10_700_000_000), 12.0, peak_memory=21 * 2**30)
        key = store.open_run(make_run("qwen3-4b", 4_020_000_000), "model")
        store.add(key, [scored(0, 50.0)], positions(4))
        store.close_run(key, "partial", "time budget of 10 min would be exceeded (64 min projected)")
        store.record(make_run("solar-10.7b", 10_700_000_000), "model", "skipped", CLOSING)
        store.record(make_run("a[/]b", None), "model", "failed", "no config.json")
    return folder
