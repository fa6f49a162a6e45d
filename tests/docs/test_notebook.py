"""The tutorial as a notebook: its cells run, what it shows is what comes out, and both editions have the same code."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path

import notebooks
import pytest


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.xdist_group("models")
def test_the_notebook_runs_from_an_empty_folder_and_shows_what_comes_out(tmp_path: Path) -> None:
    stored = notebooks.read(notebooks.ENGLISH)
    fresh = notebooks.execute(notebooks.read(notebooks.ENGLISH), tmp_path)
    repeatable = [
        i for i, cell in enumerate(notebooks.code(fresh)) if notebooks.REPEATABLE in cell.metadata.get("tags", ())
    ]
    assert len(repeatable) >= 4
    for i in repeatable:
        assert notebooks.shown(notebooks.code(fresh)[i]) == notebooks.shown(notebooks.code(stored)[i])

    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        runs = db.execute("select model, status, (select count(*) from outputs where run_id = id) from runs").fetchall()
    assert {("smollm2-135m", "done", 4), ("smollm2-135m@short", "done", 4), ("lead-3", "done", 4)} <= set(runs)
    with (tmp_path / "submission.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 32


def test_stored_outputs_are_whole() -> None:
    for cell in notebooks.code(notebooks.read(notebooks.ENGLISH)):
        assert cell.execution_count, cell.source
        assert not [output for output in cell.outputs if output.output_type == "error"], cell.source
        assert not [output for output in cell.outputs if output.get("name") == "stderr"], cell.source


def test_the_korean_edition_has_the_same_code_and_outputs() -> None:
    english, korean = notebooks.read(notebooks.ENGLISH), notebooks.read(notebooks.KOREAN)
    assert [cell.cell_type for cell in korean.cells] == [cell.cell_type for cell in english.cells]
    for ours, theirs in zip(notebooks.code(english), notebooks.code(korean), strict=True):
        assert (theirs.source, theirs.outputs) == (ours.source, ours.outputs)
