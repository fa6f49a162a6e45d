"""The tutorials, typed in: what they show is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from commands import patience
from pages import TUTORIALS

ROOT = Path(__file__).parents[2]
FILES = {"toml": "registry.toml", "jsonl": "dev.jsonl"}
BLOCK = re.compile(r"^```(console|toml|jsonl)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packages")]


def shown(output: str) -> re.Pattern[str]:
    """Matches what a page shows; an ellipsis stands for anything."""
    return re.compile(".*".join(map(re.escape, output.strip().split("…"))), re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment of its own that sees the heavy packages of this one, so that nothing is fetched."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    inside = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    outside = sysconfig.get_path("purelib")
    Path(inside, "outside.pth").write_text(f"import site; site.addsitedir({outside!r})\n", encoding="utf-8")
    script = folder / "bin" / "dsum-bench"
    script.write_text(f'#!/bin/sh\nexec {folder}/bin/python -m dsum_bench "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return os.environ | {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "100",
        # The build backend and dsum-bench are there already. For pip, 0 means that there is no isolation.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_runs_as_it_is_written(page: str, environment: dict[str, str], tmp_path: Path) -> None:
    commands = 0
    for language, text in BLOCK.findall((ROOT / "docs" / "tutorial" / page).read_text(encoding="utf-8")):
        if language in FILES:
            (tmp_path / FILES[language]).write_text(text, encoding="utf-8")
            continue
        for command, output in COMMAND.findall(text):
            done = subprocess.run(
                command,
                shell=True,
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=patience(),
                check=False,
            )
            said = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()
            assert done.returncode == 0, f"$ {command}\n{said}"
            assert shown(output).fullmatch(said), f"$ {command}\n{said}\n-- the page shows --\n{output}"
            commands += 1
    assert commands == TUTORIALS[page]


def test_a_line_that_is_not_printed_is_noticed() -> None:
    assert shown("one\n…\nthree").fullmatch("one\ntwo\nthree")
    assert not shown("one\n…\nthree").fullmatch("one\ntwo\nfour")
    assert not shown("one").fullmatch("one\ntwo")
