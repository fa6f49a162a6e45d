"""Plugins that cannot be used beside those that can: what a sweep does and says, strict or not, traced or not."""

from __future__ import annotations

import os
import sqlite3
import textwrap
from pathlib import Path

import pytest
from commands import Dsum

ROOT = Path(__file__).parents[2]

CONTROL = """
    from dsum_bench import hookimpl
    from dsum_bench.adapters.controls import LeadAdapter

    {line}

    class {title}(LeadAdapter):
        name = "{name}"

    @hookimpl
    def dsum_register_adapters(register):
        register({title})
"""
EVENT = """
    from dsum_bench import hookimpl

    @hookimpl
    def dsum_samples_done(run_id, run, rows):
        raise OSError("the pager is off")
"""


def control(name: str, line: str = "") -> str:
    return CONTROL.format(name=name, title=name.capitalize(), line=line)


def put(site: Path, name: str, source: str) -> None:
    """Install a package the way pip leaves it: a module and its metadata with an entry point."""
    module = name.replace("-", "_")
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[dsum_bench]\n{module} = {module}\n", encoding="utf-8")


@pytest.fixture
def dsum(tmp_path: Path) -> Dsum:
    return Dsum(tmp_path, COLUMNS="200", PYTHONPATH=f"{tmp_path / 'site'}{os.pathsep}{ROOT}")


SWEEP = ("screen", "--no-controls", "one", "two", "--limit", "3", "--metric", "rouge@char")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which the models of two sound plugins can be screened."""
    put(tmp_path / "site", "dsum-bench-one", control("one"))
    put(tmp_path / "site", "dsum-bench-two", control("two"))
    registry = "".join(f'[models.{n}]\nadapter = "{n}"\nengine = "control"\n' for n in ("one", "two"))
    (tmp_path / "registry.toml").write_text(registry, encoding="utf-8")
    return tmp_path


BROKEN = [
    ("import nothing_of_this_name", "not loaded: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    (control("lead"), "registers 'lead' among adapters, which dsum_bench.adapters already registered"),
    (control("three", "dsum_bench_api = 99"), "not loaded: made for version 99 of the plugin API"),
    (control("three") + "        raise KeyError('x')\n", "dsum_register_adapters failed: KeyError('x')"),
    (control("three").replace("(register)", "(registered)"), "not loaded: PluginValidationError"),
    (EVENT, "failed in dsum_samples_done: OSError: the pager is off"),
]
KINDS = ["import", "taken", "version", "hook", "arguments", "event"]


@pytest.mark.parametrize(("source", "told"), BROKEN, ids=KINDS)
def test_two_plugins_work_beside_a_broken_third_which_is_named(
    dsum: Dsum, folder: Path, source: str, told: str
) -> None:
    put(folder / "site", "dsum-bench-third", source)
    done = dsum(*SWEEP)
    assert done.returncode == 0, done.stderr
    (line,) = {line for line in (done.stdout + done.stderr).splitlines() if "dsum-bench-third" in line}
    assert told in line
    assert "Traceback" not in done.stderr
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        found = db.execute("select model, status, count(*) from runs join outputs on id = run_id group by 1 order by 1")
        assert found.fetchall() == [("one", "done", 3), ("two", "done", 3)]


@pytest.mark.parametrize(("source", "told"), BROKEN, ids=KINDS)
def test_strict_makes_it_fatal(dsum: Dsum, folder: Path, source: str, told: str) -> None:
    put(folder / "site", "dsum-bench-third", source)
    done = dsum("--strict", *SWEEP)
    assert done.returncode == 2
    assert "Error: " in done.stderr and "dsum-bench-third" in done.stderr and told in done.stderr
    assert "Traceback" not in done.stderr


def test_strict_changes_nothing_for_sound_plugins(dsum: Dsum, folder: Path) -> None:
    put(folder / "site", "dsum-bench-third", control("three", "dsum_bench_api = 1"))
    assert dsum("--strict", *SWEEP).returncode == 0


def test_a_broken_plugin_can_be_left_out(dsum: Dsum, folder: Path) -> None:
    put(folder / "site", "dsum-bench-third", "raise SystemExit(3)")
    done = dsum("--strict", "plugins", DSUM_BENCH_LOAD_PLUGINS="dsum-bench-one,dsum-bench-two")
    assert done.returncode == 0 and "third" not in done.stdout
    assert dsum("--strict", "plugins", DSUM_BENCH_LOAD_PLUGINS="").returncode == 0


def test_the_trace_prints_every_call_of_a_hook(dsum: Dsum, folder: Path) -> None:
    done = dsum(*SWEEP, DSUM_BENCH_TRACE_PLUGINS="1")
    assert "hook dsum_register_adapters(register=function) of dsum-bench-one\n" in done.stderr
    put(folder / "site", "dsum-bench-third", EVENT)
    done = dsum(*SWEEP, "--fresh", DSUM_BENCH_TRACE_PLUGINS="1")
    (first, *_) = [line for line in done.stderr.splitlines() if line.startswith("hook dsum_samples_done(")]
    assert "of dsum-bench-third: OSError('the pager is off')" in first
    assert "hook " not in dsum(*SWEEP).stderr
