"""Start-up, the leaderboard over many runs, and what the harness adds to generation."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.measure import Row, interleaved

if TYPE_CHECKING:
    from dsum_bench.spec import RunSpec

RUNS, SAMPLES = 200, 500
MEASURES = ("rouge1", "rouge2", "rougeL", "sum", "mean")


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """Rows of the table, and remarks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = interleaved(
            {
                "help": lambda: command(folder, "-m", "dsum_bench", "--help"),
                "click": lambda: command(folder, "-c", "import click"),
            },
            3 * repeats,
        )
        rows = [Row("`dsum-bench --help`", '`python -c "import click"`', started["help"], started["click"])]
        remarks = [_board(folder, repeats)]
        remarks.append(_overhead(folder / "one", data, count))
    return rows, remarks


def command(folder: Path, *arguments: str) -> str:
    """Run Python with these arguments; an error ends the benchmark."""
    folder.mkdir(exist_ok=True)
    # As after an installation: not compiled anew at every start, as containers often have it.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "80", "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def _board(folder: Path, repeats: int) -> str:
    """Time and peak memory of the leaderboard over a full store."""
    _fill(folder)
    seconds = interleaved({"leaderboard": lambda: command(folder, "-m", "dsum_bench", "leaderboard")}, 3 * repeats)
    # Not ru_maxrss: it begins at what this process had when it forked. Linux only.
    code = (
        "from dsum_bench.cli import main\n"
        "try: main(['leaderboard'])\n"
        "except SystemExit: pass\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    peak = int(command(folder, "-c", code).split()[-1]) * 1024
    return (
        f"`leaderboard` over {RUNS} runs x {SAMPLES} samples: {median(seconds['leaderboard']):.2f} s, peak memory "
        f"{peak / 1e6:.0f} MB."
    )


def run_spec(number: int, samples: int) -> RunSpec:
    """One of many runs over the same samples."""
    from dsum_bench.spec import ModelSpec, Placement, RunSpec

    return RunSpec(
        model=ModelSpec(f"model-{number}", "chat", (f"some/model-{number}",), params=10**9),
        dataset="talks", language="ko", split="dev", selection="all", n_samples=samples,
        dataset_fingerprint="d", references_fingerprint="r", prompt=None, prompt_format="template",
        decoding=None, placement=Placement("cpu", "float32", "none", ""), weights="w", seed=number, versions={},
    )  # fmt: skip


def _fill(folder: Path) -> None:
    """A store of many finished runs, made by the project's own writer."""
    from dsum_bench.spec import Generation, Output
    from dsum_bench.store.rows import ScoredOutput
    from dsum_bench.store.writer import Store

    rng = random.Random(1)
    signature = "rouge|profile:rouge-1.0.1|tok:bench|refs:mean|scale:100|v:1"
    (folder / "results").mkdir()
    with Store.open(folder / "results" / "dsum.db") as store:
        store.declare_signature(signature, "rouge@mecab", MEASURES)
        for number in range(RUNS):
            key = store.open_run(run_spec(number, SAMPLES), "model")
            level = rng.uniform(10, 50)
            outputs = []
            for i in range(SAMPLES):
                values = [max(0.0, rng.gauss(level, 8)) for _ in range(3)]
                measured = dict(zip(MEASURES, [*values, sum(values), sum(values) / 3], strict=True))
                made = Generation(f"s{i}", "출력", 100, 20, "stop", 0.5)
                outputs.append(ScoredOutput(Output(made, "요약"), {signature: measured}))
            store.add(key, outputs, {f"s{i}": i for i in range(SAMPLES)})
            store.close_run(key, "done", peak_memory=10**9)


def _overhead(folder: Path, data: Path, count: int) -> str:
    """The time of ``screen`` beyond that of one dialogue, against what its engine spent on generation."""
    folder.mkdir()
    registry = f'[datasets.talks]\nformat = "jsonl"\npath = "{data.resolve()}"\nlanguage = "en"\n'
    if "fname" in data.read_text(encoding="utf-8").partition("\n")[0]:
        registry += 'columns = { id = "fname" }\n'
    (folder / "registry.toml").write_text(registry, encoding="utf-8")
    count = min(count, len(data.read_text(encoding="utf-8").splitlines()))
    walls, inside = [], []
    for limit in (1, count):
        start = perf_counter()
        command(folder, "-m", "dsum_bench", "screen", "smollm2-135m", "--dataset", "talks", "--limit", str(limit),
                "--set", "max_new_tokens=64", "--fresh")  # fmt: skip
        walls.append(perf_counter() - start)
        with sqlite3.connect(folder / "results" / "dsum.db") as db:
            total = "select sum(outputs.seconds) from outputs join runs on runs.id = run_id where adapter != 'control' "
            (spent,) = db.execute(total + "and n_samples = ? and outputs.seconds > 0", (limit,)).fetchone()
        inside.append(spent)
    added = (walls[1] - inside[1]) - (walls[0] - inside[0])
    return (
        f"`screen` of {count} dialogues: {walls[1]:.1f} s, of which generation {inside[1]:.1f} s. Beyond loading and "
        f"starting ({walls[0] - inside[0]:.1f} s, as with one dialogue) the harness takes {1 + added / inside[1]:.3f} "
        "times the generation itself."
    )
