"""Standard output: legacy code pages, full disks, pipes that nobody reads, and examples in every help."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from commands import Dsum, patience
from doc_rules import wrong_command
from store_runs import make_run, open_store, store_run

from dsum_bench.cli import main

NAME = "한국어-모델"
PRINTING = [
    ("leaderboard",),
    ("leaderboard", "--format", "csv"),
    ("leaderboard", "--format", "markdown"),
    ("leaderboard", "--json"),
    ("report", "--markdown"),
    ("runs",),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    with open_store(folder / "results" / "dsum.db") as store:
        store_run(store, make_run(NAME))
    return folder


def printed(folder: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[bytes]:
    dsum = Dsum(folder)
    return subprocess.run(
        dsum.command(*arguments),
        cwd=folder,
        stderr=subprocess.PIPE,
        timeout=patience(),
        check=False,
        **({"stdout": subprocess.PIPE, "env": os.environ | dsum.settings} | settings),  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp949"])
@pytest.mark.parametrize("arguments", PRINTING[1:5], ids=" ".join)
def test_formats_for_programs_are_utf8(results: Path, arguments: tuple[str, ...], encoding: str) -> None:
    done = printed(results, *arguments, env=os.environ | Dsum(results).settings | {"PYTHONIOENCODING": encoding})
    text = done.stdout.decode("utf-8")
    if "--json" in arguments:
        text = text.encode("ascii" if encoding != "utf-8" else "utf-8").decode("unicode-escape")
    assert NAME in text
    if "csv" in arguments:
        assert [row["model"] for row in csv.DictReader(io.StringIO(text))] == [NAME]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_full_disk_is_a_sentence(results: Path, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = printed(results, *arguments, stdout=full)
    assert done.stderr.decode() == "Error: cannot write to standard output: No space left on device\n"
    assert done.returncode == 2


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_closed_pipe_is_a_sentence(results: Path, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = printed(results, *arguments, stdout=pipe)
    assert done.stderr.decode() == "Error: cannot write to standard output: Broken pipe\n"
    assert done.returncode == 2


def commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Words and command of every command that is no group."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            inner = command.make_context(name, [], parent=context, resilient_parsing=True)
            yield from ((f"{name} {words}", found) for words, found in commands(command, inner))
        else:
            yield name, command


def test_every_help_has_examples_that_parse(tmp_path: Path) -> None:
    """Each line under "Example:" is a command line that this version understands."""
    for words, command in commands(main, main.make_context("dsum-bench", [], resilient_parsing=True)):
        _, _, examples = re.sub("Examples:", "Example:", command.help or "").partition("Example:\n")
        lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("dsum-bench ")]
        assert lines, f"{words} --help shows no example"
        for line in lines:
            assert line.startswith(f"dsum-bench {words}"), line
            assert wrong_command(line.removeprefix("dsum-bench "), tmp_path) == ""
