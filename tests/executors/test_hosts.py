"""Where a screening may be started from: a script without a guard, standard input, a notebook cell."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import notebooks
import pytest
import tiny
from commands import patience
from making import small

pytestmark = pytest.mark.fresh

SCRIPT = """
from dsum_bench.cli import main
print("SCRIPT BEGINS")
arguments = ["screen", "--no-controls", "lead-3", "mine", "--limit", "2", "--set", "max_new_tokens=4"]
main(arguments, standalone_mode=False)
print("SCRIPT ENDS")
"""
REGISTRY = """
[models.mine]
source = "./mine"
adapter = "completion"
prompt = "short"
[prompts.short]
user = "{dialogue}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.decoder(tmp_path / "mine", "llama", small(None, bos=None))
    (tmp_path / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    return tmp_path


def assert_screened(folder: Path) -> None:
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        sql = "select model, status, reason, (select count(*) from outputs where run_id = id) from runs order by model"
        assert db.execute(sql).fetchall() == [("lead-3", "done", "", 2), ("mine", "done", "", 2)]


@pytest.mark.parametrize("given", ["file", "standard input"])
def test_a_script_without_a_guard_runs_once_and_screens(folder: Path, given: str) -> None:
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with script.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "script.py" if given == "file" else "-"],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL if given == "file" else file,
            capture_output=True,
            text=True,
            timeout=int(patience()),
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SCRIPT BEGINS") == done.stdout.count("SCRIPT ENDS") == 1
    assert_screened(folder)


def run_cell(folder: Path, source: str) -> list[Any]:
    """Outputs of a notebook's only cell."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebooks.execute(notebook, folder)
    return list(notebook.cells[0].outputs)


def test_a_notebook_cell_screens(folder: Path) -> None:
    run_cell(folder, SCRIPT)
    assert_screened(folder)


NO_WIDGETS = """
import sys
sys.modules["ipywidgets"] = None
from dsum_bench import Bench
Bench().screen("lead-3", limit=2, controls=False)
"""


def test_a_notebook_without_widgets_shows_lines_instead_of_warnings(folder: Path) -> None:
    said = "".join(output.get("data", {}).get("text/plain", "") for output in run_cell(folder, NO_WIDGETS))
    assert "lead-3" in said and "done" in said
    assert "warn" not in said


OWN = """
from dsum_bench import JobEnded, Metric, Placement, Supervisor

class Mine(Metric):
    name = "mine"
    measures = ("length",)
    needs_tokenizer = False
    signature = "mine:1"

    def score(self, summary, sample):
        return {"length": float(len(summary)) * FACTOR}

FACTOR = 2.0

class Job:
    entry = "asking:ask"
    placement = Placement("cpu", "float32", "none", "")
    id, log, metric = "j", "j.log", Mine

supervisor = Supervisor()
supervisor.start(Job())
while supervisor.busy:
    for event in supervisor.listen():
        print(repr(event))
supervisor.close()
"""
ASKING = """
from dsum_bench import Progress

def ask(job, emit):
    emit(Progress(job.id, str(job.metric(None).score("네네", None)["length"])))
"""


@pytest.mark.parametrize("given", ["file", "standard input"])
def test_classes_of_a_script_travel_to_its_workers(given: str, tmp_path: Path) -> None:
    (tmp_path / "asking.py").write_text(ASKING, encoding="utf-8")
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    with (tmp_path / "own.py").open("rb") as file:
        done = subprocess.run(
            [sys.executable, "own.py" if given == "file" else "-"],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL if given == "file" else file,
            capture_output=True,
            text=True,
            timeout=int(patience()),
            check=False,
        )
    assert done.stdout.splitlines() == ["Progress(job='j', text='4.0')", "JobEnded(job='j', reason='', skipped=False)"]
