"""What a shell offers after TAB, asked of bash itself."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Dsum, patience

SCRIPT = Path(sys.executable).with_name("dsum-bench")
REGISTRY = """
[models.mine]
source = "nowhere"
adapter = "qwen"
[datasets.calls]
format = "csv"
path = "calls/{split}.csv"
columns = { id = "id", dialogue = "dialogue", summary = "summary" }
[prompts.brief]
user = "{dialogue}"
"""


def offered(folder: Path, words: str) -> list[str]:
    """The words bash would offer for the last one of a line."""
    line = shlex.split(words.replace("dsum-bench", str(SCRIPT), 1)) + ([""] if words.endswith(" ") else [])
    listed = " ".join(map(shlex.quote, line))
    ask = f"""
        eval "$(_DSUM_BENCH_COMPLETE=bash_source {shlex.quote(str(SCRIPT))})"
        COMP_WORDS=({listed}); COMP_CWORD={len(line) - 1}
        _dsum_bench_completion {shlex.quote(str(SCRIPT))}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", ask],
        cwd=folder,
        env=os.environ | Dsum(folder).settings,
        capture_output=True,
        text=True,
        timeout=patience(),
        check=True,
    )
    assert not done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry of its own and two runs, one of them named."""
    path = tmp_path_factory.mktemp("completion")
    (path / "registry.toml").write_text(REGISTRY)
    dsum = Dsum(path)
    assert dsum("screen", "lead-3", "longest-3", "--no-controls", "--limit", "2").returncode == 0
    assert dsum("rename", "lead-3", "baseline").returncode == 0
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dsum-bench scr", ["screen"]),
        ("dsum-bench screen min", ["mine"]),
        ("dsum-bench screen --dataset ca", ["calls"]),
        ("dsum-bench finetune --dataset=ca", ["calls"]),
        ("dsum-bench screen --prompt bri", ["brief"]),
        ("dsum-bench finetune --recipe qlo", ["qlora"]),
        ("dsum-bench screen --metric rouge@mecab-t", ["rouge@mecab-tags"]),
        (
            "dsum-bench leaderboard --metric rouge@",
            ["rouge@char", "rouge@mecab", "rouge@whitespace"],
        ),  # what was scored
        ("dsum-bench compare ", ["baseline", "lead-3", "longest-3"]),
        ("dsum-bench show base", ["baseline"]),
        ("dsum-bench delete lead-3 lon", ["longest-3"]),
        ("dsum-bench predict min", ["mine"]),
        ("dsum-bench predict base", ["baseline"]),
        ("dsum-bench show --results nowhere ", []),
        ("dsum-bench screen --registry missing.toml mi", []),
    ],
)
def test_names_are_completed(folder: Path, line: str, expected: list[str]) -> None:
    assert offered(folder, line) == expected
