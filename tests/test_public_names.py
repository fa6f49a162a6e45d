"""The public surface: what `from dsum_bench import ...` gives, what it costs, and that it is enough for a plugin."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dsum_bench
from dsum_bench.errors import UserError, did_you_mean, first_line, nearest, suggestion
from dsum_bench.plugins import Plugins
from dsum_bench.spec import PluginSettings

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "pandas", "numpy", "sqlite_utils", "rich", "click"}


@pytest.mark.parametrize("name", dsum_bench.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(dsum_bench, name) is not None
    assert name in dir(dsum_bench)


def test_type_checkers_see_the_same_names() -> None:
    block = next(n for n in ast.parse(Path(dsum_bench.__file__).read_text(encoding="utf-8")).body if type(n) is ast.If)
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"API_VERSION", "__version__", "hookimpl"} == set(dsum_bench.__all__)


def test_public_names_import_nothing_heavy() -> None:
    script = (
        "import sys, dsum_bench\n"
        "for name in dsum_bench.__all__: getattr(dsum_bench, name)\n"
        f"print(*({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "file", [*(ROOT / "dsum_bench/scaffold/templates").glob("*/*.py.txt")], ids=lambda p: f"{p.parent.name}/{p.name}"
)
def test_templates_import_public_names_only(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    modules = {line.split()[1] for line in lines if line.startswith(("from dsum_bench", "import dsum_bench"))}
    assert modules <= {"dsum_bench", "dsum_bench.testing"}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("adapter", "chat"),
        ("engine", "control"),
        ("decoding", "beam"),
        ("metric", "rouge"),
        ("tokenizer", "mecab"),
        ("dataset", "csv"),
        ("check", "bos"),
        ("trainer", "lora"),
        ("executor", "local"),
    ],
)
def test_get_finds_what_is_registered(kind: str, name: str) -> None:
    plugins = Plugins(PluginSettings(()))
    found = plugins.get(kind, name)  # type: ignore[call-overload]
    assert found.name == name
    assert found.__module__.startswith("dsum_bench.")
    with pytest.raises(UserError, match=rf"^here: unknown .* '{name}x'; did you mean '{name}'"):
        plugins.get(kind, f"{name}x", "here")  # type: ignore[call-overload]


def test_suggestions() -> None:
    known = ["llama3", "kobart", "kobart-base", "qwen"]
    assert nearest("kobrat", known) == ["kobart", "kobart-base"]
    assert nearest("zzz", known) == []
    assert nearest("", known) == []
    assert did_you_mean("kobrat", known) == "; did you mean 'kobart' or 'kobart-base'?"
    assert did_you_mean("zzz", known) == ""
    assert suggestion("zzz", known) == "; known: kobart, kobart-base, llama3, qwen"
    assert suggestion("zzz", []) == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [(OSError(), "OSError"), (ValueError("\n \n"), "ValueError"), (ValueError("\n one \ntwo"), "one")],
)
def test_the_first_line_of_an_error(error: Exception, line: str) -> None:
    assert first_line(error) == line
