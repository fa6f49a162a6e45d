"""How the command starts and how it ends: quickly, lazily, and with one sentence when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from commands import Dsum, patience
from store_runs import make_run, open_store, store_run

from dsum_bench import __version__
from dsum_bench.cli import COMMANDS, main

pytestmark = pytest.mark.fresh

ROOT = Path(__file__).parents[2]
HEAVY = {"rich", "torch", "pandas", "numpy", "transformers", "sqlite_utils", "peft", "MeCab", "psutil", "filelock"}

PLUGIN = '''
import click
import dsum_bench

@dsum_bench.hookimpl
def dsum_register_commands(cli):
    @cli.command(name="greet")
    @click.argument("name")
    def greet(name):
        """Say hello."""
        click.echo(f"hello {name}")

    @cli.command(name="screen")
    def screen():
        click.echo("not the real one")

    @cli.command(name="fault")
    def fault():
        from dsum_bench.errors import UserError
        raise UserError("the plugin's own sentence")
'''


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """The environment in which a package with commands is installed."""
    (tmp_path / "greeter.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "dsum_bench_greeter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dsum-bench-greeter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dsum_bench]\ngreeter = greeter\n")
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


# -- starting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("--version",), ()])
def test_help_imports_no_command_and_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = f"""
import atexit, sys
def tell():
    commands = {{m for m in sys.modules if m.startswith("dsum_bench.cli.")}}
    print("IMPORTED", sorted(commands | ({HEAVY!r} & set(sys.modules)) | {{"dsum_bench.plugins"}} & set(sys.modules)))
atexit.register(tell)
from dsum_bench.cli import main
main({list(arguments)!r})
"""
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert out.splitlines()[-1] == "IMPORTED []"


def test_help_imports_little_more_than_click() -> None:
    """Counted, since seconds depend on what else the machine does; ``make bench`` measures those."""

    def imported(code: str) -> int:
        counted = f"import atexit, sys; atexit.register(lambda: print(len(sys.modules)))\n{code}"
        out = subprocess.run([sys.executable, "-c", counted], cwd=ROOT, capture_output=True, text=True, check=True)
        return int(out.stdout.splitlines()[-1])

    assert imported("from dsum_bench.cli import main; main(['--help'])") < imported("import click") + 50


def test_a_leaderboard_loads_what_it_shows_and_no_more(tmp_path: Path) -> None:
    """Each of these costs a start between 5 and 100 ms."""
    with open_store(tmp_path / "dsum.db") as store:
        for name, shift in (("one", 10.0), ("two", 15.0), ("three", 40.0)):
            store_run(store, make_run(name, n=8), base=shift)
    unneeded = "pluggy pandas torch sqlite_utils numpy.ma dsum_bench.api dsum_bench.spec dsum_bench.plugins"
    code = f"""
