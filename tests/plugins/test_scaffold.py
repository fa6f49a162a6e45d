"""`dsum-bench plugin new`: what it writes works as it is, and nothing is overwritten."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import patience

from dsum_bench.cli import main
from dsum_bench.plugins import Plugins
from dsum_bench.scaffold import KINDS
from dsum_bench.spec import PluginSettings


def new(folder: Path, name: str, kind: str) -> Path:
    done = CliRunner().invoke(main, ["plugin", "new", name, "--kind", kind, "--folder", str(folder)])
    assert done.exit_code == 0, done.output
    return folder / f"dsum-bench-{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_registers_and_passes_its_own_tests(tmp_path: Path, kind: str) -> None:
    package = new(tmp_path, "my-own", kind)
    plugins = Plugins(PluginSettings((), (str(package / "dsum_bench_my_own.py"),)))
    plugins.collect_all()
    assert plugins.problems == []
    assert "my-own" in getattr(plugins, f"{kind}s")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=package,
        env=os.environ | {"PYTHONPATH": f"{package}{os.pathsep}{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        timeout=patience(),
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and "failed" not in done.stdout


def test_what_is_written_passes_ruff_and_mypy(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for kind in KINDS:
        new(tmp_path, f"own-{kind}", kind)
    for command in (
        ["ruff", "check", "--config", str(root / "pyproject.toml")],
        ["ruff", "format", "--check", "--config", str(root / "pyproject.toml")],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    modules = map(str, tmp_path.glob("*/dsum_bench_*.py"))
    mypy = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *modules]
    done = subprocess.run(mypy, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    module = new(tmp_path, "mine", "metric") / "dsum_bench_mine.py"
    module.write_text("mine", encoding="utf-8")
    done = CliRunner().invoke(main, ["plugin", "new", "mine", "--kind", "metric", "--folder", str(tmp_path)])
    assert done.exit_code == 2 and "already exists" in done.output
    assert module.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["Mine", "../mine", "a b", "1st", "a--b", "-a", "", "a_b", "나의"])
def test_an_invalid_name_is_refused(tmp_path: Path, name: str) -> None:
    arguments = ["plugin", "new", "--kind", "metric", "--folder", str(tmp_path), "--", name]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2 and f"'{name}' is not a valid plugin name" in done.output
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_built_in_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["plugin", "new", "rouge", "--kind", "metric", "--folder", str(tmp_path)])
    assert done.exit_code == 2 and "the metric 'rouge' is built in already" in done.output


def test_the_templates_are_found_where_the_package_is() -> None:
    folder = Path(str(importlib.import_module("dsum_bench.scaffold").__file__)).parent / "templates"
    assert {p.parent.name for p in folder.glob("*/plugin.py.txt")} == set(KINDS)