import sys
from dsum_bench.cli import main
main(["leaderboard", "--results", sys.argv[1]], standalone_mode=False)
print("LOADED", *({set(unneeded.split())!r} & set(sys.modules)))
"""
    call = [sys.executable, "-c", code, str(tmp_path)]
    out = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "differ from the first" in out
    assert out.splitlines()[-1] == "LOADED"


def test_help_lists_every_command_with_its_line(dsum: Dsum) -> None:
    text = " ".join(dsum("--help").stdout.split())
    for name, (_, line) in COMMANDS.items():
        assert f" {name} {line}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there(name: str) -> None:
    module, _, attribute = COMMANDS[name][0].partition(":")
    assert isinstance(getattr(import_module(module), attribute), click.Command)
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f"{name} " in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    code = (
        "import sys; from dsum_bench.cli import main; main(sys.argv[1:], standalone_mode=False); "
        f"print(sorted({HEAVY - {'rich', 'psutil', 'filelock'}!r} & set(sys.modules)))"
    )
    call = [sys.executable, "-c", code, name, "--help"]
    out = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_version(dsum: Dsum) -> None:
    assert dsum("--version").stdout == f"dsum-bench, version {__version__}\n"


# -- commands of plugins --------------------------------------------------------------------------------------


def test_command_of_a_plugin_runs(dsum: Dsum, plugin: dict[str, str]) -> None:
    result = dsum("greet", "you", **plugin)
    assert (result.returncode, result.stdout, result.stderr) == (0, "hello you\n", "")


def test_plugin_cannot_replace_a_built_in_command(plugin: dict[str, str]) -> None:
    code = (
        "from dsum_bench.cli import main; main(['greet', 'you'], standalone_mode=False); "
        "print(main.commands['screen'].callback.__module__, main.get_command(None, 'screen').callback.__module__)"
    )
    call = [sys.executable, "-c", code]
    out = subprocess.run(call, cwd=ROOT, env=os.environ | plugin, capture_output=True, text=True, check=True).stdout
    assert out == "hello you\ngreeter dsum_bench.cli.screen\n"


def test_mistake_reported_by_a_plugin_is_one_sentence(dsum: Dsum, plugin: dict[str, str]) -> None:
    result = dsum("fault", **plugin)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "Error: the plugin's own sentence\n")


def test_near_names_include_those_of_plugins(dsum: Dsum, plugin: dict[str, str]) -> None:
    result = dsum("gree", **plugin)
    assert result.returncode == 2
    assert result.stderr.startswith("Error: unknown command 'gree'; did you mean 'greet'")


def test_plugin_commands_are_not_there_when_plugins_are_off(dsum: Dsum, plugin: dict[str, str]) -> None:
    result = dsum("greet", "you", DSUM_BENCH_LOAD_PLUGINS="", **plugin)
    assert result.returncode == 2
    assert "unknown command 'greet'" in result.stderr


def test_broken_plugin_is_named_when_a_command_is_not_found(dsum: Dsum, tmp_path: Path, plugin: dict[str, str]) -> None:
    (tmp_path / "greeter.py").write_text("import no_such_module_anywhere")
    result = dsum("greet", **plugin)
    assert result.returncode == 2
    assert "dsum-bench-greeter" in result.stderr
    assert "no_such_module_anywhere" in result.stderr
    assert result.stderr.count("\n") == 1


# -- ending ---------------------------------------------------------------------------------------------------


def test_unknown_command_is_answered_with_near_ones(dsum: Dsum) -> None:
    result = dsum("leaderbord")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: unknown command 'leaderbord'; did you mean 'leaderboard'?\n"


def test_unknown_option_is_wrong_usage(dsum: Dsum) -> None:
    result = dsum("--nonsense")
    assert result.returncode == 2
    assert "No such option" in result.stderr
    assert "Traceback" not in result.stderr


def test_mistake_is_one_sentence_on_standard_error(dsum: Dsum, tmp_path: Path) -> None:
    result = dsum("leaderboard", "--results", str(tmp_path / "none"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: there are no results in ")
    assert result.stderr.count("\n") == 1


def test_results_folder_may_come_from_the_environment(dsum: Dsum, tmp_path: Path) -> None:
    result = dsum("leaderboard", DSUM_BENCH_RESULTS=str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere") in result.stderr


def test_interrupting_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(
        PLUGIN.replace('click.echo(f"hello {name}")', 'import time; print("ready", flush=True); time.sleep(3600)')
    )
    info = tmp_path / "sleeper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dsum_bench]\nsleeper = sleeper\n")
    command = [sys.executable, "-m", "dsum_bench", "greet", "x"]
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=patience())
    assert process.returncode == 130
    assert told == "Interrupted.\n"


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown"])
def test_an_ascii_terminal_is_not_an_error(dsum: Dsum, tmp_path: Path, form: str) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        store_run(store, make_run("모델 😀", n=1))
    result = dsum("leaderboard", "--results", str(tmp_path), "--format", form, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (result.returncode, result.stderr) == (0, "")
    shown = json.loads(result.stdout)[0]["ranked"][0]["model"] if form == "json" else result.stdout
    assert ("?? ?" if form == "table" else "모델 😀") in shown
